//! Launch templates.

use crate::{Sim, all, one};

#[test]
fn versions_never_change_and_are_described_newest_first() {
    let mut sim = Sim::new();
    let id = sim.template();
    let body = sim.ok(&format!(
        "Action=CreateLaunchTemplateVersion&LaunchTemplateId={id}&SourceVersion=1&VersionDescription=two\
         &LaunchTemplateData.InstanceType=t2.medium"
    ));
    assert_eq!((one(&body, "versionNumber"), one(&body, "defaultVersion")), ("2".to_owned(), "false".to_owned()));
    let body = sim.ok(&format!("Action=DescribeLaunchTemplateVersions&LaunchTemplateId={id}"));
    assert_eq!(all(&body, "versionNumber"), ["2", "1"]);
    assert_eq!(all(&body, "instanceType"), ["t2.medium", "t3.medium"]);
    assert_eq!(all(&body, "imageId").len(), 2, "what the source says and the new data does not, stays");
    for (version, number) in [("$Latest", "2"), ("$Default", "1"), ("1", "1")] {
        let one_version =
            format!("Action=DescribeLaunchTemplateVersions&LaunchTemplateName=node&LaunchTemplateVersion.1={version}");
        assert_eq!(all(&sim.ok(&one_version), "versionNumber"), [number]);
    }
}

#[test]
fn a_launch_lays_its_parameters_over_the_template() {
    let mut sim = Sim::new();
    let id = sim.template();
    let form = format!(
        "Action=RunInstances&MinCount=1&MaxCount=1&LaunchTemplate.LaunchTemplateId={id}&LaunchTemplate.Version=$Latest\
         &InstanceType=t2.micro&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=mine"
    );
    let launched = sim.launch(&form).remove(0);
    let instance = sim.instance(&launched);
    assert_eq!(instance.instance_type, "t2.micro");
    assert_eq!(instance.image_id, "ami-0123456789abcdef0");
    let template = instance.template.clone().expect("it came from a template");
    assert_eq!((template.id, template.version), (id, 1));
    let keys: Vec<_> = instance.tags.keys().map(String::as_str).collect();
    assert_eq!(keys, ["aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version", "from", "mine"]);
}

#[test]
fn templates_that_are_not_or_cannot_be() {
    let mut sim = Sim::new();
    sim.template();
    for (form, code) in [
        ("DescribeLaunchTemplates&LaunchTemplateId.1=lt-0123456789abcdef0", "InvalidLaunchTemplateId.NotFound"),
        ("DescribeLaunchTemplates&LaunchTemplateId.1=x", "InvalidLaunchTemplateId.Malformed"),
        ("DescribeLaunchTemplates&LaunchTemplateName.1=other", "InvalidLaunchTemplateName.NotFoundException"),
        (
            "DescribeLaunchTemplateVersions&LaunchTemplateName=node&LaunchTemplateVersion.1=9",
            "InvalidLaunchTemplateId.VersionNotFound",
        ),
        ("DescribeLaunchTemplateVersions&LaunchTemplateName=node&LaunchTemplateVersion.1=x", "InvalidParameterValue"),
        ("DescribeLaunchTemplateVersions", "MissingParameter"),
        (
            "CreateLaunchTemplate&LaunchTemplateName=node&LaunchTemplateData.ImageId=ami-1",
            "InvalidLaunchTemplateName.AlreadyExistsException",
        ),
        (
            "CreateLaunchTemplate&LaunchTemplateName=a%20b&LaunchTemplateData.ImageId=ami-1",
            "InvalidLaunchTemplateName.MalformedException",
        ),
        ("CreateLaunchTemplate&LaunchTemplateName=other", "MissingParameter"),
    ] {
        assert_eq!(sim.code(&format!("Action={form}")), code, "{form}");
    }
}

#[test]
fn creating_is_idempotent_by_token() {
    let mut sim = Sim::new();
    let form = "Action=CreateLaunchTemplate&LaunchTemplateName=node&LaunchTemplateData.ImageId=ami-1&ClientToken=t";
    let id = one(&sim.ok(form), "launchTemplateId");
    assert_eq!(one(&sim.ok(form), "launchTemplateId"), id);
    let version = format!(
        "Action=CreateLaunchTemplateVersion&LaunchTemplateId={id}&LaunchTemplateData.ImageId=ami-2&ClientToken=t"
    );
    for _ in 0..2 {
        assert_eq!(one(&sim.ok(&version), "versionNumber"), "2");
    }
}
