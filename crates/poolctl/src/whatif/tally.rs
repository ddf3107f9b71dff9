//! What is counted while the clock runs.

use std::collections::BTreeMap;

use pool_core::answer::Refusal;
use pool_core::policy::Policy;
use pool_core::shard::{Kind, Market};
use pool_core::time::Timestamp;
use serde::Serialize;

/// How the pool stood at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Seconds from the beginning of the trace.
    pub at_seconds: u64,
    /// Under a lease.
    pub leased: u64,
    /// Ready to be leased.
    pub free: u64,
    /// In the stopped tier.
    pub stopped: u64,
    /// Booting, being cleaned, or leaving.
    pub booting: u64,
    /// All that EC2 has running or stopped.
    pub instances: u64,
    /// Callers that wait.
    pub waiting: u64,
}

/// The counts of one run.
#[derive(Debug, Default)]
pub(super) struct Tally {
    from: Timestamp,
    until: Timestamp,
    /// How long each caller waited; one that got nothing counts with the whole time it was ready to wait.
    pub(super) waits_seconds: Vec<u64>,
    pub(super) refused_at_once: u64,
    pub(super) queue_full: u64,
    pub(super) waited_in_vain: u64,
    pub(super) free: u64,
    pub(super) leased: u64,
    leased_at: Timestamp,
    /// Instance seconds under a lease.
    pub(super) leased_seconds: u64,
    /// Instances that are not terminated, and the most there ever were.
    pub(super) instances: u64,
    pub(super) most_instances: u64,
    pub(super) launches: u64,
    pub(super) starts: u64,
    pub(super) removals: u64,
    /// Removed without having served anybody.
    pub(super) removed_unused: u64,
    /// The same, within the cool-downs.
    pub(super) flaps: u64,
    pub(super) interruptions: u64,
    pub(super) interrupted_leases: u64,
    /// Seconds billed, by market and type.
    pub(super) billed_seconds: BTreeMap<(Market, String), u64>,
    pub(super) samples: Vec<Sample>,
}

impl Tally {
    pub(super) fn new(from: Timestamp, until: Timestamp) -> Self {
        Self { from, until, ..Self::default() }
    }

    pub(super) fn waited(&mut self, seconds: u64) {
        self.waits_seconds.push(seconds);
    }

    pub(super) fn refused(&mut self, why: Refusal, wait_seconds: u64) {
        match why {
            Refusal::QueueFull => self.queue_full += 1,
            _ => self.refused_at_once += 1,
        }
        self.waits_seconds.push(wait_seconds);
    }

    pub(super) fn waited_in_vain(&mut self, wait_seconds: u64) {
        self.waited_in_vain += 1;
        self.waits_seconds.push(wait_seconds);
    }

    pub(super) fn leased_changes(&mut self, now: Timestamp, before: usize, after: usize) {
        if before != after {
            self.count_leased(now);
            self.leased += after as u64;
            self.leased -= before as u64;
        }
    }

    /// Counts the time under leases up to now.
    pub(super) fn count_leased(&mut self, now: Timestamp) {
        self.leased_seconds += self.leased * self.within(self.leased_at, now);
        self.leased_at = now;
    }

    /// The part of a time that belongs to the trace.
    fn within(&self, since: Timestamp, until: Timestamp) -> u64 {
        until.min(self.until).seconds_since(since.max(self.from))
    }

    pub(super) fn launches(&mut self, now: Timestamp, count: u64) {
        self.instances += count;
        self.most_instances = self.most_instances.max(self.instances);
        self.launches += if now >= self.from { count } else { 0 };
    }

    pub(super) fn ends(&mut self, count: u64) {
        self.instances -= count.min(self.instances);
    }

    pub(super) fn removed(&mut self, now: Timestamp, has_served: bool, age_seconds: u64, policy: &Policy) {
        if now > self.until {
            return;
        }
        self.removals += 1;
        self.removed_unused += u64::from(!has_served);
        let cooldown = policy.scale_in_cooldown_seconds.max(policy.scale_out_cooldown_seconds);
        self.flaps += u64::from(!has_served && age_seconds < cooldown);
    }

    /// EC2 warns that it takes an instance.
    pub(super) fn interrupted(&mut self, now: Timestamp) {
        self.interruptions += u64::from(now >= self.from && now <= self.until);
    }

    pub(super) fn bill(&mut self, kind: &Kind, since: Timestamp, until: Timestamp) {
        let seconds = self.within(since, until);
        *self.billed_seconds.entry((kind.market, kind.instance_type.clone())).or_default() += seconds;
    }

    pub(super) fn sample(&mut self, now: Timestamp, waiting: u64, stopped: u64) {
        if now < self.from || now > self.until {
            return;
        }
        let Self { leased, free, instances, .. } = *self;
        let booting = instances.saturating_sub(leased + free + stopped);
        let at_seconds = now.seconds_since(self.from);
        self.samples.push(Sample { at_seconds, leased, free, stopped, booting, instances, waiting });
    }
}
