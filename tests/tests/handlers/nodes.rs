//! What nodes say: who is believed, when a node is ready, what a heartbeat is answered, cleaning up after a lease.

use pool_core::access;
use pool_core::ids::InstanceId;
use pool_tests::request::NODE_ROLE_ID;
use pool_tests::{Request, Route, Stage, nodes};
use serde_json::{Value, json};

const ANN: &str = "AIDAANN";
const BOB: &str = "AIDABOB";

/// A pool of one instance; its id.
async fn pool_of_one(variables: &[(&str, &str)]) -> (Stage, InstanceId) {
    let size = [("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")];
    let stage = Stage::new(&[&size, variables].concat()).await;
    let mut instances = stage.grow().await;
    assert_eq!(instances.len(), 1);
    (stage, instances.remove(0))
}

fn word(route: Route, instance: &InstanceId) -> Request {
    let body = match route {
        Route::Ready => json!({"boot_id": 99, "key": nodes::key(instance), "cleaned_epoch": 1_000}),
        _ => nodes::healthy(),
    };
    Request::new(route).by_node(instance.as_str()).json(&body)
}

#[tokio::test]
async fn invariant_10_only_the_instance_itself_is_believed() {
    let (stage, instance) = pool_of_one(&[]).await;
    let lease = stage.lease(ANN).await;
    let before = stage.items().await;
    let other = "i-0fedcba9876543210";
    for route in [Route::Ready, Route::Heartbeat] {
        let word = word(route, &instance);
        let forged = [
            ("another account", word.clone().from_account("111111111111")),
            ("another role", word.clone().by(&format!("AROAOTHERROLE00000000:{instance}"))),
            ("another instance", word.clone().by(&format!("{NODE_ROLE_ID}:{other}"))),
            ("a session name of one's own choice", word.clone().by(&format!("{NODE_ROLE_ID}:admin"))),
            ("more after the session name", word.clone().by(&format!("{NODE_ROLE_ID}:{instance}:x"))),
            ("the role without a session", word.clone().by(NODE_ROLE_ID)),
            ("the holder of the lease", word.clone().by(ANN)),
            ("the instance id alone", word.clone().by(instance.as_str())),
            ("nobody", word.clone().unsigned()),
        ];
        for (who, request) in forged {
            let answer = stage.call(request).await;
            assert_eq!(answer.status, 403, "{who} was believed: {answer:?}");
            answer.is_problem(403, "forbidden");
        }
    }
    assert_eq!(stage.items().await, before, "somebody forged an instance");
    stage.look(ANN, &lease.text("lease_id")).await.is(200);
}

#[tokio::test]
async fn every_route_wants_a_signature() {
    let (stage, instance) = pool_of_one(&[]).await;
    for route in Route::ALL {
        let id = if route.key().contains("leases") { "0.AbCdEfGhIjKl" } else { instance.as_str() };
        let request = Request::new(route);
        let request = if route.key().contains("{id}") { request.about(id) } else { request };
        stage.call(request.unsigned()).await.is_problem(403, "forbidden");
    }
}

#[tokio::test]
async fn ready_before_the_pool_knows_the_instance_is_to_be_repeated() {
    let stage = Stage::new(&[("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")]).await;
    stage.scale().await;
    let unknown: InstanceId = "i-0fedcba9876543210".parse().expect("a sound id");
    stage.ready(&unknown).await.is_problem(404, "not-found");
    let answer = stage.heartbeat(&unknown).await;
    answer.is_problem(404, "not-found");
    assert_eq!(answer.headers["retry-after"], "2");
    assert_eq!(stage.boot_all().await.len(), 1, "one that is known is ready at once");
}

#[tokio::test]
async fn ready_twice_changes_nothing() {
    let (stage, instance) = pool_of_one(&[]).await;
    let before = stage.items().await;
    stage.ready(&instance).await.is(204);
    assert_eq!(stage.items().await, before);
}

#[tokio::test]
async fn a_heartbeat_tells_the_node_what_it_needs_to_know() {
    let stage = Stage::new(&[("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")]).await;
    stage.scale().await;
    let instance = stage.shard(0).await.booting.into_keys().next().expect("one boots");
    assert_eq!(stage.heartbeat(&instance).await.text("command"), "register");
    stage.ready(&instance).await.is(204);

    let free = stage.heartbeat(&instance).await.of_status(200);
    let epoch = stage.shard(0).await.epoch;
    assert_eq!(free, json!({"epoch_floor": epoch + 1, "lease": null, "command": "none"}));

    let lease = stage.lease(ANN).await;
    stage.clock.pass(10);
    let leased = stage.heartbeat(&instance).await.of_status(200);
    let on_it = json!({"epoch": lease.number("epoch"), "expires_in_seconds": 590});
    assert_eq!(leased, json!({"epoch_floor": lease.number("epoch"), "lease": on_it, "command": "none"}));

    stage.ec2.with(|ec2, now_ms| assert!(ec2.rebalance(now_ms, instance.as_str())));
    stage.all_events().await;
    assert_eq!(stage.heartbeat(&instance).await.text("command"), "drain");
}

#[tokio::test]
async fn heartbeats_take_any_number_in_range() {
    let (stage, instance) = pool_of_one(&[]).await;
    for percent in ["0", "-0.0", "1e-300", "4.9e-324", "33.333333333333336", "99.99999999999999", "100", "1e2"] {
        let body = format!(r#"{{"healthy":true,"cpu_percent":{percent},"memory_percent":{percent},"sessions":0}}"#);
        stage.call(Request::new(Route::Heartbeat).by_node(instance.as_str()).text(&body)).await.is(200);
    }
    let story = stage.call(Request::new(Route::Instance).about(instance.as_str())).await.of_status(200);
    assert_eq!(story["cpu_percent"], 100.0);
}

#[tokio::test]
async fn an_instance_tells_its_story() {
    let (stage, instance) = pool_of_one(&[]).await;
    let story = stage.call(Request::new(Route::Instance).about(instance.as_str())).await.of_status(200);
    assert_eq!(story["now"]["state"], "free");
    let what: Vec<&Value> = story["history"].as_array().expect("a list").iter().map(|line| &line["what"]).collect();
    assert_eq!(what, ["launched", "ready"]);
}

#[tokio::test]
async fn a_node_that_starts_again_brings_a_new_key_and_renewal_brings_its_token() {
    let (stage, instance) = pool_of_one(&[]).await;
    let lease = stage.lease(ANN).await;
    let key = "f".repeat(64);
    stage.ready_with(&instance, &json!({"boot_id": nodes::FIRST_BOOT + 1, "key": key})).await.is(204);
    stage.clock.pass(1);
    let renewed = stage.renew(ANN, &lease.text("lease_id"), &json!({"ttl_seconds": 600})).await;
    let opens = |token: &str, key: &str| access::verify(token, key, &instance).is_some();
    assert!(opens(&renewed.text("access_token"), &key));
    assert!(!opens(&lease.text("access_token"), &key), "the old key is void");
    stage.ready(&instance).await.is(204);
    let again = stage.look(ANN, &lease.text("lease_id")).await;
    assert!(opens(&again.text("access_token"), &key), "a late word of the earlier start brought the old key back");
}

#[tokio::test]
async fn an_instance_that_must_be_cleaned_is_given_to_nobody_before() {
    let (stage, instance) = pool_of_one(&[("POOL_AFTER_RELEASE", "reset")]).await;
    let lease = stage.lease(ANN).await;
    let epoch = lease.number("epoch");
    stage.release(ANN, &lease.text("lease_id")).await.is(204);
    stage.acquire(BOB, &json!({})).await.is_problem(503, "nothing-free");
    let beat = stage.heartbeat(&instance).await.of_status(200);
    assert_eq!(beat, json!({"epoch_floor": epoch + 1, "lease": null, "command": "register"}));

    let cleaned =
        |epoch: u64| json!({"boot_id": nodes::FIRST_BOOT, "key": nodes::key(&instance), "cleaned_epoch": epoch});
    stage.ready(&instance).await.is(204);
    stage.ready_with(&instance, &cleaned(epoch - 1)).await.is(204);
    assert!(stage.shard(0).await.resetting.contains_key(&instance), "it was cleaned of an earlier lease only");
    assert_eq!(stage.pool().await["instances"][0]["state"], "resetting");

    let waiting = stage.acquire(BOB, &json!({"wait_seconds": 60})).await.text("lease_id");
    stage.ready_with(&instance, &cleaned(epoch)).await.is(204);
    let granted = stage.look(BOB, &waiting).await;
    assert_eq!(granted.text("state"), "active");
    assert!(granted.number("epoch") > epoch);
}

#[tokio::test]
async fn a_cleaned_instance_is_free_when_nobody_waits() {
    let (stage, instance) = pool_of_one(&[("POOL_AFTER_RELEASE", "reset")]).await;
    let lease = stage.acquire(ANN, &json!({"ttl_seconds": 30})).await;
    stage.clock.pass(33);
    stage.reap_idle().await;
    assert!(stage.shard(0).await.resetting.contains_key(&instance), "expiry cleans as release does");
    // The node lost its memory of the pool, so it comes with a new key, too.
    let body = json!({"boot_id": 7, "key": nodes::key(&instance), "cleaned_epoch": lease.number("epoch")});
    stage.ready_with(&instance, &body).await.is(204);
    assert_eq!(stage.shard(0).await.free, [instance]);
}

#[tokio::test]
async fn a_recycled_instance_serves_one_lease_and_is_replaced() {
    let (stage, instance) = pool_of_one(&[("POOL_AFTER_RELEASE", "recycle")]).await;
    let lease = stage.lease(ANN).await;
    let waiting = stage.acquire(BOB, &json!({"wait_seconds": 300})).await.text("lease_id");
    stage.release(ANN, &lease.text("lease_id")).await.is(204);
    assert_eq!(stage.look(BOB, &waiting).await.text("state"), "pending", "a used instance must not be handed over");
    assert_eq!(stage.heartbeat(&instance).await.text("command"), "drain");
    stage.reap_idle().await;
    assert!(stage.ec2.alive().is_empty());
    stage.reap_idle().await;
    let replaced = stage.grow().await;
    assert_eq!(replaced.len(), 1);
    assert_ne!(replaced[0], instance);
    assert_eq!(stage.look(BOB, &waiting).await.text("instance_id"), replaced[0].as_str());
}
