//! The operator's verbs, under `/v1/operator`: the whole pool, one instance, one lease.
//!
//! They have a path of their own so that IAM can give them to other people than those who lease. Each says why, and the
//! reason is kept where it shows: in the pool's status, or in the history of the instance. Each may be repeated.

mod instance;
mod pool;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use pool_core::answer::{Refusal, Step};
use pool_core::control::Control;
use pool_core::ids::LeaseId;
use pool_core::operate;
use pool_function::environment::Environment;
use pool_function::fields::{Fields, required};
use pool_function::problem::{self, Problem};
use pool_function::{caller, request, response, steps};

/// The longest reason, in characters.
const REASON_MAX: usize = 200;

/// Times that one order is written at most, while others write the control record.
const WRITES_MAX: usize = 8;

/// Answers one request.
pub async fn handle(environment: &Environment, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
    problem::answer(match request::route(&event) {
        "POST /v1/operator/pool" => pool::order(environment, &event).await,
        "POST /v1/operator/instances/{id}" => instance::order(environment, &event).await,
        "DELETE /v1/operator/leases/{id}" => release(environment, &event).await,
        other => Err(Problem::not_found(format!("operate does not answer {other:?}."))),
    })
}

/// Ends a lease or a wait, whoever holds it.
async fn release(
    environment: &Environment,
    event: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let operator = caller::operator(event, &environment.settings)?;
    let id: LeaseId = request::id(event)?;
    let policy = &environment.settings.policy;
    let Some(seen) = environment.store.read(id.shard).await? else { return Ok(response::empty(204)) };
    let instance = seen.leases.get(&id.token).cloned();
    let first = operate::release(&id, &seen, policy, environment.now());
    let next = |seen: &_, _: Option<&_>| operate::release(&id, seen, policy, environment.now());
    match steps::carry_out(environment, id.shard, first, next).await? {
        Step::Ended | Step::Lease(_) | Step::Refuse(Refusal::NoPool) => {
            tracing::warn!(lease = %id, operator, cause = "the operator ended it", "released");
            if let Some(instance) = instance {
                let why = format!("the operator {operator} ended the lease");
                environment.store.note(&instance, Some(id.shard), "force-release", &why, environment.now()).await?;
            }
            Ok(response::empty(204))
        }
        Step::Refuse(refusal) => Err(Problem::refused(refusal, 0)),
        Step::Try(_) => Err(Problem::contended()),
    }
}

/// The reason of an order, in the operator's words.
fn reason(body: &mut Fields) -> Result<String, Problem> {
    let reason = required("reason", body.text("reason")?)?;
    let length = reason.chars().count();
    // U+FEFF is white space to JavaScript, and so to the pattern of the OpenAPI file, and not to Unicode.
    let blank = reason.chars().all(|c| c.is_whitespace() || c == '\u{feff}');
    if blank || length > REASON_MAX || reason.chars().any(char::is_control) {
        return Err(Problem::bad_request(format!(
            "reason says in one line of 1 to {REASON_MAX} characters why; it has {length}."
        )));
    }
    Ok(reason)
}

/// Writes the control record as `change` makes it of the present one; true when that changes something.
async fn write_control(
    environment: &Environment,
    change: impl Fn(&Control) -> Result<Control, Problem>,
) -> Result<(Control, bool), Problem> {
    for _ in 0..WRITES_MAX {
        let control = environment.store.control().await?.unwrap_or_default();
        let next = change(&control)?;
        if next == control {
            return Ok((next, false));
        }
        if environment.store.put_control(&next).await? {
            return Ok((next, true));
        }
    }
    Err(Problem::contended())
}
