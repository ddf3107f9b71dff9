//! The rules of simulated EC2, one test each, in process and through its wire format.
//!
//! Rule: a test moves time itself and looks at answers as a caller does; nothing here sleeps or reads a clock.

mod describing;
mod events;
mod faults;
mod fleets;
mod lifecycle;
mod parameters;
mod templates;
mod tokens;

use ec2_sim::{Answer, Config, Ec2, Instance, State};
use serde_json::Value;

/// Delays of the EC2 under test, all different so that one taken for another shows.
const PENDING_MS: u64 = 3_000;
const SHUTTING_DOWN_MS: u64 = 5_000;
const STOPPING_MS: u64 = 7_000;
const LAG_MS: u64 = 400;
const SPOT_WARNING_MS: u64 = 120_000;

/// A launch of one on-demand instance.
const RUN: &str = "Action=RunInstances&ImageId=ami-0123456789abcdef0&InstanceType=t3.medium&MinCount=1&MaxCount=1";

/// An EC2 with a clock that only the test moves.
struct Sim {
    ec2: Ec2,
    now_ms: u64,
}

impl Sim {
    fn new() -> Self {
        Self::with(|_| {})
    }

    /// With another configuration.
    fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            seed: 7,
            pending_ms: PENDING_MS,
            shutting_down_ms: SHUTTING_DOWN_MS,
            stopping_ms: STOPPING_MS,
            describe_lag_ms: LAG_MS,
            spot_warning_ms: SPOT_WARNING_MS,
            ..Config::default()
        };
        change(&mut config);
        Self { ec2: Ec2::new(config), now_ms: 1_800_000_000_000 }
    }

    fn call(&mut self, form: &str) -> Answer {
        self.ec2.call(self.now_ms, form)
    }

    /// The body of an answer that must be a success.
    fn ok(&mut self, form: &str) -> String {
        let answer = self.call(form);
        assert_eq!(answer.status, 200, "{form}: {}", answer.body);
        answer.body
    }

    /// Status and code of an answer that must be an error.
    fn refused(&mut self, form: &str) -> (u16, String) {
        let answer = self.call(form);
        assert_ne!(answer.status, 200, "{form}: {}", answer.body);
        (answer.status, one(&answer.body, "Code"))
    }

    /// The code alone.
    fn code(&mut self, form: &str) -> String {
        self.refused(form).1
    }

    fn wait(&mut self, ms: u64) -> Vec<Value> {
        self.now_ms += ms;
        self.ec2.advance(self.now_ms)
    }

    /// Launches by a form and returns the ids.
    fn launch(&mut self, form: &str) -> Vec<String> {
        all(&self.ok(form), "instanceId")
    }

    /// One running on-demand instance that everyone can see.
    fn running(&mut self) -> String {
        let id = self.launch(RUN).remove(0);
        self.wait(PENDING_MS + LAG_MS);
        id
    }

    /// One running one-time Spot instance that everyone can see.
    fn running_spot(&mut self) -> String {
        let id = self.launch(&format!("{RUN}&InstanceMarketOptions.MarketType=spot")).remove(0);
        self.wait(PENDING_MS + LAG_MS);
        id
    }

    fn instance(&self, id: &str) -> &Instance {
        self.ec2.instances().find(|instance| instance.id == id).expect("the instance is not forgotten")
    }

    fn state(&self, id: &str) -> State {
        self.instance(id).state
    }

    /// The state that describe calls show.
    fn described(&mut self, id: &str) -> String {
        let body = self.ok(&format!("Action=DescribeInstances&InstanceId.1={id}"));
        one(&body, "name")
    }

    /// A launch template with one version, and its id.
    fn template(&mut self) -> String {
        let body = self.ok(
            "Action=CreateLaunchTemplate&LaunchTemplateName=node&LaunchTemplateData.ImageId=ami-0123456789abcdef0\
             &LaunchTemplateData.InstanceType=t3.medium&LaunchTemplateData.InstanceInitiatedShutdownBehavior=terminate\
             &LaunchTemplateData.TagSpecification.1.ResourceType=instance\
             &LaunchTemplateData.TagSpecification.1.Tag.1.Key=from&LaunchTemplateData.TagSpecification.1.Tag.1.Value=template",
        );
        one(&body, "launchTemplateId")
    }
}

/// The text of every element of a name, in order.
fn all(body: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let parts = body.split(&open).skip(1);
    parts.filter_map(|part| part.split_once(&close)).map(|(text, _)| text.to_owned()).collect()
}

/// The text of the first element of a name.
fn one(body: &str, name: &str) -> String {
    all(body, name).into_iter().next().unwrap_or_else(|| panic!("no <{name}> in {body}"))
}
