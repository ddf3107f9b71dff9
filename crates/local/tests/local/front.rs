//! API Gateway's part: what functions receive, what callers get back, and who callers are.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use pool_local::{functions::Settings, identity};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::stage::{Directory, Stage, pid_in, signal};

async fn call(stage: &Stage, method: Method, path: &str, body: impl Into<reqwest::Body>) -> Response {
    stage.http.request(method, format!("{}{path}", stage.api)).body(body).send().await.expect("an answer")
}

async fn json_of(response: Response) -> Value {
    serde_json::from_slice(&response.bytes().await.expect("a body")).expect("JSON")
}

#[tokio::test]
async fn a_request_becomes_an_event_of_format_two() {
    let stage = Stage::new(Settings::default()).await;
    let request = stage
        .http
        .post(format!("{}/v1/leases/a%2Fb/renew?x=1&x=2&y=%20z", stage.api))
        .header("Idempotency-Key", "k1")
        .header("X-Twice", "one")
        .header("X-Twice", "two")
        .header("Cookie", "a=b; c=d")
        .header("User-Agent", "test")
        .header("Authorization", identity::unverified_header("caller-a"))
        .body(r#"{"ttl_seconds":60}"#);
    let answer = json_of(request.send().await.expect("an answer")).await;
    let event = &answer["event"];
    for (pointer, want) in [
        ("/version", json!("2.0")),
        ("/routeKey", json!("POST /v1/leases/{id}/renew")),
        ("/rawPath", json!("/v1/leases/a%2Fb/renew")),
        ("/rawQueryString", json!("x=1&x=2&y=%20z")),
        ("/queryStringParameters", json!({"x": "1,2", "y": " z"})),
        ("/pathParameters", json!({"id": "a/b"})),
        ("/cookies", json!(["a=b", "c=d"])),
        ("/headers/idempotency-key", json!("k1")),
        ("/headers/x-twice", json!("one,two")),
        ("/body", json!(r#"{"ttl_seconds":60}"#)),
        ("/isBase64Encoded", json!(false)),
        ("/requestContext/http/method", json!("POST")),
        ("/requestContext/http/path", json!("/v1/leases/a%2Fb/renew")),
        ("/requestContext/http/protocol", json!("HTTP/1.1")),
        ("/requestContext/http/sourceIp", json!("127.0.0.1")),
        ("/requestContext/http/userAgent", json!("test")),
        ("/requestContext/routeKey", json!("POST /v1/leases/{id}/renew")),
        ("/requestContext/stage", json!("$default")),
        ("/requestContext/authorizer/iam/accessKey", json!("caller-a")),
        ("/requestContext/authorizer/iam/accountId", json!("000000000000")),
        ("/requestContext/authorizer/iam/userId", json!("caller-a")),
    ] {
        assert_eq!(event.pointer(pointer), Some(&want), "{pointer}");
    }
    assert!(event.pointer("/headers/cookie").is_none());
    let typed: ApiGatewayV2httpRequest =
        serde_json::from_value(event.clone()).expect("the type that the functions use");
    let iam = typed.request_context.authorizer.and_then(|authorizer| authorizer.iam).expect("the IAM part");
    assert_eq!(iam.user_id.as_deref(), Some("caller-a"));
    stage.functions.stop().await;
}

#[tokio::test]
async fn what_does_not_apply_is_absent_and_bytes_are_base64() {
    let stage = Stage::new(Settings::default()).await;
    let event = json_of(call(&stage, Method::GET, "/v1/pool", "").await).await["event"].take();
    for absent in ["body", "cookies", "queryStringParameters", "pathParameters"] {
        assert!(event.get(absent).is_none(), "{absent}");
    }
    assert_eq!(event.pointer("/requestContext/authorizer/iam/userId"), Some(&json!("local")));

    let event = json_of(call(&stage, Method::POST, "/v1/leases", vec![0xff, 0x00]).await).await["event"].take();
    assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("/wA="), &json!(true)));
    stage.functions.stop().await;
}

#[tokio::test]
async fn nodes_have_the_role_of_nodes_and_malformed_headers_are_forbidden() {
    let stage = Stage::new(Settings::default()).await;
    let get = async |authorization: &str| {
        let request = stage.http.get(format!("{}/v1/pool", stage.api)).header("authorization", authorization);
        request.send().await.expect("an answer")
    };
    let event = json_of(get(&identity::unverified_header("i-0123")).await).await["event"].take();
    assert_eq!(event.pointer("/requestContext/authorizer/iam/userId"), Some(&json!("AROALOCALNODEROLE0000:i-0123")));
    let answer = get("Bearer token").await;
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    assert_eq!(json_of(answer).await, json!({"message": "Forbidden"}));
    stage.functions.stop().await;
}

#[tokio::test]
async fn the_function_s_answer_comes_back() {
    let stage = Stage::new(Settings::default()).await;
    let answer = async |answer: Value| {
        let order = json!({"do": "answer", "answer": answer}).to_string();
        call(&stage, Method::POST, "/v1/leases", order).await
    };
    let full = answer(json!({
        "statusCode": 202,
        "headers": {"Retry-After": "3", "content-type": "application/problem+json"},
        "cookies": ["a=b", "c=d"],
        "body": "aGk=",
        "isBase64Encoded": true,
    }))
    .await;
    assert_eq!(full.status(), StatusCode::ACCEPTED);
    assert_eq!(full.headers()["retry-after"], "3");
    assert_eq!(full.headers()["content-type"], "application/problem+json");
    assert_eq!(full.headers().get_all("set-cookie").iter().count(), 2);
    assert_eq!(full.text().await.expect("a body"), "hi");

    let bare = answer(json!({"free": 3})).await;
    assert_eq!(bare.status(), StatusCode::OK);
    assert_eq!(json_of(bare).await, json!({"free": 3}));

    let nonsense = answer(json!({"statusCode": "many"})).await;
    assert_eq!(nonsense.status(), StatusCode::INTERNAL_SERVER_ERROR);
    stage.functions.stop().await;
}

#[tokio::test]
async fn refusals_are_api_gateway_s_own() {
    let stage = Stage::new(Settings::default()).await;
    let unknown = call(&stage, Method::GET, "/v2/leases", "").await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    assert_eq!(json_of(unknown).await, json!({"message": "Not Found"}));

    let failed = call(&stage, Method::POST, "/v1/leases", r#"{"do":"fail"}"#).await;
    assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(json_of(failed).await, json!({"message": "Internal Server Error"}));

    // Its length is announced, so the refusal comes before the body is sent.
    let huge = call(&stage, Method::POST, "/v1/leases", vec![b' '; 10 * 1024 * 1024 + 1]).await;
    assert_eq!(huge.status(), StatusCode::PAYLOAD_TOO_LARGE);
    stage.functions.stop().await;
}

#[tokio::test]
async fn a_process_killed_with_a_request_in_hand_is_a_bad_gateway() {
    let stage = Stage::new(Settings::default()).await;
    let meeting = Directory::new();
    let order = Stage::forever(&meeting).to_string();
    let (answer, ()) = tokio::join!(call(&stage, Method::POST, "/v1/leases", order), async {
        signal("-KILL", pid_in(&meeting).await);
    });
    assert_eq!(answer.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(call(&stage, Method::GET, "/v1/pool", "").await.status(), StatusCode::OK);
    stage.functions.stop().await;
}
