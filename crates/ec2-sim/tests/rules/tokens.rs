//! `ClientToken` idempotency.

use crate::{LAG_MS, PENDING_MS, RUN, SHUTTING_DOWN_MS, Sim, all, one};

const HOUR_MS: u64 = 3_600_000;

#[test]
fn a_repeat_answers_the_same_instances_in_their_present_state() {
    let mut sim = Sim::new();
    let form = format!("{RUN}&ClientToken=one");
    let first = sim.ok(&form);
    sim.wait(PENDING_MS);
    let again = sim.ok(&form);
    for name in ["instanceId", "reservationId", "privateIpAddress"] {
        assert_eq!(one(&first, name), one(&again, name));
    }
    assert_eq!((one(&first, "name"), one(&again, "name")), ("pending".to_owned(), "running".to_owned()));
    assert_eq!(sim.ec2.instances().count(), 1);
}

#[test]
fn order_of_parameters_does_not_matter_and_their_values_do() {
    let mut sim = Sim::new();
    let id = sim.launch(&format!("{RUN}&ClientToken=one&KeyName=k"));
    assert_eq!(sim.launch(&format!("KeyName=k&ClientToken=one&{RUN}")), id);
    assert_eq!(sim.code(&format!("{RUN}&ClientToken=one&KeyName=other")), "IdempotentParameterMismatch");
    assert_eq!(sim.code(&format!("{RUN}&ClientToken=one")), "IdempotentParameterMismatch");
    assert_eq!(sim.ec2.instances().count(), 1);
}

#[test]
fn without_a_token_each_launch_is_new() {
    let mut sim = Sim::new();
    assert_ne!(sim.launch(RUN), sim.launch(RUN));
}

#[test]
fn tokens_of_launches_that_name_a_place_are_zonal() {
    let mut sim = Sim::new();
    let of = |letter: char| format!("{RUN}&ClientToken=one&SubnetId=subnet-0000000000000000{letter}");
    let (a, b) = (sim.launch(&of('a')), sim.launch(&of('b')));
    assert_ne!(a, b, "the same token is another one in another zone");
    assert_eq!(sim.launch(&of('a')), a);
    let by_zone = format!("{RUN}&ClientToken=one&Placement.AvailabilityZone=us-east-1a");
    assert_eq!(
        sim.code(&by_zone),
        "IdempotentParameterMismatch",
        "a zone and its subnet are one zone and other parameters"
    );
}

#[test]
fn a_failed_request_has_not_used_its_token() {
    let mut sim = Sim::new();
    let mut faults = sim.ec2.faults().clone();
    faults.no_capacity = vec!["*".to_owned()];
    sim.ec2.set_faults(faults);
    assert_eq!(sim.code(&format!("{RUN}&ClientToken=one")), "InsufficientInstanceCapacity");
    sim.ec2.set_faults(ec2_sim::Faults::default());
    assert_eq!(sim.launch(&format!("{RUN}&ClientToken=one&KeyName=other")).len(), 1);
}

#[test]
fn the_token_of_a_terminated_instance() {
    let mut sim = Sim::new();
    let form = format!("{RUN}&ClientToken=one");
    let id = sim.launch(&form).remove(0);
    sim.wait(PENDING_MS + LAG_MS);
    sim.ok(&format!("Action=TerminateInstances&InstanceId.1={id}"));
    sim.wait(SHUTTING_DOWN_MS);
    let again = sim.ok(&form);
    assert_eq!((one(&again, "instanceId"), one(&again, "name")), (id.clone(), "terminated".to_owned()));

    sim.wait(HOUR_MS);
    assert_eq!(sim.code(&form), "IdempotentInstanceTerminated");
    sim.wait(22 * HOUR_MS);
    assert_eq!(sim.code(&form), "IdempotentInstanceTerminated");
    sim.wait(HOUR_MS);
    assert_ne!(sim.launch(&form), [id], "after a day the token is free");
}

#[test]
fn a_fleet_is_repeated_whole_with_its_errors() {
    let mut sim = Sim::new();
    let template = sim.template();
    let form = format!(
        "Action=CreateFleet&Type=instant&ClientToken=one&TargetCapacitySpecification.TotalTargetCapacity=3\
         &LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateId={template}\
         &LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version=1"
    );
    sim.ec2.set_faults(ec2_sim::Faults { partial_fleet: Some(2), ..ec2_sim::Faults::default() });
    let first = sim.ok(&form);
    sim.ec2.set_faults(ec2_sim::Faults::default());
    let again = sim.ok(&form);
    let facts = |body: &str| (one(body, "fleetId"), one(body, "instanceIds"), all(body, "errorCode"));
    assert_eq!(facts(&first), facts(&again));
    assert_eq!(sim.ec2.instances().count(), 2);
    let other = form.replace("TotalTargetCapacity=3", "TotalTargetCapacity=1");
    assert_eq!(sim.code(&other), "IdempotentParameterMismatch");
}

#[test]
fn an_empty_fleet_keeps_its_token_for_a_day() {
    let mut sim = Sim::new();
    let template = sim.template();
    let form = format!(
        "Action=CreateFleet&Type=instant&ClientToken=one&TargetCapacitySpecification.TotalTargetCapacity=1\
         &LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateId={template}\
         &LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version=1"
    );
    sim.ec2.set_faults(ec2_sim::Faults { partial_fleet: Some(0), ..ec2_sim::Faults::default() });
    sim.ok(&form);
    sim.ec2.set_faults(ec2_sim::Faults::default());
    sim.ok(&form);
    assert_eq!(sim.ec2.instances().count(), 0);
    sim.wait(24 * HOUR_MS);
    sim.ok(&form);
    assert_eq!(sim.ec2.instances().count(), 1);
}

#[test]
fn a_token_that_cannot_be() {
    let mut sim = Sim::new();
    assert_eq!(sim.code(&format!("{RUN}&ClientToken={}", "x".repeat(65))), "InvalidParameterValue");
    assert_eq!(sim.code(&format!("{RUN}&ClientToken=%C3%A9")), "InvalidParameterValue");
}
