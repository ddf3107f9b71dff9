//! `CreateFleet` of type instant.

use ec2_sim::{Faults, Market};

use crate::{Sim, all, one};

/// A fleet of `count`, with these overrides of the template.
fn fleet(template: &str, count: u32, overrides: &[&str], more: &str) -> String {
    let overrides: String = overrides
        .iter()
        .enumerate()
        .flat_map(|(n, fields)| {
            fields.split('&').map(move |field| format!("&LaunchTemplateConfigs.1.Overrides.{}.{field}", n + 1))
        })
        .collect();
    format!(
        "Action=CreateFleet&Type=instant&TargetCapacitySpecification.TotalTargetCapacity={count}\
         &LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateId={template}\
         &LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version=1{overrides}{more}"
    )
}

const SPOT: &str = "&TargetCapacitySpecification.DefaultTargetCapacityType=spot";
const TWO_TYPES: [&str; 2] = ["InstanceType=t2.medium", "InstanceType=t3.medium"];

fn types(sim: &Sim) -> Vec<String> {
    sim.ec2.instances().map(|instance| instance.instance_type.clone()).collect()
}

#[test]
fn instances_have_the_templates_facts_and_all_tags() {
    let mut sim = Sim::new();
    let template = sim.template();
    let tags =
        "&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=mine&TagSpecification.1.Tag.1.Value=1";
    let body = sim.ok(&fleet(&template, 2, &["SubnetId=subnet-0000000000000000b"], &format!("{SPOT}{tags}")));
    assert_eq!(one(&body, "lifecycle"), "spot");
    assert!(all(&body, "errorCode").is_empty());
    let fleet_id = one(&body, "fleetId");
    for instance in sim.ec2.instances() {
        assert!(body.contains(&instance.id));
        assert_eq!((instance.market, instance.zone.as_str()), (Market::Spot, "us-east-1b"));
        for (key, value) in [
            ("mine", "1"),
            ("from", "template"),
            ("aws:ec2launchtemplate:id", &template),
            ("aws:ec2launchtemplate:version", "1"),
            ("aws:ec2:fleet-id", &fleet_id),
        ] {
            assert_eq!(instance.tags.get(key).map(String::as_str), Some(value), "{key}");
        }
    }
    assert_eq!(sim.ec2.instances().count(), 2);
}

#[test]
fn an_offering_without_capacity_is_an_error_beside_success() {
    let mut sim = Sim::new();
    let template = sim.template();
    sim.ec2.set_faults(Faults { no_capacity: vec!["t2.medium".to_owned()], ..Faults::default() });
    let body = sim.ok(&fleet(&template, 2, &TWO_TYPES, ""));
    assert_eq!(all(&body, "errorCode"), ["InsufficientInstanceCapacity"]);
    assert_eq!(types(&sim), ["t3.medium", "t3.medium"]);
    let (errors, instances) = body.split_once("<fleetInstanceSet>").expect("both sets");
    assert_eq!(one(errors, "overrides"), "<instanceType>t2.medium</instanceType>");
    assert_eq!(one(instances, "overrides"), "<instanceType>t3.medium</instanceType>");
}

#[test]
fn no_capacity_at_all_is_still_http_200() {
    let mut sim = Sim::new();
    let template = sim.template();
    sim.ec2.set_faults(Faults { no_capacity: vec!["*".to_owned()], ..Faults::default() });
    let body = sim.ok(&fleet(&template, 2, &TWO_TYPES, SPOT));
    assert_eq!(all(&body, "errorCode").len(), 2);
    assert!(all(&body, "instanceIds").is_empty());
}

#[test]
fn a_fleet_comes_in_part() {
    let mut sim = Sim::new();
    let template = sim.template();
    sim.ec2.set_faults(Faults { partial_fleet: Some(3), ..Faults::default() });
    let body = sim.ok(&fleet(&template, 5, &[], ""));
    assert_eq!(sim.ec2.instances().count(), 3);
    assert_eq!(all(&body, "errorCode"), ["InsufficientInstanceCapacity"], "the rest is accounted for");
}

#[test]
fn two_markets_in_one_fleet() {
    let mut sim = Sim::new();
    let template = sim.template();
    let form = fleet(&template, 5, &[], &format!("{SPOT}&TargetCapacitySpecification.OnDemandTargetCapacity=2"));
    let body = sim.ok(&form);
    assert_eq!(all(&body, "lifecycle"), ["on-demand", "spot"]);
    assert_eq!(sim.ec2.instances().filter(|instance| instance.market == Market::Spot).count(), 3);
}

#[test]
fn the_order_of_offerings() {
    let mut sim = Sim::new();
    let template = sim.template();
    let by_priority = ["InstanceType=t2.medium&Priority=2", "InstanceType=t3.medium&Priority=1"];
    for (strategy, expected) in [
        ("OnDemandOptions.AllocationStrategy=prioritized", ["t3.medium", "t3.medium"]),
        ("OnDemandOptions.AllocationStrategy=lowest-price", ["t2.medium", "t2.medium"]),
    ] {
        let before = sim.ec2.instances().count();
        sim.ok(&fleet(&template, 2, &by_priority, &format!("&{strategy}")));
        assert_eq!(types(&sim)[before..], expected, "{strategy}");
    }
    let before = sim.ec2.instances().count();
    sim.ok(&fleet(&template, 3, &by_priority, &format!("{SPOT}&SpotOptions.AllocationStrategy=diversified")));
    assert_eq!(types(&sim)[before..], ["t2.medium", "t2.medium", "t3.medium"]);
}

#[test]
fn less_than_the_minimum_is_nothing() {
    let mut sim = Sim::new();
    let template = sim.template();
    sim.ec2.set_faults(Faults { partial_fleet: Some(1), ..Faults::default() });
    let body = sim.ok(&fleet(
        &template,
        3,
        &[],
        "&OnDemandOptions.MinTargetCapacity=2&OnDemandOptions.SingleInstanceType=true",
    ));
    assert_eq!((sim.ec2.instances().count(), all(&body, "errorCode").len()), (0, 1));
    sim.ok(&fleet(
        &template,
        3,
        &[],
        "&OnDemandOptions.MinTargetCapacity=1&OnDemandOptions.SingleAvailabilityZone=true",
    ));
    assert_eq!(sim.ec2.instances().count(), 1);
}

#[test]
fn fleets_that_cannot_be() {
    let mut sim = Sim::new();
    let template = sim.template();
    let good = fleet(&template, 1, &[], "");
    let twice = ["InstanceType=t3.medium&SubnetId=subnet-0000000000000000a", "SubnetId=subnet-0000000000000000a"];
    for (form, code) in [
        (good.replace("Type=instant&", ""), "InvalidParameterValue"),
        (good.replace("TotalTargetCapacity=1", "TotalTargetCapacity=-1"), "InvalidParameterValue"),
        (good.replace("TotalTargetCapacity=1", "TotalTargetCapacity=1001"), "InvalidParameterValue"),
        (good.replace("TotalTargetCapacity", "Other"), "MissingParameter"),
        (good.replace("Version=1", "Version=2"), "InvalidLaunchTemplateId.VersionNotFound"),
        (good.replace(&template, "lt-0123456789abcdef0"), "InvalidLaunchTemplateId.NotFound"),
        (format!("{good}&TargetCapacitySpecification.SpotTargetCapacity=2"), "InvalidParameterValue"),
        (format!("{good}&SpotOptions.AllocationStrategy=best"), "InvalidParameterValue"),
        (format!("{good}&SpotOptions.MinTargetCapacity=1"), "InvalidParameterCombination"),
        (format!("{good}&DryRun=true"), "DryRunOperation"),
        (fleet(&template, 1, &twice, ""), "InvalidFleetConfig"),
        (fleet(&template, 1, &["InstanceType=t3.medium&WeightedCapacity=2"], ""), "InvalidParameterValue"),
        (
            "Action=CreateFleet&Type=instant&TargetCapacitySpecification.TotalTargetCapacity=1".to_owned(),
            "MissingParameter",
        ),
    ] {
        assert_eq!(sim.code(&form), code, "{form}");
    }
    assert_eq!(sim.ec2.instances().count(), 0);
}
