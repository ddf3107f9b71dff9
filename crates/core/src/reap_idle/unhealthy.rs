//! What must go since it does not serve any more: ended by EC2, unknown to it, never ready, silent, or not as it should be.

use std::collections::{HashMap, HashSet};

use crate::ids::InstanceId;
use crate::node::InstanceRecord;
use crate::reap_idle::fence::{Candidate, each_member};
use crate::reap_idle::reconcile::{Ec2State, Ec2Word, Told, Word};
use crate::shard::{Place, StopPhase};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// Members that EC2 has no more.
#[derive(Default)]
pub(super) struct Lost {
    /// Those that it says are terminated. Spot losses and hand terminations that no event told end here.
    pub(super) ended: Vec<Candidate>,
    /// Those that it does not know although asked by id. Its word alone could be a fault of the listing, so this is
    /// within the budget.
    pub(super) vanished: Vec<Candidate>,
}

/// Looks for members that EC2 has no more.
pub(super) fn lost(seen: Snapshot<'_>, ec2: &Ec2Word, words: &[Told]) -> Lost {
    let mut found = Lost::default();
    for ((shard, instance, member), told) in seen.members().zip(words) {
        let (list, why) = match told {
            Told::Found { state: Ec2State::Terminated, .. } => (&mut found.ended, "EC2 terminated it"),
            Told::Found { state: Ec2State::ShuttingDown, .. } => (&mut found.ended, "EC2 shuts it down"),
            Told::Unknown if ec2.has_forgotten(instance, member, seen.policy, seen.now) => {
                (&mut found.vanished, "EC2 does not know it any more")
            }
            _ => continue,
        };
        list.push(Candidate::new(shard, instance, why, seen.now));
    }
    found
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

/// Nodes that should serve and are not well.
#[derive(Default)]
pub(super) struct Ailing {
    /// Those that say so themselves; true for one that never served, which is as good as a boot that failed.
    pub(super) ill: Vec<(Candidate, bool)>,
    /// Those without a heartbeat for too long.
    pub(super) silent: Vec<Candidate>,
}

/// Looks at the nodes that should serve. A leased one leaves after its lease: its holder knows best whether it still
/// works. One that leaves anyway would make the others' silence look like a fault of ours.
pub(super) fn ailing(seen: Snapshot<'_>) -> Ailing {
    let records: HashMap<&InstanceId, &InstanceRecord> = seen.records.iter().map(|r| (&r.instance, r)).collect();
    let limit = seen.policy.silence_limit_seconds();
    let mut found = Ailing::default();
    let serving = || seen.members().filter(|(shard, instance, _)| shard.serves(instance));
    for (shard, instance, member) in serving() {
        let candidate = |why| Candidate::new(shard, instance, why, Timestamp::NEVER);
        let record = records.get(instance);
        let heard = record.and_then(|record| record.beat_at).unwrap_or(member.since);
        if seen.now.seconds_since(heard) > limit {
            found.silent.push(candidate("its heartbeats stopped"));
        } else if record.is_some_and(|record| !record.healthy) {
            let never_served = member.served == 0 && shard.place_of(instance) != Some(Place::Leased);
            found.ill.push((candidate("its health check fails"), never_served));
        }
    }
    // Three or more at once and half of the pool: rather our table or network than all of them.
    let silent: HashSet<_> = found.silent.iter().map(|candidate| candidate.instance.machine()).collect();
    if silent.len() >= 3 {
        let serving: HashSet<_> = serving().map(|(_, instance, _)| instance.machine()).collect();
        if silent.len() * 2 > serving.len() {
            found.silent.clear();
        }
    }
    found
}
