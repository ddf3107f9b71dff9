//! What is neither a shard's nor an instance's: the layout, the cool-down clocks, the memory of offerings that failed.
//!
//! It is one item with a version. A run of `scale` reads it, then the shards, then plans, then bumps the version on the
//! condition that nobody else did, and only then acts: of two runs over one snapshot the second is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::breaker::Breaker;
use crate::ids::{InstanceId, LaunchToken, ShardNo};
use crate::launch_budget::LaunchBudget;
use crate::policy::Policy;
use crate::time::Timestamp;
use crate::utilisation::Utilisation;

/// The control item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Control {
    /// Grows with every write; 0 when the item does not exist yet.
    #[serde(skip)]
    pub version: u64,
    /// How the cap is spread over shards.
    pub layout: Layout,
    /// When instances were last added.
    pub scaled_out_at: Timestamp,
    /// Offerings that failed, by name.
    pub offerings: BTreeMap<String, CoolDown>,
    /// Launching is stopped until then, and why: missing permissions or a quota, which no retry mends.
    pub halted: Option<Halt>,
    /// Boot failures in a row, and what they stop.
    pub breaker: Breaker,
    /// Calls that may launch, shared by all runs.
    pub launch_budget: LaunchBudget,
    /// How busy the leased nodes are, and what is launched for it.
    pub utilisation: Utilisation,
    /// What was measured of boots and leases.
    pub measures: Measures,
    /// The newest version of the launch template, when last asked.
    pub template: KnownTemplate,
    /// Intents whose run died and whose launch is being repeated, and since when.
    pub repeated: BTreeMap<LaunchToken, Timestamp>,
    /// Free instances that go as soon as a replacement is ready.
    pub retiring: BTreeMap<InstanceId, Retiring>,
    /// What the operator has decided, above the policy.
    pub operator: Orders,
}

/// What was measured of boots and leases. Whoever plans ahead or tells a waiter when relies on it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measures {
    /// How long nine of ten boots take at most, from the launch to `ready`, in seconds; 0 before the first.
    pub boot_seconds: u64,
    /// How old the leases in force are on average, in seconds, smoothed; 0 before the first.
    pub lease_age_seconds: u64,
    /// When that was last looked at.
    pub looked_at: Timestamp,
}

/// The newest version of the launch template, when last asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KnownTemplate {
    /// Its number; 0 before the first asking.
    pub version: u64,
    /// When EC2 was asked.
    pub seen_at: Timestamp,
}

/// A free instance that goes as soon as a replacement is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retiring {
    /// Since when it is waiting for that.
    pub since: Timestamp,
    /// Why, for people.
    pub why: String,
}

/// What the operator has decided, above the policy, until taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Orders {
    /// Nothing is launched or started.
    pub paused: Option<Order>,
    /// Nothing is launched or started, and every instance leaves, leased ones after their lease.
    pub drained: Option<Order>,
    /// The cap, instead of the policy's.
    pub max_instances: Option<u64>,
    /// Instances that are out of service and kept running until they are drained.
    pub cordoned: BTreeMap<InstanceId, Order>,
}

/// When the operator decided something, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// When.
    pub at: Timestamp,
    /// Why, for people.
    pub why: String,
}

impl Control {
    /// The cap in force: the operator's, or the policy's.
    #[must_use]
    pub fn max_instances(&self, policy: &Policy) -> u64 {
        self.operator.max_instances.unwrap_or(policy.max_instances)
    }

    /// The layout that the cap in force asks for, or `None` when it is the present one.
    #[must_use]
    pub fn next_layout(&self, policy: &Policy, now: Timestamp) -> Option<Layout> {
        let policy = Policy { max_instances: self.max_instances(policy), ..policy.clone() };
        self.layout.changed_by(&policy, now)
    }
}

/// How the cap is spread over shards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layout {
    /// Grows with every change.
    pub number: u64,
    /// The cap.
    pub max_instances: u64,
    /// Sessions that an instance serves; 0 in a layout from before there could be several, and as good as 1.
    pub sessions: u64,
    /// Shards in use.
    pub shards: u32,
    /// Shards in use before the last change; a keyed request looks at its old home first for a while.
    pub shards_before: u32,
    /// Shards that were ever made; those no longer in use still hold what has not left yet.
    pub shards_made: u32,
    /// The number of the layout that brought the present number of shards; a change of the cap alone moves no home.
    pub spread_since: u64,
    /// When it was made.
    pub spread_at: Timestamp,
}

/// An offering that failed and is left alone for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoolDown {
    /// Not tried before.
    pub until: Timestamp,
    /// Failures in a row; each doubles the next cool-down.
    pub failures: u32,
    /// EC2's error code.
    pub cause: String,
}

/// Launching is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// Tried again then.
    pub until: Timestamp,
    /// Why, for people.
    pub why: String,
}

impl Layout {
    /// The layout that the policy asks for, or `None` when it is this one.
    #[must_use]
    pub fn changed_by(&self, policy: &Policy, now: Timestamp) -> Option<Layout> {
        let shards = policy.shards();
        let is_same =
            self.max_instances == policy.max_instances && self.sessions.max(1) == policy.sessions_per_instance;
        if self.number > 0 && self.shards == shards && is_same {
            return None;
        }
        let mut next = Layout {
            number: self.number + 1,
            max_instances: policy.max_instances,
            sessions: policy.sessions_per_instance,
            shards_made: self.shards_made.max(shards),
            ..self.clone()
        };
        if self.shards != shards {
            next.shards = shards;
            next.shards_before = if self.number == 0 { shards } else { self.shards };
            next.spread_since = next.number;
            next.spread_at = now;
        }
        Some(next)
    }

    /// The part of the cap that belongs to shard `number`, in sessions: as many whole instances for each as can be, the first ones take
    /// the rest.
    #[must_use]
    pub fn share_of(&self, number: ShardNo) -> i64 {
        if number >= self.shards {
            return 0;
        }
        let (shards, number) = (u64::from(self.shards), u64::from(number));
        let instances = self.max_instances / shards + u64::from(number < self.max_instances % shards);
        i64::try_from(instances * self.sessions.max(1)).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(max_instances: u64) -> Policy {
        let default = Policy::parse::<&str, &str>([]).expect("the defaults are valid");
        Policy { max_instances, ..default }
    }

    #[test]
    fn shares_add_up_to_the_cap() {
        for max in 1..200_u64 {
            let layout = Layout::default().changed_by(&policy(max), Timestamp(1)).expect("the first layout");
            let total: i64 = (0..layout.shards + 2).map(|number| layout.share_of(number)).sum();
            assert_eq!(total, i64::try_from(max).expect("small"));
            assert!((0..layout.shards).all(|number| layout.share_of(number) <= 16));
        }
    }

    #[test]
    fn shares_are_whole_instances_that_fit_a_shard() {
        for max in 1..100_u64 {
            for sessions in [2, 4, 8, 16] {
                let policy = Policy { sessions_per_instance: sessions, ..policy(max) };
                let layout = Layout::default().changed_by(&policy, Timestamp(1)).expect("the first layout");
                let shares: Vec<i64> = (0..layout.shards).map(|number| layout.share_of(number)).collect();
                assert_eq!(shares.iter().sum::<i64>(), i64::try_from(max * sessions).expect("small"));
                assert!(
                    shares.iter().all(|share| *share <= 16 && share % i64::try_from(sessions).expect("small") == 0)
                );
            }
        }
    }

    #[test]
    fn a_change_of_the_cap_alone_keeps_the_old_homes() {
        let first = Layout::default().changed_by(&policy(16), Timestamp(1)).expect("the first layout");
        let spread = first.changed_by(&policy(40), Timestamp(2)).expect("three shards");
        let raised = spread.changed_by(&policy(41), Timestamp(3)).expect("another cap");
        assert_eq!((raised.number, raised.shards, raised.shards_before), (3, 3, 1));
        assert_eq!((raised.spread_since, raised.spread_at), (2, Timestamp(2)));
        assert_eq!(raised.changed_by(&policy(41), Timestamp(4)), None);
    }
}
