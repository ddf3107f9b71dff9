//! How many leases a second the real functions grant and take back on this machine: their processes, the Lambda runtime
//! loop, an embedded DynamoDB in memory, and whoever calls them, all on its cores.
//!
//! Rule: everything but the callers is what `cargo local` runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dynoxide::Database;
use pool_local::dynamodb::DynamoDb;
use pool_local::functions::{self, Function, Functions};
use pool_local::logs::Logs;
use pool_local::stop;
use pool_local::variables::Ec2Variables;
use serde_json::Value;

use crate::engine::{self, TABLE};
use crate::pool;
use crate::processes::{Cpu, variables};

/// The pool: none of its callers ever finds nothing free.
pub(crate) const SHARDS: u32 = 16;
pub(crate) const SIZE: u32 = 16;

/// Callers, each of which has one lease at a time.
pub(crate) const CALLERS: usize = 8;

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

/// A caller: acquires and releases by `ask`, which answers what a function answered, and counts each pair.
///
/// # Panics
/// When a function does not answer as it should.
pub(crate) async fn lease_again_and_again<A, F>(ask: A, pairs: Arc<AtomicU64>)
where
    A: Fn(Function, Value) -> F,
    F: Future<Output = Value>,
{
    loop {
        let answer = ask(Function::Acquire, pool::acquire_event(None)).await;
        assert_eq!(answer["statusCode"], 201, "{answer}");
        let lease: Value = serde_json::from_str(answer["body"].as_str().unwrap_or_default()).unwrap_or_default();
        let lease = lease["lease_id"].as_str().unwrap_or_default();
        let answer = ask(Function::Release, pool::release_event(lease)).await;
        assert_eq!(answer["statusCode"], 204, "{answer}");
        pairs.fetch_add(1, Ordering::Relaxed);
    }
}

async fn send(functions: Arc<Functions>, function: Function, event: Value) -> Value {
    let answer = functions.send(function, &event).await.expect("the function answers");
    serde_json::from_slice(&answer).expect("an answer is JSON")
}
