//! Several shards: leases live at home, free instances move, and changing how many there are loses nothing.

use pool_core::home::home;
use pool_core::ids::{Owner, Token};
use pool_core::shard::{Shard, Transition};
use pool_core::transfer;
use pool_tests::{Request, Route, Stage};
use serde_json::json;

const ANN: &str = "AIDAANN";

/// Four shards of two instances each, all free.
async fn pool_of_eight() -> Stage {
    let size = [("POOL_MAX", "8"), ("POOL_SHARD_SIZE", "2"), ("POOL_MIN_AVAILABLE", "8")];
    let stage = Stage::new(&size).await;
    assert_eq!(stage.grow().await.len(), 8);
    let shards = stage.shards().await;
    assert!(shards.len() == 4 && shards.iter().all(|shard| shard.free.len() == 2), "{shards:?}");
    stage
}

/// Keys of Ann's whose home is this shard.
fn keys_at(shard: u32, shards: u32) -> impl Iterator<Item = String> {
    let owner = Owner::of(ANN);
    let keys = (0..).map(|number| format!("job {number}"));
    keys.filter(move |key| home(&Token::of_key(&owner, key), shards) == shard)
}

/// A key of Ann's whose home is shard 1 of four, and another one of eight.
fn key_that_moves() -> String {
    let owner = Owner::of(ANN);
    let moves = |key: &String| home(&Token::of_key(&owner, key), 8) >= 4;
    keys_at(1, 4).find(moves).expect("half of the keys move")
}

#[tokio::test]
async fn invariant_07_every_instance_can_be_leased_without_waiting() {
    let stage = pool_of_eight().await;
    for count in 1..=8 {
        let answer = stage.acquire(&format!("AIDA{count}"), &json!({})).await;
        assert_eq!(answer.status, 201, "false word of nothing free after {count}: {answer:?}");
    }
    stage.acquire(ANN, &json!({})).await.is_problem(503, "nothing-free");
}

#[tokio::test]
async fn invariant_01_every_instance_is_leased_once_when_all_ask_at_the_same_time() {
    let stage = pool_of_eight().await;
    let body = json!({});
    let ask = || stage.acquire(ANN, &body);
    let first = tokio::join!(ask(), ask(), ask(), ask());
    let second = tokio::join!(ask(), ask(), ask(), ask());
    for answer in [first.0, first.1, first.2, first.3, second.0, second.1, second.2, second.3] {
        answer.is(201);
    }
    let leased: usize = stage.shards().await.iter().map(|shard| shard.leases.len()).sum();
    assert_eq!(leased, 8);
}

#[tokio::test]
async fn a_keyed_request_whose_home_is_empty_gets_an_instance_moved() {
    let stage = pool_of_eight().await;
    let mut keys = keys_at(1, 4);
    let mut epochs = std::collections::BTreeMap::new();
    for _ in 0..8 {
        let key = keys.next().expect("there is always another key");
        let granted = stage.acquire_keyed(ANN, &key, &json!({})).await;
        granted.is(201);
        assert!(granted.text("lease_id").starts_with("1."), "{granted:?}");
        epochs.insert(granted.text("instance_id"), granted.number("epoch"));
        let again = stage.acquire_keyed(ANN, &key, &json!({})).await;
        assert_eq!(again.text("lease_id"), granted.text("lease_id"), "invariant 5");
        if stage.shard(1).await.members.len() == 4 {
            break;
        }
    }
    let shards = stage.shards().await;
    assert!(shards.iter().all(|shard| shard.transfers.is_empty()), "{shards:?}");
    assert_eq!(shards[1].members.len(), 4, "a shard takes up to twice its size");
    assert_eq!(shards.iter().map(|shard| shard.members.len()).sum::<usize>(), 8);
    let key = keys.next().expect("there is always another key");
    stage.acquire_keyed(ANN, &key, &json!({})).await.is_problem(503, "nothing-free");
}

#[tokio::test]
async fn invariant_07_a_waiter_gets_what_is_free_in_another_shard() {
    let stage = pool_of_eight().await;
    for key in keys_at(2, 4).take(4) {
        let answer = stage.acquire_keyed(ANN, &key, &json!({"wait_seconds": 60})).await;
        let id = answer.text("lease_id");
        assert_eq!(stage.look(ANN, &id).await.text("state"), "active", "{answer:?}");
    }
}

#[tokio::test]
async fn scale_brings_a_waiter_what_is_free_in_another_shard() {
    let stage = pool_of_eight().await;
    let keys: Vec<String> = keys_at(3, 4).take(3).collect();
    let mut held = Vec::new();
    for count in 0..8 {
        held.push(stage.lease(&format!("AIDA{count}")).await.text("lease_id"));
    }
    let waiting = stage.acquire_keyed(ANN, &keys[0], &json!({"wait_seconds": 60})).await;
    waiting.is(202);
    let elsewhere = held.iter().position(|id| !id.starts_with("3.")).expect("most are elsewhere");
    stage.release(&format!("AIDA{elsewhere}"), &held[elsewhere]).await.is(204);
    stage.scale().await;
    let shard = stage.shard(3).await;
    assert!(shard.queue.is_empty(), "{shard:?}");
    assert_eq!(stage.look(ANN, &waiting.text("lease_id")).await.text("state"), "active");
}

/// The first step of a move from another shard to shard 0, by hand.
async fn give(stage: &Stage) -> (u32, transfer::Move) {
    let policy = &stage.environment.settings.policy;
    let shards = stage.shards().await;
    let (from, write) = transfer::give(&shards, 0, policy, stage.clock.now()).expect("there is one to give");
    let Transition::Give { instance, .. } = &write else { panic!("{write:?}") };
    let source = stage.write(from, &write).await;
    (from, transfer::recorded(&source, instance).expect("it is recorded"))
}

fn is_settled(shards: &[Shard]) -> bool {
    shards.iter().all(|shard| shard.transfers.is_empty())
        && shards.iter().map(|shard| shard.free.len()).sum::<usize>() == 8
        && shards.iter().map(|shard| shard.members.len()).sum::<usize>() == 8
}

#[tokio::test]
async fn a_move_that_was_only_begun_is_taken_back_after_a_minute() {
    let stage = pool_of_eight().await;
    let (from, moved) = give(&stage).await;
    stage.clock.pass(60);
    stage.reap_idle().await;
    assert!(stage.shard(from).await.transfers.contains_key(&moved.instance), "it may still be under way");
    stage.clock.pass(1);
    stage.reap_idle().await;
    assert!(is_settled(&stage.shards().await));
    assert!(stage.shard(from).await.free.contains(&moved.instance));
    // The one who began it wakes up too late.
    let target = stage.shard(0).await;
    let late = transfer::take(&moved, &target, &stage.environment.settings.policy, stage.clock.now());
    let written = stage.background.store.apply(0, &late).await.expect("the table answers");
    assert!(matches!(written, pool_store::Written::Refused(_)), "{written:?}");
}

#[tokio::test]
async fn a_move_that_arrived_but_was_not_finished_stays_where_it_arrived() {
    let stage = pool_of_eight().await;
    let (from, moved) = give(&stage).await;
    let target = stage.shard(0).await;
    stage.write(0, &transfer::take(&moved, &target, &stage.environment.settings.policy, stage.clock.now())).await;
    stage.clock.pass(61);
    stage.reap_idle().await;
    assert!(is_settled(&stage.shards().await));
    assert!(stage.shard(0).await.free.contains(&moved.instance));
    assert!(!stage.shard(from).await.members.contains_key(&moved.instance));
}

/// Cap, members, intents and rooms of all shards.
async fn counts(stage: &Stage) -> (i64, usize, u64, i64) {
    let shards = stage.shards().await;
    (
        shards.iter().map(|shard| shard.share).sum(),
        shards.iter().map(|shard| shard.members.len()).sum(),
        shards.iter().map(Shard::intended).sum(),
        shards.iter().map(|shard| shard.room).sum(),
    )
}

#[tokio::test]
async fn invariant_04_changing_the_cap_loses_and_invents_nothing() {
    let mut stage = pool_of_eight().await;
    let lease = stage.lease(ANN).await;
    for (max, rooms) in [("4", -4), ("12", 4), ("8", 0), ("16", 8)] {
        stage.deploy(&[("POOL_MAX", max), ("POOL_SHARD_SIZE", "2")]);
        for _ in 0..2 {
            stage.scale().await;
            stage.reap_idle().await;
        }
        let cap: i64 = max.parse().expect("a number");
        assert_eq!(counts(&stage).await, (cap, 8, 0, rooms), "at a cap of {max}");
        stage.look(ANN, &lease.text("lease_id")).await.is(200);
    }
    let shards = stage.shards().await;
    assert!(shards.len() == 8 && shards.iter().all(|shard| shard.share == 2), "{shards:?}");
}

#[tokio::test]
async fn invariant_05_a_key_finds_its_lease_after_its_home_has_changed() {
    let mut stage = pool_of_eight().await;
    let key = key_that_moves();
    let granted = stage.acquire_keyed(ANN, &key, &json!({})).await;
    granted.is(201);
    stage.deploy(&[("POOL_MAX", "16"), ("POOL_SHARD_SIZE", "2")]);
    stage.scale().await;
    let again = stage.acquire_keyed(ANN, &key, &json!({})).await;
    assert_eq!(again.text("lease_id"), granted.text("lease_id"));
    stage.release(ANN, &granted.text("lease_id")).await.is(204);
    stage.acquire_keyed(ANN, &key, &json!({})).await.is(201);
}

#[tokio::test]
async fn a_function_that_read_the_layout_before_it_changed_learns_of_it() {
    let mut stage = Stage::new(&[("POOL_MAX", "2"), ("POOL_SHARD_SIZE", "2"), ("POOL_MIN_AVAILABLE", "2")]).await;
    stage.grow().await;
    let more = [("POOL_MAX", "4"), ("POOL_SHARD_SIZE", "2"), ("POOL_MIN_AVAILABLE", "4")];
    // The functions of the new deployment start and read the layout before scale changes it.
    stage.deploy(&more);
    stage.all_beat().await;
    stage.lease(ANN).await;
    stage.scale().await;
    stage.clock.pass(60);
    stage.scale().await;
    let new = stage.shard(1).await.booting.into_keys().collect::<Vec<_>>();
    assert!(!new.is_empty(), "the pool grows into its second shard");
    for instance in &new {
        stage.ready(instance).await.is(204);
        stage.heartbeat(instance).await.is(200);
        stage.call(Request::new(Route::Instance).about(instance.as_str())).await.is(200);
    }
    for _ in 0..3 {
        stage.lease(ANN).await;
    }
}

#[tokio::test]
async fn invariant_05_a_function_with_the_old_layout_does_not_grant_a_second_lease() {
    let mut stage = pool_of_eight().await;
    let key = key_that_moves();
    stage.lease("AIDABOB").await;
    let old = stage.deploy(&[("POOL_MAX", "16"), ("POOL_SHARD_SIZE", "2")]);
    stage.scale().await;
    let first = stage.acquire_keyed(ANN, &key, &json!({})).await;
    let request = Request::new(Route::Acquire).by(ANN).header("idempotency-key", &key);
    let second = stage.call_in(&old, request).await;
    assert_eq!(second.text("lease_id"), first.text("lease_id"));
}

#[tokio::test]
async fn what_is_free_in_a_shard_that_is_no_longer_used_can_be_leased() {
    for keyed in [false, true] {
        let mut stage = pool_of_eight().await;
        stage.deploy(&[("POOL_MAX", "2"), ("POOL_SHARD_SIZE", "2")]);
        stage.scale().await;
        for count in 1..=4 {
            let mut request = Request::new(Route::Acquire).by(&format!("AIDA{count}")).json(&json!({}));
            if keyed {
                request = request.header("idempotency-key", "job");
            }
            let answer = stage.call(request).await;
            assert_eq!(answer.status, 201, "false word of nothing free after {count}: {answer:?}");
            assert!(answer.text("lease_id").starts_with("0."), "{answer:?}");
        }
        // A shard takes up to twice its size, so what is beyond that stays where it is and is idle.
        stage.acquire(ANN, &json!({})).await.is_problem(503, "nothing-free");
    }
}

#[tokio::test]
async fn invariant_04_a_shard_above_its_share_keeps_the_others_from_exceeding_the_cap() {
    let size = [("POOL_SHARD_SIZE", "4"), ("POOL_MIN_AVAILABLE", "8")];
    let mut stage = Stage::new(&[&size[..], &[("POOL_MAX", "8")]].concat()).await;
    assert_eq!(stage.grow().await.len(), 8);
    for count in 0..8 {
        stage.lease(&format!("AIDA{count}")).await;
    }
    stage.deploy(&[&size[..], &[("POOL_MAX", "9")]].concat());
    stage.scale().await;
    let shards = stage.shards().await;
    assert!(shards.iter().any(|shard| shard.room < 0), "{shards:?}");
    for instance in shards.iter().flat_map(|shard| shard.members.keys()).take(5) {
        stage.ec2.with(|ec2, now_ms| assert!(ec2.rebalance(now_ms, instance.as_str())));
    }
    stage.all_events().await;
    // Five of eight are marked and do not count as present any more, yet they are still there.
    for _ in 0..3 {
        stage.clock.pass(61);
        stage.grow().await;
        assert!(stage.ec2.alive().len() <= 9, "{} instances under a cap of 9", stage.ec2.alive().len());
    }
    assert_eq!(stage.ec2.alive().len(), 9);
}

#[tokio::test]
async fn invariant_05_a_key_finds_its_lease_after_two_changes_of_which_one_moved_homes() {
    let mut stage = pool_of_eight().await;
    let key = key_that_moves();
    let granted = stage.acquire_keyed(ANN, &key, &json!({})).await;
    granted.is(201);
    for max in ["16", "15"] {
        stage.deploy(&[("POOL_MAX", max), ("POOL_SHARD_SIZE", "2")]);
        stage.scale().await;
    }
    let again = stage.acquire_keyed(ANN, &key, &json!({})).await;
    assert_eq!(again.text("lease_id"), granted.text("lease_id"));
}

#[tokio::test]
async fn failure_15_an_event_about_an_instance_under_way_is_repeated() {
    let stage = pool_of_eight().await;
    let (from, moved) = give(&stage).await;
    drop(stage.ec2.events());
    stage.ec2.with(|ec2, now_ms| assert!(ec2.warn_spot(now_ms, moved.instance.as_str())));
    let mut events = stage.ec2.events();
    let read = || serde_json::from_value(events[0].clone()).expect("an event");
    let early = on_instance_state_change::handle(&stage.background, &stage.fleet, read()).await;
    assert!(early.is_err(), "Lambda repeats only what failed");
    stage.clock.pass(61);
    stage.reap_idle().await;
    stage.event(&events.remove(0)).await;
    assert!(stage.shard(from).await.leaving.contains_key(&moved.instance));
}

#[tokio::test]
async fn a_node_under_way_is_told_no_epoch_that_its_next_lease_could_be_below() {
    let stage = pool_of_eight().await;
    let (from, moved) = give(&stage).await;
    let lease = stage.lease(ANN).await;
    stage.release(ANN, &lease.text("lease_id")).await.is(204);
    let floor = stage.heartbeat(&moved.instance).await.number("epoch_floor");
    assert!(floor <= moved.source_epoch, "{floor}, and it was given away at {}", moved.source_epoch);
    // And a key that it brings now would be lost, so it is asked to come again.
    let word = json!({"boot_id": 2, "key": "0123456789abcdef0123456789abcdef"});
    stage.ready_with(&moved.instance, &word).await.is_problem(404, "not-found");
    stage.clock.pass(61);
    stage.reap_idle().await;
    stage.ready_with(&moved.instance, &word).await.is(204);
    assert_eq!(stage.shard(from).await.members[&moved.instance].boot_id, 2);
}

#[tokio::test]
async fn a_heartbeat_reads_the_shard_of_its_instance_alone_also_after_a_move() {
    let stage = pool_of_eight().await;
    let instance = stage.shard(1).await.free[0].clone();
    stage.heartbeat(&instance).await.is(200);
    let _ = stage.table.requests.of_shards();
    stage.heartbeat(&instance).await.is(200);
    assert_eq!(stage.table.requests.of_shards(), ["GetItem shard#1"]);

    // Both of shard 0 are leased, so that a keyed request there gets one brought from another shard.
    let mut keys = keys_at(0, 4);
    for key in keys.by_ref().take(2) {
        stage.acquire_keyed(ANN, &key, &json!({})).await.is(201);
    }
    for shard in [2, 3] {
        for key in keys_at(shard, 4).take(2) {
            stage.acquire_keyed(ANN, &key, &json!({})).await.is(201);
        }
    }
    let brought = stage.acquire_keyed(ANN, &keys.next().expect("there are more"), &json!({})).await.of_status(201);
    let brought: pool_core::ids::InstanceId =
        brought["instance_id"].as_str().and_then(|id| id.parse().ok()).expect("an instance");
    let lease = stage.heartbeat(&brought).await.of_status(200);
    assert!(lease["lease"].is_object(), "the shard that has it now answers: {lease}");
    stage.heartbeat(&instance).await.is(200);
}
