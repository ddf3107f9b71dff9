//! Decline: what is idle, old, silent or worn out goes, within a budget, and never under a lease.

use std::collections::BTreeSet;

use pool_core::ids::InstanceId;
use pool_tests::{Request, Route, Stage};
use serde_json::json;

const ANN: &str = "AIDAANN";

/// A pool that has grown to `count` free instances and then got a smaller policy.
async fn grown(count: &str, variables: &[(&str, &str)]) -> (Stage, Vec<InstanceId>) {
    let size = [("POOL_MAX", "16")];
    let mut stage = Stage::new(&[&size[..], &[("POOL_MIN_AVAILABLE", count)]].concat()).await;
    let instances = stage.grow().await;
    assert_eq!(instances.len().to_string(), count);
    stage.deploy(&[&size, variables].concat());
    (stage, instances)
}

#[tokio::test]
async fn idle_instances_go_within_the_budget_down_to_what_is_kept() {
    for (budget_percent, most) in [("1", 1), ("25", 2), ("100", 8)] {
        let variables = [("POOL_MIN_AVAILABLE", "2"), ("POOL_REMOVAL_BUDGET_PERCENT", budget_percent)];
        let (stage, _) = grown("8", &variables).await;
        stage.clock.pass(600);
        stage.all_beat().await;
        stage.reap_idle().await;
        assert_eq!(stage.shard(0).await.free.len(), 8, "ten minutes are not over");
        stage.clock.pass(1);
        for _ in 0..10 {
            let before = stage.shard(0).await.free.len();
            stage.all_beat().await;
            stage.reap_idle().await;
            let removed = before - stage.shard(0).await.free.len();
            assert!(removed <= most, "{removed} in one run of {budget_percent} %");
            stage.clock.pass(60);
        }
        assert_eq!(stage.shard(0).await.free.len(), 2);
        assert_eq!(stage.ec2.alive().len(), 2);
    }
}

#[tokio::test]
async fn min_instances_are_kept_though_idle() {
    let (stage, _) = grown("4", &[("POOL_MIN", "3"), ("POOL_REMOVAL_BUDGET_PERCENT", "100")]).await;
    stage.clock.pass(1_000);
    stage.all_beat().await;
    stage.reap_idle().await;
    assert_eq!(stage.shard(0).await.free.len(), 3);
}

#[tokio::test]
async fn nothing_idle_goes_while_somebody_waits() {
    let variables = [("POOL_REMOVAL_BUDGET_PERCENT", "100"), ("POOL_SHARD_SIZE", "16")];
    let (stage, instances) = grown("2", &variables).await;
    for _ in &instances {
        stage.lease(ANN).await;
    }
    stage.acquire(ANN, &json!({"wait_seconds": 300})).await.is(202);
    stage.clock.pass(100);
    stage.all_beat().await;
    stage.reap_idle().await;
    assert_eq!(stage.ec2.alive().len(), 2);
}

#[tokio::test]
async fn failure_09_no_leased_instance_is_ever_terminated() {
    let variables = [("POOL_REMOVAL_BUDGET_PERCENT", "100"), ("POOL_MAX_AGE_HOURS", "1")];
    let (stage, instances) = grown("4", &variables).await;
    let mut leased = BTreeSet::new();
    for _ in 0..2 {
        let lease = stage.acquire(ANN, &json!({"ttl_seconds": 28_800})).await;
        leased.insert(lease.text("instance_id"));
    }
    for _ in 0..5 {
        // The nodes are silent, too old and idle, all at once.
        stage.clock.pass(1_000);
        stage.reap_idle().await;
        let alive: BTreeSet<String> = stage.ec2.alive().into_iter().collect();
        assert!(leased.is_subset(&alive), "invariant 3: {leased:?} of {instances:?}, alive {alive:?}");
    }
    assert_eq!(stage.ec2.alive().len(), 2);
}

#[tokio::test]
async fn a_silent_or_sick_node_is_given_to_nobody() {
    let (stage, instances) = grown("4", &[("POOL_MIN_AVAILABLE", "4"), ("POOL_REMOVAL_BUDGET_PERCENT", "100")]).await;
    let (silent, sick) = (&instances[0], &instances[1]);
    stage.clock.pass(100);
    for instance in &instances[1..] {
        stage.heartbeat(instance).await.is(200);
    }
    let word = json!({"healthy": false, "cpu_percent": 1, "memory_percent": 1, "sessions": 0});
    let request = Request::new(Route::Heartbeat).by_node(sick.as_str());
    stage.call(request.json(&word)).await.is(200);
    stage.clock.pass(30);
    stage.reap_idle().await;
    let free = stage.shard(0).await.free;
    assert!(!free.contains(silent) && !free.contains(sick) && free.len() == 2, "{free:?}");
}

#[tokio::test]
async fn failure_22_many_silent_nodes_at_once_are_taken_to_be_our_fault() {
    let (stage, _) = grown("4", &[("POOL_MIN_AVAILABLE", "4"), ("POOL_REMOVAL_BUDGET_PERCENT", "100")]).await;
    stage.clock.pass(500);
    stage.reap_idle().await;
    assert_eq!(stage.shard(0).await.free.len(), 4);
    assert_eq!(stage.ec2.alive().len(), 4);
}

#[tokio::test]
async fn an_instance_of_full_age_is_replaced_once_it_is_free() {
    let (stage, instances) = grown("1", &[("POOL_MIN_AVAILABLE", "1"), ("POOL_MAX_AGE_HOURS", "1")]).await;
    let lease = stage.acquire(ANN, &json!({"ttl_seconds": 7_200})).await;
    stage.clock.pass(3_700);
    stage.all_beat().await;
    stage.reap_idle().await;
    stage.look(ANN, &lease.text("lease_id")).await.is(200);
    assert_eq!(stage.ec2.alive().len(), 1);
    stage.release(ANN, &lease.text("lease_id")).await.is(204);
    stage.reap_idle().await;
    assert!(stage.ec2.alive().is_empty(), "{instances:?}");
    assert_eq!(stage.grow().await.len(), 1);
}

#[tokio::test]
async fn failure_18_tombstones_are_forgotten_after_their_time() {
    let (stage, instances) = grown("1", &[]).await;
    stage.ec2.with(|ec2, now_ms| assert!(ec2.kill(now_ms, instances[0].as_str())));
    stage.all_events().await;
    assert_eq!(stage.shard(0).await.tombstones.len(), 1);
    stage.clock.pass(1_100);
    stage.reap_idle().await;
    assert_eq!(stage.shard(0).await.tombstones.len(), 1, "a late message could still come");
    stage.clock.pass(110);
    stage.reap_idle().await;
    assert!(stage.shard(0).await.tombstones.is_empty());
}

#[tokio::test]
async fn a_busy_instance_of_full_age_leaves_after_its_lease_although_somebody_waits() {
    let (stage, _) = grown("1", &[("POOL_MAX", "1"), ("POOL_MAX_AGE_HOURS", "1")]).await;
    let first = stage.acquire(ANN, &json!({"ttl_seconds": 7_200})).await;
    stage.acquire("AIDABOB", &json!({"wait_seconds": 300})).await.is(202);
    stage.clock.pass(3_700);
    stage.all_beat().await;
    stage.reap_idle().await;
    stage.release(ANN, &first.text("lease_id")).await.is(204);
    let shard = stage.shard(0).await;
    assert!(shard.leases.is_empty() && shard.leaving.len() == 1, "{shard:?}");
}

#[tokio::test]
async fn an_instance_that_is_never_clean_is_replaced() {
    let (stage, instances) = grown("1", &[("POOL_AFTER_RELEASE", "reset")]).await;
    let lease = stage.lease(ANN).await;
    stage.release(ANN, &lease.text("lease_id")).await.is(204);
    assert!(stage.shard(0).await.resetting.contains_key(&instances[0]));
    stage.clock.pass(600);
    stage.all_beat().await;
    stage.reap_idle().await;
    assert!(stage.shard(0).await.resetting.contains_key(&instances[0]), "ten minutes are not over");
    stage.clock.pass(1);
    stage.all_beat().await;
    stage.reap_idle().await;
    assert!(stage.ec2.alive().is_empty());
}

#[tokio::test]
async fn failure_22_nodes_that_leave_already_do_not_make_a_silent_one_look_like_our_fault() {
    let variables = [("POOL_MIN_AVAILABLE", "5"), ("POOL_REMOVAL_BUDGET_PERCENT", "100")];
    let (stage, instances) = grown("5", &variables).await;
    let leased = [stage.lease(ANN).await, stage.lease(ANN).await].map(|lease| lease.text("instance_id"));
    let free: Vec<&InstanceId> = instances.iter().filter(|one| !leased.contains(&one.to_string())).collect();
    stage.clock.pass(121);
    for beating in &free {
        stage.heartbeat(beating).await.is(200);
    }
    stage.reap_idle().await;
    assert_eq!(stage.shard(0).await.leaving.len(), 2, "the silent ones leave after their leases");
    stage.clock.pass(121);
    for beating in &free[1..] {
        stage.heartbeat(beating).await.is(200);
    }
    stage.reap_idle().await;
    assert!(!stage.shard(0).await.free.contains(free[0]), "a dead node is given to callers");
}
