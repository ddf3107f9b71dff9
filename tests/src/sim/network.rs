//! The network between functions and engines, below the real SDK clients: every request may be lost, answered in vain,
//! delayed past others, refused, or be the last thing its function does.
//!
//! Rule: a request that reaches an engine is carried out at one moment, and the judge looks right after it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::Value;
use tokio::time::sleep;

use crate::sim::World;
use crate::sim::background::spawn;
use crate::sim::invocation::Invocation;

/// How long EC2 accepts a signature
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).
const SIGNATURE_LIFE: Duration = Duration::from_mins(5);

/// What a request is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// DynamoDB.
    Table,
    /// EC2.
    Ec2,
}

/// The network as an SDK client sees it.
#[derive(Debug, Clone)]
pub struct Network {
    world: Weak<World>,
    engine: Engine,
}

/// A request, read.
#[derive(Debug, Clone)]
pub struct Call {
    /// Where to.
    pub engine: Engine,
    /// Such as `UpdateItem` or `CreateFleet`.
    pub operation: String,
    /// The item's key, or nothing.
    pub key: String,
    /// The body.
    pub body: Vec<u8>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Arrives,
    LostRequest,
    LostResponse,
    LateEffect,
    Silent,
    Throttled,
    InternalError { after: bool },
    CrashBefore,
    CrashAfter,
}

impl Network {
    /// The way to one engine.
    #[must_use]
    pub fn to(engine: Engine, world: Weak<World>) -> Self {
        Self { world, engine }
    }

    fn read(&self, request: &HttpRequest) -> Call {
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let (operation, key) = match self.engine {
            Engine::Table => {
                let target = request.headers().get("x-amz-target").unwrap_or_default();
                let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                let key = body["Key"]["pk"]["S"].as_str().or(body["Item"]["pk"]["S"].as_str());
                (target.rsplit('.').next().unwrap_or_default().to_owned(), key.unwrap_or_default().to_owned())
            }
            Engine::Ec2 => {
                let form = String::from_utf8_lossy(&body);
                let action = form.split('&').find_map(|pair| pair.strip_prefix("Action="));
                (action.unwrap_or_default().to_owned(), String::new())
            }
        };
        Call { engine: self.engine, operation, key, body }
    }
}

impl HttpClient for Network {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Network {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (call, world, invocation) = (self.read(&request), self.world.clone(), Invocation::current());
        HttpConnectorFuture::new(async move {
            match world.upgrade() {
                Some(world) => carry(world, call, invocation).await,
                None => std::future::pending().await,
            }
        })
    }
}

/// Carries one request there and its answer back, as its fate wants.
async fn carry(world: Arc<World>, call: Call, invocation: Option<Invocation>) -> Result<HttpResponse, ConnectorError> {
    let number = invocation.as_ref().map_or(0, Invocation::next_request);
    let told = |before: bool| invocation.as_ref().is_some_and(|one| one.dies_at(number, !before));
    let fate = match (told(true), told(false)) {
        (true, _) => Fate::CrashBefore,
        (_, true) => Fate::CrashAfter,
        _ => draw(&world, call.engine, invocation.is_some()),
    };
    if fate == Fate::CrashBefore {
        return crash(invocation).await;
    }
    sleep(latency(&world)).await;
    let answer = match fate {
        Fate::LostRequest => return lost(&world, "the request was lost").await,
        Fate::Silent => return std::future::pending().await,
        Fate::LateEffect => {
            // Most are late by seconds; some by minutes, when nothing is any more as it was.
            let very = world.below(4) == 0;
            let later = Duration::from_millis(500 + world.below(if very { 400_000 } else { 40_000 }));
            // EC2 refuses a request whose signature is older than five minutes; what the table does about one, the pool
            // does not rely on.
            if call.engine == Engine::Ec2 && later > SIGNATURE_LIFE {
                return lost(&world, "the connection broke, and the request came too late").await;
            }
            let (world_then, call) = (Arc::clone(&world), call);
            spawn(async move {
                sleep(later).await;
                if very && world_then.is_quiet() {
                    return;
                }
                world_then.line("late:");
                world_then.apply(&call);
            });
            return lost(&world, "the connection broke").await;
        }
        Fate::Throttled => refusal(call.engine, "ThrottlingException", "RequestLimitExceeded", 400, 503),
        Fate::InternalError { after: false } => refusal(call.engine, "InternalServerError", "InternalError", 500, 500),
        Fate::InternalError { after: true } => {
            world.apply(&call);
            refusal(call.engine, "InternalServerError", "InternalError", 500, 500)
        }
        _ => world.apply(&call),
    };
    match fate {
        Fate::CrashAfter => return crash(invocation).await,
        Fate::LostResponse => return lost(&world, "the answer was lost").await,
        _ => sleep(latency(&world)).await,
    }
    respond(answer)
}

fn draw(world: &World, engine: Engine, can_crash: bool) -> Fate {
    if world.is_down() {
        world.fault("outage");
        return Fate::LostRequest;
    }
    if engine == Engine::Table && world.is_throttled() {
        world.fault("throttled_minutes");
        return Fate::Throttled;
    }
    let rates = world.rates();
    let crash = if can_crash { rates.crash } else { 0 };
    let chances = [
        (rates.lost_request, "lost_request"),
        (rates.lost_response, "lost_response"),
        (rates.late_effect, "late_effect"),
        (rates.silent, "silent"),
        (rates.throttled, "throttled"),
        (rates.internal_error, "internal_error"),
        (crash, "crash"),
    ];
    let mut drawn = world.below(1_000);
    for (rate, kind) in chances {
        if drawn >= rate {
            drawn -= rate;
            continue;
        }
        world.fault(kind);
        let after = world.below(2) == 1;
        return match kind {
            "lost_request" => Fate::LostRequest,
            "lost_response" => Fate::LostResponse,
            "late_effect" => Fate::LateEffect,
            "silent" => Fate::Silent,
            "throttled" => Fate::Throttled,
            "internal_error" => Fate::InternalError { after },
            _ if after => Fate::CrashAfter,
            _ => Fate::CrashBefore,
        };
    }
    Fate::Arrives
}

fn latency(world: &World) -> Duration {
    if world.happens("slow", |rates| rates.slow) {
        return Duration::from_millis(200 + world.below(8_000));
    }
    Duration::from_millis(1 + world.below(6))
}

async fn crash(invocation: Option<Invocation>) -> Result<HttpResponse, ConnectorError> {
    if let Some(invocation) = invocation {
        invocation.die().await;
    }
    std::future::pending().await
}

async fn lost(world: &World, what: &str) -> Result<HttpResponse, ConnectorError> {
    sleep(Duration::from_millis(50 + world.below(2_000))).await;
    Err(ConnectorError::io(what.into()))
}

fn refusal(engine: Engine, table_code: &str, ec2_code: &str, table_status: u16, ec2_status: u16) -> (u16, String) {
    match engine {
        Engine::Table => (table_status, format!(r#"{{"__type":"{table_code}","message":"by the simulation"}}"#)),
        Engine::Ec2 => (
            ec2_status,
            format!(
                "<Response><Errors><Error><Code>{ec2_code}</Code><Message>by the simulation</Message></Error></Errors>\
                 <RequestID>0</RequestID></Response>"
            ),
        ),
    }
}

fn respond((status, body): (u16, String)) -> Result<HttpResponse, ConnectorError> {
    let status = status.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
    Ok(HttpResponse::new(status, SdkBody::from(body)))
}
