//! What does not vary: every situation that the tables of `docs/performance.md` have, and the goals that the tests hold.

use crate::baseline::Choice;
use crate::claim::{self, Claim, Situation};
use crate::contention;
use crate::costs;
use crate::report::Section;
use crate::sections::{self, IN_USE_PERCENT, Way};
use crate::sizes;

/// The seed of everything that is drawn.
const SEED: u64 = 1;

/// Carries out what is counted: on one thread, in paused time, so that it is the same on any machine.
///
/// # Panics
/// When there is no runtime to be had.
pub fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    runtime.expect("a runtime").block_on(work)
}

/// Every situation of the table of claims.
pub fn situations() -> impl Iterator<Item = Situation> {
    let pools = [1, 4, 32].into_iter().flat_map(|shards| [1, 8, 16, 32].map(|size| (shards, size)));
    let used = pools.flat_map(|pool| IN_USE_PERCENT.map(|percent| (pool, percent)));
    let keyed = used.flat_map(|it| [false, true].map(|keyed| (it, keyed)));
    keyed.map(|(((shards, size), in_use_percent), keyed)| Situation { shards, size, in_use_percent, keyed })
}

/// One situation.
pub async fn claim(situation: Situation) -> Claim {
    claim::measure(situation, SEED).await
}

/// The table of claims.
pub async fn claims() -> Section {
    let mut measured = Vec::new();
    for situation in situations() {
        measured.push((situation, claim(situation).await));
    }
    sections::claims(&measured)
}

/// The table of costs.
pub async fn costs() -> Section {
    let mut measured = Vec::new();
    for (shards, size) in [(1, 16), (32, 8), (32, 16), (32, 32)] {
        let situation = Situation { shards, size, in_use_percent: 90, keyed: false };
        measured.push((situation, claim(situation).await));
    }
    costs::costs(&measured)
}

/// The table of sizes.
pub async fn sizes() -> Section {
    let mut measured = Vec::new();
    for waiters in [0, 32] {
        for members in [4, 8, 16, 32] {
            measured.push(sizes::measure(members, waiters).await);
        }
    }
    sections::sizes(&measured)
}

/// The table of contention.
pub async fn contention() -> Section {
    let mut measured = Vec::new();
    for (free, shards) in [(32, 1), (100, 7)] {
        measured.push((Way::Sharded(shards), contention::sharded(free, shards, SEED).await));
        for choice in [Choice::Random, Choice::First] {
            let outcome = contention::item_per_instance(free, choice, SEED).await;
            measured.push((Way::ItemPerInstance(choice), outcome));
        }
    }
    sections::contention(&measured)
}
