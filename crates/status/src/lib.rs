//! `GET /v1/pool` and `GET /v1/instances/{id}`: the pool as one picture, and one instance's history with causes. Only
//! reads.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use pool_core::ids::{InstanceId, ShardNo};
use pool_core::snapshot::Snapshot;
use pool_core::status;
use pool_function::environment::Environment;
use pool_function::problem::{self, Problem};
use pool_function::{caller, request, response};

/// The query parameter that asks for another page than the first.
const FROM_SHARD: &str = "from_shard";

/// Answers one request.
pub async fn handle(environment: &Environment, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
    problem::answer(match request::route(&event) {
        "GET /v1/pool" => pool(environment, &event).await,
        "GET /v1/instances/{id}" => instance(environment, &event).await,
        other => Err(Problem::not_found(format!("status does not answer {other:?}."))),
    })
}

async fn pool(environment: &Environment, event: &ApiGatewayV2httpRequest) -> Result<ApiGatewayV2httpResponse, Problem> {
    caller::owner(event)?;
    let from_shard = from_shard(event)?;
    let control = environment.store.control().await?.unwrap_or_default();
    let shards = environment.store.read_all(control.layout.shards_made, true).await?;
    let (policy, now) = (&environment.settings.policy, environment.now());
    let seen = Snapshot { shards: &shards, control: &control, records: &[], policy, now };
    Ok(response::json(200, &status::pool(&environment.settings.pool, seen, from_shard), None))
}

/// The shard with which the wanted page begins, 0 when none is named.
fn from_shard(event: &ApiGatewayV2httpRequest) -> Result<ShardNo, Problem> {
    // A parameter that is sent twice comes as two values.
    let Some(named) = event.query_string_parameters.all(FROM_SHARD) else { return Ok(0) };
    let named = named.join(",");
    let is_plain = named.bytes().all(|byte| byte.is_ascii_digit());
    named.parse().ok().filter(|_| is_plain).ok_or_else(|| {
        let shown: String = named.chars().take(80).collect();
        Problem::bad_request(format!("{FROM_SHARD} is {shown:?}; use the next_shard of the page before."))
    })
}

async fn instance(
    environment: &Environment,
    event: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    caller::owner(event)?;
    let id: InstanceId = request::id(event)?;
    let control = environment.store.control().await?.unwrap_or_default();
    let shards = environment.store.read_all(control.layout.shards_made, true).await?;
    let record = environment.store.instance(&id).await?;
    let unknown = || Problem::not_found(format!("The pool has never seen {id}, or forgot it after a week."));
    let story = status::story(&shards, &control, record, &id).ok_or_else(unknown)?;
    Ok(response::json(200, &story, None))
}
