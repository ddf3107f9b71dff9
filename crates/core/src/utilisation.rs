//! Utilisation: when the leased nodes are busy for long, more instances are kept free beside them.
//!
//! Callers who work their instances hard tend to ask for more of them. While the mean CPU or memory of the leased nodes
//! stays above its threshold, one more step is taken each period; when it was below for the scale-in cool-down on
//! end, all steps are taken back. Out fast, in slow.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::shard::Shard;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// One step is a tenth of what is leased, and at least one instance.
const STEP_PERCENT: u64 = 10;

/// What is remembered of how busy the leased nodes are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Utilisation {
    /// Instances kept free beyond what the policy says.
    pub extra: u64,
    /// Since when the mean is above a threshold; `None` while it is not.
    pub high_since: Option<Timestamp>,
    /// When the mean was last above.
    pub high_at: Timestamp,
    /// When the last step was taken.
    pub stepped_at: Timestamp,
}

/// How busy the leased nodes are on average, in percent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Leased nodes that told of it lately.
    pub nodes: u64,
    /// Mean CPU.
    pub cpu_percent: f64,
    /// Mean memory.
    pub memory_percent: f64,
}

impl Load {
    /// The load of the leased nodes whose heartbeats are not too old.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a pool has far fewer than 2^52 nodes")]
    pub fn of(seen: Snapshot<'_>) -> Self {
        let leased: HashSet<_> = seen.shards.iter().flat_map(|shard| shard.leases.values()).collect();
        let fresh = |at: Timestamp| seen.now.seconds_since(at) <= seen.policy.silence_limit_seconds();
        let told = seen.records.iter().filter(|record| record.beat_at.is_some_and(fresh));
        let told: Vec<_> = told.filter(|record| leased.contains(&record.instance)).collect();
        let nodes = told.len().max(1) as f64;
        Self {
            nodes: told.len() as u64,
            cpu_percent: told.iter().map(|record| record.cpu_percent).sum::<f64>() / nodes,
            memory_percent: told.iter().map(|record| record.memory_percent).sum::<f64>() / nodes,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "the thresholds are percentages")]
    fn is_high(self, policy: &Policy) -> bool {
        let above = |percent: f64, threshold: u64| percent > threshold as f64;
        above(self.cpu_percent, policy.scale_out_cpu_percent)
            || above(self.memory_percent, policy.scale_out_memory_percent)
    }
}

impl Utilisation {
    /// What is remembered after a look at the heartbeats.
    #[must_use]
    pub fn after(self, seen: Snapshot<'_>) -> Self {
        let (policy, now) = (seen.policy, seen.now);
        if !Load::of(seen).is_high(policy) {
            let over = now >= self.high_at + policy.scale_in_cooldown_seconds;
            return Self { high_since: None, extra: if over { 0 } else { self.extra }, ..self };
        }
        let high_since = self.high_since.unwrap_or(now);
        let period = policy.scale_out_period_seconds;
        let next = Self { high_since: Some(high_since), high_at: now, ..self };
        let pause = period.max(policy.scale_out_cooldown_seconds);
        // More than the cap is never asked for, so that the steps are taken back as soon as they have no effect.
        if now < high_since + period || now < self.stepped_at + pause || self.extra >= seen.cap() {
            return next;
        }
        let leased: u64 = seen.shards.iter().map(Shard::leased).sum();
        let step = (leased * STEP_PERCENT / 100).max(1);
        Self { extra: self.extra + step, stepped_at: now, ..next }
    }
}
