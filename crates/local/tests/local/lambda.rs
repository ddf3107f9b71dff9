//! Lambda's part: environments are used again, started on demand, replaced when they die, and gone after a stop.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::body::Bytes;
use pool_local::functions::{Failure, Function, Settings};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::stage::{Directory, Stage, exists, is_alive, pid_in, signal, wait_for};

#[tokio::test]
async fn an_idle_environment_is_used_again() {
    let stage = Stage::with_variables(Settings::default(), &[("POOL_TABLE", "my-table")]).await;
    let first = stage.status(&json!({"hello": "world"})).await;
    let second = stage.status(&json!({})).await;
    assert_eq!(first["event"], json!({"hello": "world"}));
    assert_eq!(first["table"], "my-table");
    assert_eq!(first["pid"], second["pid"]);
    stage.functions.stop().await;
}

#[tokio::test]
async fn invocations_at_once_get_environments_of_their_own() {
    let stage = Stage::new(Settings::default()).await;
    let meeting = Directory::new();
    let order = json!({"do": "meet", "directory": meeting.0, "count": 4});
    // None of them answers before all four run, so this ends only if they run at once.
    let (a, b, c, d) =
        tokio::join!(stage.status(&order), stage.status(&order), stage.status(&order), stage.status(&order));
    let pids: BTreeSet<_> = [a, b, c, d].iter().filter_map(|answer| answer["pid"].as_u64()).collect();
    assert_eq!(pids.len(), 4);
    stage.functions.stop().await;
}

#[tokio::test]
async fn environments_beside_the_first_end_when_idle() {
    let stage = Stage::new(Settings { idle_limit: Duration::from_millis(50), ..Settings::default() }).await;
    let meeting = Directory::new();
    let order = json!({"do": "meet", "directory": meeting.0, "count": 3});
    tokio::join!(stage.status(&order), stage.status(&order), stage.status(&order));
    let pids: Vec<u32> = meeting.names().iter().map(|name| name.parse().expect("a process id")).collect();
    wait_for("all but one to end", || (pids.iter().filter(|pid| is_alive(**pid)).count() == 1).then_some(())).await;
    stage.functions.stop().await;
}

#[tokio::test]
async fn beyond_the_concurrency_an_invocation_waits_its_turn() {
    let stage = Stage::new(Settings { concurrency: 1, ..Settings::default() }).await;
    let order = json!({});
    let (a, b) = tokio::join!(stage.status(&order), stage.status(&order));
    assert_eq!(a["pid"], b["pid"]);
    stage.functions.stop().await;
}

#[tokio::test]
async fn a_killed_process_fails_its_invocation_and_is_replaced() {
    let stage = Stage::new(Settings::default()).await;
    let meeting = Directory::new();
    let functions = Arc::clone(&stage.functions);
    let order = Stage::forever(&meeting);
    let running = tokio::spawn(async move { functions.send(Function::Status, &order).await });
    let pid = pid_in(&meeting).await;
    signal("-KILL", pid);
    let failure = running.await.expect("no panic").expect_err("its process was killed");
    assert!(matches!(failure, Failure::Exited(_)), "{failure}");
    assert_ne!(stage.status(&json!({})).await["pid"], pid);
    stage.functions.stop().await;
}

#[tokio::test]
async fn a_process_killed_while_idle_costs_no_invocation() {
    let stage = Stage::new(Settings::default()).await;
    for _ in 0..5 {
        let pid = stage.status(&json!({})).await["pid"]
            .as_u64()
            .and_then(|pid| u32::try_from(pid).ok())
            .expect("a process id");
        signal("-KILL", pid);
        wait_for("its owner to notice", || (!exists(pid)).then_some(())).await;
        assert_ne!(stage.status(&json!({})).await["pid"], pid);
    }
    stage.functions.stop().await;
}

#[tokio::test]
async fn a_time_out_kills_the_process() {
    let stage = Stage::new(Settings { http_limit: Duration::from_millis(500), ..Settings::default() }).await;
    stage.functions.warm().await.expect("the actor starts");
    let meeting = Directory::new();
    let failure = stage.functions.send(Function::Status, &Stage::forever(&meeting)).await.expect_err("it never ends");
    assert!(matches!(failure, Failure::TimedOut(_)), "{failure}");
    let pid = pid_in(&meeting).await;
    wait_for("the process to be killed", || (!is_alive(pid)).then_some(())).await;
    stage.functions.stop().await;
}

#[tokio::test]
async fn a_function_that_does_not_start_says_so() {
    let stage = Stage::with_variables(Settings::default(), &[("POOL_ACTOR_DIES", "1")]).await;
    let failure = stage.functions.warm().await.expect_err("it dies at start");
    assert!(matches!(failure, Failure::Init(_)), "{failure}");
    stage.functions.stop().await;
}

#[tokio::test]
async fn a_stop_ends_running_invocations_and_leaves_no_process() {
    let stage = Stage::new(Settings::default()).await;
    stage.functions.warm().await.expect("the actor starts");
    let idle =
        stage.status(&json!({})).await["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process id");
    let meeting = Directory::new();
    let functions = Arc::clone(&stage.functions);
    let order = Stage::forever(&meeting);
    let running = tokio::spawn(async move { functions.send(Function::Acquire, &order).await });
    let busy = pid_in(&meeting).await;
    stage.functions.stop().await;
    assert!(matches!(running.await.expect("no panic"), Err(Failure::Stopped)));
    assert!(!is_alive(idle) && !is_alive(busy));
    assert!(matches!(stage.functions.send(Function::Status, &json!({})).await, Err(Failure::Stopped)));
}

#[tokio::test]
async fn the_invoke_api_answers_like_lambda() {
    let stage = Stage::new(Settings::default()).await;
    let invoke = async |name: &str, kind: &str, payload: String| {
        let url = format!("{}/2015-03-31/functions/{name}/invocations", stage.lambda);
        let answer =
            stage.http.post(url).header("x-amz-invocation-type", kind).body(payload).send().await.expect("an answer");
        let error = answer.headers().get("x-amz-function-error").map(|value| value.to_str().expect("text").to_owned());
        let status = answer.status();
        let body: Value = serde_json::from_slice(&answer.bytes().await.expect("a body")).unwrap_or_default();
        (status, error, body)
    };
    let (status, error, body) = invoke("ReapIdle", "RequestResponse", json!({"a": 1}).to_string()).await;
    assert_eq!((status, error, &body["event"]), (StatusCode::OK, None, &json!({"a": 1})));

    let (status, error, body) = invoke("reap-idle", "RequestResponse", json!({"do": "fail"}).to_string()).await;
    assert_eq!((status, error.as_deref()), (StatusCode::OK, Some("Unhandled")));
    assert_eq!(body["errorMessage"], "told to fail");

    let meeting = Directory::new();
    let order = json!({"do": "meet", "directory": meeting.0, "count": 1}).to_string();
    let (status, _, body) = invoke("scale", "Event", order).await;
    assert_eq!((status, body), (StatusCode::ACCEPTED, Value::Null));
    pid_in(&meeting).await;

    assert_eq!(invoke("nobody", "RequestResponse", String::new()).await.0, StatusCode::NOT_FOUND);
    assert_eq!(invoke("scale", "RequestResponse", "{".to_owned()).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(invoke("scale", "Sometimes", String::new()).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(invoke("scale", "DryRun", String::new()).await.0, StatusCode::NO_CONTENT);
    stage.functions.stop().await;
}

#[tokio::test]
async fn failure_16_an_asynchronous_invocation_that_fails_is_tried_twice_more() {
    let settings =
        Settings { retry_pauses: [Duration::from_millis(1), Duration::from_millis(2)], ..Settings::default() };
    let diary = Directory::new();
    let variables = [("POOL_ACTOR_DIARY", diary.0.to_str().expect("a plain path"))];
    let stage = Stage::with_variables(settings, &variables).await;
    let order = Bytes::from(json!({"do": "fail"}).to_string());
    stage.functions.invoke_asynchronously(Function::Scale, order).await;
    assert_eq!(diary.names().len(), 3);
    let order = Bytes::from(json!({"do": "answer", "answer": 1}).to_string());
    stage.functions.invoke_asynchronously(Function::Scale, order).await;
    assert_eq!(diary.names().len(), 4, "what succeeded is not repeated");
    stage.functions.stop().await;
}
