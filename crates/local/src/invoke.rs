//! Lambda's Invoke API, for `aws lambda invoke --endpoint-url …`
//! (<https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>).
//!
//! Rule: only `Invoke`; function names are those of the binaries, the SAM ids or ARNs of them.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
    routing::post,
};
use serde_json::json;

use crate::{
    clock,
    functions::{Failure, Function, Functions},
};

/// Lambda accepts payloads up to 6 MB.
const PAYLOAD_BYTES_MAX: usize = 6 * 1024 * 1024;

/// The Invoke API as a service.
pub fn router(functions: Arc<Functions>) -> Router {
    Router::new()
        .route("/2015-03-31/functions/{name}/invocations", post(invoke))
        .layer(DefaultBodyLimit::max(PAYLOAD_BYTES_MAX))
        .with_state(functions)
}

async fn invoke(
    State(functions): State<Arc<Functions>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    payload: Bytes,
) -> Response {
    let Some(function) = Function::named(&name) else {
        let known = Function::ALL.map(Function::name).join(", ");
        return refusal(
            StatusCode::NOT_FOUND,
            "ResourceNotFoundException",
            &format!("Function not found: {name}; there are {known}"),
        );
    };
    let payload = if payload.is_empty() { Bytes::from_static(b"{}") } else { payload };
    if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&payload) {
        let text = format!("Could not parse request body into json: {error}");
        return refusal(StatusCode::BAD_REQUEST, "InvalidRequestContentException", &text);
    }
    match headers.get("x-amz-invocation-type").map_or(&b"RequestResponse"[..], |kind| kind.as_bytes()) {
        b"RequestResponse" => match functions.invoke(function, payload).await {
            Ok(answer) => answered(StatusCode::OK, answer, None),
            Err(Failure::Throttled) => {
                refusal(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Rate Exceeded.")
            }
            Err(failure) => answered(StatusCode::OK, failure.document(), Some("Unhandled")),
        },
        b"Event" => {
            tokio::spawn(async move { functions.invoke_asynchronously(function, payload).await });
            answered(StatusCode::ACCEPTED, Bytes::new(), None)
        }
        b"DryRun" => answered(StatusCode::NO_CONTENT, Bytes::new(), None),
        _ => refusal(
            StatusCode::BAD_REQUEST,
            "InvalidParameterValueException",
            "X-Amz-Invocation-Type must be RequestResponse, Event or DryRun",
        ),
    }
}

fn answered(status: StatusCode, body: Bytes, function_error: Option<&str>) -> Response {
    let mut response = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-amzn-requestid", clock::request_id())
        .header("x-amz-executed-version", "$LATEST");
    if let Some(error) = function_error {
        response = response.header("x-amz-function-error", error);
    }
    response.body(Body::from(body)).unwrap_or_default()
}

fn refusal(status: StatusCode, kind: &str, text: &str) -> Response {
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-amzn-errortype", kind)
        .header("x-amzn-requestid", clock::request_id())
        .body(Body::from(json!({"Type": "User", "message": text, "Message": text}).to_string()))
        .unwrap_or_default()
}
