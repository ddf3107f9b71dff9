//! The launch budget: a token bucket in the control record, shared by all runs, so that no crowd of waiters and no
//! outage makes this pool spend the account's own bucket at EC2.
//!
//! EC2 takes five `RunInstances` at once and two more each second from an account in a region
//! (<https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html>), which others share. After a refusal the bucket is empty
//! for a while, twice as long after each further one, and by a part of it longer that differs from pool to pool.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// Calls that may launch at once.
const BURST: u64 = 5;
/// Calls that come back each second.
const REFILL_PER_SECOND: u64 = 2;
/// The pause after a first refusal, in seconds.
const PAUSE_SECONDS: u64 = 4;
/// The longest pause, in seconds.
const PAUSE_MAX_SECONDS: u64 = 300;

/// The bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LaunchBudget {
    /// Calls left at `counted_at`.
    pub calls: u64,
    /// When they were counted; in the future while EC2 has told us to wait.
    pub counted_at: Timestamp,
    /// Refusals in a row.
    pub refusals: u32,
}

impl Default for LaunchBudget {
    fn default() -> Self {
        Self { calls: BURST, counted_at: Timestamp(0), refusals: 0 }
    }
}

impl LaunchBudget {
    /// Calls that may be made now.
    #[must_use]
    pub fn calls(self, now: Timestamp) -> u64 {
        if self.counted_at > now {
            return 0;
        }
        let refilled = now.seconds_since(self.counted_at).saturating_mul(REFILL_PER_SECOND);
        self.calls.saturating_add(refilled).min(BURST)
    }

    /// The bucket after so many calls are taken out.
    #[must_use]
    pub fn after_calls(self, calls: u64, now: Timestamp) -> Self {
        if calls == 0 {
            return self;
        }
        Self { calls: self.calls(now).saturating_sub(calls), counted_at: self.counted_at.max(now), ..self }
    }

    /// The bucket after EC2 refused a call for coming too soon. `spread` is any number that differs from pool to pool.
    #[must_use]
    pub fn after_refusal(self, spread: u64, now: Timestamp) -> Self {
        let pause = PAUSE_SECONDS.saturating_mul(1 << self.refusals.min(16)).min(PAUSE_MAX_SECONDS);
        let counted_at = now + pause + spread % (pause / 2 + 1);
        Self { calls: 0, counted_at, refusals: self.refusals.saturating_add(1) }
    }

    /// The bucket after EC2 took a call: earlier refusals are forgotten.
    #[must_use]
    pub fn after_success(self) -> Self {
        Self { refusals: 0, ..self }
    }
}
