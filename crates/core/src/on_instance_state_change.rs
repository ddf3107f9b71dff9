//! What an event of EC2 means. Events are hints: they come late, twice, out of order or not at all, so each is turned
//! into a transition that holds at any time, and the reconcile of `reap-idle` finds what no event told.

use crate::ids::InstanceId;
use crate::leaving;
use crate::reap_idle::{Ec2Instance, Ec2State};
use crate::shard::{Place, Shard, StopPhase, Transition};
use crate::time::Timestamp;

/// How long after a Spot warning EC2 takes the instance, in seconds
/// (<https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html>).
pub const SPOT_NOTICE_SECONDS: u64 = 120;

/// What is known of an instance, by an event that cannot be taken back or by asking EC2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// It runs, and EC2 tells this of it.
    Running(Ec2Instance),
    /// It is stopped.
    Stopped,
    /// It is shutting down.
    ShuttingDown,
    /// It is terminated.
    Terminated,
    /// EC2 takes the Spot instance back.
    SpotWarning {
        /// When.
        takes_at: Timestamp,
    },
    /// EC2 recommends to replace the Spot instance.
    Rebalance,
}

impl Fact {
    /// The same fact of a slot of the instance.
    #[must_use]
    pub fn of_slot(&self, slot: &InstanceId) -> Self {
        match self {
            Self::Running(found) => Self::Running(Ec2Instance { instance: slot.clone(), ..found.clone() }),
            other => other.clone(),
        }
    }
}

/// The next write after a fact, with the instance's shard as last seen; `None` when nothing is left to do.
#[must_use]
pub fn next(shard: &Shard, instance: &InstanceId, fact: &Fact, now: Timestamp) -> Option<Transition> {
    if !shard.members.contains_key(instance) {
        return None;
    }
    match fact {
        Fact::Running(found) => locate(shard, found),
        Fact::Stopped => stopped(shard, instance, now),
        Fact::ShuttingDown => leaving::withdraw(shard, instance, "EC2 shuts it down", now),
        Fact::Terminated if shard.leaving.contains_key(instance) => gone(shard, instance, now),
        Fact::Terminated => leaving::withdraw(shard, instance, "EC2 terminated it", now),
        Fact::SpotWarning { takes_at } => {
            leaving::withdraw(shard, instance, "EC2 takes the Spot instance back", *takes_at)
        }
        Fact::Rebalance => leaving::withdraw(shard, instance, "EC2 recommends to replace it", Timestamp::NEVER),
    }
}

/// Records what EC2 tells only after a launch, if it is news: where the instance is, and its address. Without an address
/// it cannot become ready.
#[must_use]
pub fn locate(shard: &Shard, found: &Ec2Instance) -> Option<Transition> {
    let member = shard.members.get(&found.instance)?;
    // One that is still stopped may have an address, and must stay without it here until its start has taken effect.
    let runs = matches!(found.state, Ec2State::Pending | Ec2State::Running);
    let news = runs && !found.address.is_empty() && (member.address != found.address || member.kind != found.kind);
    let (instance, address, kind) = (found.instance.clone(), found.address.clone(), found.kind.clone());
    news.then_some(Transition::Locate { instance, address, kind })
}

/// Members whose address EC2 has not told yet.
#[must_use]
pub fn unlocated(shards: &[Shard]) -> Vec<InstanceId> {
    let members = shards.iter().flat_map(|shard| &shard.members);
    members.filter(|(_, member)| member.address.is_empty()).map(|(instance, _)| instance.clone()).collect()
}

fn stopped(shard: &Shard, instance: &InstanceId, now: Timestamp) -> Option<Transition> {
    match shard.place_of(instance)? {
        Place::Stopped(stopped) if stopped.phase == StopPhase::Stopping => {
            Some(Transition::Stopped { instance: instance.clone(), now })
        }
        // Nobody here stopped it. A boot may have begun after the answer was given, so only what serves is withdrawn.
        Place::Stopped(_) | Place::Booting(_) | Place::Moving | Place::Leaving => None,
        _ => leaving::withdraw(shard, instance, "it was stopped from outside", now),
    }
}

/// A terminated instance leaves the count, unless a move of it must be settled first.
#[must_use]
pub fn gone(shard: &Shard, instance: &InstanceId, now: Timestamp) -> Option<Transition> {
    (!shard.transfers.contains_key(instance)).then(|| Transition::Gone { instance: instance.clone(), now })
}
