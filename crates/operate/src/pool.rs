//! `POST /v1/operator/pool`: pause and resume launching, drain the pool, set the cap.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use pool_core::operate::{self, CAP_MAX, PoolOrder};
use pool_core::status;
use pool_function::environment::Environment;
use pool_function::fields::Fields;
use pool_function::problem::Problem;
use pool_function::{caller, request, response};

use crate::{reason, write_control};

/// Carries out the orders of one request, all or none, and answers those in force.
pub(crate) async fn order(
    environment: &Environment,
    event: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let operator = caller::operator(event, &environment.settings)?;
    let mut body = request::body(event)?;
    let why = reason(&mut body)?;
    let orders = orders(&mut body)?;
    body.end()?;
    if orders.is_empty() {
        return Err(Problem::bad_request(
            "Say what to do: paused, drained, max_instances or max_instances_as_deployed.",
        ));
    }
    let now = environment.now();
    let control = write_control(environment, |control| {
        Ok(orders.iter().fold(control.clone(), |control, order| operate::ordered(&control, order, &why, now)))
    });
    let (control, changed) = control.await?;
    if changed {
        tracing::warn!(operator, cause = why, orders = ?orders, "the operator decided");
        environment.wake_scale("the operator decided").await;
    }
    Ok(response::json(200, &status::operator(&control), None))
}

fn orders(body: &mut Fields) -> Result<Vec<PoolOrder>, Problem> {
    let mut orders = Vec::new();
    match body.flag("paused")? {
        Some(true) => orders.push(PoolOrder::Pause),
        Some(false) => orders.push(PoolOrder::Resume),
        None => {}
    }
    match body.flag("drained")? {
        Some(true) => orders.push(PoolOrder::Drain),
        Some(false) => orders.push(PoolOrder::Undrain),
        None => {}
    }
    let cap = body.whole("max_instances")?;
    match (cap, body.flag("max_instances_as_deployed")?) {
        (Some(cap), None | Some(false)) => {
            orders.push(PoolOrder::Cap(Some(request::within("max_instances", cap, 1, CAP_MAX)?)));
        }
        (None, Some(true)) => orders.push(PoolOrder::Cap(None)),
        (Some(_), Some(true)) => {
            return Err(Problem::bad_request("Send either max_instances or max_instances_as_deployed, not both."));
        }
        (None, None | Some(false)) => {}
    }
    Ok(orders)
}
