//! Leases a second with all in one process: the real handlers in Lambda's runtime loop, the Runtime API that they ask for work
//! by HTTP, the callers, and the embedded engine, called without HTTP.
//!
//! Rule: it is a process of its own, since the runtime finds its API by a variable of the process; and a profiler looks at
//! nothing else.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use axum::body::Bytes;
use pool_function::environment::Environment;
use pool_function::{boot, metrics};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;

use crate::engine::Engine;
use crate::lambda::RuntimeApi;
use crate::pool::Pool;
use crate::processes;
use crate::throughput::{COUNTED, SHARDS, SIZE, WARM_UP, lease_again_and_again};

/// Partitions of the table: DynamoDB lets a new one that is paid by the request take 4,000 write units a second, and a partition takes
/// 1,000 (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/warm-throughput-scenarios.html>).
const PARTITIONS: usize = 4;

/// Threads of loops, as many as the machine of the goal has cores.
const THREADS: u64 = 2;

/// Loops of a thread, each of which serves one request at a time: some wait for work or for their answer to be taken, and a thread that
/// has another to go on with need not sleep.
const LOOPS: u64 = 8;

/// Callers, each of which has one lease at a time: as many as loops, so that none of these is idle for want of one.
const CALLERS: u64 = THREADS * LOOPS;

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
pub fn run() -> Result<(), String> {
    own_runtime().block_on(lease())
}

fn own_runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[expect(clippy::disallowed_methods, reason = "a throughput is by the clock on the wall")]
async fn lease() -> Result<(), String> {
    let address =
        std::env::var("AWS_LAMBDA_RUNTIME_API").map_err(|_| "it is started by cargo bench-pool throughput")?;
    let lines = boot::log_lines("info", std::io::stdout);
    tracing::subscriber::set_global_default(lines).map_err(|error| error.to_string())?;
    metrics::start("bench").map_err(|error| error.to_string())?;
    let listener = TcpListener::bind(&address).await.map_err(|error| error.to_string())?;
    let (api, _) = RuntimeApi::serve(listener, Box::new(|| 0)).map_err(|error| error.to_string())?;
    let pool = Pool::ready(Engine::divided(PARTITIONS), SHARDS, SIZE).await;
    for thread in 0..THREADS {
        let mut environments = Vec::new();
        for seed in thread * LOOPS..(thread + 1) * LOOPS {
            environments.push(pool.environment(pool.engine.uncounted(), seed).await);
        }
        std::thread::spawn(move || serve(environments));
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

/// Loops on a thread of their own.
fn serve(environments: Vec<Environment>) {
    let loops = LocalSet::new();
    for environment in environments {
        loops.spawn_local(async move {
            // The Runtime API ends before its loops when all is measured.
            if let Err(error) = boot::serve_api(async |event| claim(&environment, event).await).await {
                tracing::info!(%error, "the loop has ended");
            }
        });
    }
    own_runtime().block_on(loops);
}

async fn claim(environment: &Environment, event: ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
    if event.route_key.as_deref() == Some("POST /v1/leases") {
        acquire::handle(environment, event).await
    } else {
        release::handle(environment, event).await
    }
}

async fn ask(api: Arc<RuntimeApi>, event: String) -> Bytes {
    api.invoke(event).await.expect("a loop answers").body
}
