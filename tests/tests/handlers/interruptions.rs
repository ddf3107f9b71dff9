//! What EC2 does to instances: Spot warnings, terminations, rebalance recommendations, and events that lie, repeat or
//! come in any order.

use pool_core::ids::InstanceId;
use pool_core::shard::Shard;
use pool_tests::random::Random;
use pool_tests::{Answer, Stage};
use serde_json::{Value, json};

const ANN: &str = "AIDAANN";

/// A pool that keeps two, of which Ann holds one; her lease and the instance under it.
async fn leased() -> (Stage, Answer, InstanceId) {
    let stage = Stage::new(&[("POOL_MAX", "4"), ("POOL_MIN_AVAILABLE", "2")]).await;
    assert_eq!(stage.grow().await.len(), 2);
    // Growth that nobody waits for has a cool-down.
    stage.clock.pass(31);
    let lease = stage.lease(ANN).await;
    let instance = lease.text("instance_id").parse().expect("an instance id");
    (stage, lease, instance)
}

fn state_change(instance: &InstanceId, state: &str) -> Value {
    let mut event = pool_tests::request::event_file("on-instance-state-change-terminated.json");
    event["detail"] = json!({"instance-id": instance, "state": state});
    event
}

/// What a shard says apart from how often it was changed.
fn content(shard: &Shard) -> Shard {
    let mut shard = Shard { epoch: 0, ..shard.clone() };
    for tombstone in shard.tombstones.values_mut() {
        tombstone.written = pool_core::time::Timestamp(0);
    }
    for leaving in shard.leaving.values_mut() {
        leaving.why.clear();
    }
    shard
}

#[tokio::test]
async fn failure_15_a_spot_warning_tells_the_holder_its_deadline_and_brings_a_replacement() {
    let (stage, lease, instance) = leased().await;
    let id = lease.text("lease_id");
    stage.ec2.with(|ec2, now_ms| assert!(ec2.warn_spot(now_ms, instance.as_str())));
    let takes_at = stage.clock.now() + 120;
    stage.all_events().await;
    let warned = stage.look(ANN, &id).await;
    assert_eq!(warned.text("state"), "interrupted");
    assert_eq!(warned.text("deadline"), takes_at.to_string());
    assert_eq!(warned.text("endpoint"), lease.text("endpoint"), "it can still be used");
    assert_eq!(stage.renew(ANN, &id, &json!({"ttl_seconds": 900})).await.text("expires_at"), lease.text("expires_at"));

    let replaced = stage.grow().await;
    assert_eq!(replaced.len(), 2, "one for the holder and one to keep two free");

    stage.clock.pass(121);
    stage.all_events().await;
    let gone = stage.look(ANN, &id).await;
    assert_eq!(gone.text("state"), "interrupted");
    let body = gone.body.expect("a lease");
    assert!(body.get("deadline").is_none() && body.get("endpoint").is_none(), "{body}");
    assert!(!stage.shard(0).await.members.contains_key(&instance));
    stage.release(ANN, &id).await.is(204);
    assert!(stage.shard(0).await.leases.is_empty());
}

#[tokio::test]
async fn a_short_lease_is_not_renewed_beyond_the_deadline_of_its_instance() {
    let stage = Stage::new(&[("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")]).await;
    stage.grow().await;
    let lease = stage.acquire(ANN, &json!({"ttl_seconds": 60})).await;
    let (id, instance) = (lease.text("lease_id"), lease.text("instance_id"));
    stage.ec2.with(|ec2, now_ms| assert!(ec2.warn_spot(now_ms, &instance)));
    stage.all_events().await;
    let renewed = stage.renew(ANN, &id, &json!({"ttl_seconds": 600})).await;
    assert_eq!(renewed.number("expires_in_seconds"), 120);
}

#[tokio::test]
async fn failure_07_an_instance_that_ends_with_no_event_is_found_by_reap_idle() {
    let (stage, lease, instance) = leased().await;
    stage.ec2.with(|ec2, now_ms| assert!(ec2.kill(now_ms, instance.as_str())));
    drop(stage.ec2.events());
    stage.clock.pass(60);
    stage.reap_idle().await;
    let shard = stage.shard(0).await;
    assert!(!shard.members.contains_key(&instance), "{shard:?}");
    assert_eq!(stage.look(ANN, &lease.text("lease_id")).await.text("state"), "interrupted");
    assert!(!stage.grow().await.is_empty(), "it is replaced");
}

#[tokio::test]
async fn failure_15_a_kill_without_a_warning_interrupts_the_holder() {
    let (stage, lease, instance) = leased().await;
    stage.ec2.with(|ec2, now_ms| assert!(ec2.kill(now_ms, instance.as_str())));
    stage.all_events().await;
    assert_eq!(stage.look(ANN, &lease.text("lease_id")).await.text("state"), "interrupted");
    assert!(!stage.shard(0).await.members.contains_key(&instance));
    stage.reap_idle().await;
    assert!(!stage.grow().await.is_empty(), "it is replaced");
    stage.clock.pass(603);
    stage.reap_idle().await;
    assert!(stage.shard(0).await.leases.is_empty(), "invariant 6: an interrupted lease ends, too");
}

#[tokio::test]
async fn invariant_03_after_a_rebalance_recommendation_the_lease_goes_on_and_then_the_instance_leaves() {
    let (stage, lease, instance) = leased().await;
    let id = lease.text("lease_id");
    stage.ec2.with(|ec2, now_ms| assert!(ec2.rebalance(now_ms, instance.as_str())));
    stage.all_events().await;
    assert_eq!(stage.look(ANN, &id).await.text("state"), "active");
    for _ in 0..3 {
        stage.clock.pass(60);
        stage.all_beat().await;
        stage.renew(ANN, &id, &json!({"ttl_seconds": 600})).await.is(200);
        stage.reap_idle().await;
        assert!(stage.ec2.alive().contains(&instance.to_string()), "a leased instance was terminated");
    }
    stage.release(ANN, &id).await.is(204);
    stage.reap_idle().await;
    assert!(!stage.ec2.alive().contains(&instance.to_string()));
}

#[tokio::test]
async fn a_free_instance_with_a_rebalance_recommendation_leaves_at_once() {
    let (stage, _, leased) = leased().await;
    let free = stage.shard(0).await.free[0].clone();
    assert_ne!(free, leased);
    stage.ec2.with(|ec2, now_ms| assert!(ec2.rebalance(now_ms, free.as_str())));
    stage.all_events().await;
    stage.acquire("AIDABOB", &json!({})).await.is_problem(503, "nothing-free");
    stage.reap_idle().await;
    assert!(!stage.ec2.alive().contains(&free.to_string()));
}

#[tokio::test]
async fn events_about_instances_of_others_are_ignored() {
    let (stage, ..) = leased().await;
    let before = stage.items().await;
    let described = stage.ec2.calls_of("DescribeInstances").len();
    let stranger: InstanceId = "i-0fedcba9876543210".parse().expect("a sound id");
    for state in ["pending", "running", "stopping", "stopped", "shutting-down", "terminated", "unheard-of"] {
        stage.event(&state_change(&stranger, state)).await;
    }
    for kind in ["EC2 Spot Instance Interruption Warning", "EC2 Instance Rebalance Recommendation", "Something New"] {
        let mut event = state_change(&stranger, "running");
        event["detail-type"] = kind.into();
        stage.event(&event).await;
        event["detail"] = json!({"instance-id": "not an id"});
        stage.event(&event).await;
        event["detail"] = json!({});
        stage.event(&event).await;
    }
    assert_eq!(stage.items().await, before);
    assert_eq!(stage.ec2.calls_of("DescribeInstances").len(), described, "EC2 need not be asked about strangers");
}

#[tokio::test]
async fn failure_06_an_event_that_can_be_taken_back_is_believed_only_after_asking() {
    let (stage, lease, instance) = leased().await;
    let free = stage.shard(0).await.free[0].clone();
    let before = stage.items().await;
    for instance in [&instance, &free] {
        for state in ["stopped", "stopping", "pending", "running"] {
            stage.event(&state_change(instance, state)).await;
        }
    }
    assert_eq!(stage.items().await, before, "a late event was believed");
    stage.look(ANN, &lease.text("lease_id")).await.is(200);
}

#[tokio::test]
async fn failure_07_events_in_any_order_and_number_come_to_the_same_end() {
    let mut random = Random::seeded();
    let mut ends: Vec<Shard> = Vec::new();
    for round in 0..12 {
        let (stage, _, instance) = leased().await;
        stage.ec2.with(|ec2, now_ms| assert!(ec2.warn_spot(now_ms, instance.as_str())));
        let mut events = stage.ec2.events();
        stage.clock.pass(121);
        events.extend(stage.ec2.events());
        assert!(events.iter().any(|event| event["detail"]["state"] == "terminated"), "{events:#?}");
        if round > 0 {
            let doubled = events.clone();
            events.extend(doubled.into_iter().filter(|_| random.below(2) == 0));
            random.shuffle(&mut events);
        }
        for event in &events {
            stage.event(event).await;
        }
        let after = stage.items().await;
        for event in &events {
            stage.event(event).await;
        }
        assert_eq!(stage.items().await, after, "events that come once more change nothing");
        ends.push(content(&stage.shard(0).await));
    }
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{ends:#?}");
}

#[tokio::test]
async fn failure_15_a_warning_after_a_recommendation_still_tells_the_holder_its_deadline() {
    let (stage, lease, instance) = leased().await;
    let id = lease.text("lease_id");
    stage.ec2.with(|ec2, now_ms| assert!(ec2.rebalance(now_ms, instance.as_str())));
    stage.all_events().await;
    assert_eq!(stage.look(ANN, &id).await.text("state"), "active");
    stage.ec2.with(|ec2, now_ms| assert!(ec2.warn_spot(now_ms, instance.as_str())));
    let takes_at = stage.clock.now() + 120;
    stage.all_events().await;
    let warned = stage.look(ANN, &id).await;
    assert_eq!((warned.text("state"), warned.text("deadline")), ("interrupted".to_owned(), takes_at.to_string()));
    // A recommendation that comes late takes nothing back.
    let mut late = state_change(&instance, "");
    late["detail-type"] = "EC2 Instance Rebalance Recommendation".into();
    stage.event(&late).await;
    assert_eq!(stage.look(ANN, &id).await.text("deadline"), takes_at.to_string());
}
