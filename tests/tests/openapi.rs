//! `openapi.yaml`, the template and the functions say the same: routes, statuses, kinds of problems, examples.
//!
//! That each single answer is as documented is checked by the stage at every call; here is what concerns the whole.

use std::collections::BTreeSet;

use pool_core::ids::InstanceId;
use pool_tests::contract::{Contract, is_method};
use pool_tests::{Request, Route, Stage, nodes, template};
use serde_json::{Value, json};

const ANN: &str = "AIDAANN";
const BOB: &str = "AIDABOB";

/// Routes that the template gives to functions.
fn deployed() -> BTreeSet<String> {
    let template = template::read();
    let mut routes = BTreeSet::new();
    for (name, route) in template::of_type(&template, "AWS::ApiGatewayV2::Route") {
        let key = route["Properties"]["RouteKey"].as_str().expect("a method and a path");
        assert!(routes.insert(key.to_owned()), "{key} is given to a second function by {name}");
    }
    routes
}

#[test]
fn the_template_and_the_file_have_the_same_routes() {
    let contract = Contract::read();
    let documented: BTreeSet<String> = contract.documented().into_iter().map(|(route, _)| route).collect();
    assert_eq!(documented, deployed());
    let tested: BTreeSet<String> = Route::ALL.iter().map(|route| route.key().to_owned()).collect();
    assert_eq!(documented, tested);
}

#[test]
fn every_kind_of_problem_is_in_the_file_and_no_other() {
    let source = include_str!("../../crates/function/src/problem.rs");
    let mut raised = BTreeSet::new();
    for part in source.split('"').filter(|part| part.starts_with("urn:ec2-pool:")) {
        raised.insert(part.to_owned());
    }
    assert!(!raised.is_empty());
    let contract = Contract::read();
    let document = contract.document();
    let listed = document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"].as_array();
    let listed = listed.expect("the kinds are listed").iter().map(|kind| kind.as_str().expect("text").to_owned());
    assert_eq!(listed.collect::<BTreeSet<_>>(), raised);
    let exemplified: BTreeSet<String> = examples_of_answers(&contract)
        .into_iter()
        .filter_map(|(.., example)| Some(example["type"].as_str()?.to_owned()))
        .collect();
    assert_eq!(exemplified, raised, "each is shown where it can occur");
}

/// Every example of an answer: where, its schema, its value.
fn examples_of_answers(contract: &Contract) -> Vec<(String, Value, Value)> {
    let mut found = Vec::new();
    for route in Route::ALL {
        let responses = contract.operation(route)["responses"].as_object().expect("there are responses");
        for (status, response) in responses {
            let contents = contract.resolve(response)["content"].as_object().into_iter().flatten();
            for (media_type, content) in contents {
                for (name, example) in content["examples"].as_object().expect("examples help") {
                    let value = contract.resolve(example)["value"].clone();
                    found.push((
                        format!("{} {status} {media_type}", route.key()),
                        content["schema"].clone(),
                        value.clone(),
                    ));
                    if let Some(shown) = value["status"].as_u64() {
                        assert_eq!(shown.to_string(), *status, "{name} of {}", route.key());
                    }
                }
            }
        }
    }
    found
}

#[test]
fn every_example_is_as_its_schema_says() {
    let contract = Contract::read();
    for (at, schema, example) in examples_of_answers(&contract) {
        contract.validate(&at, &schema, &example);
    }
    for route in Route::ALL.into_iter().filter(|route| route.takes_body()) {
        let content = &contract.operation(route)["requestBody"]["content"]["application/json"];
        for example in content["examples"].as_object().expect("examples help").values() {
            contract.validate(&format!("request of {}", route.key()), &content["schema"], &example["value"]);
        }
    }
}

#[test]
fn everything_is_described() {
    let contract = Contract::read();
    let document = contract.document();
    for (path, item) in document["paths"].as_object().expect("there are paths") {
        for (method, operation) in item.as_object().expect("a path item").iter().filter(|(name, _)| is_method(name)) {
            assert!(operation["operationId"].is_string() && operation["summary"].is_string(), "{method} {path}");
            for (status, response) in operation["responses"].as_object().expect("responses") {
                assert!(contract.resolve(response)["description"].is_string(), "{method} {path} {status}");
            }
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        let request = name.ends_with("Request");
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let said = property["description"].is_string() || property["$ref"].is_string();
            let plain = property["enum"].is_array() || property["const"].is_string();
            assert!(said || plain || !request, "{name}.{field} is not described");
        }
    }
    assert!(document["components"]["securitySchemes"]["sigv4"].is_object());
}

#[tokio::test]
async fn every_documented_request_is_accepted() {
    let stage = Stage::new(&[("POOL_MAX", "8"), ("POOL_MIN_AVAILABLE", "8")]).await;
    let instance = stage.grow().await.remove(0);
    let lease = stage.lease(ANN).await.text("lease_id");
    for route in Route::ALL.into_iter().filter(|route| route.takes_body()) {
        let content = &stage.contract.operation(route)["requestBody"]["content"]["application/json"];
        for (name, example) in content["examples"].as_object().expect("examples help") {
            let request = Request::new(route).by(ANN).json(&example["value"]);
            let request = match route {
                Route::Renew => request.about(&lease),
                Route::Acquire | Route::OrderPool => request,
                Route::OrderInstance => request.about(instance.as_str()),
                _ => request.by_node(instance.as_str()),
            };
            let answer = stage.call(request).await;
            assert!(answer.status < 300, "{name} of {}: {answer:?}", route.key());
        }
    }
}

/// Requests that are refused the same way on every route that can refuse them so.
async fn refusals(stage: &Stage, instance: &InstanceId) {
    let broken = stage.without_table();
    for route in Route::ALL {
        let signed = |request: Request| match route {
            Route::Ready => request.by_node(instance.as_str()).json(&json!({"boot_id": 1})),
            Route::Heartbeat => request.by_node(instance.as_str()).json(&nodes::healthy()),
            Route::Look | Route::Renew | Route::Release | Route::ForceRelease => {
                request.by(ANN).about("0.AbCdEfGhIjKl")
            }
            Route::Instance => request.by(ANN).about(instance.as_str()),
            Route::OrderInstance => {
                request.by(ANN).about(instance.as_str()).json(&json!({"order": "drain", "reason": "it is slow"}))
            }
            Route::OrderPool => request.by(ANN).json(&json!({"paused": false, "reason": "it boots again"})),
            Route::Acquire | Route::Pool => request.by(ANN),
        };
        let request = || signed(Request::new(route));
        stage.call(request().unsigned()).await.is(403);
        stage.call_in(&broken, request()).await.is(503);
        if route.takes_body() {
            stage.call(request().text("[]")).await.is(400);
            stage.call(request().text(&"x".repeat(20_000))).await.is(413);
        }
        if route.key().contains("{id}") {
            stage.call(request().about("nonsense")).await.is(400);
        }
    }
}

/// What an operator is answered.
async fn operate(stage: &Stage, instance: &InstanceId, lease: &str, earlier: &str) {
    let order = |route| Request::new(route).by(BOB);
    stage.call(order(Route::OrderPool).json(&json!({"paused": true, "reason": "a broken image"}))).await.is(200);
    let drain = json!({"order": "drain", "reason": "it is slow"});
    stage.call(order(Route::OrderInstance).about("i-0fedcba9876543210").json(&drain)).await.is(404);
    stage.call(order(Route::ForceRelease).about(earlier)).await.is(409);
    stage.call(order(Route::ForceRelease).about(lease)).await.is(204);
    stage.call(order(Route::OrderInstance).about(instance.as_str()).json(&drain)).await.is(200);
}

#[tokio::test]
async fn every_documented_status_can_be_had() {
    let variables = [
        ("POOL_MAX", "1"),
        ("POOL_MIN_AVAILABLE", "1"),
        ("POOL_LEASE_TTL_SECONDS", "100"),
        ("POOL_LEASE_TTL_MAX_SECONDS", "100"),
    ];
    let stage = Stage::new(&variables).await;
    let unknown: InstanceId = "i-0fedcba9876543210".parse().expect("a sound id");
    stage.ready(&unknown).await.is(404);
    stage.heartbeat(&unknown).await.is(404);
    let instance = stage.grow().await.remove(0);
    stage.heartbeat(&instance).await.is(200);
    refusals(&stage, &instance).await;

    let first = stage.acquire_keyed(ANN, "job", &json!({})).await.text("lease_id");
    let waiting = stage.acquire(BOB, &json!({"wait_seconds": 60})).await;
    waiting.is(202);
    stage.release(BOB, &waiting.text("lease_id")).await.is(204);
    stage.clock.pass(1);
    stage.renew(ANN, &first, &json!({"ttl_seconds": 100})).await.is(409);
    stage.renew(ANN, &first, &json!({"ttl_seconds": 99})).await.is(200);
    stage.release(ANN, &first).await.is(204);
    let second = stage.acquire_keyed(ANN, "job", &json!({})).await;
    second.is(201);
    stage.release(ANN, &first).await.is(409);
    stage.look(ANN, &second.text("lease_id")).await.is(200);
    stage.look(ANN, "0.AbCdEfGhIjKl").await.is(404);
    stage.renew(ANN, "0.AbCdEfGhIjKl", &json!({})).await.is(404);
    stage.pool().await;
    stage.call(Request::new(Route::Pool).query("from_shard", "first")).await.is(400);
    stage.call(Request::new(Route::Instance).about(instance.as_str())).await.is(200);
    stage.call(Request::new(Route::Instance).about(unknown.as_str())).await.is(404);
    operate(&stage, &instance, &second.text("lease_id"), &first).await;

    let missing: Vec<_> = stage.contract.documented().difference(&stage.contract.seen()).cloned().collect();
    assert!(missing.is_empty(), "documented, but nothing answers it: {missing:?}");
}
