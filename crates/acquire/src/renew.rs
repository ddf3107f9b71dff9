//! `POST /v1/leases/{id}/renew`.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use pool_core::acquire::{self, Renewal};
use pool_core::answer::{Refusal, Step};
use pool_core::shard::Transition;
use pool_function::environment::Environment;
use pool_function::problem::Problem;
use pool_function::{caller, request, steps};

use crate::{lease_response, spread};

/// Prolongs a lease.
pub(crate) async fn handle(
    environment: &Environment,
    event: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let owner = caller::owner(event)?;
    let id = request::id(event)?;
    let mut body = request::body(event)?;
    let ttl_seconds = body.whole("ttl_seconds")?;
    body.end()?;
    let policy = &environment.settings.policy;
    if let Some(ttl_seconds) = ttl_seconds {
        request::within("ttl_seconds", ttl_seconds, 1, policy.lease_ttl_max_seconds)?;
    }
    let renewal = Renewal { owner, id, ttl_seconds };
    let first = match acquire::renew_unseen(&renewal, environment.now()) {
        Some(write) => Step::Try(write),
        None => match environment.store.read(renewal.id.shard).await? {
            Some(seen) => acquire::renew(&renewal, &seen, false, policy, environment.now()),
            None => Step::Refuse(Refusal::NotThere),
        },
    };
    let step = steps::carry_out(environment, renewal.id.shard, first, |seen, accepted| {
        let done = matches!(accepted, Some(Transition::Renew { .. } | Transition::Confirm { .. }));
        acquire::renew(&renewal, seen, done, policy, environment.now())
    });
    match step.await? {
        Step::Lease(lease) => Ok(lease_response(environment, lease, false).await),
        // A lease id that names a shard which was never made names no lease.
        Step::Refuse(Refusal::NoPool) => Err(Problem::refused(Refusal::NotThere, 0)),
        Step::Refuse(refusal) => Err(Problem::refused(refusal, spread(&renewal.id.token))),
        Step::Try(_) | Step::Ended => Err(Problem::contended()),
    }
}
