//! What a node's word does: it is ready, it beats.

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, InstanceId, NodeKey};
use crate::policy::Policy;
use crate::shard::{Place, Shard, Transition};
use crate::time::Timestamp;

/// A node says that its service answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Which instance.
    pub instance: InstanceId,
    /// Grows with every start of the node.
    pub boot_id: u64,
    /// The node's key for access tokens.
    pub key: NodeKey,
    /// The epoch up to which it has cleaned away what leases left.
    pub cleaned_epoch: Option<Epoch>,
}

/// What to do next for a node that is ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadyStep {
    /// Carry this out, then look again.
    Try(Transition),
    /// It serves, or may not serve any more; nothing is left to do.
    Done,
    /// The pool does not know the instance or its address yet; the node tries again.
    NotYet,
}

/// What to do next for a node that is ready, with its shard as last seen; `None` when no shard knows it.
#[must_use]
pub fn ready(word: &Ready, shard: Option<&Shard>, policy: &Policy, now: Timestamp) -> ReadyStep {
    let known =
        shard.and_then(|shard| Some((shard, shard.members.get(&word.instance)?, shard.place_of(&word.instance)?)));
    let Some((shard, member, place)) = known else { return ReadyStep::NotYet };
    if shard.leaving.contains_key(&word.instance) {
        return ReadyStep::Done;
    }
    if let Place::Booting(boot_epoch) = place {
        if member.address.is_empty() {
            return ReadyStep::NotYet;
        }
        return ReadyStep::Try(match shard.next(policy, now) {
            Ok(next) => Transition::Ready {
                instance: word.instance.clone(),
                boot_epoch,
                key: word.key.clone(),
                boot_id: word.boot_id,
                now,
                next,
            },
            Err(first) => first,
        });
    }
    if place == Place::Moving {
        // The shard that takes it copies the member as it was given away, so a new key must wait until it is there.
        return if member.boot_id < word.boot_id { ReadyStep::NotYet } else { ReadyStep::Done };
    }
    if member.boot_id < word.boot_id {
        let (instance, key) = (word.instance.clone(), word.key.clone());
        return ReadyStep::Try(Transition::ReadyAgain { instance, key, boot_id: word.boot_id });
    }
    match (place, word.cleaned_epoch) {
        (Place::Resetting(epoch), Some(cleaned_epoch)) if epoch <= cleaned_epoch => {
            ReadyStep::Try(match shard.next(policy, now) {
                Ok(next) => Transition::ResetDone { instance: word.instance.clone(), cleaned_epoch, now, next },
                Err(first) => first,
            })
        }
        _ => ReadyStep::Done,
    }
}

/// What a heartbeat is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatAnswer {
    /// Work under a lower epoch is refused by the node.
    pub epoch_floor: Epoch,
    /// The lease on the instance, if there is one.
    pub lease: Option<LeaseOnNode>,
    /// What the node should do.
    pub command: Command,
}

/// A lease as its node needs to know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseOnNode {
    /// Its epoch.
    pub epoch: Epoch,
    /// How long it still lasts.
    pub expires_in_seconds: u64,
}

/// What a node should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Command {
    /// Go on.
    None,
    /// Take nothing new; the instance leaves.
    Drain,
    /// Say `ready` (again): the pool waits for it, or wants the instance cleaned first.
    Register,
}

/// The shard that speaks for an instance. One under way to another shard is in both: the one it comes from answers until
/// it has arrived.
#[must_use]
pub fn shard_of(shards: Vec<Shard>, instance: &InstanceId) -> Option<Shard> {
    let having = shards.into_iter().filter(|shard| shard.members.contains_key(instance));
    let (mut moving, mut here): (Vec<_>, Vec<_>) = having.partition(|shard| shard.transfers.contains_key(instance));
    here.pop().or_else(|| moving.pop())
}

/// Whether this shard alone speaks for an instance, so that the others need not be asked.
#[must_use]
pub fn speaks_alone(shard: &Shard, instance: &InstanceId) -> bool {
    shard.members.contains_key(instance) && !shard.transfers.contains_key(instance)
}

/// The answer to a heartbeat; `None` when the shard does not know the instance.
#[must_use]
pub fn heartbeat(instance: &InstanceId, shard: &Shard, now: Timestamp) -> Option<HeartbeatAnswer> {
    let place = shard.place_of(instance)?;
    let lease = shard.lease_on(instance);
    let lease = lease.map(|lease| LeaseOnNode {
        epoch: lease.epoch,
        expires_in_seconds: shard.lease_terms.get(&lease.token).map_or(0, |terms| terms.until.seconds_since(now)),
    });
    let command = match place {
        _ if shard.leaving.contains_key(instance) => Command::Drain,
        Place::Booting(_) | Place::Resetting(_) => Command::Register,
        _ => Command::None,
    };
    let epoch_floor = match (&lease, &place) {
        (Some(lease), _) => lease.epoch,
        // Everything up to the lease that must be cleaned away is over.
        (None, Place::Resetting(epoch)) => epoch + 1,
        // The shard that takes it need only exceed the epoch at which it was given away, which may be lower than now.
        (None, Place::Moving) => 0,
        // Any grant still to come has a higher epoch than the shard has now.
        (None, _) => shard.epoch + 1,
    };
    Some(HeartbeatAnswer { epoch_floor, lease, command })
}
