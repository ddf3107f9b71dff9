//! Instances that serve several sessions, from their launch to their end.

use std::collections::BTreeSet;

use pool_core::ids::InstanceId;
use pool_tests::{Request, Route, Stage};
use serde_json::json;

const ANN: &str = "AIDAANN";
const BEN: &str = "AIDABEN";

const OF_TWO: [(&str, &str); 3] =
    [("POOL_SESSIONS_PER_INSTANCE", "2"), ("POOL_MAX", "4"), ("POOL_REMOVAL_BUDGET_PERCENT", "100")];

/// A pool whose instances serve two sessions, with so many free.
async fn grown(sessions: &str) -> (Stage, Vec<InstanceId>) {
    let stage = Stage::new(&[&OF_TWO[..], &[("POOL_MIN_AVAILABLE", sessions)]].concat()).await;
    let slots = stage.grow().await;
    (stage, slots)
}

fn machines(slots: &[InstanceId]) -> BTreeSet<String> {
    slots.iter().map(|slot| slot.machine().to_string()).collect()
}

#[tokio::test]
async fn an_instance_is_launched_for_every_two_sessions() {
    for (wanted, instances) in [("1", 1), ("2", 1), ("3", 2), ("8", 4)] {
        let (stage, slots) = grown(wanted).await;
        assert_eq!(slots.len(), 2 * instances, "{wanted} wanted");
        assert_eq!(machines(&slots), stage.ec2.alive().into_iter().collect());
        let pool = stage.pool().await;
        assert_eq!(pool["totals"]["capacity"], 8, "four instances, which are eight sessions");
        stage.scale().await;
        assert_eq!(stage.ec2.alive().len(), instances, "there is enough");
    }
}

#[tokio::test]
async fn two_callers_share_an_instance_and_neither_opens_the_others_session() {
    let (stage, slots) = grown("2").await;
    let (ann, ben) = (stage.lease(ANN).await, stage.lease(BEN).await);
    let leased = [&ann, &ben].map(|lease| lease.text("instance_id").parse::<InstanceId>().expect("an instance's name"));
    assert_ne!(leased[0], leased[1]);
    assert_eq!(machines(&leased), machines(&slots));
    assert_eq!(ann.text("endpoint"), ben.text("endpoint"));
    assert_ne!(ann.text("access_token"), ben.text("access_token"));
    stage.release(ANN, &ann.text("lease_id")).await.is(204);
    stage.look(BEN, &ben.text("lease_id")).await.is(200);
    stage.release(BEN, &ben.text("lease_id")).await.is(204);
    assert_eq!(stage.shard(0).await.free.len(), 2);
}

#[tokio::test]
async fn a_node_speaks_for_its_own_sessions_alone() {
    let (stage, slots) = grown("4").await;
    let word = json!({"healthy": true, "cpu_percent": 1, "memory_percent": 1, "sessions": 0});
    let of_another = Request::new(Route::Heartbeat).by_node(slots[0].as_str()).about(slots[2].as_str());
    stage.call(of_another.json(&word)).await.is(403);
    stage.heartbeat(&slots[1]).await.is(200);
}

#[tokio::test]
async fn an_instance_ends_when_nobody_uses_any_of_its_sessions() {
    let (mut stage, slots) = grown("2").await;
    stage.deploy(&[&OF_TWO[..], &[("POOL_MIN_AVAILABLE", "0")]].concat());
    let lease = stage.acquire(ANN, &json!({"ttl_seconds": 28_800})).await;
    for _ in 0..3 {
        stage.clock.pass(601);
        stage.all_beat().await;
        stage.reap_idle().await;
        assert_eq!(stage.ec2.alive().len(), 1, "the other session is leased");
        assert_eq!(stage.shard(0).await.free.len(), 1, "and this one serves whoever comes");
    }
    stage.release(ANN, &lease.text("lease_id")).await.is(204);
    stage.clock.pass(601);
    stage.all_beat().await;
    stage.reap_idle().await;
    assert_eq!(stage.ec2.alive().len(), 0);
    stage.all_events().await;
    stage.clock.pass(60);
    stage.reap_idle().await;
    let shard = stage.shard(0).await;
    assert!(shard.members.is_empty(), "{slots:?}: {:?}", shard.members);
    assert_eq!(shard.room, shard.share);
}

#[tokio::test]
async fn what_is_drained_waits_for_the_lease_of_its_neighbour() {
    let (stage, slots) = grown("2").await;
    let lease = stage.acquire(ANN, &json!({"ttl_seconds": 28_800})).await;
    let leased: InstanceId = lease.text("instance_id").parse().expect("an instance's name");
    let other = slots.iter().find(|slot| **slot != leased).expect("there are two");
    let order = Request::new(Route::OrderInstance).by("AIDAOPS").about(other.as_str());
    stage.call(order.json(&json!({"order": "drain", "reason": "look at it"}))).await.is(200);
    for _ in 0..2 {
        stage.reap_idle().await;
        stage.clock.pass(60);
        stage.all_beat().await;
        stage.look(ANN, &lease.text("lease_id")).await.is(200);
        assert_eq!(stage.ec2.alive().len(), 1);
    }
    stage.release(ANN, &lease.text("lease_id")).await.is(204);
    stage.reap_idle().await;
    assert_eq!(stage.ec2.alive().len(), 0);
}

#[tokio::test]
async fn a_spot_warning_is_one_of_both_sessions() {
    let (stage, slots) = grown("2").await;
    let (ann, ben) = (stage.lease(ANN).await, stage.lease(BEN).await);
    stage.ec2.with(|ec2, now_ms| assert!(ec2.warn_spot(now_ms, slots[0].machine().as_str())));
    stage.all_events().await;
    for (owner, lease) in [(ANN, &ann), (BEN, &ben)] {
        let seen = stage.look(owner, &lease.text("lease_id")).await;
        assert_eq!(seen.text("state"), "interrupted", "{owner}");
    }
}

#[tokio::test]
async fn a_run_that_dies_after_its_call_leaves_a_launch_that_is_adopted_whole() {
    let (stage, _) = grown("2").await;
    // Another policy does not change what was launched.
    let mut stage = stage;
    stage.deploy(&[("POOL_MAX", "16"), ("POOL_MIN_AVAILABLE", "0")]);
    let listed = stage.fleet.list().await.expect("EC2 answers");
    assert_eq!(listed.len(), 2, "its tag says that it serves two");
    stage.reap_idle().await;
    assert_eq!(stage.shard(0).await.members.len(), 2);
}
