//! The circuit breaker: nodes that never become ready stop the launching of more.
//!
//! An image or a service that does not start would otherwise be launched again and again. After so many boot failures in
//! a row, without a node that became ready in between, nothing is launched for a while; then a single instance is tried,
//! and its boot closes the breaker or opens it for twice as long.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::ids::InstanceId;
use crate::policy::Policy;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// The longest time for which it opens, in seconds: one hour.
const OPEN_MAX_SECONDS: u64 = 3_600;
/// Failures are forgotten when nothing has failed for so long and it is not open, in seconds: one hour. Without a need
/// nothing is launched that could show that boots work again.
const REMEMBERED_SECONDS: u64 = 3_600;

/// What is remembered of boots that failed. The failures are kept by name, so that one that is told twice counts once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Breaker {
    /// Boots that failed in a row.
    pub failed: BTreeSet<InstanceId>,
    /// When the last one was seen to have failed.
    pub failed_at: Timestamp,
    /// How often it opened in a row.
    pub opened: u32,
    /// Nothing is launched before.
    pub open_until: Timestamp,
}

/// What the breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Everything.
    Closed,
    /// Nothing until then.
    Open(Timestamp),
    /// One instance, to see whether it boots.
    HalfOpen,
}

impl Breaker {
    /// What it lets through now.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> State {
        match self.opened {
            0 => State::Closed,
            _ if self.open_until > now => State::Open(self.open_until),
            _ => State::HalfOpen,
        }
    }

    /// Instances that may be launched now, and why not more.
    #[must_use]
    pub fn allows(&self, on_the_way: u64, now: Timestamp) -> (u64, Option<String>) {
        let failures = self.failed.len();
        match self.state(now) {
            State::Closed => (u64::MAX, None),
            State::Open(until) => {
                (0, Some(format!("{failures} boots failed in a row, so nothing is launched until {until}")))
            }
            State::HalfOpen => (
                1_u64.saturating_sub(on_the_way),
                Some(format!("{failures} boots failed in a row, so one instance is tried first")),
            ),
        }
    }

    /// The breaker after these boots failed.
    #[must_use]
    pub fn after_failures(
        &self,
        instances: impl IntoIterator<Item = InstanceId>,
        policy: &Policy,
        now: Timestamp,
    ) -> Self {
        let mut next = self.clone();
        let known = next.failed.len();
        next.failed.extend(instances);
        if next.failed.len() == known {
            return next;
        }
        next.failed_at = now;
        // While it is open, boots that began before may still fail; they are no news.
        let is_open = matches!(self.state(now), State::Open(_));
        if next.failed.len() as u64 >= policy.boot_failure_limit && !is_open {
            let factor = 1_u64 << next.opened.min(16);
            next.opened += 1;
            next.open_until = now + (policy.offering_cooldown_seconds * factor).min(OPEN_MAX_SECONDS);
        }
        next
    }

    /// The breaker after what the heartbeats tell: a node that became ready after the last failure, and was well at a
    /// heartbeat since, closes it. So does time.
    #[must_use]
    pub fn after_boots(&self, seen: Snapshot<'_>) -> Self {
        let boots = seen.records.iter().filter(|record| record.healthy && record.beat_at > record.ready_at);
        let booted = boots.filter_map(|record| record.ready_at).any(|ready_at| ready_at > self.failed_at);
        let forgotten = seen.now >= self.failed_at.max(self.open_until) + REMEMBERED_SECONDS;
        if (booted || forgotten) && !self.failed.is_empty() { Self::default() } else { self.clone() }
    }
}
