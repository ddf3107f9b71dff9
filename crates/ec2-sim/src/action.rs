//! One request and its answer: which action it is, the faults that meet it first, and the answer's form.

use crate::{Ec2, error::ApiError, parameters::Parameters, xml::Element};

/// The answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// XML.
    pub body: String,
}

impl Ec2 {
    /// One request in EC2's query protocol (a form body) and its XML answer.
    pub fn call(&mut self, now_ms: u64, form: &str) -> Answer {
        self.settle(now_ms);
        let request_id = self.random.uuid();
        match self.answer(form) {
            Ok((action, content)) => Answer { status: 200, body: Element::response(&action, &request_id, &content) },
            Err(error) => Answer { status: error.status(), body: error.body(&request_id) },
        }
    }

    fn answer(&mut self, form: &str) -> Result<(String, Vec<Element>), ApiError> {
        let request = Parameters::parse(form)?;
        let action = request
            .get("Action")
            .ok_or_else(|| ApiError::new("MissingAction", "The request must contain the parameter Action"))?;
        self.faults.throttle()?;
        let ordered = self.faults.take_error(action);
        if let Some((error, false)) = ordered {
            return Err(error);
        }
        let content = self.act(action, &request)?;
        match ordered {
            Some((error, _)) => Err(error),
            None => Ok((action.to_owned(), content)),
        }
    }

    fn act(&mut self, action: &str, request: &Parameters) -> Result<Vec<Element>, ApiError> {
        match action {
            "CreateFleet" => self.create_fleet(request),
            "CreateLaunchTemplate" => self.create_launch_template(request),
            "CreateLaunchTemplateVersion" => self.create_launch_template_version(request),
            "CreateTags" => self.create_tags(request),
            "DescribeInstances" => self.describe_instances(request),
            "DescribeInstanceStatus" => self.describe_instance_status(request),
            "DescribeLaunchTemplateVersions" => self.describe_launch_template_versions(request),
            "DescribeLaunchTemplates" => self.describe_launch_templates(request),
            "DescribeSubnets" => self.describe_subnets(request),
            "DescribeTags" => self.describe_tags(request),
            "RunInstances" => self.run_instances(request),
            "StartInstances" => self.start_instances(request),
            "StopInstances" => self.stop_instances(request),
            "TerminateInstances" => self.terminate_instances(request),
            _ => Err(ApiError::new("InvalidAction", format!("The action {action} is not valid for this web service."))),
        }
    }
}
