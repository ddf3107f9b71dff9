//! `GET /v1/leases/{id}`, and waiting while a request holds the line.

use std::time::Duration;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use pool_core::acquire;
use pool_core::answer::{Lease, LeaseState, Refusal, Step};
use pool_core::ids::{LeaseId, Owner};
use pool_function::environment::Environment;
use pool_function::problem::Problem;
use pool_function::{caller, request, steps};

use crate::{ask, lease_response, spread};

/// Pause between two looks of a held request.
const POLL_PAUSE: Duration = Duration::from_millis(500);

/// Answers the lease as it is. A hand-over is confirmed by it.
pub(crate) async fn handle(
    environment: &Environment,
    event: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let owner = caller::owner(event)?;
    let id: LeaseId = request::id(event)?;
    let lease = look(environment, &owner, &id).await?;
    if lease.state != LeaseState::Pending {
        return Ok(lease_response(environment, lease, false).await);
    }
    environment.wake_scale("a request still waits").await;
    let lease = hold(environment, &owner, lease, request::prefer_wait_seconds(event)).await?;
    Ok(lease_response(environment, lease, false).await)
}

/// Looks once. A request that still waits while another shard has something free gets it brought.
async fn look(environment: &Environment, owner: &Owner, id: &LeaseId) -> Result<Lease, Problem> {
    let lease = look_at_home(environment, owner, id).await?;
    if lease.state != LeaseState::Pending || environment.layout().await?.shards_made < 2 {
        return Ok(lease);
    }
    if ask::serve_from_elsewhere(environment, id.shard).await {
        return look_at_home(environment, owner, id).await;
    }
    Ok(lease)
}

async fn look_at_home(environment: &Environment, owner: &Owner, id: &LeaseId) -> Result<Lease, Problem> {
    let policy = &environment.settings.policy;
    let not_there = || Problem::refused(Refusal::NotThere, spread(&id.token));
    let seen = environment.store.read(id.shard).await?.ok_or_else(not_there)?;
    environment.learn(&seen);
    let first = acquire::look(id, owner, &seen, policy, environment.now());
    let next = |seen: &_, _: Option<&_>| acquire::look(id, owner, seen, policy, environment.now());
    match steps::carry_out(environment, id.shard, first, next).await? {
        Step::Lease(lease) => Ok(lease),
        Step::Refuse(refusal) => Err(Problem::refused(refusal, spread(&id.token))),
        Step::Try(_) | Step::Ended => Err(Problem::contended()),
    }
}

/// Holds the answer until the lease is active or `wait_seconds` have passed.
pub(crate) async fn hold(
    environment: &Environment,
    owner: &Owner,
    mut lease: Lease,
    wait_seconds: u64,
) -> Result<Lease, Problem> {
    let until = environment.now() + wait_seconds;
    while lease.state == LeaseState::Pending && environment.now() < until {
        tokio::time::sleep(POLL_PAUSE).await;
        let id: LeaseId = lease.lease_id.parse().map_err(|_| Problem::contended())?;
        lease = look(environment, owner, &id).await?;
    }
    Ok(lease)
}
