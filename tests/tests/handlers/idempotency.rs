//! One idempotency key, one lease: repetitions, late repetitions, repetitions at the same time.

use pool_tests::Stage;
use serde_json::json;

const ANN: &str = "AIDAANN";
const BOB: &str = "AIDABOB";

async fn pool_of_four() -> Stage {
    let stage = Stage::new(&[("POOL_MAX", "4"), ("POOL_MIN_AVAILABLE", "4")]).await;
    assert_eq!(stage.grow().await.len(), 4);
    stage
}

#[tokio::test]
async fn invariant_05_a_repetition_gets_the_same_lease() {
    let stage = pool_of_four().await;
    let first = stage.acquire_keyed(ANN, "job", &json!({})).await;
    first.is(201);
    stage.clock.pass(5);
    let second = stage.acquire_keyed(ANN, "job", &json!({"ttl_seconds": 60, "wait_seconds": 10})).await;
    second.is(201);
    assert_eq!(second.text("lease_id"), first.text("lease_id"));
    assert_eq!(second.text("expires_at"), first.text("expires_at"), "a repetition does not renew");
    assert_eq!(stage.shard(0).await.leases.len(), 1);
}

#[tokio::test]
async fn failure_04_the_repetition_of_a_lost_answer_finds_its_grant_in_one_request() {
    let stage = pool_of_four().await;
    stage.acquire_keyed(ANN, "job", &json!({})).await.is(201);
    let _ = stage.table.requests.of_shards();
    stage.acquire_keyed(ANN, "job", &json!({})).await.is(201);
    assert_eq!(stage.table.requests.of_shards(), ["UpdateItem shard#0"]);
}

#[tokio::test]
async fn a_key_is_its_owners_own() {
    let stage = pool_of_four().await;
    let ann = stage.acquire_keyed(ANN, "job", &json!({})).await;
    let bob = stage.acquire_keyed(BOB, "job", &json!({})).await;
    let other = stage.acquire_keyed(ANN, "job 2", &json!({})).await;
    for answer in [&ann, &bob, &other] {
        answer.is(201);
    }
    assert_ne!(ann.text("instance_id"), bob.text("instance_id"));
    assert_ne!(ann.text("instance_id"), other.text("instance_id"));
    stage.look(BOB, &ann.text("lease_id")).await.is_problem(403, "forbidden");
}

#[tokio::test]
async fn a_key_is_free_again_once_its_lease_has_ended() {
    let stage = pool_of_four().await;
    let released = stage.acquire_keyed(ANN, "job", &json!({})).await;
    stage.release(ANN, &released.text("lease_id")).await.is(204);
    let expired = stage.acquire_keyed(ANN, "job", &json!({"ttl_seconds": 20})).await;
    expired.is(201);
    assert_ne!(expired.text("lease_id"), released.text("lease_id"));
    stage.clock.pass(21);
    let third = stage.acquire_keyed(ANN, "job", &json!({})).await;
    third.is(201);
    assert_ne!(third.text("lease_id"), expired.text("lease_id"));
    assert_eq!(stage.shard(0).await.leases.len(), 1);
}

#[tokio::test]
async fn a_repetition_of_a_waiting_request_keeps_its_place() {
    let stage = Stage::new(&[("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")]).await;
    stage.grow().await;
    let held = stage.lease(BOB).await.text("lease_id");
    let first = stage.acquire_keyed(ANN, "job", &json!({"wait_seconds": 60})).await;
    first.is(202);
    stage.acquire(BOB, &json!({"wait_seconds": 60})).await.is(202);
    let second = stage.acquire_keyed(ANN, "job", &json!({"wait_seconds": 60})).await;
    second.is(202);
    assert_eq!(second.body, first.body);
    assert_eq!(stage.shard(0).await.queue.len(), 2);
    stage.release(BOB, &held).await.is(204);
    let granted = stage.acquire_keyed(ANN, "job", &json!({"wait_seconds": 60})).await;
    granted.is(201);
    assert!(granted.text("lease_id").starts_with(&first.text("lease_id")), "{granted:?}");
}

#[tokio::test]
async fn invariant_05_repetitions_at_the_same_time_get_one_lease() {
    let stage = pool_of_four().await;
    let body = json!({});
    let ask = || stage.acquire_keyed(ANN, "job", &body);
    let (first, second, third, fourth) = tokio::join!(ask(), ask(), ask(), ask());
    for answer in [&first, &second, &third, &fourth] {
        answer.is(201);
        assert_eq!(answer.text("lease_id"), first.text("lease_id"));
    }
    assert_eq!(stage.shard(0).await.leases.len(), 1);
}

#[tokio::test]
async fn failure_17_a_repetition_after_the_instance_was_lost_says_so() {
    let stage = pool_of_four().await;
    let lease = stage.acquire_keyed(ANN, "job", &json!({})).await;
    stage.ec2.with(|ec2, now_ms| assert!(ec2.kill(now_ms, &lease.text("instance_id"))));
    stage.all_events().await;
    let again = stage.acquire_keyed(ANN, "job", &json!({})).await;
    again.is(201);
    assert_eq!(again.text("state"), "interrupted");
    assert_eq!(again.text("lease_id"), lease.text("lease_id"));
    stage.release(ANN, &lease.text("lease_id")).await.is(204);
    assert_eq!(stage.acquire_keyed(ANN, "job", &json!({})).await.text("state"), "active");
}
