//! When a waiter can expect an instance: from the boots in flight, the launches that its wait brings about, the leases
//! that end, and its place in the queue.
//!
//! It is an estimate, for people and for callers that choose whether to wait; nothing is decided on it.

use crate::breaker::State;
use crate::control::{Control, Measures};
use crate::scale::BOOT_ASSUMED_SECONDS;
use crate::shard::Shard;
use crate::time::Timestamp;

/// From a waiter's arrival to the launch for it, in seconds: a write, the stream, a run of `scale`.
const LAUNCH_SECONDS: u64 = 3;
/// A boot that should be over is expected in so many seconds.
const LATE_BOOT_SECONDS: u64 = 5;

/// What a shard shows a waiter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Others that are served before.
    pub ahead: usize,
    /// How long ago each instance on its way was launched, in seconds.
    pub boots: Vec<u64>,
    /// In how many seconds each lease ends at the latest, unless it is renewed.
    pub leases: Vec<u64>,
    /// Launches that the shard may still intend.
    pub room: u64,
}

/// What the control record adds to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expectations {
    /// What was measured of boots and leases.
    pub measures: Measures,
    /// Launching is stopped: by the operator, for want of a permission, or by the breaker.
    pub no_launches: bool,
}

impl Expectations {
    /// What to expect by this control record.
    #[must_use]
    pub fn of(control: &Control, now: Timestamp) -> Self {
        let orders = &control.operator;
        let halted = control.halted.as_ref().is_some_and(|halt| halt.until > now);
        let is_open = matches!(control.breaker.state(now), State::Open(_));
        let no_launches = halted || is_open || orders.paused.is_some() || orders.drained.is_some();
        Self { measures: control.measures, no_launches }
    }

    /// In how many seconds the waiter can expect an instance; `None` when nothing is in sight.
    #[must_use]
    pub fn eta_seconds(&self, outlook: &Outlook) -> Option<u64> {
        let Measures { boot_seconds, lease_age_seconds, .. } = self.measures;
        let boot_seconds = if boot_seconds == 0 { BOOT_ASSUMED_SECONDS } else { boot_seconds };
        let booted = |age: &u64| boot_seconds.saturating_sub(*age).max(LATE_BOOT_SECONDS);
        let mut moments: Vec<u64> = outlook.boots.iter().map(booted).collect();
        let uncovered = (outlook.ahead as u64 + 1).saturating_sub(outlook.boots.len() as u64);
        let launches = if self.no_launches { 0 } else { uncovered.min(outlook.room) };
        moments.extend((0..launches).map(|_| LAUNCH_SECONDS + boot_seconds));
        let mut ends = outlook.leases.clone();
        ends.sort_unstable();
        let count = ends.len() as u64;
        // Of n leases that each last so much longer on average, one ends in every n-th part of that time.
        let typical = |nth: u64| if lease_age_seconds == 0 { u64::MAX } else { lease_age_seconds * nth / count.max(1) };
        moments.extend(ends.iter().zip(1..).map(|(end, nth)| typical(nth).min(*end)));
        moments.sort_unstable();
        moments.get(outlook.ahead).map(|seconds| (*seconds).max(1))
    }
}

impl Outlook {
    /// What `shard` shows the waiter with `ahead` others before it.
    #[must_use]
    pub fn of(shard: &Shard, ahead: usize, now: Timestamp) -> Self {
        let age = |since: Timestamp| now.seconds_since(since);
        let booting = shard.boots().map(|(_, member)| age(member.since));
        let intents = shard.intents.values().flat_map(|intent| (0..intent.count).map(move |_| age(intent.since)));
        // Only an instance that stays serves someone after its lease.
        let stays = |instance| shard.members.contains_key(instance) && !shard.leaving.contains_key(instance);
        let leases = shard.leases.iter().filter(|(_, instance)| stays(instance));
        let ends =
            leases.filter_map(|(token, _)| shard.lease_terms.get(token)).map(|terms| terms.until.seconds_since(now));
        Self {
            ahead,
            boots: booting.chain(intents).collect(),
            leases: ends.collect(),
            room: u64::try_from(shard.room).unwrap_or(0),
        }
    }
}
