//! Leases a second with all in one process: the real handlers, each in Lambda's runtime loop on a thread of its own, the
//! Runtime API that they ask for work by HTTP, the callers, and the embedded engine, called without HTTP.
//!
//! Rule: it is a process of its own, since the runtime finds its API by a variable of the process; and a profiler looks at
//! nothing else.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use axum::body::Bytes;
use pool_function::environment::Environment;
use pool_function::{boot, metrics};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::engine::Engine;
use crate::lambda::RuntimeApi;
use crate::pool::Pool;
use crate::processes;
use crate::throughput::{CALLERS, COUNTED, SHARDS, SIZE, WARM_UP, lease_again_and_again};

/// Partitions of the table: DynamoDB lets a new one that is paid by the request take 4,000 write units a second, and a partition takes
/// 1,000 (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput-scenarios.html>).
const PARTITIONS: usize = 4;

/// Loops, each of which serves one request at a time. Some wait for a partition or for work, and a core has other work meanwhile.
const LOOPS: u64 = 8;

/// Starts the process and answers how many leases it granted and took back in a second.
///
/// # Errors
/// What went wrong, in words.
pub async fn measure() -> Result<f64, String> {
    let text = |error: std::io::Error| error.to_string();
    // The port is free again when the process opens it.
    let address = TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).map_err(text)?;
    let output = Command::new(std::env::current_exe().map_err(text)?)
        .arg("--inside")
        .envs(processes::of_lambda(address, "inside"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(text)?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    last.parse().map_err(|_| format!("the process ended with {}: {said}", output.status))
}

/// What the process does. Its log goes where the functions' logs go, and the figure to the standard error.
///
/// # Errors
/// What went wrong, in words.
#[expect(clippy::disallowed_methods, reason = "a throughput is by the clock on the wall")]
pub async fn run() -> Result<(), String> {
    let address =
        std::env::var("AWS_LAMBDA_RUNTIME_API").map_err(|_| "it is started by cargo bench-pool throughput")?;
    let lines = boot::log_lines("info", std::io::stdout);
    tracing::subscriber::set_global_default(lines).map_err(|error| error.to_string())?;
    metrics::start("bench").map_err(|error| error.to_string())?;
    let listener = TcpListener::bind(&address).await.map_err(|error| error.to_string())?;
    let (api, _) = RuntimeApi::serve(listener, Box::new(|| 0)).map_err(|error| error.to_string())?;
    let pool = Pool::ready(Engine::divided(PARTITIONS), SHARDS, SIZE).await;
    for seed in 0..LOOPS {
        let environment = pool.environment(pool.engine.uncounted(), seed).await;
        std::thread::spawn(move || serve(&environment));
    }
    let pairs = Arc::new(AtomicU64::new(0));
    for _ in 0..CALLERS {
        let api = Arc::clone(&api);
        // Every loop serves both.
        let ask = move |_function, event| ask(Arc::clone(&api), event);
        tokio::spawn(lease_again_and_again(ask, Arc::clone(&pairs)));
    }
    tokio::time::sleep(WARM_UP).await;
    let (before, began) = (pairs.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(COUNTED).await;
    let done = u32::try_from(pairs.load(Ordering::Relaxed) - before).unwrap_or(u32::MAX);
    eprintln!("{}", f64::from(done) / began.elapsed().as_secs_f64());
    Ok(())
}

/// A function's thread, which is what a function's process has.
fn serve(environment: &Environment) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let served = runtime.block_on(boot::serve_api(async |event: ApiGatewayV2httpRequest| {
        if event.route_key.as_deref() == Some("POST /v1/leases") {
            acquire::handle(environment, event).await
        } else {
            release::handle(environment, event).await
        }
    }));
    // The Runtime API ends before its loops when all is measured.
    if let Err(error) = served {
        tracing::info!(%error, "the loop has ended");
    }
}

async fn ask(api: Arc<RuntimeApi>, event: String) -> Bytes {
    api.invoke(event).await.expect("a loop answers").body
}
