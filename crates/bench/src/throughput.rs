//! How many leases a second the real functions grant and take back on this machine: their processes, the Lambda runtime
//! loop, an embedded DynamoDB in memory, and whoever calls them, all on its cores.
//!
//! Rule: everything but the callers is what `cargo local` runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use dynoxide::Database;
use pool_local::dynamodb::DynamoDb;
use pool_local::functions::{self, Function, Functions};
use pool_local::logs::Logs;
use pool_local::stop;
use pool_local::variables::Ec2Variables;
use serde::Deserialize;

use crate::engine::{self, TABLE};
use crate::pool;
use crate::processes::{Cpu, variables};

/// The pool: none of its callers ever finds nothing free.
pub(crate) const SHARDS: u32 = 16;
pub(crate) const SIZE: u32 = 16;

/// Callers, each of which has one lease at a time.
const CALLERS: usize = 8;

/// How long is counted, after a while that is not.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);
pub(crate) const COUNTED: Duration = Duration::from_secs(10);

/// Processes of each function.
const PROCESSES: usize = 4;

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Throughput {
    /// Leases granted and given back, a second.
    pub pairs_per_second: f64,
    /// Processor time of this process, which has the engine, the Runtime API and the callers in it, for each pair.
    pub own_cpu_us: f64,
    /// The same of the functions' processes together.
    pub functions_cpu_us: f64,
}

/// Measures it with the functions whose binaries are in this directory.
///
/// # Panics
/// When the system does not start, or a function does not answer as it should.
#[expect(clippy::disallowed_methods, reason = "a throughput is by the clock on the wall")]
pub async fn measure(binaries: &Path) -> Throughput {
    let (stopper, stop) = stop::pair();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    let database = Database::memory().expect("a database in memory");
    tokio::spawn(pool_local::dynamodb::serve(listener, database, stop));
    let client = engine::client_of(&url);
    DynamoDb::new(reqwest::Client::new(), url.clone()).create_table(TABLE).await.expect("the engine makes a table");
    pool::put(&client, (0..SHARDS).map(|number| pool::shard(number, SIZE)).collect(), SIZE).await;
    let no_ec2 = Ec2Variables { launch_template_id: "lt-0".to_owned(), subnets: "subnet-0".to_owned() };
    let logs = Logs::new(false, None).expect("no files are written");
    let concurrency = functions::Settings { concurrency: PROCESSES, ..functions::Settings::default() };
    let functions = Functions::new(binaries, variables(&url, "http://127.0.0.1:1", &no_ec2), &concurrency, logs);

    let pairs = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let functions = Arc::clone(&functions);
            let ask = move |function, event| send(Arc::clone(&functions), function, event);
            tokio::spawn(lease_again_and_again(ask, Arc::clone(&pairs)))
        })
        .collect();
    tokio::time::sleep(WARM_UP).await;
    let (before, cpu_before, began) = (pairs.load(Ordering::Relaxed), Cpu::now(), Instant::now());
    tokio::time::sleep(COUNTED).await;
    let (done, cpu, took) = (pairs.load(Ordering::Relaxed) - before, Cpu::now(), began.elapsed());
    for caller in callers {
        caller.abort();
    }
    functions.stop().await;
    stopper.stop();
    let done = f64::from(u32::try_from(done).expect("fewer than four billion"));
    Throughput {
        pairs_per_second: done / took.as_secs_f64(),
        own_cpu_us: (cpu.own - cpu_before.own) * 1e6 / done,
        functions_cpu_us: (cpu.children - cpu_before.children) * 1e6 / done,
    }
}

/// What a caller reads of an answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    status_code: u16,
    body: Option<String>,
}

/// What a caller reads of a lease.
#[derive(Deserialize)]
struct Lease {
    lease_id: String,
}

/// Stands for a lease's id in the text of an event.
const LEASE_ID: &str = "LEASE_ID";

/// A caller: acquires and releases by `ask`, which answers what a function answered, and counts each pair. It does as little as it can
/// beside, since it works on the cores of what is measured.
///
/// # Panics
/// When a function does not answer as it should.
pub(crate) async fn lease_again_and_again<A, F>(ask: A, pairs: Arc<AtomicU64>)
where
    A: Fn(Function, String) -> F,
    F: Future<Output = Bytes>,
{
    let (acquire, release) = (pool::acquire_event(None).to_string(), pool::release_event(LEASE_ID).to_string());
    loop {
        let answer = ask(Function::Acquire, acquire.clone()).await;
        let Answer { status_code, body } = serde_json::from_slice(&answer).expect("an answer is JSON");
        assert_eq!(status_code, 201, "{body:?}");
        let Lease { lease_id } = serde_json::from_str(&body.unwrap_or_default()).expect("a lease has an id");
        let answer = ask(Function::Release, release.replace(LEASE_ID, &lease_id)).await;
        let Answer { status_code, body } = serde_json::from_slice(&answer).expect("an answer is JSON");
        assert_eq!(status_code, 204, "{body:?}");
        pairs.fetch_add(1, Ordering::Relaxed);
    }
}

async fn send(functions: Arc<Functions>, function: Function, event: String) -> Bytes {
    functions.invoke(function, Bytes::from(event)).await.expect("the function answers")
}
