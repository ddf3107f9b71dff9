//! Requests that are wrong, strange or only asked about.

use crate::{RUN, Sim};

#[test]
fn errors_have_ec2s_codes() {
    let mut sim = Sim::new();
    for (form, status, code) in [
        ("", 400, "MissingAction"),
        ("Action=RunAway", 400, "InvalidAction"),
        ("Action=TerminateInstances", 400, "MissingParameter"),
        ("Action=RunInstances&ImageId=ami-1&MinCount=1", 400, "MissingParameter"),
        ("Action=RunInstances&MinCount=1&MaxCount=1", 400, "MissingParameter"),
        ("Action=RunInstances&ImageId=ami-1&MinCount=2&MaxCount=1", 400, "InvalidParameterValue"),
        ("Action=RunInstances&ImageId=ami-1&MinCount=0&MaxCount=1", 400, "InvalidParameterValue"),
        ("Action=RunInstances&ImageId=ami-1&MinCount=x&MaxCount=1", 400, "InvalidParameterValue"),
        ("Action=RunInstances&ImageId=img-1&MinCount=1&MaxCount=1", 400, "InvalidAMIID.Malformed"),
        ("Action=CreateTags&Tag.1.Key=k", 400, "MissingParameter"),
        ("Action=CreateTags&ResourceId.1=vol-1&Tag.1.Key=k", 400, "InvalidID"),
        ("Action=DescribeSubnets&SubnetId.1=subnet-9", 400, "InvalidSubnetID.NotFound"),
    ] {
        assert_eq!(sim.refused(form), (status, code.to_owned()), "{form}");
    }
    for (more, code) in [
        ("&InstanceType=huge", "InvalidParameterValue"),
        ("&UserData=%21", "InvalidUserData.Malformed"),
        ("&SubnetId=subnet-9", "InvalidSubnetID.NotFound"),
        ("&Placement.AvailabilityZone=eu-1a", "InvalidParameterValue"),
        ("&InstanceInitiatedShutdownBehavior=explode", "InvalidParameterValue"),
        ("&InstanceMarketOptions.MarketType=flea", "InvalidParameterValue"),
        ("&TagSpecification.1.ResourceType=pet", "InvalidParameterValue"),
        ("&DryRun=perhaps", "InvalidParameterValue"),
        ("&LaunchTemplate.LaunchTemplateName=none", "InvalidLaunchTemplateName.NotFoundException"),
    ] {
        assert_eq!(sim.code(&format!("{RUN}{more}")), code, "{more}");
    }
    assert_eq!(sim.ec2.instances().count(), 0);
}

#[test]
fn dry_run_checks_and_does_nothing() {
    let mut sim = Sim::new();
    let id = sim.running();
    let template = sim.template();
    for form in [
        RUN.to_owned(),
        format!("Action=TerminateInstances&InstanceId.1={id}"),
        format!("Action=StopInstances&InstanceId.1={id}"),
        format!("Action=CreateTags&ResourceId.1={id}&Tag.1.Key=k"),
        format!("Action=CreateLaunchTemplateVersion&LaunchTemplateId={template}&LaunchTemplateData.KeyName=k"),
        "Action=DescribeInstances".to_owned(),
    ] {
        assert_eq!(sim.refused(&format!("{form}&DryRun=true")), (412, "DryRunOperation".to_owned()), "{form}");
    }
    assert_eq!(sim.code("Action=RunInstances&MinCount=1&MaxCount=1&DryRun=true"), "MissingParameter");
    assert_eq!((sim.ec2.instances().count(), sim.instance(&id).tags.len()), (1, 0));
}

#[test]
fn strange_bodies_get_an_answer() {
    let mut sim = Sim::new();
    for form in ["=", "&&&", "Action", "Action=%00", "Action.1=x", "%%%", "Action=RunInstances&MinCount=9999999999"] {
        assert_eq!(sim.call(form).status, 400, "{form}");
    }
    // A list numbered from anywhere, with holes and words in it, is read in order; the words are no members.
    let id = sim.running();
    sim.ok(&format!("Action=DescribeInstances&InstanceId.7={id}&InstanceId.x=y"));
}

#[test]
fn an_ec2_without_subnets_launches_nothing() {
    let mut sim = Sim::with(|config| config.subnets.clear());
    assert_eq!(sim.code(RUN), "MissingInput");
    let template = sim.template();
    let form = format!(
        "Action=CreateFleet&Type=instant&TargetCapacitySpecification.TotalTargetCapacity=1\
         &LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateId={template}\
         &LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version=1"
    );
    assert_eq!(sim.code(&form), "MissingInput");
}
