//! A thousand callers at once on few free instances: who gets one, for how many requests, and who is told "none" while
//! one is free.
//!
//! Rule: all callers start at one moment, each in a process of its own, and their requests are under way for a while
//! drawn from the seed. Tokio's time is paused, so that the same seed gives the same order of things on any machine.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use tokio::task::{JoinSet, LocalSet};

use crate::baseline::{self, Choice};
use crate::engine::{Engine, Spent, Way};
use crate::pool::{Answer, Pool, shard};

/// Callers at once.
pub const CALLERS: u32 = 1_000;

/// What became of the callers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// Instances that were free.
    pub free: u32,
    /// Callers that were given one.
    pub granted: u32,
    /// Instances that were given away; fewer than `granted` when one went to two callers.
    pub distinct: u32,
    /// Callers that were told "none" before the last one was taken.
    pub false_none: u32,
    /// What the callers spent until the last instance was taken, all of it.
    pub until_taken: Spent,
    /// What they spent in all.
    pub in_all: Spent,
    /// Requests of the callers that were given one: the fewest and the most.
    pub requests_of_granted: (u32, u32),
    /// Milliseconds of the network's time until the last one was taken.
    pub taken_after_ms: u64,
}

/// One caller's end.
struct Told {
    instance: Option<String>,
    spent: Spent,
    /// Which of all requests to the engine its last one was.
    last: u64,
    after_ms: u64,
}

/// The shard: `free` instances over `shards` of them.
///
/// # Panics
/// When a handler answers what it must not.
pub async fn sharded(free: u32, shards: u32, seed: u64) -> Outcome {
    let size = free.div_ceil(shards);
    let each = |number| if number < free % shards || free.is_multiple_of(shards) { size } else { size - 1 };
    let engine = Engine::far(seed, &serde_json::json!([]));
    let pool =
        Pool::with(Arc::clone(&engine), (0..shards).map(|number| shard(number, each(number))).collect(), size).await;
    let mut callers = Vec::new();
    for n in 0..CALLERS {
        let process = pool.process(seed * 10_000 + u64::from(n)).await;
        callers.push((process.way.clone(), async move {
            match process.acquire(None).await {
                Answer::Lease(id) => id.rsplit('.').next().map(str::to_owned),
                Answer::Status(503) => None,
                Answer::Status(other) => panic!("acquire answered {other}"),
            }
        }));
    }
    run(free, callers).await
}

/// An item for each instance.
pub async fn item_per_instance(free: u32, choice: Choice, seed: u64) -> Outcome {
    let engine = Engine::far(seed, &baseline::indexes());
    baseline::fill(&engine.way().client, free).await;
    let callers = (0..CALLERS).map(|n| {
        let way = engine.way();
        let client = way.client.clone();
        let mut random = fastrand::Rng::with_seed(seed * 10_000 + u64::from(n));
        (way, async move { baseline::acquire(&client, choice, &mut random).await })
    });
    run(free, callers.collect()).await
}

async fn run<F>(free: u32, callers: Vec<(Way, F)>) -> Outcome
where
    F: Future<Output = Option<String>> + 'static,
{
    let began = tokio::time::Instant::now();
    let local = LocalSet::new();
    let mut tasks = JoinSet::new();
    for (way, caller) in callers {
        tasks.spawn_local_on(
            async move {
                let instance = caller.await;
                let after_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                Told { instance, last: way.last(), spent: way.take(), after_ms }
            },
            &local,
        );
    }
    let told = local.run_until(tasks.join_all()).await;
    outcome(free, &told)
}

fn outcome(free: u32, told: &[Told]) -> Outcome {
    let granted: Vec<&Told> = told.iter().filter(|told| told.instance.is_some()).collect();
    let all_taken = count(granted.len()) >= free;
    let last = granted.iter().map(|told| told.last).max().unwrap_or(0);
    let refused = told.iter().filter(|told| told.instance.is_none());
    let false_none = refused.filter(|told| !all_taken || told.last < last).count();
    let requests = |told: &&Told| told.spent.whole_requests();
    let sum = |told: &mut dyn Iterator<Item = &Told>| told.fold(Spent::default(), |sum, told| sum.plus(told.spent));
    Outcome {
        free,
        granted: count(granted.len()),
        distinct: count(granted.iter().filter_map(|told| told.instance.as_ref()).collect::<BTreeSet<_>>().len()),
        false_none: count(false_none),
        until_taken: sum(&mut told.iter().filter(|told| told.last <= last)),
        in_all: sum(&mut told.iter()),
        requests_of_granted: (
            granted.iter().map(requests).min().unwrap_or(0),
            granted.iter().map(requests).max().unwrap_or(0),
        ),
        taken_after_ms: granted.iter().map(|told| told.after_ms).max().unwrap_or(0),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
