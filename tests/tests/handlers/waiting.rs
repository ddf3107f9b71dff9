//! Waiting in line: order, hand-over, confirmation, giving up, a line that is full, an answer that is held.

use std::collections::VecDeque;

use pool_tests::{Answer, Request, Route, Stage};
use serde_json::json;

const ANN: &str = "AIDAANN";
const BOB: &str = "AIDABOB";
const CAT: &str = "AIDACAT";

/// A pool of one instance that Ann holds; the id of her lease.
async fn pool_of_one(variables: &[(&str, &str)]) -> (Stage, String) {
    let size = [("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")];
    let stage = Stage::new(&[&size, variables].concat()).await;
    assert_eq!(stage.grow().await.len(), 1);
    let held = stage.lease(ANN).await.text("lease_id");
    (stage, held)
}

async fn wait(stage: &Stage, owner: &str, seconds: u64) -> Answer {
    let answer = stage.acquire(owner, &json!({ "wait_seconds": seconds })).await;
    answer.is(202);
    assert_eq!(answer.headers["retry-after"], "1");
    answer
}

#[tokio::test]
async fn invariant_08_forty_wait_for_ten_and_all_are_served_in_order() {
    let stage = Stage::new(&[("POOL_MAX", "10"), ("POOL_QUEUE_MAX", "100")]).await;
    stage.scale().await;
    let mut line = VecDeque::new();
    for place in 1..=40 {
        let owner = format!("AIDA{place:04}");
        let answer = wait(&stage, &owner, 300).await;
        assert_eq!(answer.number("position"), place);
        line.push_back((owner, answer.text("lease_id")));
    }
    assert_eq!(stage.grow().await.len(), 10, "the pool grows to its cap and no further");
    assert_eq!(stage.ec2.alive().len(), 10);

    let mut active: VecDeque<(String, String)> = VecDeque::new();
    for (owner, id) in line.drain(..10) {
        let granted = stage.look(&owner, &id).await;
        assert_eq!(granted.text("state"), "active");
        active.push_back((owner, granted.text("lease_id")));
    }
    let mut served = active.len();
    while let Some((owner, id)) = active.pop_front() {
        for (ahead, (waiter, id)) in line.iter().enumerate().take(3) {
            let pending = stage.look(waiter, id).await;
            assert_eq!((pending.text("state"), pending.number("position")), ("pending".to_owned(), ahead as u64 + 1));
        }
        stage.release(&owner, &id).await.is(204);
        if let Some((next, waiting)) = line.pop_front() {
            let granted = stage.look(&next, &waiting).await;
            assert_eq!(granted.text("state"), "active", "{next} was first in line");
            active.push_back((next, granted.text("lease_id")));
            served += 1;
        }
    }
    assert_eq!(served, 40, "nobody is lost");
    assert_eq!(stage.shard(0).await.free.len(), 10);
}

#[tokio::test]
async fn a_full_line_refuses_and_says_when_to_try_again() {
    let (stage, _) = pool_of_one(&[("POOL_QUEUE_MAX", "1")]).await;
    wait(&stage, BOB, 60).await;
    let refused = stage.acquire(CAT, &json!({"wait_seconds": 60})).await;
    refused.is_problem(503, "queue-full");
    assert!(refused.number("retry_after_seconds") >= 1);
}

#[tokio::test]
async fn a_place_in_line_can_be_given_up() {
    let (stage, held) = pool_of_one(&[]).await;
    let bob = wait(&stage, BOB, 60).await.text("lease_id");
    let cat = wait(&stage, CAT, 60).await.text("lease_id");
    stage.release(BOB, &bob).await.is(204);
    stage.look(BOB, &bob).await.is_problem(404, "not-found");
    stage.release(ANN, &held).await.is(204);
    assert_eq!(stage.look(CAT, &cat).await.text("state"), "active");
}

#[tokio::test]
async fn who_waited_out_is_passed_over() {
    let (stage, held) = pool_of_one(&[]).await;
    let bob = wait(&stage, BOB, 10).await.text("lease_id");
    let dan = wait(&stage, "AIDADAN", 10).await.text("lease_id");
    let cat = wait(&stage, CAT, 60).await.text("lease_id");
    stage.clock.pass(20);
    stage.release(ANN, &held).await.is(204);
    assert_eq!(stage.look(CAT, &cat).await.text("state"), "active");
    stage.look(BOB, &bob).await.is_problem(404, "not-found");
    stage.look("AIDADAN", &dan).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn a_hand_over_that_nobody_confirms_moves_on() {
    let (stage, held) = pool_of_one(&[("POOL_CLAIM_SECONDS", "30")]).await;
    let bob = wait(&stage, BOB, 300).await.text("lease_id");
    let cat = wait(&stage, CAT, 300).await.text("lease_id");
    stage.release(ANN, &held).await.is(204);
    stage.clock.pass(20);
    assert_eq!(stage.look(CAT, &cat).await.text("state"), "pending");
    stage.clock.pass(13);
    stage.reap_idle().await;
    assert_eq!(stage.look(CAT, &cat).await.text("state"), "active");
    stage.look(BOB, &bob).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn invariant_07_the_next_ones_poll_moves_an_unconfirmed_hand_over_on() {
    let (stage, held) = pool_of_one(&[("POOL_CLAIM_SECONDS", "30")]).await;
    wait(&stage, BOB, 300).await;
    let cat = wait(&stage, CAT, 300).await.text("lease_id");
    stage.release(ANN, &held).await.is(204);
    stage.clock.pass(33);
    assert_eq!(stage.look(CAT, &cat).await.text("state"), "active");
}

#[tokio::test]
async fn a_confirmed_hand_over_lasts_its_full_time() {
    let (stage, held) = pool_of_one(&[]).await;
    let bob = stage.acquire(BOB, &json!({"ttl_seconds": 120, "wait_seconds": 60})).await.text("lease_id");
    stage.clock.pass(40);
    stage.release(ANN, &held).await.is(204);
    stage.clock.pass(10);
    let granted = stage.look(BOB, &bob).await;
    assert_eq!(granted.number("expires_in_seconds"), 120);
}

#[tokio::test]
async fn a_waiter_whose_instance_left_before_it_looked_is_first_in_line_again() {
    let (stage, held) = pool_of_one(&[]).await;
    let bob = wait(&stage, BOB, 300).await.text("lease_id");
    let cat = wait(&stage, CAT, 300).await.text("lease_id");
    stage.release(ANN, &held).await.is(204);
    let instance = stage.shard(0).await.leases.values().next().expect("handed over").to_string();
    stage.ec2.with(|ec2, now_ms| assert!(ec2.kill(now_ms, &instance)));
    stage.all_events().await;
    let again = stage.look(BOB, &bob).await;
    assert_eq!((again.text("state"), again.number("position")), ("pending".to_owned(), 1));
    assert_eq!(stage.look(CAT, &cat).await.number("position"), 2);
    assert_eq!(stage.grow().await.len(), 1, "the lost one is replaced");
    assert_eq!(stage.look(BOB, &bob).await.text("state"), "active");
}

#[tokio::test]
async fn a_held_request_answers_once_it_is_granted() {
    let (stage, held) = pool_of_one(&[]).await;
    let request = Request::new(Route::Acquire).by(BOB).header("prefer", "wait=20").json(&json!({"wait_seconds": 60}));
    let free_it = async {
        while stage.shard(0).await.queue.is_empty() {
            tokio::task::yield_now().await;
        }
        stage.release(ANN, &held).await.is(204);
    };
    let (answer, ()) = tokio::join!(stage.call(request), free_it);
    answer.is(201);
    assert_eq!(answer.text("state"), "active");
}

#[tokio::test]
async fn a_held_look_answers_pending_when_its_time_is_over() {
    let (stage, _) = pool_of_one(&[]).await;
    let bob = wait(&stage, BOB, 60).await.text("lease_id");
    let request = Request::new(Route::Look).by(BOB).about(&bob).header("prefer", "respond-async, wait=5");
    let _ = stage.table.requests.of_shards();
    // Time passes with every look, so that it is over after a few of them.
    let let_time_pass = async {
        loop {
            if !stage.table.requests.of_shards().is_empty() {
                stage.clock.pass(5);
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    let answer = tokio::select! {
        answer = stage.call(request) => answer,
        never = let_time_pass => never,
    };
    answer.is(200);
    assert_eq!(answer.text("state"), "pending");
}

#[tokio::test]
async fn a_lease_that_came_by_waiting_ends_for_good_as_long_after_its_grant_as_any_other() {
    let variables = [("POOL_LEASE_TTL_MAX_SECONDS", "700"), ("POOL_WAIT_MAX_SECONDS", "3600")];
    let (stage, held) = pool_of_one(&variables).await;
    let bob = wait(&stage, BOB, 3_600).await.text("lease_id");
    stage.release(ANN, &held).await.is(204);
    let granted = stage.look(BOB, &bob).await.text("lease_id");
    stage.clock.pass(500);
    let renewed = stage.renew(BOB, &granted, &json!({"ttl_seconds": 600})).await;
    assert_eq!(renewed.number("expires_in_seconds"), 200);
}

#[tokio::test]
async fn a_held_request_whose_wait_is_over_is_told_that_nothing_was_free() {
    let (stage, _) = pool_of_one(&[]).await;
    let request = Request::new(Route::Acquire).by(BOB).header("prefer", "wait=20").json(&json!({"wait_seconds": 5}));
    let let_time_pass = async {
        while stage.shard(0).await.queue.is_empty() {
            tokio::task::yield_now().await;
        }
        stage.clock.pass(6);
    };
    let (answer, ()) = tokio::join!(stage.call(request), let_time_pass);
    answer.is_problem(503, "nothing-free");
    assert!(stage.shard(0).await.queue.is_empty());
}

/// A refused write is billed as one of the whole item, and a release could have been in its place.
#[tokio::test]
async fn a_process_that_was_refused_reads_the_shard_before_it_asks_again() {
    let (mut stage, held) = pool_of_one(&[]).await;
    let requests = stage.table.requests.clone();
    let asks = async |stage: &Stage| {
        let _ = requests.take();
        stage.acquire(BOB, &json!({})).await.is_problem(503, "nothing-free");
        requests.of_shards()
    };
    assert_eq!(asks(&stage).await, ["UpdateItem shard#0"]);
    assert_eq!(asks(&stage).await, ["GetItem shard#0"]);
    stage.clock.pass(2);
    assert_eq!(asks(&stage).await, ["UpdateItem shard#0"], "what it knows is too old");

    let refused = stage.deploy(&[("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")]);
    stage.release(ANN, &held).await.is(204);
    let _ = requests.take();
    stage.call_in(&refused, Request::new(Route::Acquire).by(BOB).json(&json!({}))).await.is(201);
    assert_eq!(
        requests.of_shards(),
        ["GetItem shard#0", "UpdateItem shard#0"],
        "nobody is told none while one is free"
    );
}
