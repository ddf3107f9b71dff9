//! What slots of one machine have in common: they leave together, and it ends with the last of them.
//!
//! An instance that serves several sessions has a slot for each (`docs/sessions.md`). Each is withdrawn by a write of its own,
//! so that one of them may still be leased when the others leave; the machine waits for it.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::control::Orders;
use crate::ids::InstanceId;
use crate::reap_idle::fence::Candidate;
use crate::shard::Shard;
use crate::time::Timestamp;

/// Slots that stay although another one of their machine leaves. One under a lease leaves after it, whatever the deadline
/// of the other is: what takes the whole machine away is told of each slot by itself.
pub(super) fn left_behind<'a>(shards: impl Iterator<Item = &'a Shard> + Clone) -> Vec<Candidate> {
    let mut leaving: BTreeMap<InstanceId, &str> = BTreeMap::new();
    for (instance, left) in shards.clone().flat_map(|shard| &shard.leaving) {
        leaving.entry(instance.machine()).or_insert(&left.why);
    }
    let mut behind = Vec::new();
    for shard in shards.filter(|_| !leaving.is_empty()) {
        let staying = shard.members.keys().filter(|instance| !shard.leaving.contains_key(*instance));
        for (instance, why) in staying.filter_map(|instance| Some((instance, leaving.get(&instance.machine())?))) {
            behind.push(Candidate::new(shard, instance, why, Timestamp::NEVER));
        }
    }
    behind
}

/// Of the machines with a slot that leaves, those of which one must not end yet: it stays, is under way to another shard, bears a lease, or
/// is kept by the operator.
pub(super) fn needed<'a>(
    shards: impl Iterator<Item = &'a Shard> + Clone,
    orders: &Orders,
    now: Timestamp,
) -> HashSet<InstanceId> {
    let is_kept = |machine: &InstanceId| orders.cordoned.contains_key(machine) && orders.drained.is_none();
    let ends = |shard: &Shard, instance: &InstanceId| {
        let released = |deadline: Timestamp| shard.lease_on(instance).is_none() || deadline <= now;
        let leaves = shard.leaving.get(instance).is_some_and(|leaving| released(leaving.deadline));
        leaves && !shard.transfers.contains_key(instance) && !is_kept(&instance.machine())
    };
    let broken: HashSet<_> = shards.clone().flat_map(|shard| shard.leaving.keys()).map(InstanceId::machine).collect();
    let members = shards.flat_map(|shard| shard.members.keys().map(move |instance| (shard, instance)));
    let of_broken = members.filter(|(_, instance)| broken.contains(&instance.machine()));
    of_broken.filter(|(shard, instance)| !ends(shard, instance)).map(|(_, instance)| instance.machine()).collect()
}

/// Whether a machine of these shards has several slots.
#[must_use]
pub fn has_slots(shards: &[Shard]) -> bool {
    shards.iter().flat_map(|shard| shard.members.keys()).any(|instance| !instance.is_first_slot())
}

/// How many slots of each machine serve or will.
pub(super) fn sizes<'a>(shards: impl Iterator<Item = &'a Shard>) -> HashMap<InstanceId, usize> {
    let mut sizes = HashMap::new();
    for shard in shards {
        for instance in shard.members.keys().filter(|instance| !shard.leaving.contains_key(*instance)) {
            *sizes.entry(instance.machine()).or_insert(0) += 1;
        }
    }
    sizes
}
