//! From the start of a function's process to its first request for work and its first answer: how long, how much memory.
//!
//! Rule: what is measured speaks HTTPS to its table, as on AWS, and trusts every root certificate of this machine and one
//! made here. All kinds of process are started in turn, so that whatever slows the machine slows all of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::process::Command;

use crate::lambda::RuntimeApi;
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
    /// What it is asked first.
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

/// Starts one process, waits for its first answer, and ends it. `connections` counts those to the table.
///
/// # Errors
/// What went wrong, in words.
#[expect(clippy::disallowed_methods, reason = "a start is by the clock on the wall")]
pub async fn start(
    kind: &Kind,
    variables: &BTreeMap<String, String>,
    connections: impl Fn() -> u64 + Clone + Send + Sync + 'static,
) -> Result<Start, String> {
    let told = |what: &dyn std::fmt::Display| format!("{}: {what}", kind.name);
    let before = connections();
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| told(&error))?;
    let (api, address) = RuntimeApi::serve(listener, Box::new(connections.clone())).map_err(|error| told(&error))?;
    let began = Instant::now();
    let mut child = Command::new(&kind.command[0])
        .args(&kind.command[1..])
        .current_dir(&kind.directory)
        .env_clear()
        .envs(variables)
        .envs(processes::of_lambda(address, &kind.name))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| told(&error))?;
    let answered = async { Some((api.asked().await?, api.invoke(kind.event.clone()).await?)) };
    let (asked, answer) = tokio::select! {
        answered = answered => answered.ok_or_else(|| told(&"it cannot be asked"))?,
        status = child.wait() => return Err(told(&format!("it ended: {status:?}"))),
        () = tokio::time::sleep(LIMIT) => return Err(told(&"it does not answer")),
    };
    let peak_kb = child.id().and_then(processes::peak_kb).ok_or_else(|| told(&"it is gone"))?;
    let connections = (asked.gauge - before, connections() - before);
    child.kill().await.map_err(|error| told(&error))?;
    let body = String::from_utf8_lossy(&answer.body);
    if body.contains("\"statusCode\":5") {
        return Err(told(&format!("it answered {body}")));
    }
    let ms = |at: Instant| at.duration_since(began).as_secs_f64() * 1e3;
    Ok(Start { next_ms: ms(asked.at), reply_ms: ms(answer.at), peak_kb, connections })
}
