//! Taking an instance out of service: the one transition that fits where it is.
//!
//! Fence first, terminate after: an instance is asked to go only once no caller can be given it. One under a lease is
//! marked and leaves afterwards, or at the deadline.

use crate::ids::InstanceId;
use crate::shard::{Apart, Leaving, Place, Shard, Transition};
use crate::time::Timestamp;

/// The transition that withdraws `instance`, whatever it does; `None` when it leaves already, is no member, or is under
/// way to another shard (the move must be settled first). One that leaves after its lease may turn out to leave sooner:
/// a rebalance recommendation comes first, then the interruption warning.
#[must_use]
pub fn withdraw(shard: &Shard, instance: &InstanceId, why: &str, deadline: Timestamp) -> Option<Transition> {
    let sooner = |known: &Leaving| deadline < known.deadline && shard.lease_on(instance).is_some();
    if !shard.leaving.get(instance).is_none_or(sooner) {
        return None;
    }
    let leaving = Leaving { why: why.to_owned(), deadline };
    let instance = instance.clone();
    let apart = |place| Transition::FenceApart { instance: instance.clone(), place, leaving: leaving.clone() };
    match shard.place_of(&instance)? {
        Place::Free(position) => Some(Transition::Fence { instance, position, keep: 0, leaving }),
        Place::Leased => Some(Transition::Mark { instance, leaving }),
        Place::Booting(_) => Some(apart(Apart::Booting)),
        Place::Stopped(_) => Some(apart(Apart::Stopped)),
        Place::Resetting(_) => Some(apart(Apart::Resetting)),
        Place::Moving | Place::Leaving => None,
    }
}
