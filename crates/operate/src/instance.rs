//! `POST /v1/operator/instances/{id}`: cordon an instance, or drain it.
//!
//! Both take it out of service, a leased one after its lease, and there is no way back: what is not in service is not
//! trusted to be as it was. A cordoned one is kept running, to be looked at, until it is drained.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use pool_core::control::Control;
use pool_core::ids::InstanceId;
use pool_core::operate::{self, CORDONED_MAX};
use pool_core::register;
use pool_core::shard::Shard;
use pool_core::status;
use pool_function::environment::Environment;
use pool_function::fields::required;
use pool_function::problem::Problem;
use pool_function::{caller, request, response, steps};
use pool_store::Written;

use crate::{reason, write_control};

/// Writes that one order makes at most.
const WRITES_MAX: usize = 8;

/// Carries out one order, and answers the instance as it is then.
pub(crate) async fn order(
    environment: &Environment,
    event: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let operator = caller::operator(event, &environment.settings)?;
    let instance: InstanceId = request::id(event)?;
    let mut body = request::body(event)?;
    let why = reason(&mut body)?;
    let order = required("order", body.text("order")?)?;
    body.end()?;
    let is_cordon = match order.as_str() {
        "cordon" => true,
        "drain" => false,
        _ => return Err(Problem::bad_request("order is cordon or drain.")),
    };
    let shard = shard_of(environment, &instance).await?;
    let now = environment.now();
    // The instance is kept before it is withdrawn, so that no run terminates it in between.
    let control = write_control(environment, |control| {
        operate::cordoned(control, &instance, is_cordon.then_some(&why), now).ok_or_else(|| {
            Problem::bad_request(format!("{CORDONED_MAX} instances are cordoned already; drain some of them first."))
        })
    });
    let (control, kept_or_freed) = control.await?;
    let (shard, withdrawn) = withdraw(environment, shard, &instance, &why).await?;
    // An order that is in force already leaves no second line in the history.
    if kept_or_freed || withdrawn {
        tracing::warn!(%instance, operator, cause = why, order, "the operator decided");
        let told = format!("the operator {operator}: {why}");
        environment.store.note(&instance, Some(shard.number), &order, &told, now).await?;
        environment.wake_scale("the operator withdrew an instance").await;
    }
    answer(&shard, &control, &instance)
}

/// Takes the instance out of service, if it is in; true when it was.
async fn withdraw(
    environment: &Environment,
    mut shard: Shard,
    instance: &InstanceId,
    why: &str,
) -> Result<(Shard, bool), Problem> {
    for _ in 0..WRITES_MAX {
        if shard.transfers.contains_key(instance) {
            return Err(Problem::contended());
        }
        let Some(write) = operate::withdraw(&shard, instance, why) else { return Ok((shard, false)) };
        shard = match steps::write(environment, shard.number, &write).await? {
            Written::Applied(seen) => return Ok((seen, true)),
            Written::Refused(seen) => seen,
            Written::Missing => return Err(Problem::contended()),
        };
    }
    Err(Problem::contended())
}

async fn shard_of(environment: &Environment, instance: &InstanceId) -> Result<Shard, Problem> {
    let shard = register::shard_of(environment.shards(true).await?, instance);
    shard.ok_or_else(|| Problem::not_found(format!("{instance} is no instance of this pool.")))
}

fn answer(shard: &Shard, control: &Control, instance: &InstanceId) -> Result<ApiGatewayV2httpResponse, Problem> {
    let gone = || Problem::not_found(format!("{instance} is no instance of this pool any more."));
    let line = status::instance_line(shard, control, instance).ok_or_else(gone)?;
    Ok(response::json(200, &line, None))
}
