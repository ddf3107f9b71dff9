//! The operator's verbs: pause, drain, cap, cordon, force-release.

use pool_core::ids::InstanceId;
use pool_tests::{Answer, Request, Route, Stage};
use serde_json::{Value, json};

const ANN: &str = "AIDAANN";
const OLGA: &str = "AIDAOLGA";

async fn order(stage: &Stage, mut body: Value) -> Answer {
    body["reason"] = "a test".into();
    let answer = stage.call(Request::new(Route::OrderPool).by(OLGA).json(&body)).await;
    answer.is(200);
    answer
}

async fn order_instance(stage: &Stage, instance: &InstanceId, order: &str) -> Answer {
    let body = json!({"order": order, "reason": "it is slow"});
    stage.call(Request::new(Route::OrderInstance).by(OLGA).about(instance.as_str()).json(&body)).await
}

#[tokio::test]
async fn a_paused_pool_launches_nothing_even_for_a_waiter_and_says_why() {
    let stage = Stage::new(&[("POOL_MAX", "4"), ("POOL_MIN_AVAILABLE", "1")]).await;
    stage.scale().await;
    stage.boot_all().await;
    order(&stage, json!({"paused": true})).await;
    stage.lease(ANN).await;
    stage.acquire(ANN, &json!({"wait_seconds": 300})).await.is(202);
    stage.clock.pass(60);
    stage.scale().await;
    assert_eq!(stage.ec2.alive().len(), 1);
    let told = stage.pool().await["growth"]["launching_stopped"].to_string();
    assert!(told.contains("the operator paused launching") && told.contains("a test"), "{told}");
    order(&stage, json!({"paused": false})).await;
    stage.scale().await;
    assert_eq!(stage.ec2.alive().len(), 3);
}

#[tokio::test]
async fn a_drained_pool_ends_empty_and_no_lease_is_cut_short() {
    let stage = Stage::new(&[("POOL_MAX", "8"), ("POOL_MIN_AVAILABLE", "3"), ("POOL_STOPPED_SIZE", "1")]).await;
    stage.grow().await;
    stage.reap_idle().await;
    let lease = stage.lease(ANN).await.text("lease_id");
    order(&stage, json!({"drained": true})).await;
    for _ in 0..4 {
        stage.clock.pass(61);
        stage.all_beat().await;
        stage.scale().await;
        stage.reap_idle().await;
    }
    assert_eq!(stage.ec2.alive().len(), 1, "only the leased one is left");
    assert_eq!(stage.look(ANN, &lease).await.text("state"), "active");
    stage.acquire(ANN, &json!({})).await.is_problem(503, "nothing-free");
    stage.release(ANN, &lease).await.is(204);
    stage.reap_idle().await;
    stage.clock.pass(61);
    stage.reap_idle().await;
    assert!(stage.ec2.alive().is_empty());
    assert_eq!(stage.pool().await["instances"], json!([]), "and nothing is left in the table");
    order(&stage, json!({"drained": false})).await;
    stage.clock.pass(61);
    assert_eq!(stage.grow().await.len(), 4, "three free ones and one for the stopped tier");
}

#[tokio::test]
async fn a_cordoned_instance_runs_on_out_of_service_until_it_is_drained() {
    let stage = Stage::new(&[("POOL_MAX", "4"), ("POOL_MIN_AVAILABLE", "1")]).await;
    let instance = stage.grow().await.remove(0);
    let line = order_instance(&stage, &instance, "cordon").await.of_status(200);
    assert_eq!((&line["state"], &line["cordoned"]), (&json!("leaving"), &json!("it is slow")));
    stage.acquire(ANN, &json!({})).await.is_problem(503, "nothing-free");
    for _ in 0..3 {
        stage.clock.pass(61);
        stage.grow().await;
        stage.all_beat().await;
        stage.reap_idle().await;
    }
    let alive = stage.ec2.alive();
    assert!(alive.len() == 2 && alive.contains(&instance.to_string()), "another serves in its place: {alive:?}");
    order_instance(&stage, &instance, "drain").await.is(200);
    stage.reap_idle().await;
    assert!(!stage.ec2.alive().contains(&instance.to_string()));
    let history = stage.call(Request::new(Route::Instance).about(instance.as_str())).await.of_status(200);
    let told = history["history"].to_string();
    assert!(told.contains("cordon") && told.contains("AIDAOLGA") && told.contains("it is slow"), "{told}");
    order_instance(&stage, &"i-0fedcba9876543210".parse().expect("an id"), "drain").await.is(404);
}

#[tokio::test]
async fn a_forced_release_gives_the_instance_to_who_waits_and_the_holder_is_told() {
    let stage = Stage::new(&[("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")]).await;
    stage.grow().await;
    let held = stage.lease(ANN).await.text("lease_id");
    let waits = stage.acquire("AIDABOB", &json!({"wait_seconds": 300})).await.text("lease_id");
    stage.call(Request::new(Route::ForceRelease).by(OLGA).about(&held)).await.is(204);
    assert_eq!(stage.look("AIDABOB", &waits).await.text("state"), "active");
    stage.renew(ANN, &held, &json!({})).await.is(404);
    stage.call(Request::new(Route::ForceRelease).by(OLGA).about(&held)).await.is(204);
    let given = stage.look("AIDABOB", &waits).await;
    assert_eq!(given.text("state"), "active", "the id of an ended lease ends no other: {given:?}");
}

#[tokio::test]
async fn invariant_04_the_cap_is_changed_live_and_holds() {
    let stage = Stage::new(&[("POOL_MAX", "2"), ("POOL_MIN_AVAILABLE", "1")]).await;
    stage.grow().await;
    for _ in 0..4 {
        stage.acquire(ANN, &json!({"wait_seconds": 300})).await;
    }
    for (cap, alive) in [(2, 2), (4, 4), (3, 4)] {
        order(&stage, json!({"max_instances": cap})).await;
        stage.clock.pass(61);
        stage.grow().await;
        stage.clock.pass(61);
        stage.grow().await;
        assert_eq!((stage.ec2.alive().len(), stage.pool().await["totals"]["capacity"].as_u64()), (alive, Some(cap)));
    }
    let orders = order(&stage, json!({"max_instances_as_deployed": true})).await;
    assert_eq!(orders.of_status(200), json!({}));
    stage.scale().await;
    assert_eq!(stage.pool().await["totals"]["capacity"], 2);
}

#[tokio::test]
async fn an_order_that_is_not_clear_changes_nothing() {
    let stage = Stage::new(&[]).await;
    stage.scale().await;
    let before = stage.table.all_items().await;
    for body in [
        json!({"reason": "nothing said"}),
        json!({"paused": true}),
        json!({"paused": true, "reason": " "}),
        // JavaScript's white space, and so the OpenAPI file's, has one more than Unicode's.
        json!({"paused": true, "reason": "\u{feff}\u{2003}"}),
        json!({"paused": true, "reason": "two\nlines"}),
        json!({"paused": true, "reason": "x".repeat(201)}),
        json!({"paused": "yes", "reason": "a test"}),
        json!({"max_instances": 0, "reason": "a test"}),
        json!({"max_instances": 10_001, "reason": "a test"}),
        json!({"max_instances": 5, "max_instances_as_deployed": true, "reason": "a test"}),
        json!({"pause": true, "reason": "a test"}),
    ] {
        let answer = stage.call(Request::new(Route::OrderPool).by(OLGA).json(&body)).await;
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    assert_eq!(stage.table.all_items().await, before);
}
