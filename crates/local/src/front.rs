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

use crate::{
    clock,
    functions::{Failure, Functions},
    gateway::{self, Context},
    identity::Principal,
    routes,
};

/// API Gateway accepts bodies up to 10 MB.
const BODY_BYTES_MAX: usize = 10 * 1024 * 1024;

/// The front as a service; serve it with connection info, for the callers' addresses.
pub fn router(functions: Arc<Functions>) -> Router {
    Router::new().fallback(answer).with_state(functions)
}

async fn answer(
    State(functions): State<Arc<Functions>>,
    ConnectInfo(source): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let request_id = clock::request_id();
    let (request, body) = request.into_parts();
    let Some(matched) = routes::find(request.method.as_str(), request.uri.path()) else {
        return gateway::message(StatusCode::NOT_FOUND, "Not Found", &request_id);
    };
    let Ok(principal) = Principal::of_header(request.headers.get(header::AUTHORIZATION)) else {
        return gateway::message(StatusCode::FORBIDDEN, "Forbidden", &request_id);
    };
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        let mut refusal = gateway::message(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large", &request_id);
        // The rest of the body is not read, so the connection cannot carry another request.
        refusal.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return refusal;
    };
    let context =
        Context { principal: &principal, source_ip: source.ip(), request_id: &request_id, now_ms: clock::now_ms() };
    let event = gateway::event(&matched, &request, &body, &context);
    match functions.send(matched.route.function, &event).await {
        Ok(answer) => gateway::response(&answer, &request_id).unwrap_or_else(|| {
            gateway::message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error", &request_id)
        }),
        Err(failure) => {
            let (status, text) = refusal(&failure);
            gateway::message(status, text, &request_id)
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
