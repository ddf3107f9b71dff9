//! From the start of a function's process to its first request for work and its first answer: how long, how much memory.
//!
//! Rule: what is measured speaks HTTPS to its table, as on AWS, and trusts every root certificate of this machine and one
//! made here. All kinds of process are started in turn, so that whatever slows the machine slows all of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderName, StatusCode};
use axum::routing::{get, post};
use axum::{Router, response::IntoResponse};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::watch;

use crate::engine::lock;
use crate::processes;

/// An answer must have come by then.
const LIMIT: Duration = Duration::from_secs(20);

/// A kind of process.
#[derive(Debug, Clone)]
pub struct Kind {
    /// What it is called in the tables.
    pub name: String,
    /// Its program and the program's arguments.
    pub command: Vec<String>,
    /// Where it is started.
    pub directory: PathBuf,
    /// What it is asked first; nothing is, when it is empty.
    pub event: String,
}

/// One start.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// Until it asked for work, in milliseconds.
    pub next_ms: f64,
    /// Until its first answer, in milliseconds.
    pub reply_ms: f64,
    /// The most memory it has had, in KB.
    pub peak_kb: u64,
    /// TLS connections to the table that were begun when it asked for work, and when it had answered.
    pub connections: (u64, u64),
}

/// What has happened in a process so far.
#[derive(Debug, Clone, Default)]
struct Seen {
    next: Option<Instant>,
    reply: Option<Instant>,
    body: String,
}

struct Api {
    event: String,
    seen: watch::Sender<Seen>,
    connections: Box<dyn Fn() -> u64 + Send + Sync>,
    at_next: Mutex<u64>,
}

/// Starts one process, waits for its first answer, and ends it.
///
/// # Errors
/// What went wrong, in words.
#[expect(clippy::disallowed_methods, reason = "a start is by the clock on the wall")]
pub async fn start(
    kind: &Kind,
    variables: &BTreeMap<String, String>,
    connections: impl Fn() -> u64 + Send + Sync + 'static,
) -> Result<Start, String> {
    let told = |what: &str| format!("{}: {what}", kind.name);
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| told(&error.to_string()))?;
    let address = listener.local_addr().map_err(|error| told(&error.to_string()))?;
    let before = connections();
    let seen = watch::Sender::new(Seen::default());
    let mut changes = seen.subscribe();
    let api = Arc::new(Api {
        event: kind.event.clone(),
        seen,
        connections: Box::new(connections),
        at_next: Mutex::default(),
    });
    let router = Router::new()
        .route("/2018-06-01/runtime/invocation/next", get(next))
        .route("/2018-06-01/runtime/invocation/{id}/response", post(reply))
        .with_state(Arc::clone(&api));
    let server = tokio::spawn(axum::serve(listener, router).into_future());
    let began = Instant::now();
    let mut child = Command::new(&kind.command[0])
        .args(&kind.command[1..])
        .current_dir(&kind.directory)
        .env_clear()
        .envs(variables)
        .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
        .env("AWS_LAMBDA_FUNCTION_NAME", &kind.name)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| told(&error.to_string()))?;
    let wanted = |seen: &Seen| seen.reply.is_some() || (api.event.is_empty() && seen.next.is_some());
    let done = tokio::select! {
        done = changes.wait_for(wanted) => done.map(|seen| seen.clone()).map_err(|error| told(&error.to_string()))?,
        status = child.wait() => return Err(told(&format!("it ended: {status:?}"))),
        () = tokio::time::sleep(LIMIT) => return Err(told("it does not answer")),
    };
    let peak_kb = child.id().and_then(processes::peak_kb).ok_or_else(|| told("it is gone"))?;
    let connections = (*lock(&api.at_next) - before, (api.connections)() - before);
    child.kill().await.map_err(|error| told(&error.to_string()))?;
    server.abort();
    let ms = |at: Option<Instant>| at.map_or(f64::NAN, |at| at.duration_since(began).as_secs_f64() * 1e3);
    if done.body.contains("\"statusCode\":5") {
        return Err(told(&format!("it answered {}", done.body)));
    }
    Ok(Start { next_ms: ms(done.next), reply_ms: ms(done.reply), peak_kb, connections })
}

#[expect(clippy::disallowed_methods, reason = "a start is by the clock on the wall")]
async fn next(State(api): State<Arc<Api>>) -> impl IntoResponse {
    let at = Instant::now();
    if api.seen.borrow().next.is_some() || api.event.is_empty() {
        api.seen.send_modify(|seen| seen.next = seen.next.or(Some(at)));
        // There is one event for each process.
        return std::future::pending().await;
    }
    *lock(&api.at_next) = (api.connections)();
    api.seen.send_modify(|seen| seen.next = Some(at));
    let headers = [
        (HeaderName::from_static("lambda-runtime-aws-request-id"), "8476a536-e9f4-11e8-9739-2dfe598c3fcd"),
        (HeaderName::from_static("lambda-runtime-deadline-ms"), "4102444800000"),
        (
            HeaderName::from_static("lambda-runtime-invoked-function-arn"),
            "arn:aws:lambda:us-east-1:000000000000:function:bench",
        ),
    ];
    (headers, api.event.clone())
}

#[expect(clippy::disallowed_methods, reason = "a start is by the clock on the wall")]
async fn reply(State(api): State<Arc<Api>>, body: String) -> StatusCode {
    let at = Instant::now();
    api.seen.send_modify(|seen| {
        seen.reply = Some(at);
        seen.body = body;
    });
    StatusCode::ACCEPTED
}
