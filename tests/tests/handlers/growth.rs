//! Growth: on demand, up to the cap, once for each need, and around what EC2 cannot deliver.

use ec2_sim::{ErrorNext, Faults, Refusal};
use pool_core::shard::Market;
use pool_tests::Stage;
use serde_json::json;

const ANN: &str = "AIDAANN";
const BOB: &str = "AIDABOB";

#[tokio::test]
async fn invariant_04_demand_beyond_the_cap_launches_the_cap() {
    let stage = Stage::new(&[("POOL_MAX", "3"), ("POOL_MIN_AVAILABLE", "2")]).await;
    stage.scale().await;
    for _ in 0..5 {
        stage.acquire(ANN, &json!({"wait_seconds": 300})).await.is(202);
    }
    for _ in 0..5 {
        stage.scale().await;
        stage.clock.pass(61);
    }
    assert_eq!(stage.ec2.alive().len(), 3);
    assert_eq!(stage.pool().await["totals"]["booting"], 3);
}

#[tokio::test]
async fn two_runs_at_the_same_time_meet_a_need_once() {
    let stage = Stage::new(&[("POOL_MAX", "10"), ("POOL_MIN_AVAILABLE", "4")]).await;
    // The shard is there, so that both runs plan on the same snapshot.
    stage.ec2.fail(Faults { no_capacity: vec!["*".to_owned()], ..Faults::default() });
    stage.scale().await;
    stage.ec2.fail(Faults::default());
    stage.clock.pass(3_600);
    tokio::join!(stage.scale(), stage.scale(), stage.scale());
    assert_eq!(stage.ec2.alive().len(), 4);
}

#[tokio::test]
async fn a_waiter_wakes_scale() {
    let stage = Stage::new(&[("POOL_MAX", "1")]).await;
    stage.scale().await;
    let woken = || async {
        let item = stage.table.unrecorded.get_item().table_name("ec2-pool");
        let key = aws_sdk_dynamodb::types::AttributeValue::S("wake".to_owned());
        item.key("pk", key).send().await.expect("the table answers").item
    };
    assert_eq!(woken().await, None);
    let id = stage.acquire(ANN, &json!({"wait_seconds": 60})).await.text("lease_id");
    let first = woken().await;
    assert!(first.is_some(), "the stream of this item invokes scale");
    stage.look(ANN, &id).await.is(200);
    assert_eq!(woken().await, first, "not again within a few seconds");
    stage.clock.pass(5);
    stage.look(ANN, &id).await.is(200);
    assert_ne!(woken().await, first, "a poll wakes it again, should the first time have been in vain");
}

/// The run had read the shards before he came, and his wake-up was refused as one too many.
#[tokio::test]
async fn who_comes_while_a_woken_run_is_under_way_is_served_by_it() {
    let stage = Stage::new(&[("POOL_MAX", "2")]).await;
    stage.scale().await;
    stage.acquire(ANN, &json!({"wait_seconds": 60})).await.is(202);
    let comes = async {
        while stage.ec2.alive().is_empty() {
            tokio::task::yield_now().await;
        }
        stage.acquire(BOB, &json!({"wait_seconds": 60})).await.is(202);
        stage.clock.pass(3);
    };
    tokio::join!(stage.woken(), comes);
    assert_eq!(stage.ec2.alive().len(), 2);
}

#[tokio::test]
async fn a_process_that_came_too_soon_after_another_wakes_scale_as_soon_as_it_may() {
    let stage = Stage::new(&[("POOL_MAX", "1")]).await;
    stage.scale().await;
    let woken_at =
        || async { stage.background.store.last_wake().await.expect("an answer").expect("somebody woke it").at };
    stage.background.wake_scale("another process wants it").await;
    let first = woken_at().await;
    stage.clock.pass(2);
    let id = stage.acquire(ANN, &json!({"wait_seconds": 60})).await.text("lease_id");
    assert_eq!(woken_at().await, first);
    stage.clock.pass(1);
    stage.look(ANN, &id).await.is(200);
    assert_eq!(woken_at().await, first + 3);
}

#[tokio::test]
async fn failure_13_without_spot_capacity_the_next_run_takes_on_demand() {
    let stage = Stage::new(&[("POOL_MAX", "2"), ("POOL_MIN_AVAILABLE", "2")]).await;
    stage.ec2.fail(Faults { no_capacity: vec!["*/*/spot".to_owned()], ..Faults::default() });
    stage.scale().await;
    assert!(stage.ec2.alive().is_empty());
    let shard = stage.shard(0).await;
    assert!(shard.intents.is_empty(), "a launch that brought nothing gives its room back: {shard:?}");
    let offerings = stage.pool().await["offerings"].clone();
    let cooling = offerings.as_array().expect("a list");
    assert_eq!(cooling.len(), 9, "three types in three subnets");
    assert!(cooling.iter().all(|offering| offering["cause"] == "InsufficientInstanceCapacity"));
    stage.clock.pass(60);
    stage.scale().await;
    let members = stage.shard(0).await.members;
    assert_eq!(members.len(), 2);
    assert!(members.values().all(|member| member.kind.market == Market::OnDemand));
}

#[tokio::test]
async fn failure_12_what_a_partial_fleet_lacks_is_asked_for_again() {
    let stage = Stage::new(&[("POOL_MAX", "5"), ("POOL_MIN_AVAILABLE", "5")]).await;
    stage.ec2.fail(Faults { partial_fleet: Some(2), ..Faults::default() });
    stage.scale().await;
    assert_eq!(stage.shard(0).await.members.len(), 2);
    stage.ec2.fail(Faults::default());
    stage.clock.pass(3_600);
    stage.scale().await;
    assert_eq!(stage.shard(0).await.members.len(), 5);
    assert_eq!(stage.ec2.alive().len(), 5);
}

#[tokio::test]
async fn failure_13_a_missing_permission_stops_launching() {
    let stage = Stage::new(&[("POOL_MAX", "2"), ("POOL_MIN_AVAILABLE", "2")]).await;
    let refusal = Refusal { offering: "*".to_owned(), code: "UnauthorizedOperation".to_owned() };
    stage.ec2.fail(Faults { refuse: vec![refusal], ..Faults::default() });
    stage.scale().await;
    let tried = stage.ec2.calls_of("CreateFleet").len();
    stage.clock.pass(60);
    stage.scale().await;
    assert_eq!(stage.ec2.calls_of("CreateFleet").len(), tried, "no retry helps before a person has");
}

#[tokio::test]
async fn failure_14_a_throttled_launch_is_repeated_and_never_doubled() {
    let stage = Stage::new(&[("POOL_MAX", "3"), ("POOL_MIN_AVAILABLE", "3")]).await;
    let throttled = ErrorNext::refused("CreateFleet", "RequestLimitExceeded", 2);
    stage.ec2.fail(Faults { error_next: vec![throttled], ..Faults::default() });
    for _ in 0..4 {
        stage.scale().await;
        stage.clock.pass(61);
    }
    assert_eq!(stage.boot_all().await.len(), 3);
    assert_eq!(stage.ec2.alive().len(), 3);
    assert_eq!(stage.ec2.calls_of("CreateFleet").len(), 3, "once a run, and no more once it worked");
}

#[tokio::test]
async fn failure_01_a_launch_whose_answer_was_lost_is_repeated_and_adopted_once() {
    let stage = Stage::new(&[("POOL_MAX", "3"), ("POOL_MIN_AVAILABLE", "3")]).await;
    let lost =
        ErrorNext { action: "CreateFleet".to_owned(), code: "InternalError".to_owned(), count: 1, after_effect: true };
    stage.ec2.fail(Faults { error_next: vec![lost], ..Faults::default() });
    stage.scale().await;
    assert_eq!(stage.ec2.alive().len(), 3);
    let shard = stage.shard(0).await;
    assert_eq!((shard.members.len(), shard.intended()), (0, 3), "the intent keeps its place in the count");
    stage.clock.pass(30);
    stage.scale().await;
    assert_eq!(stage.ec2.calls_of("CreateFleet").len(), 1, "the first run may still be at it");
    stage.clock.pass(31);
    stage.scale().await;
    assert_eq!(stage.boot_all().await.len(), 3);
    assert_eq!(stage.ec2.alive().len(), 3);
}

#[tokio::test]
async fn failure_11_an_instance_that_never_becomes_ready_is_replaced_within_the_cap() {
    let stage =
        Stage::new(&[("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1"), ("POOL_BOOT_DEADLINE_SECONDS", "600")]).await;
    stage.scale().await;
    let first = stage.ec2.alive();
    stage.clock.pass(590);
    stage.reap_idle().await;
    assert_eq!(stage.ec2.alive(), first, "it still has time");
    stage.clock.pass(11);
    stage.reap_idle().await;
    assert!(stage.ec2.alive().is_empty());
    stage.reap_idle().await;
    stage.scale().await;
    let second = stage.ec2.alive();
    assert_eq!(second.len(), 1);
    assert_ne!(second, first);
}

#[tokio::test]
async fn a_lease_whose_instance_is_gone_buys_no_other() {
    let stage = Stage::new(&[("POOL_MAX", "6"), ("POOL_MIN_AVAILABLE", "1")]).await;
    stage.grow().await;
    let lease = stage.acquire(ANN, &json!({"ttl_seconds": 28_800})).await;
    stage.ec2.with(|ec2, now_ms| assert!(ec2.kill(now_ms, &lease.text("instance_id"))));
    stage.all_events().await;
    stage.clock.pass(31);
    stage.grow().await;
    assert_eq!(stage.ec2.alive().len(), 1, "one is kept free, and nobody uses another");
    let pool = stage.pool().await;
    assert_eq!((&pool["totals"]["leased"], &pool["totals"]["free"]), (&json!(0), &json!(1)));
}
