//! Moving a free instance to the shard that needs it: give, take, done; and settling a move that got stuck.
//!
//! The source remembers the move until the target's word is known, and the target remembers for good that it took or
//! will never take it: those two must not be blurred, or the instance is lost or owned twice.

use crate::ids::{Epoch, InstanceId, ShardNo, TransferId};
use crate::policy::Policy;
use crate::shard::{Fate, Lift, Member, Shard, Transfer, Transition};
use crate::time::Timestamp;

/// A move younger than this is still being made by whoever began it, in seconds.
pub const STUCK_AFTER_SECONDS: u64 = 60;

/// A move of one free instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Move {
    /// Which instance.
    pub instance: InstanceId,
    /// What it is.
    pub member: Member,
    /// From where.
    pub from: ShardNo,
    /// To where.
    pub to: ShardNo,
    /// This move among all.
    pub id: TransferId,
    /// The source's epoch, which the target's must exceed.
    pub source_epoch: Epoch,
}

/// The first write of a move of the oldest free instance to shard `to`; `None` when no other shard has one to spare or
/// the target is full.
#[must_use]
pub fn give(shards: &[Shard], to: ShardNo, policy: &Policy, now: Timestamp) -> Option<(ShardNo, Transition)> {
    let target = shards.iter().find(|shard| shard.number == to)?;
    if target.members.len() as u64 >= member_limit(policy) {
        return None;
    }
    let spare = |shard: &&Shard| shard.number != to && shard.queue.is_empty() && !shard.free.is_empty();
    let source = shards.iter().filter(spare).max_by_key(|shard| shard.free.len())?;
    let instance = source.free.last()?.clone();
    let position = source.free.len() as u64 - 1;
    let transfer = TransferId::trusted(format!("{}.{}", source.number, source.sequence));
    Some((source.number, Transition::Give { instance, position, to, transfer, sequence: source.sequence, now }))
}

/// The move that `source` records for `instance`.
#[must_use]
pub fn recorded(source: &Shard, instance: &InstanceId) -> Option<Move> {
    let Transfer { to, id, .. } = source.transfers.get(instance)?.clone();
    let member = source.members.get(instance)?.clone();
    Some(Move { instance: instance.clone(), member, from: source.number, to, id, source_epoch: source.epoch })
}

/// The write at the target, or the one that must come before it.
#[must_use]
pub fn take(moved: &Move, target: &Shard, policy: &Policy, now: Timestamp) -> Transition {
    let next = match target.next(policy, now) {
        Ok(next) => next,
        Err(first) => return first,
    };
    Transition::Take {
        instance: moved.instance.clone(),
        transfer: moved.id.clone(),
        member: moved.member.clone(),
        source_epoch: moved.source_epoch,
        limit: member_limit(policy),
        now,
        next,
        lift: if target.epoch >= moved.source_epoch { Lift::None } else { Lift::ToSource },
    }
}

/// What the target says of a move, if it says anything yet.
#[must_use]
pub fn fate(target: &Shard, transfer: &TransferId) -> Option<Fate> {
    target.tombstones.get(transfer.as_str()).map(|tombstone| tombstone.fate)
}

/// The last write, at the source, once the target has decided.
#[must_use]
pub fn settle(moved: &Move, source: &Shard, fate: Fate, policy: &Policy, now: Timestamp) -> Transition {
    let (instance, transfer) = (moved.instance.clone(), moved.id.clone());
    if fate == Fate::Taken {
        return Transition::Done { instance, transfer };
    }
    match source.next(policy, now) {
        Ok(next) => Transition::Back { instance, transfer, now, next },
        Err(first) => first,
    }
}

/// Moves that nobody finishes any more.
#[must_use]
pub fn stuck(shard: &Shard, now: Timestamp) -> Vec<Move> {
    let old = |entry: &Transfer| now.seconds_since(entry.since) > STUCK_AFTER_SECONDS;
    shard.transfers.iter().filter(|(_, entry)| old(entry)).filter_map(|(id, _)| recorded(shard, id)).collect()
}

/// Shards with waiters, where an instance that is free elsewhere would be of use; as often as one is.
#[must_use]
pub fn wanting(shards: &[Shard]) -> Vec<ShardNo> {
    let spare: usize = shards.iter().filter(|shard| shard.queue.is_empty()).map(|shard| shard.free.len()).sum();
    let waiting = shards.iter().flat_map(|shard| shard.queue.iter().map(|_| shard.number));
    waiting.take(spare).collect()
}

/// Members a shard may hold: a moved instance may come on top of its own, up to twice the size.
fn member_limit(policy: &Policy) -> u64 {
    policy.shard_size * 2
}
