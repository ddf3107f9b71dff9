//! What must hold of all shards at every moment (DESIGN, section 8), whatever was just done to them.

use std::collections::{BTreeMap, BTreeSet};

use pool_core::ids::{Epoch, InstanceId, ShardNo};
use pool_core::shard::{Fate, Shard};

/// Checks one reading of all shards, with the epochs of the reading before.
///
/// # Errors
/// What does not hold, in words.
pub fn check(shards: &[Shard], epochs: &mut BTreeMap<ShardNo, Epoch>) -> Result<(), String> {
    for shard in shards {
        let before = epochs.insert(shard.number, shard.epoch).unwrap_or(0);
        hold(shard.epoch >= before, || {
            format!("invariant 2: the epoch of shard {} fell below {before}", shard.number)
        })?;
        check_one(shard)?;
    }
    check_leases(shards)?;
    check_cap(shards)
}

fn hold(holds: bool, told: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(told()) }
}

fn check_one(shard: &Shard) -> Result<(), String> {
    let number = shard.number;
    let beside = !shard.free.is_empty() && !shard.queue.is_empty();
    hold(!beside, || format!("invariant 7: free and waiting in shard {number}"))?;
    let places = shard
        .free
        .iter()
        .chain(shard.leases.values())
        .chain(shard.booting.keys())
        .chain(shard.stopped.keys())
        .chain(shard.resetting.keys())
        .chain(shard.transfers.keys());
    let mut seen = BTreeSet::new();
    for instance in places {
        hold(seen.insert(instance), || format!("{instance} is in two places of shard {number}: {shard:?}"))?;
    }
    let is_somewhere = |instance: &InstanceId| seen.contains(instance) || shard.leaving.contains_key(instance);
    if let Some(lost) = shard.members.keys().find(|instance| !is_somewhere(instance)) {
        return Err(format!("{lost} is a member of shard {number} and nowhere in it: {shard:?}"));
    }
    for instance in seen {
        let interrupted = shard.leases.values().any(|leased| leased == instance);
        let known = shard.members.contains_key(instance) || interrupted;
        hold(known, || format!("{instance} is no member of shard {number}"))?;
    }
    let waiting: BTreeSet<_> = shard.queue.iter().collect();
    let wholes = [
        (waiting.len() == shard.queue.len(), "a token waits twice"),
        (waiting.into_iter().eq(shard.queue_terms.keys()), "queue and terms differ"),
        (shard.leases.keys().eq(shard.lease_epochs.keys()), "leases and epochs differ"),
        (shard.leases.keys().eq(shard.lease_terms.keys()), "leases and terms differ"),
        (shard.queue.iter().all(|token| !shard.leases.contains_key(token)), "a token waits and holds"),
    ];
    wholes.into_iter().try_for_each(|(holds, what)| hold(holds, || format!("{what} in shard {number}: {shard:?}")))
}

fn check_leases(shards: &[Shard]) -> Result<(), String> {
    let mut leased = BTreeSet::new();
    for (shard, instance) in shards.iter().flat_map(|shard| shard.leases.values().map(move |id| (shard, id))) {
        let again = || format!("invariant 1: {instance} is leased twice, again in shard {}", shard.number);
        hold(leased.insert(instance), again)?;
    }
    Ok(())
}

fn check_cap(shards: &[Shard]) -> Result<(), String> {
    let whole = |count: usize| i64::try_from(count).expect("a small number");
    let here = |shard: &Shard| shard.members.keys().filter(|instance| !is_taken(shards, shard, instance)).count();
    let members: usize = shards.iter().map(here).sum();
    let intents: u64 = shards.iter().map(Shard::intended).sum();
    let room: i64 = shards.iter().map(|shard| shard.room).sum();
    let share: i64 = shards.iter().map(|shard| shard.share).sum();
    let counted = whole(members) + i64::try_from(intents).expect("a small number") + room;
    hold(counted == share, || format!("invariant 4: members + intents + room is not the cap: {shards:#?}"))
}

/// Whether an instance is in this shard's books only until the shard is told that another has taken it. It counts where it
/// comes from until then, and there from then on, even if it ends there before its source is told.
#[must_use]
pub fn is_taken(shards: &[Shard], source: &Shard, instance: &InstanceId) -> bool {
    let Some(entry) = source.transfers.get(instance) else { return false };
    let target = shards.iter().find(|target| target.number == entry.to);
    let told = target.and_then(|target| target.tombstones.get(entry.id.as_str()));
    told.is_some_and(|told| told.fate == Fate::Taken)
}
