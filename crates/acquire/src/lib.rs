//! `POST /v1/leases`, `GET /v1/leases/{id}`, `POST /v1/leases/{id}/renew`: asking for a lease, looking at it, renewing it.
//!
//! A grant and a renewal are one request to the table. Waiting takes two, and a poll reads the shard once.

mod ask;
mod look;
mod renew;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use pool_core::answer::{Lease, LeaseState};
use pool_core::ids::Token;
use pool_function::environment::Environment;
use pool_function::problem::{self, Problem};
use pool_function::{request, response};

/// Answers one request.
pub async fn handle(environment: &Environment, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
    let answered = match request::route(&event) {
        "POST /v1/leases" => ask::handle(environment, &event).await,
        "GET /v1/leases/{id}" => look::handle(environment, &event).await,
        "POST /v1/leases/{id}/renew" => renew::handle(environment, &event).await,
        other => Err(Problem::not_found(format!("acquire does not answer {other:?}."))),
    };
    problem::answer(answered)
}

/// A lease as a response; `created` for the answer to `POST /v1/leases`. One that waits is told when it can expect an
/// instance, or nothing about that when it cannot be looked up.
async fn lease_response(environment: &Environment, mut lease: Lease, created: bool) -> ApiGatewayV2httpResponse {
    let pending = lease.state == LeaseState::Pending;
    if pending {
        match environment.expectations().await {
            Ok(expectations) => lease.estimate(&expectations),
            Err(error) => tracing::warn!(%error, cause = "a request waits", "no estimate"),
        }
    }
    let status = match (created, pending) {
        (true, true) => 202,
        (true, false) => 201,
        (false, _) => 200,
    };
    let retry_after = pending.then(|| ("retry-after", "1".to_owned()));
    let location = created.then(|| ("location", format!("/v1/leases/{}", lease.lease_id)));
    response::json(status, &lease, retry_after.into_iter().chain(location))
}

/// A number that differs between requests, to spread their retries.
fn spread(token: &Token) -> u64 {
    token.as_str().bytes().map(u64::from).sum()
}
