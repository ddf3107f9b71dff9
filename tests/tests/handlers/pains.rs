//! What hurts the users of other systems most, where no other test shows that it cannot happen here: a buffer that
//! misbehaves, a lease that leads to a shared address, one failure that keeps the others, ends that nobody explains.

use ec2_sim::{ErrorNext, Faults};
use pool_core::ids::InstanceId;
use pool_tests::{Request, Route, Stage};
use serde_json::{Value, json};

const ANN: &str = "AIDAANN";

#[tokio::test]
async fn pain_11_the_buffer_is_filled_by_as_many_as_were_taken_and_shrinks_to_itself() {
    let variables = [("POOL_MAX", "12"), ("POOL_MIN_AVAILABLE", "3"), ("POOL_REMOVAL_BUDGET_PERCENT", "100")];
    let stage = Stage::new(&variables).await;
    stage.grow().await;
    let mut leases = Vec::new();
    for taken in 1..=6 {
        leases.push(stage.lease(ANN).await.text("lease_id"));
        stage.clock.pass(61);
        stage.grow().await;
        let shard = stage.shard(0).await;
        assert_eq!((shard.free.len(), stage.ec2.alive().len()), (3, taken + 3), "after {taken} leases");
    }
    for (given_back, lease) in leases.iter().enumerate() {
        stage.release(ANN, lease).await.is(204);
        stage.clock.pass(61);
        stage.all_beat().await;
        assert_eq!(stage.grow().await.len(), 0, "what comes back is part of the buffer");
        assert_eq!(stage.shard(0).await.free.len(), 4 + given_back);
    }
    for _ in 0..15 {
        stage.clock.pass(61);
        stage.all_beat().await;
        stage.reap_idle().await;
        stage.scale().await;
        assert!(stage.shard(0).await.free.len() >= 3, "it never falls below what is kept");
    }
    assert_eq!((stage.shard(0).await.free.len(), stage.ec2.alive().len()), (3, 3));
}

#[tokio::test]
async fn pain_12_each_lease_leads_to_an_address_of_its_own() {
    let stage = Stage::new(&[("POOL_MAX", "3"), ("POOL_MIN_AVAILABLE", "3")]).await;
    stage.grow().await;
    let mut endpoints = std::collections::BTreeSet::new();
    for _ in 0..3 {
        let lease = stage.lease(ANN).await;
        let instance: InstanceId = lease.text("instance_id").parse().expect("an id");
        let address = stage.shard(0).await.members[&instance].address.clone();
        assert_eq!(lease.text("endpoint"), format!("http://{address}:3000"));
        endpoints.insert(lease.text("endpoint"));
    }
    assert_eq!(endpoints.len(), 3);
}

/// What happened to an instance, each with its reason.
async fn history(stage: &Stage, instance: &InstanceId) -> Vec<(String, String)> {
    let story = stage.call(Request::new(Route::Instance).by(ANN).about(instance.as_str())).await.of_status(200);
    let entries = story["history"].as_array().cloned().unwrap_or_default();
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    entries.iter().map(|entry| (text(entry, "what"), text(entry, "why"))).collect()
}

#[tokio::test]
async fn pain_15_one_failure_keeps_no_other_and_every_end_is_explained() {
    let variables = [("POOL_MAX", "4"), ("POOL_MIN_AVAILABLE", "4")];
    let mut stage = Stage::new(&variables).await;
    let instances = stage.grow().await;
    let smaller = [("POOL_MAX", "4"), ("POOL_MIN_AVAILABLE", "0"), ("POOL_REMOVAL_BUDGET_PERCENT", "100")];
    stage.deploy(&smaller);
    // EC2 refuses one call as a whole; the others and the next runs go on.
    let refused = ErrorNext::refused("TerminateInstances", "InternalError", 1);
    stage.ec2.fail(Faults { error_next: vec![refused], ..Faults::default() });
    for _ in 0..16 {
        stage.clock.pass(61);
        stage.all_beat().await;
        stage.reap_idle().await;
        stage.all_events().await;
    }
    assert_eq!(stage.ec2.alive().len(), 0, "{:?}", stage.shard(0).await);
    for instance in &instances {
        let history = history(&stage, instance).await;
        let whats: Vec<&str> = history.iter().map(|(what, _)| what.as_str()).collect();
        assert!(whats.starts_with(&["launched", "ready", "fence", "terminate"]), "{whats:?}");
        assert!(whats.contains(&"gone"), "{whats:?}");
        assert!(history.iter().all(|(_, why)| why.len() > 5), "{history:?}");
    }
    let lease = stage.acquire(ANN, &json!({"wait_seconds": 300})).await;
    lease.is(202);
}
