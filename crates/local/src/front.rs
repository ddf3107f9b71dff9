//! The HTTP front: stands in for an API Gateway HTTP API with an IAM authorizer.
//!
//! Rule: it decides nothing about leases. A request becomes an event for the function of its route, and what the function answers goes
//! back as it is; the front's own answers are those that API Gateway would give.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    http::{HeaderValue, StatusCode, header},
    response::Response,
};
use serde_json::json;

use crate::{
    clock,
    functions::{Failure, Functions},
    gateway::{self, Context},
    identity::Principal,
    logs::Logs,
    routes::{self, Matched},
};

/// API Gateway accepts bodies up to 10 MB.
const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;

/// The front as a service; serve it with connection info, for the callers' addresses.
pub fn router(functions: Arc<Functions>, logs: Arc<Logs>) -> Router {
    Router::new().fallback(logged).with_state(Front { functions, logs })
}

#[derive(Clone)]
struct Front {
    functions: Arc<Functions>,
    logs: Arc<Logs>,
}

/// Answers, and writes the access log with the fields that `template.yaml` has API Gateway write.
async fn logged(
    State(front): State<Front>,
    ConnectInfo(source): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (request_id, began_ms) = (clock::request_id(), clock::now_ms());
    let path = request.uri().path().to_owned();
    let matched = routes::find(request.method().as_str(), &path);
    let caller = Principal::of_header(request.headers().get(header::AUTHORIZATION)).ok();
    let response = match (&matched, &caller) {
        (None, _) => gateway::message(StatusCode::NOT_FOUND, "Not Found", &request_id),
        (_, None) => gateway::message(StatusCode::FORBIDDEN, "Forbidden", &request_id),
        (Some(matched), Some(caller)) => answer(&front.functions, matched, caller, source, request, &request_id).await,
    };
    let line = json!({
        "trace_id": request_id,
        "time": began_ms.to_string(),
        "route": matched.map(|matched| matched.route.key),
        "path": path,
        "status": response.status().as_str(),
        "latency_ms": clock::now_ms().saturating_sub(began_ms).to_string(),
        "caller": caller.as_ref().map(Principal::name),
    });
    front.logs.keep("api", &line.to_string());
    response
}

async fn answer(
    functions: &Functions,
    matched: &Matched,
    principal: &Principal,
    source: SocketAddr,
    request: Request,
    request_id: &str,
) -> Response {
    let (request, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        let mut refusal = gateway::message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large", request_id);
        // The rest of the body is not read, so the connection cannot carry another request.
        refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return refusal;
    };
    let context = Context { principal, source_ip: source.ip(), request_id, now_ms: clock::now_ms() };
    let event = gateway::event(matched, &request, &body, &context);
    match functions.send(matched.route.function, &event).await {
        Ok(answer) => gateway::response(&answer, request_id).unwrap_or_else(|| {
            gateway::message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error", request_id)
        }),
        Err(failure) => {
            let (status, text) = refusal(&failure);
            gateway::message(status, text, request_id)
        }
    }
}

/// What API Gateway says about a function that brought no answer. A process that died is 502, so that a caller (and a test) can tell it
/// from a function that reported an error.
fn refusal(failure: &Failure) -> (StatusCode, &'static str) {
    match failure {
        Failure::Function(_) | Failure::Init(_) => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
        Failure::Exited(_) | Failure::Stopped => (StatusCode::BAD_GATEWAY, "Bad Gateway"),
        Failure::TimedOut(_) | Failure::Throttled => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    }
}
