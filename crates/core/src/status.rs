//! The pool as one picture, for people and dashboards.

use serde::Serialize;

use crate::control::Control;
use crate::ids::{InstanceId, ShardNo};
use crate::node::InstanceRecord;
use crate::shard::{Kind, Place, Shard};
use crate::time::Timestamp;

/// The answer to `GET /v1/pool`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pool {
    /// The pool's name.
    pub pool: String,
    /// Sums over all shards.
    pub totals: Totals,
    /// Each shard.
    pub shards: Vec<ShardLine>,
    /// Each instance.
    pub instances: Vec<InstanceLine>,
    /// Offerings that failed lately.
    pub offerings: Vec<OfferingLine>,
}

/// Counts of instances and waiters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// The cap.
    pub capacity: i64,
    /// Ready to be leased.
    pub free: u64,
    /// Under a lease.
    pub leased: u64,
    /// Booting, being cleaned, or still to be launched.
    pub booting: u64,
    /// On their way out; a leased one counts as leased, too.
    pub leaving: u64,
    /// In the stopped tier.
    pub stopped: u64,
    /// Requests that wait.
    pub waiting: u64,
}

/// One shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShardLine {
    /// Its number.
    pub shard: ShardNo,
    /// Its epoch: how many changes it has seen.
    pub epoch: u64,
    /// Launches it may still intend.
    pub room: i64,
    /// Its counts.
    #[serde(flatten)]
    pub totals: Totals,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InstanceLine {
    /// Its id.
    pub instance_id: InstanceId,
    /// Its shard.
    pub shard: ShardNo,
    /// `free`, `leased`, `booting`, `resetting`, `stopping`, `stopped`, `moving` or `leaving`.
    pub state: &'static str,
    /// Why it leaves, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaving: Option<String>,
    /// Since when it is in this state, RFC 3339.
    pub since: String,
    /// Leases served.
    pub leases_served: u64,
    /// Type, zone, market.
    #[serde(flatten)]
    pub kind: Kind,
}

/// One offering that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OfferingLine {
    /// Type, subnet and market.
    pub offering: String,
    /// Left alone until, RFC 3339.
    pub cooling_until: String,
    /// Failures in a row.
    pub failures: u32,
    /// EC2's error code.
    pub cause: String,
}

/// The answer to `GET /v1/instances/{id}`: what it is now and what happened to it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InstanceStory {
    /// What it is now; absent once it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<InstanceLine>,
    /// Its last heartbeat and its history.
    #[serde(flatten)]
    pub record: InstanceRecord,
}

/// The whole pool.
#[must_use]
pub fn pool(name: &str, shards: &[Shard], control: &Control) -> Pool {
    let lines: Vec<ShardLine> = shards.iter().map(shard_line).collect();
    let mut totals = Totals::default();
    for Totals { capacity, free, leased, booting, leaving, stopped, waiting } in lines.iter().map(|line| line.totals) {
        totals.capacity += capacity;
        totals.free += free;
        totals.leased += leased;
        totals.booting += booting;
        totals.leaving += leaving;
        totals.stopped += stopped;
        totals.waiting += waiting;
    }
    let instances = shards.iter().flat_map(|s| s.members.keys().filter_map(|id| instance_line(s, id))).collect();
    let offerings = control.offerings.iter().map(|(offering, cooling)| OfferingLine {
        offering: offering.clone(),
        cooling_until: cooling.until.to_string(),
        failures: cooling.failures,
        cause: cooling.cause.clone(),
    });
    Pool { pool: name.to_owned(), totals, shards: lines, instances, offerings: offerings.collect() }
}

/// One instance, now; `None` when it is not a member of the shard.
#[must_use]
pub fn instance_line(shard: &Shard, instance: &InstanceId) -> Option<InstanceLine> {
    use crate::shard::StopPhase;
    let member = shard.members.get(instance)?;
    let state = match shard.place_of(instance)? {
        Place::Free(_) => "free",
        Place::Leased(_) => "leased",
        Place::Booting(_) => "booting",
        Place::Stopped(stopped) if stopped.phase == StopPhase::Stopping => "stopping",
        Place::Stopped(_) => "stopped",
        Place::Resetting(_) => "resetting",
        Place::Moving => "moving",
        Place::Leaving => "leaving",
    };
    Some(InstanceLine {
        instance_id: instance.clone(),
        shard: shard.number,
        state,
        leaving: shard.leaving.get(instance).map(|leaving| leaving.why.clone()),
        since: member.since.to_string(),
        leases_served: member.served,
        kind: member.kind.clone(),
    })
}

/// An instance with its record, or what is left of one that is gone.
#[must_use]
pub fn story(shards: &[Shard], record: Option<InstanceRecord>, instance: &InstanceId) -> Option<InstanceStory> {
    let now = shards.iter().find_map(|shard| instance_line(shard, instance));
    let empty = || InstanceRecord {
        instance: instance.clone(),
        shard: now.as_ref().map(|line| line.shard),
        healthy: true,
        cpu_percent: 0.0,
        memory_percent: 0.0,
        sessions: 0,
        beat_at: None::<Timestamp>,
        history: Vec::new(),
    };
    if now.is_none() && record.is_none() {
        return None;
    }
    Some(InstanceStory { record: record.unwrap_or_else(empty), now })
}

fn shard_line(shard: &Shard) -> ShardLine {
    let totals = Totals {
        capacity: shard.share,
        free: shard.free.len() as u64,
        leased: shard.leased(),
        booting: (shard.booting.len() + shard.resetting.len()) as u64 + shard.intended(),
        leaving: shard.leaving.len() as u64,
        stopped: shard.stopped.len() as u64,
        waiting: shard.queue.len() as u64,
    };
    ShardLine { shard: shard.number, epoch: shard.epoch, room: shard.room, totals }
}
