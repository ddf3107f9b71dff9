//! What is neither a shard's nor an instance's: the layout, the cool-down clocks, the memory of offerings that failed.
//!
//! It is one item with a version. A run of `scale` reads it, then the shards, then plans, then bumps the version on the
//! condition that nobody else did, and only then acts: of two runs over one snapshot the second is refused.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::policy::Policy;
use crate::time::Timestamp;

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
    /// When `scale` last ran.
    pub scale_ran_at: Timestamp,
}

/// How the cap is spread over shards.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Layout {
    /// Grows with every change.
    pub number: u64,
    /// The cap.
    pub max_instances: u64,
    /// Shards in use.
    pub shards: u32,
    /// Shards in use before the last change; a keyed request looks at its old home first for a while.
    pub shards_before: u32,
    /// Shards that were ever made; those no longer in use still hold what has not left yet.
    pub shards_made: u32,
    /// When the last change was made.
    pub changed_at: Timestamp,
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
        if self.number > 0 && self.shards == shards && self.max_instances == policy.max_instances {
            return None;
        }
        Some(Layout {
            number: self.number + 1,
            max_instances: policy.max_instances,
            shards,
            shards_before: if self.number == 0 { shards } else { self.shards },
            shards_made: self.shards_made.max(shards),
            changed_at: now,
        })
    }
}
