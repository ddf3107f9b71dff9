//! What one lease costs: requests and units of an acquire, a release and a renewal, by the number of shards, their size
//! and how much of the pool is in use.
//!
//! Rule: acquires and releases come to processes of their own, eight of each function, as on Lambda, so that what an
//! acquiring process believes to be free is as old as there.

use crate::engine::{Engine, Spent};
use crate::pool::{Answer, Pool, Process};

/// Processes of each function.
const PROCESSES: u64 = 8;

/// Leases that are exchanged in one situation, and those exchanged before the counting begins.
const ROUNDS: u32 = 400;
const WARM_UP_ROUNDS: u32 = 100;

/// So many leases are exchanged in a second.
const EXCHANGES_A_SECOND: u32 = 20;

/// The shards are looked at after so many exchanges.
const LOOK_EVERY: u32 = 10;

/// A pool, and how much of it is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Situation {
    /// Shards.
    pub shards: u32,
    /// Instances of each.
    pub size: u32,
    /// Leased ones, in percent; at least one is free.
    pub in_use_percent: u32,
    /// Callers bring an idempotency key.
    pub keyed: bool,
}

/// What each call cost on average.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim {
    /// An acquire.
    pub acquire: Spent,
    /// A release.
    pub release: Spent,
    /// A renewal.
    pub renew: Spent,
    /// Acquires that were told that nothing is free, while something was.
    pub false_none: u32,
    /// Shards with nothing free, seen at moments between.
    pub empty_homes_percent: f64,
}

/// Exchanges leases in a situation.
///
/// # Panics
/// When a handler answers what it must not.
pub async fn measure(situation: Situation, seed: u64) -> Claim {
    let Situation { shards, size, .. } = situation;
    let pool = Pool::ready(Engine::new(), shards, size).await;
    let mut acquiring = Vec::new();
    let mut releasing = Vec::new();
    for n in 0..PROCESSES {
        acquiring.push(pool.process(seed * 1_000 + n).await);
        releasing.push(pool.process(seed * 1_000 + 500 + n).await);
    }
    let mut work = Work { situation, acquiring, releasing, random: fastrand::Rng::with_seed(seed), keys: 0 };
    let mut held = Vec::new();
    while held.len() < work.leased() {
        held.extend(work.acquire().await);
    }
    for round in 0..WARM_UP_ROUNDS {
        work.exchange(&mut held).await;
        if round % EXCHANGES_A_SECOND == 0 {
            pool.pass_a_second();
        }
    }
    work.spent();
    let (mut false_none, mut looks, mut empty) = (0, 0, 0);
    for round in 0..ROUNDS {
        false_none += work.exchange(&mut held).await;
        if round % EXCHANGES_A_SECOND == 0 {
            pool.pass_a_second();
        }
        if round % LOOK_EVERY == 0 {
            let all = pool.shards().await;
            looks += shards;
            empty += all.iter().map(|shard| u32::from(shard.free.is_empty())).sum::<u32>();
        }
    }
    let (acquired, released) = work.spent();
    let rounds = f64::from(ROUNDS);
    // In a pool of one instance nothing is left leased; then one is leased for the renewals.
    held.extend(if held.is_empty() { work.acquire().await } else { None });
    work.spent();
    for _ in 0..ROUNDS {
        let lease = work.random.choice(&held).cloned().expect("something is leased");
        let process = work.random.choice(&work.acquiring).expect("there are some");
        assert_eq!(process.renew(&lease).await, 200, "{situation:?}");
    }
    let renewed = work.spent().0;
    Claim {
        acquire: acquired.over(rounds),
        release: released.over(rounds),
        renew: renewed.over(rounds),
        false_none,
        empty_homes_percent: 100.0 * f64::from(empty) / f64::from(looks),
    }
}

struct Work {
    situation: Situation,
    acquiring: Vec<Process>,
    releasing: Vec<Process>,
    random: fastrand::Rng,
    keys: u64,
}

impl Work {
    /// One lease, somewhere.
    async fn acquire(&mut self) -> Option<String> {
        self.keys += 1;
        let key = self.situation.keyed.then(|| format!("key-{}", self.keys));
        let process = self.random.choice(&self.acquiring).expect("there are some");
        match process.acquire(key.as_deref()).await {
            Answer::Lease(id) => Some(id),
            Answer::Status(503) => None,
            Answer::Status(other) => panic!("{:?}: acquire answered {other}", self.situation),
        }
    }

    /// One is acquired, then another is given back, so that as many are free as before; answers how often nothing was
    /// said to be free.
    async fn exchange(&mut self, held: &mut Vec<String>) -> u32 {
        let got = self.acquire().await;
        let false_none = u32::from(got.is_none());
        held.extend(got);
        while held.len() > self.leased() {
            let lease = held.swap_remove(self.random.usize(..held.len()));
            let process = self.random.choice(&self.releasing).expect("there are some");
            assert_eq!(process.release(&lease).await, 204, "{:?}", self.situation);
        }
        false_none
    }

    /// What acquires and releases have spent since the last time.
    fn spent(&self) -> (Spent, Spent) {
        let sum = |processes: &[Process]| {
            processes.iter().fold(Spent::default(), |sum, process| sum.plus(process.way.take()))
        };
        (sum(&self.acquiring), sum(&self.releasing))
    }

    fn leased(&self) -> usize {
        let Situation { shards, size, in_use_percent, .. } = self.situation;
        let instances = shards * size;
        (instances * in_use_percent).div_ceil(100).min(instances - 1) as usize
    }
}
