//! What must go since it does not serve any more: ended by EC2, unknown to it, never ready, silent, or not as it should be.

use std::collections::BTreeMap;

use crate::ids::InstanceId;
use crate::node::InstanceRecord;
use crate::reap_idle::fence::{Candidate, each_member};
use crate::reap_idle::reconcile::{Ec2State, Ec2Word, Word};
use crate::shard::{Member, Place, Shard, StopPhase};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// Members that EC2 says are terminated. Spot losses and hand terminations that no event told end here.
pub(super) fn ended(seen: Snapshot<'_>, ec2: &Ec2Word) -> Vec<Candidate> {
    each_member(seen.shards, |shard, instance, _| match ec2.of(instance) {
        Word::Found(found) => match found.state {
            Ec2State::Terminated => Some(Candidate::new(shard, instance, "EC2 terminated it", seen.now)),
            Ec2State::ShuttingDown => Some(Candidate::new(shard, instance, "EC2 shuts it down", seen.now)),
            _ => None,
        },
        Word::Unknown | Word::NotAsked => None,
    })
}

/// Members that EC2 does not know although asked by id. Its word alone could be a fault of the listing, so this is
/// within the budget.
pub(super) fn vanished(seen: Snapshot<'_>, ec2: &Ec2Word) -> Vec<Candidate> {
    each_member(seen.shards, |shard, instance, member| {
        let vanished = ec2.has_forgotten(instance, member, seen.policy, seen.now);
        vanished.then(|| Candidate::new(shard, instance, "EC2 does not know it any more", seen.now))
    })
}

/// Members that did not say `ready` in time, after their launch or after a lease; true for a first boot. One that was ready
/// before and did not come back from being stopped says nothing about the image.
pub(super) fn stuck(seen: Snapshot<'_>) -> Vec<(Candidate, bool)> {
    let mut boots = Vec::new();
    let stuck = each_member(seen.shards, |shard, instance, member| {
        let late = seen.now.seconds_since(member.since) > seen.policy.boot_deadline_seconds;
        if !late || shard.leaving.contains_key(instance) {
            return None;
        }
        let (why, boot) = match shard.place_of(instance)? {
            Place::Booting(_) => ("it was not ready in time", member.boot_id == 0),
            Place::Resetting(_) => ("it was not clean in time", false),
            _ => return None,
        };
        boots.push(boot);
        Some(Candidate::new(shard, instance, why, seen.now))
    });
    stuck.into_iter().zip(boots).collect()
}

/// Members of the stopped tier that run although they should not, or never stop. Each costs as a running one does and
/// serves nobody.
pub(super) fn stopped_wrongly(seen: Snapshot<'_>, ec2: &Ec2Word) -> Vec<Candidate> {
    each_member(seen.shards, |shard, instance, _| {
        let stopped = shard.stopped.get(instance)?;
        let for_seconds = seen.now.seconds_since(stopped.since);
        let runs = matches!(ec2.of(instance), Word::Found(found) if found.state == Ec2State::Running);
        let why = match stopped.phase {
            StopPhase::Stopping if for_seconds > seen.policy.boot_deadline_seconds => "it did not stop in time",
            // The listing may be a little older than the word that it is stopped.
            StopPhase::Stopped if runs && for_seconds > seen.policy.reconcile_grace_seconds => {
                "it runs although it was stopped"
            }
            _ => return None,
        };
        Some(Candidate::new(shard, instance, why, seen.now))
    })
}

/// How a node that should serve is not as it should be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ailment {
    Silent,
    Ill,
}

/// Nodes that should serve, each with what is wrong with it. One that leaves anyway would make the others' silence look
/// like a fault of ours.
fn examined<'a>(seen: Snapshot<'a>) -> Vec<(&'a Shard, &'a InstanceId, &'a Member, Option<Ailment>)> {
    let records: BTreeMap<&InstanceId, &InstanceRecord> = seen.records.iter().map(|r| (&r.instance, r)).collect();
    let limit = seen.policy.silence_limit_seconds();
    let serving = seen.members().filter(|(shard, instance, _)| {
        let place = shard.place_of(instance);
        let serves = matches!(place, Some(Place::Free(_) | Place::Leased(_) | Place::Resetting(_)));
        serves && !shard.leaving.contains_key(*instance)
    });
    let examine = |(shard, instance, member): (&'a Shard, &'a InstanceId, &'a Member)| {
        let record = records.get(instance);
        let heard = record.and_then(|record| record.beat_at).unwrap_or(member.since);
        let ailment = match record {
            _ if seen.now.seconds_since(heard) > limit => Some(Ailment::Silent),
            Some(record) if !record.healthy => Some(Ailment::Ill),
            _ => None,
        };
        (shard, instance, member, ailment)
    };
    serving.map(examine).collect()
}

/// Nodes that say themselves that they are not healthy; true for one that never served, which is as good as a boot that
/// failed. A leased one leaves after its lease: its holder knows best whether it still works.
pub(super) fn ill(seen: Snapshot<'_>) -> Vec<(Candidate, bool)> {
    let ill = examined(seen).into_iter().filter(|(_, _, _, ailment)| *ailment == Some(Ailment::Ill));
    let why = "its health check fails";
    ill.map(|(shard, instance, member, _)| {
        (
            Candidate::new(shard, instance, why, Timestamp::NEVER),
            member.served == 0 && shard.lease_on(instance).is_none(),
        )
    })
    .collect()
}

/// Nodes without a heartbeat for too long. A leased one leaves after its lease.
pub(super) fn silent(seen: Snapshot<'_>) -> Vec<Candidate> {
    let examined = examined(seen);
    let serving = examined.len();
    let silent: Vec<Candidate> = examined
        .into_iter()
        .filter(|(_, _, _, ailment)| *ailment == Some(Ailment::Silent))
        .map(|(shard, instance, _, _)| Candidate::new(shard, instance, "its heartbeats stopped", Timestamp::NEVER))
        .collect();
    // Three or more at once and half of the pool: rather our table or network than all of them.
    let ours = silent.len() >= 3 && silent.len() * 2 > serving;
    if ours { Vec::new() } else { silent }
}
