//! The removal plan: every end of an instance, and why. `reap-idle` only ever removes (and takes in orphans).
//!
//! Each run ends what is overdue, compares EC2 with the shards both ways, fences what should go, and terminates what is
//! fenced and bears no lease. Fences are within a budget a run, so that a mistake cannot take the pool at once (what EC2 itself
//! ended costs none of it); and when many nodes fall silent together the fault is taken to be ours, and none is removed for it.

mod fence;
mod idle;
mod machines;
mod reconcile;
mod replace;
mod unhealthy;

use crate::control::Control;
use crate::ids::{InstanceId, ShardNo};
use crate::measure;
use crate::shard::Transition;
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

use fence::{Candidate, Fences, each_member};
pub use machines::has_slots;
pub use reconcile::{
    Ec2Instance, Ec2State, Ec2Word, Orphan, anything_leaves, forgettable, gone, judge_orphan, located, orphans,
    start_again, stop_again, stopped, to_terminate, unlisted,
};
use unhealthy::{Ailing, Lost};

/// The order to keep an instance that is gone is forgotten after so many seconds.
const ORDER_FRESH_SECONDS: u64 = 600;

/// What a run of `reap-idle` takes out of service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The control record with what was learnt, to be written if it differs.
    pub control: Control,
    /// The fences, marks and stops, most urgent first. They are to be carried out in this order, since each takes a
    /// position in `free` for granted that the one before may have changed.
    pub removals: Vec<Removal>,
}

/// One removal: a write and its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// On which shard.
    pub shard: ShardNo,
    /// Which instance.
    pub instance: InstanceId,
    /// The write.
    pub transition: Transition,
    /// Why, for people.
    pub why: String,
    /// It was free for too long, which is the only reason.
    pub is_idle: bool,
}

/// The plan for a snapshot and EC2's word.
#[must_use]
pub fn plan(seen: Snapshot<'_>, ec2: &Ec2Word) -> Plan {
    let mut control = seen.control.clone();
    control.measures = measure::boots(seen);
    control.breaker = control.breaker.after_boots(seen);
    let mut fences = Fences::new(seen.shards);
    // What EC2 itself has ended is no removal of ours: no budget may keep it where callers are given it. Nor is there one
    // for what the operator asked for.
    let told = ec2.of_members(seen);
    let Lost { ended, vanished } = unhealthy::lost(seen, ec2, &told);
    fences.all(ended);
    fences.all(drained(seen));
    fences.within(budget(seen));
    fences.all(vanished);
    let (stuck, Ailing { ill, silent }) = (unhealthy::stuck(seen), unhealthy::ailing(seen));
    let boots = stuck.iter().chain(&ill).filter(|(_, failed)| *failed).map(|(it, _)| it.instance.machine());
    control.breaker = control.breaker.after_failures(boots, seen.policy, seen.now);
    fences.all(stuck.into_iter().map(|(candidate, _)| candidate));
    fences.all(unhealthy::stopped_wrongly(seen, ec2));
    fences.all(ill.into_iter().map(|(candidate, _)| candidate));
    fences.all(silent);
    control.operator.cordoned.retain(|instance, order| {
        let is_member = seen.shards.iter().any(|shard| shard.members.contains_key(instance));
        // An order is written before its instance is withdrawn, and may have come between two readings.
        is_member || seen.now < order.at + ORDER_FRESH_SECONDS
    });
    let looked = control.clone();
    let seen = Snapshot { control: &looked, ..seen };
    let outdated = replace::plan(seen, &told, &mut control, &mut fences);
    idle::stop(seen, &outdated, &mut fences);
    // What is idle is judged on what the urgent removals leave over.
    idle::remove(seen, &mut fences);
    idle::above_the_cap(seen, &mut fences);
    idle::tier_above_the_cap(seen, &mut fences);
    // These leave with what was withdrawn above, so they are no removals of their own.
    fences.within(usize::MAX);
    let behind = machines::left_behind(fences.shards());
    fences.all(behind);
    Plan { control, removals: fences.removals }
}

/// Fences of one run: a share of the members, and at least one machine with all its slots.
fn budget(seen: Snapshot<'_>) -> usize {
    let members: usize = seen.shards.iter().map(|shard| shard.members.len()).sum();
    let budget = (members as u64 * seen.policy.removal_budget_percent / 100).max(seen.policy.sessions_per_instance);
    usize::try_from(budget).unwrap_or(usize::MAX)
}

/// Everything, when the operator wants the pool empty; leased instances leave after their lease.
fn drained(seen: Snapshot<'_>) -> Vec<Candidate> {
    let Some(order) = &seen.control.operator.drained else { return Vec::new() };
    let why = format!("the operator drains the pool: {}", order.why);
    each_member(seen.shards, |shard, instance, _| Some(Candidate::new(shard, instance, &why, Timestamp::NEVER)))
}
