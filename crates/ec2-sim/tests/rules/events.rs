//! `EventBridge` events.

use ec2_sim::State;
use serde_json::{Value, json};

use crate::{PENDING_MS, RUN, SHUTTING_DOWN_MS, SPOT_WARNING_MS, STOPPING_MS, Sim};

fn states(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["detail"]["state"].as_str()).collect()
}

#[test]
fn an_event_looks_as_aws_sends_it() {
    let mut sim = Sim::new();
    let id = sim.launch(RUN).remove(0);
    let event = sim.wait(0).remove(0);
    let event_id = event["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        event,
        json!({
            "version": "0",
            "id": event_id,
            "detail-type": "EC2 Instance State-change Notification",
            "source": "aws.ec2",
            "account": "000000000000",
            "time": "2027-01-15T08:00:00Z",
            "region": "us-east-1",
            "resources": [format!("arn:aws:ec2:us-east-1:000000000000:instance/{id}")],
            "detail": { "instance-id": id, "state": "pending" },
        })
    );
}

#[test]
fn every_change_is_told_once_and_in_order() {
    let mut sim = Sim::new();
    let id = sim.running();
    sim.wait(0);
    sim.ok(&format!("Action=StopInstances&InstanceId.1={id}"));
    assert_eq!(states(&sim.wait(STOPPING_MS)), ["stopping", "stopped"]);
    sim.ok(&format!("Action=StartInstances&InstanceId.1={id}"));
    assert_eq!(states(&sim.wait(PENDING_MS)), ["pending", "running"]);
    sim.ok(&format!("Action=TerminateInstances&InstanceId.1={id}"));
    assert_eq!(states(&sim.wait(SHUTTING_DOWN_MS)), ["shutting-down", "terminated"]);
    assert!(sim.wait(7_200_000).is_empty());
}

#[test]
fn next_due_leads_through_everything() {
    let mut sim = Sim::new();
    sim.launch(RUN);
    let mut told = Vec::new();
    for _ in 0..2 {
        let due_ms = sim.ec2.next_due_ms().expect("something is due");
        told.extend(sim.ec2.advance(due_ms));
    }
    assert_eq!(states(&told), ["pending", "running"]);
    assert_eq!(sim.ec2.next_due_ms(), None);
}

#[test]
fn a_spot_warning_and_the_end_it_announces() {
    let mut sim = Sim::new();
    let id = sim.running_spot();
    sim.wait(0);
    assert!(sim.ec2.warn_spot(sim.now_ms, &id));
    let warning = sim.wait(SPOT_WARNING_MS - 1).remove(0);
    assert_eq!(warning["detail-type"], "EC2 Spot Instance Interruption Warning");
    assert_eq!(warning["detail"], json!({ "instance-id": id, "instance-action": "terminate" }));
    let zone = sim.instance(&id).zone.clone();
    assert_eq!(warning["resources"], json!([format!("arn:aws:ec2:{zone}:instance/{id}")]));
    assert_eq!(sim.state(&id), State::Running);
    assert_eq!(states(&sim.wait(1)), ["shutting-down"]);
    assert_eq!(states(&sim.wait(SHUTTING_DOWN_MS)), ["terminated"]);
    let reason = sim.instance(&id).state_reason.clone().expect("it has a reason");
    assert_eq!(reason.code, "Server.SpotInstanceTermination");
}

#[test]
fn a_warned_instance_that_ended_by_itself_ends_once() {
    let mut sim = Sim::new();
    let id = sim.running_spot();
    assert!(sim.ec2.warn_spot(sim.now_ms, &id));
    sim.ok(&format!("Action=TerminateInstances&InstanceId.1={id}"));
    sim.wait(SHUTTING_DOWN_MS);
    assert!(sim.wait(SPOT_WARNING_MS * 2).is_empty());
}

#[test]
fn a_rebalance_recommendation_changes_nothing() {
    let mut sim = Sim::new();
    let id = sim.running_spot();
    assert!(sim.ec2.rebalance(sim.now_ms, &id));
    let event = sim.wait(0).remove(0);
    assert_eq!(event["detail-type"], "EC2 Instance Rebalance Recommendation");
    assert_eq!(event["detail"], json!({ "instance-id": id }));
    sim.wait(SPOT_WARNING_MS * 2);
    assert_eq!(sim.state(&id), State::Running);
}

#[test]
fn only_spot_is_warned_and_anything_can_be_killed() {
    let mut sim = Sim::new();
    let id = sim.running();
    assert!(!sim.ec2.warn_spot(sim.now_ms, &id) && !sim.ec2.rebalance(sim.now_ms, &id));
    assert!(sim.ec2.kill(sim.now_ms, &id));
    assert_eq!(states(&sim.wait(0)), ["terminated"], "no notice, no shutting-down");
    for unknown in ["i-0123456789abcdef0", ""] {
        assert!(!sim.ec2.kill(sim.now_ms, unknown));
    }
}
