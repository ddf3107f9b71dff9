//! What must hold of all shards at every moment (DESIGN, section 8), whatever was just done to them.

use std::collections::{BTreeMap, BTreeSet};

use pool_core::ids::{Epoch, InstanceId, ShardNo};
use pool_core::shard::Shard;

/// Checks one reading of all shards, with the epochs of the reading before.
pub fn check(shards: &[Shard], epochs: &mut BTreeMap<ShardNo, Epoch>) {
    for shard in shards {
        let before = epochs.insert(shard.number, shard.epoch).unwrap_or(0);
        assert!(shard.epoch >= before, "invariant 2: the epoch of shard {} fell below {before}", shard.number);
        check_one(shard);
    }
    check_leases(shards);
    check_cap(shards);
}

fn check_one(shard: &Shard) {
    let number = shard.number;
    assert!(shard.free.is_empty() || shard.queue.is_empty(), "invariant 7: free and waiting in shard {number}");
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
        assert!(seen.insert(instance), "{instance} is in two places of shard {number}: {shard:?}");
    }
    for instance in seen {
        let interrupted = shard.leases.values().any(|leased| leased == instance);
        assert!(shard.members.contains_key(instance) || interrupted, "{instance} is no member of shard {number}");
    }
    let waiting: BTreeSet<_> = shard.queue.iter().collect();
    assert_eq!(waiting.len(), shard.queue.len(), "a token waits twice in shard {number}");
    assert!(waiting.into_iter().eq(shard.queue_terms.keys()), "queue and terms differ in shard {number}");
    assert!(shard.leases.keys().eq(shard.lease_epochs.keys()), "leases and epochs differ in shard {number}");
    assert!(shard.leases.keys().eq(shard.lease_terms.keys()), "leases and terms differ in shard {number}");
    assert!(shard.queue.iter().all(|token| !shard.leases.contains_key(token)), "a token waits and holds: {shard:?}");
}

fn check_leases(shards: &[Shard]) {
    let mut leased = BTreeSet::new();
    for (shard, instance) in shards.iter().flat_map(|shard| shard.leases.values().map(move |id| (shard, id))) {
        assert!(leased.insert(instance), "invariant 1: {instance} is leased twice, again in shard {}", shard.number);
    }
}

fn check_cap(shards: &[Shard]) {
    let whole = |count: usize| i64::try_from(count).expect("a small number");
    // An instance under way between two shards is one instance.
    let members: BTreeSet<&InstanceId> = shards.iter().flat_map(|shard| shard.members.keys()).collect();
    let intents: u64 = shards.iter().map(Shard::intended).sum();
    let room: i64 = shards.iter().map(|shard| shard.room).sum();
    let share: i64 = shards.iter().map(|shard| shard.share).sum();
    let counted = whole(members.len()) + i64::try_from(intents).expect("a small number") + room;
    assert_eq!(counted, share, "invariant 4: members + intents + room is not the cap: {shards:#?}");
}
