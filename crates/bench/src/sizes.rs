//! How large a shard's item is, by the instances it owns and the callers that wait, and what that costs: what the
//! shard's size is chosen by.

use pool_core::ids::{Owner, Token};
use pool_core::policy::Policy;
use pool_core::shard::Shard;
use pool_store::codec;

use crate::claim::{self, Situation};
use crate::item;
use crate::pool::{self, NOW};

/// Write units that one partition takes in a second, so one item at most
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>).
const PARTITION_UNITS_PER_SECOND: f64 = 1_000.0;

/// The pool on which the homes are counted.
const INSTANCES: u32 = 256;

/// What one item is like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Size {
    /// Instances, all leased.
    pub members: u32,
    /// Callers that wait.
    pub waiters: u32,
    /// Bytes as DynamoDB counts them.
    pub bytes: u32,
    /// What each write of it costs.
    pub write_units: f64,
    /// What a reading that must be new costs.
    pub read_units: f64,
    /// As many writes as a partition takes.
    pub writes_per_second: f64,
    /// In a pool of 256 instances, 90 % of them leased: homes of a key that have nothing free. Only without
    /// waiters.
    pub empty_homes_percent: Option<f64>,
    /// Requests of an acquire with a key there.
    pub keyed_acquire_requests: Option<f64>,
}

/// Sizes of the items of shards of so many instances, with so many waiters.
pub async fn measure(members: u32, waiters: u32) -> Size {
    let bytes = item::size_bytes(&codec::encode(&full(members, waiters)));
    let write_units = item::write_units(bytes);
    let pool = if waiters == 0 {
        let situation = Situation { shards: INSTANCES / members, size: members, in_use_percent: 90, keyed: true };
        Some(claim::measure(situation, 1).await)
    } else {
        None
    };
    Size {
        members,
        waiters,
        bytes,
        write_units,
        read_units: item::read_units(bytes, true),
        writes_per_second: PARTITION_UNITS_PER_SECOND / write_units,
        empty_homes_percent: pool.map(|claim| claim.empty_homes_percent),
        keyed_acquire_requests: pool.map(|claim| claim.acquire.requests),
    }
}

/// A shard whose instances are all leased.
///
/// # Panics
/// Never: the defaults are a valid policy.
#[must_use]
pub fn full(members: u32, waiters: u32) -> Shard {
    let policy = Policy::parse::<&str, &str>([]).expect("the defaults are valid");
    let owner = Owner::of("AROABENCHCALLER00001");
    let token = |n: u32| {
        let mut bytes = [0; Token::BYTES];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        Token::from_bytes(bytes)
    };
    let mut shard = pool::shard(0, members);
    shard.share = i64::from(members);
    shard.layout = 1;
    for (n, instance) in (0..members).zip(std::mem::take(&mut shard.free)) {
        let token = token(n);
        shard.lease_epochs.insert(token.clone(), 100_000 + u64::from(n));
        shard.lease_terms.insert(token.clone(), policy.lease_terms(&owner, 600, NOW));
        shard.leases.insert(token, instance);
    }
    for n in members..members + waiters {
        shard.queue.push(token(n));
        shard.queue_terms.insert(token(n), policy.wait_terms(&owner, 600, 60, NOW));
    }
    shard
}
