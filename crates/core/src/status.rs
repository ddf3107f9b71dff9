//! The pool as one picture, for people and dashboards.

use serde::Serialize;

use crate::control::{Control, Order};
use crate::ids::{InstanceId, ShardNo};
use crate::node::InstanceRecord;
use crate::price;
use crate::scale;
use crate::shard::{Kind, Place, Shard};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// Lines of shards and instances in one answer, after which it ends with the shard that it is in. An instance's line has
/// about 250 bytes, and Lambda answers with 6 MB at most
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
const PAGE_LINES: usize = 2_000;

/// The answer to `GET /v1/pool`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pool {
    /// The pool's name.
    pub pool: String,
    /// Sums over all shards.
    pub totals: Totals,
    /// The shards of this page.
    pub shards: Vec<ShardLine>,
    /// Their instances.
    pub instances: Vec<InstanceLine>,
    /// The shard with which the next page begins; absent when this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_shard: Option<ShardNo>,
    /// Offerings that failed lately.
    pub offerings: Vec<OfferingLine>,
    /// What the growth plan sees.
    pub growth: Growth,
    /// What was measured of boots and leases.
    pub measures: MeasuresLine,
    /// What the operator has decided.
    pub operator: OperatorLine,
}

/// What the growth plan sees now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Growth {
    /// Instances wanted.
    pub target: u64,
    /// Instances that count for that.
    pub present: u64,
    /// How the plan comes to both, in words.
    pub why: String,
    /// Why nothing is launched, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launching_stopped: Option<String>,
    /// How long the oldest waiter waits.
    pub oldest_wait_seconds: u64,
    /// Boots that failed in a row.
    pub boot_failures: u64,
    /// Launch calls that the budget allows now.
    pub launch_calls_left: u64,
    /// When instances were last added, RFC 3339; absent before the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_step_at: Option<String>,
}

/// What was measured; absent before the first measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MeasuresLine {
    /// Nine of ten boots take at most so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_seconds: Option<u64>,
    /// Mean age of the leases in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_age_seconds: Option<u64>,
    /// Instances kept free since leased nodes are busy.
    pub kept_for_busy_nodes: u64,
    /// What the instances cost now, in USD an hour: an estimate by [`price`].
    pub usd_per_hour: f64,
}

/// What the operator has decided, until taken back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OperatorLine {
    /// Nothing is launched, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<OrderLine>,
    /// The pool is emptied, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drained: Option<OrderLine>,
    /// The cap instead of the deployed one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_instances: Option<u64>,
}

/// When the operator decided something, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderLine {
    /// RFC 3339.
    pub at: String,
    /// In the operator's words.
    pub why: String,
}

impl OrderLine {
    fn of(order: &Order) -> Self {
        Self { at: order.at.to_string(), why: order.why.clone() }
    }
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
    /// Why it goes as soon as another is ready in its place, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retiring: Option<String>,
    /// Why the operator keeps it running out of service, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cordoned: Option<String>,
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

/// The pool; of shards and instances one page, which begins with the shard `from_shard`.
#[must_use]
pub fn pool(name: &str, seen: Snapshot<'_>, from_shard: ShardNo) -> Pool {
    let Snapshot { shards, control, .. } = seen;
    let (mut lines, mut instances, mut next_shard) = (Vec::new(), Vec::new(), None);
    for shard in shards.iter().filter(|shard| shard.number >= from_shard) {
        if lines.len() + instances.len() >= PAGE_LINES {
            next_shard = Some(shard.number);
            break;
        }
        lines.push(shard_line(shard));
        instances.extend(shard.members.keys().filter_map(|id| instance_line(shard, control, id)));
    }
    let offerings = control.offerings.iter().map(|(offering, cooling)| OfferingLine {
        offering: offering.clone(),
        cooling_until: cooling.until.to_string(),
        failures: cooling.failures,
        cause: cooling.cause.clone(),
    });
    Pool {
        pool: name.to_owned(),
        totals: totals(shards),
        shards: lines,
        instances,
        next_shard,
        offerings: offerings.collect(),
        growth: growth(seen),
        measures: measures(shards, control),
        operator: operator(control),
    }
}

/// The sums over shards.
#[must_use]
pub fn totals(shards: &[Shard]) -> Totals {
    let mut sum = Totals::default();
    for shard in shards {
        let Totals { capacity, free, leased, booting, leaving, stopped, waiting } = shard_line(shard).totals;
        sum.capacity += capacity;
        sum.free += free;
        sum.leased += leased;
        sum.booting += booting;
        sum.leaving += leaving;
        sum.stopped += stopped;
        sum.waiting += waiting;
    }
    sum
}

fn growth(seen: Snapshot<'_>) -> Growth {
    let need = scale::need(seen);
    let control = seen.control;
    Growth {
        target: need.target,
        present: need.present,
        why: need.why,
        launching_stopped: scale::stopped_because(seen),
        oldest_wait_seconds: seen.oldest_wait_seconds(),
        boot_failures: control.breaker.failed.len() as u64,
        launch_calls_left: control.launch_budget.calls(seen.now),
        last_step_at: (control.scaled_out_at > Timestamp(0)).then(|| control.scaled_out_at.to_string()),
    }
}

fn measures(shards: &[Shard], control: &Control) -> MeasuresLine {
    let measured = |value: u64| (value > 0).then_some(value);
    MeasuresLine {
        boot_seconds: measured(control.measures.boot_seconds),
        lease_age_seconds: measured(control.measures.lease_age_seconds),
        kept_for_busy_nodes: control.utilisation.extra,
        // Five digits say all that the list of prices knows.
        usd_per_hour: (price::pool_usd_per_hour(shards) * 1e5).round() / 1e5,
    }
}

/// What the operator has decided.
#[must_use]
pub fn operator(control: &Control) -> OperatorLine {
    let orders = &control.operator;
    OperatorLine {
        paused: orders.paused.as_ref().map(OrderLine::of),
        drained: orders.drained.as_ref().map(OrderLine::of),
        max_instances: orders.max_instances,
    }
}

/// One instance, now; `None` when it is not a member of the shard.
#[must_use]
pub fn instance_line(shard: &Shard, control: &Control, instance: &InstanceId) -> Option<InstanceLine> {
    use crate::shard::StopPhase;
    let member = shard.members.get(instance)?;
    let state = match shard.place_of(instance)? {
        Place::Free(_) => "free",
        Place::Leased => "leased",
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
        retiring: control.retiring.get(instance).map(|retiring| retiring.why.clone()),
        cordoned: control.operator.cordoned.get(&instance.machine()).map(|order| order.why.clone()),
        since: member.since.to_string(),
        leases_served: member.served,
        kind: member.kind.clone(),
    })
}

/// An instance with its record, or what is left of one that is gone.
#[must_use]
pub fn story(
    shards: &[Shard],
    control: &Control,
    record: Option<InstanceRecord>,
    instance: &InstanceId,
) -> Option<InstanceStory> {
    let now = shards.iter().find_map(|shard| instance_line(shard, control, instance));
    let empty = || InstanceRecord {
        instance: instance.clone(),
        shard: now.as_ref().map(|line| line.shard),
        healthy: true,
        cpu_percent: 0.0,
        memory_percent: 0.0,
        sessions: 0,
        beat_at: None::<Timestamp>,
        ready_at: None,
        boot_seconds: None,
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
