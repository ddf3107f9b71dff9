//! `DELETE /v1/leases/{id}`: giving a lease back, or giving up waiting. Safe to repeat.
//!
//! One request to the table, two when the instance is handed over to someone who waits.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use pool_core::answer::{Refusal, Step};
use pool_core::ids::LeaseId;
use pool_core::release;
use pool_function::environment::Environment;
use pool_function::problem::{self, Problem};
use pool_function::{caller, request, response, steps};

/// Answers one request.
pub async fn handle(environment: &Environment, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
    problem::answer(match request::route(&event) {
        "DELETE /v1/leases/{id}" => give_back(environment, &event).await,
        other => Err(Problem::not_found(format!("release does not answer {other:?}."))),
    })
}

async fn give_back(
    environment: &Environment,
    event: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let owner = caller::owner(event)?;
    let id: LeaseId = request::id(event)?;
    let policy = &environment.settings.policy;
    let first = match release::release_unseen(&id, &owner, policy, environment.now()) {
        Some(write) => Step::Try(write),
        None => match environment.store.read(id.shard).await? {
            Some(seen) => release::release(&id, &owner, &seen, policy, environment.now()),
            None => Step::Ended,
        },
    };
    let step = steps::carry_out(environment, id.shard, first, |seen, _| {
        release::release(&id, &owner, seen, policy, environment.now())
    });
    match step.await? {
        // A shard that was never made holds no lease, and what is not there is given back.
        Step::Ended | Step::Lease(_) | Step::Refuse(Refusal::NoPool) => {
            tracing::info!(lease = %id, cause = "release", "answered");
            Ok(response::empty(204))
        }
        Step::Refuse(refusal) => Err(Problem::refused(refusal, 0)),
        Step::Try(_) => Err(Problem::contended()),
    }
}
