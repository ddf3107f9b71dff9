//! `POST /v1/instances/{id}/ready` and `/heartbeat`: what nodes say of themselves. Believed only because IAM says that
//! the instance itself signed it; address and zone come from EC2, never from the node.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use pool_core::ids::{InstanceId, NodeKey};
use pool_core::node::Heartbeat;
use pool_core::register::{self, Ready, ReadyStep};
use pool_core::shard::Transition;
use pool_core::time::Timestamp;
use pool_function::environment::Environment;
use pool_function::fields::{Fields, required};
use pool_function::metrics::{self, Metric};
use pool_function::problem::{self, Problem};
use pool_function::{caller, request, response, steps};
use pool_store::Written;

/// Writes that one word of a node makes at most.
const WRITES_MAX: usize = 12;

/// The largest whole number that every JSON reader keeps exact.
const WHOLE_NUMBER_MAX: u64 = 9_007_199_254_740_991;

/// Answers one request.
pub async fn handle(environment: &Environment, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
    problem::answer(match request::route(&event) {
        "POST /v1/instances/{id}/ready" => ready(environment, &event).await,
        "POST /v1/instances/{id}/heartbeat" => heartbeat(environment, &event).await,
        other => Err(Problem::not_found(format!("register does not answer {other:?}."))),
    })
}

async fn ready(
    environment: &Environment,
    event: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let instance: InstanceId = request::id(event)?;
    caller::require_node(event, &instance, &environment.settings)?;
    let word = ready_word(instance, request::body(event)?)?;
    // Its shard may not know it yet, or not know it any more, so all are asked.
    let mut seen = register::shard_of(environment.shards(true).await?, &word.instance);
    for _ in 0..WRITES_MAX {
        let step = register::ready(&word, seen.as_ref(), &environment.settings.policy, environment.now());
        let (ReadyStep::Try(write), Some(shard)) = (&step, &seen) else {
            return if step == ReadyStep::Done {
                Ok(response::empty(204))
            } else {
                environment.wake_scale("a node is ready before the pool knows its address").await;
                Err(Problem::not_yet("The pool does not know this instance or its address yet. Try again."))
            };
        };
        let number = shard.number;
        // A start of a stopped instance is no boot of the image, and tells nothing about how long those take.
        let first_boot = shard.members.get(&word.instance).filter(|member| member.boot_id == 0);
        let launched_at = first_boot.map(|member| member.since);
        seen = match steps::write(environment, number, write).await? {
            Written::Applied(shard) => {
                note_ready(environment, &word.instance, launched_at, number, write).await?;
                Some(shard)
            }
            Written::Refused(shard) => Some(shard),
            Written::Missing => None,
        };
    }
    Err(Problem::contended())
}

fn ready_word(instance: InstanceId, mut body: Fields) -> Result<Ready, Problem> {
    let boot_id = body.whole("boot_id")?;
    let (key, tls_sha256) = (body.text("key")?.unwrap_or_default(), body.text("tls_sha256")?);
    let cleaned_epoch = body.whole("cleaned_epoch")?;
    body.end()?;
    let boot_id = required("boot_id", boot_id)?;
    let cleaned_epoch = cleaned_epoch.map(|epoch| request::within("cleaned_epoch", epoch, 0, WHOLE_NUMBER_MAX));
    let cleaned_epoch = cleaned_epoch.transpose()?;
    let key = NodeKey::told(&key, tls_sha256.as_deref()).map_err(|bad| Problem::bad_request(format!("{bad}.")))?;
    let boot_id = request::within("boot_id", boot_id, 1, WHOLE_NUMBER_MAX)?;
    Ok(Ready { instance, boot_id, key, cleaned_epoch })
}

/// A node that becomes ready counts as heard of, and its history says so.
async fn note_ready(
    environment: &Environment,
    instance: &InstanceId,
    launched_at: Option<Timestamp>,
    shard: u32,
    write: &Transition,
) -> Result<(), Problem> {
    let what = match write {
        Transition::Ready { .. } => "ready",
        Transition::ReadyAgain { .. } => "ready again",
        Transition::ResetDone { .. } => "cleaned",
        _ => return Ok(()),
    };
    let now = environment.now();
    let first = Heartbeat { healthy: true, cpu_percent: 0.0, memory_percent: 0.0, sessions: 0 };
    let is_boot = matches!(write, Transition::Ready { .. });
    let boot_seconds = launched_at.filter(|_| is_boot).map(|launched_at| now.seconds_since(launched_at));
    environment.store.heartbeat(instance, &first, boot_seconds, now).await?;
    if let Some(boot_seconds) = boot_seconds {
        metrics::measure_whole(Metric::BootTime, boot_seconds);
    }
    environment.store.note(instance, Some(shard), what, "the node said so", now).await?;
    Ok(())
}

async fn heartbeat(
    environment: &Environment,
    event: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let instance: InstanceId = request::id(event)?;
    caller::require_node(event, &instance, &environment.settings)?;
    let mut body = request::body(event)?;
    let healthy = body.flag("healthy")?;
    let (cpu_percent, memory_percent) = (body.number("cpu_percent")?, body.number("memory_percent")?);
    let sessions = body.whole("sessions")?;
    body.end()?;
    let healthy = required("healthy", healthy)?;
    let (cpu_percent, memory_percent) =
        (required("cpu_percent", cpu_percent)?, required("memory_percent", memory_percent)?);
    let sessions = required("sessions", sessions)?;
    for (name, percent) in [("cpu_percent", cpu_percent), ("memory_percent", memory_percent)] {
        if !(0.0..=100.0).contains(&percent) {
            return Err(Problem::bad_request(format!("{name} is {percent}; it must be from 0 to 100.")));
        }
    }
    let sessions = request::within("sessions", sessions, 0, 1_000_000)?;
    let now = environment.now();
    let Some(shard) = environment.shard_of(&instance).await? else {
        return Err(Problem::not_yet("The pool does not know this instance. A new one says ready until it is known."));
    };
    let (cpu_percent, memory_percent) = (hundredths(cpu_percent), hundredths(memory_percent));
    let beat = Heartbeat { healthy, cpu_percent, memory_percent, sessions };
    environment.store.heartbeat(&instance, &beat, None, now).await?;
    let answer = register::heartbeat(&instance, &shard, now);
    let answer = answer.ok_or_else(|| Problem::not_yet("The pool does not know this instance any more."))?;
    Ok(response::json(200, &answer, None))
}

/// A percentage as it is stored: nobody needs it finer, and DynamoDB refuses numbers as small as a float can be. Adding
/// zero turns a negative zero into zero.
fn hundredths(percent: f64) -> f64 {
    (percent * 100.0).round() / 100.0 + 0.0
}
