//! The life of one lease: granted, looked at, renewed, released, expired; and who may do that.

use pool_core::access;
use pool_core::ids::InstanceId;
use pool_tests::{Request, Route, Stage, nodes};
use serde_json::json;

const ANN: &str = "AIDAANN";
const BOB: &str = "AIDABOB";

/// A pool of so many instances, all of them free.
async fn pool_of(count: &str, variables: &[(&str, &str)]) -> (Stage, Vec<InstanceId>) {
    let size = [("POOL_MAX", count), ("POOL_MIN_AVAILABLE", count)];
    let stage = Stage::new(&[&size, variables].concat()).await;
    let instances = stage.grow().await;
    assert_eq!(instances.len().to_string(), count);
    (stage, instances)
}

#[tokio::test]
async fn a_lease_lives_from_growth_to_release() {
    let (stage, instances) = pool_of("1", &[]).await;
    let instance = &instances[0];
    let granted = stage.acquire(ANN, &json!({"ttl_seconds": 300})).await;
    granted.is(201);
    assert_eq!(granted.text("state"), "active");
    assert_eq!(granted.text("instance_id"), instance.as_str());
    assert_eq!(granted.number("expires_in_seconds"), 300);
    let id = granted.text("lease_id");
    assert_eq!(granted.headers["location"], format!("/v1/leases/{id}"));

    let address = stage.shard(0).await.members[instance].address.clone();
    assert_eq!(granted.text("endpoint"), format!("http://{address}:3000"));
    let opens = access::verify(&granted.text("access_token"), &nodes::key(instance), instance);
    assert_eq!(opens, Some((granted.number("epoch"), stage.clock.now() + 300)));

    let seen = stage.look(ANN, &id).await;
    seen.is(200);
    assert_eq!(seen.body, granted.body);

    stage.clock.pass(100);
    let renewed = stage.renew(ANN, &id, &json!({"ttl_seconds": 900})).await;
    renewed.is(200);
    assert_eq!(renewed.text("lease_id"), id);
    assert_eq!(renewed.number("expires_in_seconds"), 900);
    let opens = access::verify(&renewed.text("access_token"), &nodes::key(instance), instance);
    assert_eq!(opens, Some((granted.number("epoch"), stage.clock.now() + 900)));

    stage.release(ANN, &id).await.is(204);
    stage.look(ANN, &id).await.is_problem(404, "not-found");
    let again = stage.lease(BOB).await;
    assert_eq!(again.text("instance_id"), instance.as_str());
    assert!(again.number("epoch") > granted.number("epoch"), "invariant 2: a later lease has a higher epoch");
}

#[tokio::test]
async fn acquire_renew_and_release_are_one_request_each() {
    let (stage, _) = pool_of("1", &[]).await;
    let _ = stage.table.requests.of_shards();
    let id = stage.lease(ANN).await.text("lease_id");
    assert_eq!(stage.table.requests.of_shards(), ["UpdateItem shard#0"], "acquire");
    stage.clock.pass(1);
    stage.renew(ANN, &id, &json!({"ttl_seconds": 600})).await.is(200);
    assert_eq!(stage.table.requests.of_shards(), ["UpdateItem shard#0"], "renew");
    stage.release(ANN, &id).await.is(204);
    assert_eq!(stage.table.requests.of_shards(), ["UpdateItem shard#0"], "release");
}

#[tokio::test]
async fn waiting_and_handing_over_are_two_requests_each() {
    let (stage, _) = pool_of("1", &[]).await;
    let held = stage.lease(ANN).await.text("lease_id");
    let _ = stage.table.requests.of_shards();
    let waiting = stage.acquire(BOB, &json!({"wait_seconds": 60})).await;
    waiting.is(202);
    assert_eq!(stage.table.requests.of_shards(), ["UpdateItem shard#0"; 2], "waiting");
    stage.release(ANN, &held).await.is(204);
    assert_eq!(stage.table.requests.of_shards(), ["UpdateItem shard#0"; 2], "handing over");
    stage.look(BOB, &waiting.text("lease_id")).await.is(200);
    assert_eq!(stage.table.requests.of_shards(), ["GetItem shard#0", "UpdateItem shard#0"], "confirming");
}

#[tokio::test]
async fn a_renewal_without_a_ttl_takes_that_of_the_lease() {
    let (stage, _) = pool_of("2", &[]).await;
    for ttl_seconds in [60, 3_600] {
        let id = stage.acquire(ANN, &json!({"ttl_seconds": ttl_seconds})).await.text("lease_id");
        stage.clock.pass(30);
        let renewed = stage.renew(ANN, &id, &json!({})).await;
        renewed.is(200);
        assert_eq!(renewed.number("expires_in_seconds"), ttl_seconds);
    }
}

#[tokio::test]
async fn a_renewal_never_shortens() {
    let (stage, _) = pool_of("1", &[]).await;
    let id = stage.lease(ANN).await.text("lease_id");
    let renewed = stage.renew(ANN, &id, &json!({"ttl_seconds": 5})).await;
    renewed.is(200);
    assert_eq!(renewed.number("expires_in_seconds"), 600);
}

#[tokio::test]
async fn invariant_06_a_lease_is_not_renewed_past_its_hard_end() {
    let (stage, _) = pool_of("1", &[("POOL_LEASE_TTL_SECONDS", "60"), ("POOL_LEASE_TTL_MAX_SECONDS", "100")]).await;
    let id = stage.lease(ANN).await.text("lease_id");
    stage.clock.pass(50);
    let renewed = stage.renew(ANN, &id, &json!({"ttl_seconds": 60})).await;
    renewed.is(200);
    assert_eq!(renewed.number("expires_in_seconds"), 50, "up to the hard end, 100 seconds after the grant");
    stage.clock.pass(10);
    stage.renew(ANN, &id, &json!({"ttl_seconds": 60})).await.is_problem(409, "hard-end");
    stage.look(ANN, &id).await.is(200);
    stage.clock.pass(41);
    stage.renew(ANN, &id, &json!({"ttl_seconds": 60})).await.is_problem(404, "not-found");
}

#[tokio::test]
async fn failure_18_an_expired_lease_is_over_at_once_and_its_instance_comes_back() {
    let (stage, instances) = pool_of("1", &[]).await;
    let id = stage.acquire(ANN, &json!({"ttl_seconds": 30})).await.text("lease_id");
    stage.clock.pass(31);
    stage.look(ANN, &id).await.is_problem(404, "not-found");
    stage.renew(ANN, &id, &json!({"ttl_seconds": 30})).await.is_problem(404, "not-found");
    stage.clock.pass(2);
    stage.reap_idle().await;
    assert_eq!(stage.shard(0).await.free, instances);
    stage.release(ANN, &id).await.is(204);
}

#[tokio::test]
async fn failure_21_a_clock_that_is_a_little_ahead_takes_no_lease_away() {
    let (stage, _) = pool_of("1", &[]).await;
    stage.acquire(ANN, &json!({"ttl_seconds": 30})).await.is(201);
    stage.clock.pass(32);
    stage.reap_idle().await;
    assert_eq!(stage.shard(0).await.leases.len(), 1, "the clock of another function may be two seconds behind");
    stage.clock.pass(1);
    stage.reap_idle().await;
    assert!(stage.shard(0).await.leases.is_empty());
}

#[tokio::test]
async fn invariant_07_an_expired_lease_gives_way_to_a_caller_before_any_tick() {
    let (stage, instances) = pool_of("1", &[]).await;
    stage.acquire(ANN, &json!({"ttl_seconds": 30})).await.is(201);
    stage.clock.pass(33);
    assert_eq!(stage.lease(BOB).await.text("instance_id"), instances[0].as_str());
}

#[tokio::test]
async fn failure_20_a_foreign_lease_can_neither_be_seen_nor_changed() {
    let (stage, _) = pool_of("1", &[]).await;
    let id = stage.lease(ANN).await.text("lease_id");
    let waiting = stage.acquire(ANN, &json!({"wait_seconds": 60})).await.text("lease_id");
    let short = id.split('.').take(2).collect::<Vec<_>>().join(".");
    let before = stage.items().await;
    for id in [&id, &short, &waiting] {
        stage.look(BOB, id).await.is_problem(403, "forbidden");
        stage.renew(BOB, id, &json!({"ttl_seconds": 700})).await.is_problem(403, "forbidden");
        stage.release(BOB, id).await.is_problem(403, "forbidden");
    }
    assert_eq!(stage.items().await, before, "invariant 10: a foreign caller changed something");
}

#[tokio::test]
async fn all_sessions_of_a_role_share_its_leases() {
    let (stage, _) = pool_of("1", &[]).await;
    let id = stage.lease("AROACALLER:worker-1").await.text("lease_id");
    stage.look("AROACALLER:worker-2", &id).await.is(200);
    stage.look("AROACALLERS:worker-1", &id).await.is_problem(403, "forbidden");
    stage.release("AROACALLER:worker-3", &id).await.is(204);
}

#[tokio::test]
async fn failure_20_releasing_twice_is_as_good_as_once() {
    let (stage, instances) = pool_of("1", &[]).await;
    let id = stage.lease(ANN).await.text("lease_id");
    stage.release(ANN, &id).await.is(204);
    let before = stage.items().await;
    stage.release(ANN, &id).await.is(204);
    stage.release(BOB, &id).await.is(204);
    assert_eq!(stage.items().await, before);
    assert_eq!(stage.shard(0).await.free, instances);
}

#[tokio::test]
async fn failure_20_a_late_release_does_not_end_the_next_lease() {
    let (stage, _) = pool_of("1", &[]).await;
    let first = stage.acquire_keyed(ANN, "job", &json!({})).await.text("lease_id");
    stage.release(ANN, &first).await.is(204);
    let second = stage.acquire_keyed(ANN, "job", &json!({})).await;
    second.is(201);
    assert_ne!(second.text("lease_id"), first);
    let before = stage.items().await;
    stage.release(ANN, &first).await.is_problem(409, "other-epoch");
    stage.renew(ANN, &first, &json!({"ttl_seconds": 700})).await.is_problem(409, "other-epoch");
    assert_eq!(stage.items().await, before, "invariant 2: a stale epoch changed something");
    stage.look(ANN, &second.text("lease_id")).await.is(200);

    stage.release(ANN, &second.text("lease_id")).await.is(204);
    let third = stage.lease(BOB).await;
    let before = stage.items().await;
    stage.release(ANN, &first).await.is(204);
    assert_eq!(stage.items().await, before, "a late release under another token ended a lease");
    stage.look(BOB, &third.text("lease_id")).await.is(200);
}

#[tokio::test]
async fn the_short_form_of_an_id_names_the_present_grant() {
    let (stage, instances) = pool_of("1", &[]).await;
    let id = stage.lease(ANN).await.text("lease_id");
    let short = id.split('.').take(2).collect::<Vec<_>>().join(".");
    assert_eq!(stage.look(ANN, &short).await.text("lease_id"), id);
    assert_eq!(stage.renew(ANN, &short, &json!({"ttl_seconds": 700})).await.text("lease_id"), id);
    stage.release(ANN, &short).await.is(204);
    assert_eq!(stage.shard(0).await.free, instances);
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
    let (stage, _) = pool_of("1", &[]).await;
    let never_granted = ["0.AbCdEfGhIjKl", "0.AbCdEfGhIjKl.7.i-0123456789abcdef0", "7.AbCdEfGhIjKl"];
    for id in never_granted.into_iter().chain(["999999999.AbCdEfGhIjKl.7.i-0123456789abcdef0"]) {
        stage.look(ANN, id).await.is_problem(404, "not-found");
        stage.renew(ANN, id, &json!({})).await.is_problem(404, "not-found");
        stage.renew(ANN, id, &json!({"ttl_seconds": 60})).await.is_problem(404, "not-found");
        stage.release(ANN, id).await.is(204);
    }
    let unknown = Request::new(Route::Instance).about("i-0fedcba9876543210");
    stage.call(unknown).await.is_problem(404, "not-found");
    assert_eq!(stage.items().await.len(), 1, "asking after a shard that is not there must not make it");
}

#[tokio::test]
async fn nothing_free_says_when_to_try_again() {
    let (stage, _) = pool_of("1", &[]).await;
    stage.lease(ANN).await;
    let refused = stage.acquire(BOB, &json!({})).await;
    refused.is_problem(503, "nothing-free");
    assert!(refused.number("retry_after_seconds") >= 1);
}

#[tokio::test]
async fn before_the_first_run_of_scale_there_is_no_pool() {
    let stage = Stage::new(&[("POOL_MIN_AVAILABLE", "1")]).await;
    stage.acquire(ANN, &json!({})).await.is_problem(503, "no-pool");
    stage.acquire(ANN, &json!({"wait_seconds": 60})).await.is_problem(503, "no-pool");
    stage.grow().await;
    stage.lease(ANN).await;
}

#[tokio::test]
async fn without_the_table_every_route_says_when_to_try_again() {
    let stage = Stage::new(&[]).await;
    let broken = stage.without_table();
    for route in Route::ALL {
        let id = if route.key().contains("leases") { "0.AbCdEfGhIjKl" } else { "i-0123456789abcdef0" };
        let mut request = Request::new(route).by(ANN);
        if route.key().contains("{id}") {
            request = request.about(id);
        }
        request = match route {
            Route::Ready => request.by_node(id).json(&json!({"boot_id": 1})),
            Route::Heartbeat => request.by_node(id).json(&nodes::healthy()),
            Route::OrderPool => request.json(&json!({"paused": true, "reason": "a broken image"})),
            Route::OrderInstance => request.json(&json!({"order": "drain", "reason": "it is slow"})),
            _ => request,
        };
        stage.call_in(&broken, request).await.is_problem(503, "unavailable");
    }
}
