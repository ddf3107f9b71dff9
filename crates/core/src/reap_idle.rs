//! The removal plan: every end of an instance, and why. `reap-idle` only ever removes (and takes in orphans).
//!
//! Each run ends what is overdue, compares EC2 with the shards both ways, fences what should go, and terminates what is
//! fenced and bears no lease. Fences are within a budget a run, so that a mistake cannot take the pool at once (what EC2 itself
//! ended costs none of it); and when many nodes fall silent together the fault is taken to be ours, and none is removed for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{InstanceId, LaunchToken, NodeKey, ShardNo};
use crate::leaving;
use crate::node::InstanceRecord;
use crate::policy::Policy;
use crate::schedule;
use crate::shard::{Kind, Leaving, Member, Place, Shard, Transition};
use crate::time::Timestamp;

/// How long a tombstone is kept, in seconds: longer than any message can be under way.
const TOMBSTONE_SECONDS: u64 = 1_200;

/// EC2 is listed before the shards are read, and nothing younger than this is judged, in seconds.
const YOUNG_SECONDS: u64 = 30;

/// An instance as EC2 tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ec2Instance {
    /// Its id.
    pub instance: InstanceId,
    /// Its state.
    pub state: Ec2State,
    /// When it was launched.
    pub launched_at: Timestamp,
    /// What it is.
    pub kind: Kind,
    /// The address callers are given; empty while there is none.
    pub address: String,
    /// The shard of its tag.
    pub shard: Option<ShardNo>,
    /// The launch of its tag.
    pub launch: Option<LaunchToken>,
}

/// The state of an instance in EC2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ec2State {
    /// Starting.
    Pending,
    /// Running.
    Running,
    /// On its way to stopped.
    Stopping,
    /// Stopped.
    Stopped,
    /// On its way to terminated.
    ShuttingDown,
    /// Terminated, for ever.
    Terminated,
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
}

/// What EC2 said: the instances with our tag, and the explicit word on members that the list lacked (`None` for "EC2
/// does not know this id").
#[derive(Debug, Clone, Default)]
pub struct Ec2Word {
    /// The list by tag.
    pub listed: BTreeMap<InstanceId, Ec2Instance>,
    /// Members asked for by id.
    pub asked: BTreeMap<InstanceId, Option<Ec2Instance>>,
}

/// What EC2 says of one instance.
enum Word<'a> {
    /// It was not asked.
    NotAsked,
    /// It was asked for this id and does not know it.
    Unknown,
    /// It has it.
    Found(&'a Ec2Instance),
}

impl Ec2Word {
    fn of(&self, instance: &InstanceId) -> Word<'_> {
        match (self.listed.get(instance), self.asked.get(instance)) {
            (Some(found), _) | (None, Some(Some(found))) => Word::Found(found),
            (None, Some(None)) => Word::Unknown,
            (None, None) => Word::NotAsked,
        }
    }

    /// Whether EC2 was asked for a member by its id and does not know it. Right after a launch it may not know its own
    /// instance yet, which says nothing.
    fn has_forgotten(&self, instance: &InstanceId, member: &Member, policy: &Policy, now: Timestamp) -> bool {
        let old = now.seconds_since(member.since) > policy.reconcile_grace_seconds;
        old && matches!(self.of(instance), Word::Unknown)
    }
}

/// Members that a list by tag lacks; each must be asked for by id before anything is concluded.
#[must_use]
pub fn unlisted(shards: &[Shard], listed: &BTreeMap<InstanceId, Ec2Instance>) -> Vec<InstanceId> {
    let members = shards.iter().flat_map(|shard| shard.members.keys());
    members.filter(|instance| !listed.contains_key(*instance)).cloned().collect()
}

/// The fences and marks of this run, most urgent first, within the budget. They are to be carried out in this order,
/// since each takes a position in `free` for granted that the one before may have changed.
#[must_use]
pub fn removals(
    shards: &[Shard],
    ec2: &Ec2Word,
    records: &[InstanceRecord],
    policy: &Policy,
    now: Timestamp,
) -> Vec<Removal> {
    let members: usize = shards.iter().map(|shard| shard.members.len()).sum();
    let budget = (members as u64 * policy.removal_budget_percent / 100).max(1);
    let budget = usize::try_from(budget).unwrap_or(usize::MAX);
    let mut after: Vec<Shard> = shards.to_vec();
    let mut removals = Vec::new();
    // What EC2 itself has ended is no removal of ours: no budget may keep it where callers are given it.
    for candidate in ended(shards, ec2, now) {
        remove(candidate, &mut after, usize::MAX, &mut removals);
    }
    let budget = budget + removals.len();
    let mut candidates = vanished(shards, ec2, policy, now);
    candidates.extend(stuck(shards, policy, now));
    candidates.extend(silent(shards, records, policy, now));
    candidates.extend(aged(shards, ec2, policy, now));
    for candidate in candidates {
        remove(candidate, &mut after, budget, &mut removals);
    }
    // What is idle is judged on what the urgent removals leave over.
    for candidate in idle(&after.clone(), policy, now) {
        remove(candidate, &mut after, budget, &mut removals);
    }
    removals
}

/// An instance that should go.
struct Candidate {
    shard: ShardNo,
    instance: InstanceId,
    why: String,
    deadline: Timestamp,
}

impl Candidate {
    fn new(shard: &Shard, instance: &InstanceId, why: &str, deadline: Timestamp) -> Self {
        Self { shard: shard.number, instance: instance.clone(), why: why.to_owned(), deadline }
    }
}

/// Plans one removal on the shards as the earlier ones leave them.
fn remove(candidate: Candidate, after: &mut [Shard], budget: usize, removals: &mut Vec<Removal>) {
    let Candidate { shard, instance, why, deadline } = candidate;
    let Some(shard) = after.iter_mut().find(|known| known.number == shard) else { return };
    let Some(mut transition) = leaving::withdraw(shard, &instance, &why, deadline) else { return };
    if let Transition::Fence { keep, .. } = &mut transition {
        // A caller who comes meanwhile is served first: the fence holds only while as many are free as the plan saw.
        *keep = shard.free.len() as u64 - 1;
    }
    if removals.len() < budget && shard.apply(&transition).is_ok() {
        removals.push(Removal { shard: shard.number, instance, transition, why });
    }
}

/// Members that EC2 says are terminated. Spot losses and hand terminations that no event told end here.
fn ended(shards: &[Shard], ec2: &Ec2Word, now: Timestamp) -> Vec<Candidate> {
    each_member(shards, |shard, instance, _| match ec2.of(instance) {
        Word::Found(found) => match found.state {
            Ec2State::Terminated => Some(Candidate::new(shard, instance, "EC2 terminated it", now)),
            Ec2State::ShuttingDown => Some(Candidate::new(shard, instance, "EC2 shuts it down", now)),
            _ => None,
        },
        Word::Unknown | Word::NotAsked => None,
    })
}

/// Members that EC2 does not know although asked by id. Its word alone could be a fault of the listing, so this is
/// within the budget.
fn vanished(shards: &[Shard], ec2: &Ec2Word, policy: &Policy, now: Timestamp) -> Vec<Candidate> {
    each_member(shards, |shard, instance, member| {
        let vanished = ec2.has_forgotten(instance, member, policy, now);
        vanished.then(|| Candidate::new(shard, instance, "EC2 does not know it any more", now))
    })
}

/// Members that did not say `ready` in time, after their launch or after a lease.
fn stuck(shards: &[Shard], policy: &Policy, now: Timestamp) -> Vec<Candidate> {
    each_member(shards, |shard, instance, member| {
        let late = now.seconds_since(member.since) > policy.boot_deadline_seconds;
        let why = match shard.place_of(instance)? {
            Place::Booting(_) if late => "it was not ready in time",
            Place::Resetting(_) if late => "it was not clean in time",
            _ => return None,
        };
        Some(Candidate::new(shard, instance, why, now))
    })
}

/// Nodes without a heartbeat for too long, or that say themselves that they are not healthy. A leased one leaves after
/// its lease: its holder knows best whether it still works.
fn silent(shards: &[Shard], records: &[InstanceRecord], policy: &Policy, now: Timestamp) -> Vec<Candidate> {
    let records: BTreeMap<&InstanceId, &InstanceRecord> = records.iter().map(|r| (&r.instance, r)).collect();
    let limit = policy.silence_limit_seconds();
    let mut serving = 0;
    let silent = each_member(shards, |shard, instance, member| {
        let serves = matches!(shard.place_of(instance)?, Place::Free(_) | Place::Leased(_) | Place::Resetting(_));
        // One that leaves anyway would make the others' silence look like a fault of ours.
        if !serves || shard.leaving.contains_key(instance) {
            return None;
        }
        serving += 1;
        let record = records.get(instance);
        let heard = record.and_then(|record| record.beat_at).unwrap_or(member.since);
        let why = match record {
            _ if now.seconds_since(heard) > limit => "its heartbeats stopped",
            Some(record) if !record.healthy => "its health check fails",
            _ => return None,
        };
        Some(Candidate::new(shard, instance, why, Timestamp::NEVER))
    });
    // Three or more at once and half of the pool: rather our table or network than all of them.
    let ours = silent.len() >= 3 && silent.len() * 2 > serving;
    if ours { Vec::new() } else { silent }
}

fn aged(shards: &[Shard], ec2: &Ec2Word, policy: &Policy, now: Timestamp) -> Vec<Candidate> {
    each_member(shards, |shard, instance, _| {
        let launched_at = ec2.listed.get(instance)?.launched_at;
        let old = now.seconds_since(launched_at) > policy.max_age_seconds;
        let serves = matches!(shard.place_of(instance)?, Place::Free(_) | Place::Leased(_));
        // Under a lease it leaves afterwards: in a busy pool it would otherwise never be seen free.
        (old && serves).then(|| Candidate::new(shard, instance, "it reached its maximum age", Timestamp::NEVER))
    })
}

/// Free for longer than the threshold and above what must be kept; the ones free longest go first.
fn idle(shards: &[Shard], policy: &Policy, now: Timestamp) -> Vec<Candidate> {
    if shards.iter().any(|shard| !shard.queue.is_empty()) {
        return Vec::new();
    }
    let kept = schedule::wanted(&policy.schedule, now).min_available.unwrap_or(0).max(policy.min_available);
    let free: u64 = shards.iter().map(|shard| shard.free.len() as u64).sum();
    let serving: u64 = shards.iter().map(|shard| (shard.serving() - shard.transfers.len()) as u64).sum();
    let spare = free.saturating_sub(kept).min(serving.saturating_sub(policy.min_instances));
    let mut idle: Vec<(Timestamp, Candidate)> = Vec::new();
    for shard in shards {
        for instance in &shard.free {
            let since = shard.members.get(instance).map_or(now, |member| member.since);
            if now.seconds_since(since) > policy.idle_threshold_seconds {
                let why = format!("free for {} minutes and not needed", now.seconds_since(since) / 60);
                idle.push((since, Candidate::new(shard, instance, &why, now)));
            }
        }
    }
    idle.sort_by_key(|(since, _)| *since);
    idle.truncate(usize::try_from(spare).unwrap_or(usize::MAX));
    idle.into_iter().map(|(_, candidate)| candidate).collect()
}

fn each_member(
    shards: &[Shard],
    mut judge: impl FnMut(&Shard, &InstanceId, &Member) -> Option<Candidate>,
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for shard in shards {
        candidates.extend(shard.members.iter().filter_map(|(instance, member)| judge(shard, instance, member)));
    }
    candidates
}

/// Instances to terminate now: they leave, EC2 still has them, and no lease is on them or their deadline has passed.
#[must_use]
pub fn to_terminate(
    shards: &[Shard],
    ec2: &Ec2Word,
    policy: &Policy,
    now: Timestamp,
) -> Vec<(ShardNo, InstanceId, String)> {
    let mut ending = Vec::new();
    for (shard, instance, member, leaving) in each_leaving(shards) {
        let released = shard.lease_on(instance).is_none() || leaving.deadline <= now;
        let ends_already = match ec2.of(instance) {
            Word::Found(found) => matches!(found.state, Ec2State::ShuttingDown | Ec2State::Terminated),
            Word::Unknown => ec2.has_forgotten(instance, member, policy, now),
            Word::NotAsked => false,
        };
        if released && !ends_already {
            ending.push((shard.number, instance.clone(), leaving.why.clone()));
        }
    }
    ending
}

/// Leaving members that EC2 says are no more.
#[must_use]
pub fn gone(
    shards: &[Shard],
    ec2: &Ec2Word,
    policy: &Policy,
    now: Timestamp,
) -> Vec<(ShardNo, InstanceId, Transition)> {
    let mut gone = Vec::new();
    for (shard, instance, member, _) in each_leaving(shards) {
        let ended = match ec2.of(instance) {
            Word::Found(found) => found.state == Ec2State::Terminated,
            Word::Unknown => ec2.has_forgotten(instance, member, policy, now),
            Word::NotAsked => false,
        };
        if ended {
            gone.push((shard.number, instance.clone(), Transition::Gone { instance: instance.clone(), now }));
        }
    }
    gone
}

/// Members that leave, but for those whose move must be settled first.
fn each_leaving(shards: &[Shard]) -> impl Iterator<Item = (&Shard, &InstanceId, &Member, &Leaving)> {
    shards.iter().flat_map(|shard| {
        let settled = shard.leaving.iter().filter(|(instance, _)| !shard.transfers.contains_key(*instance));
        settled.filter_map(move |(instance, leaving)| Some((shard, instance, shard.members.get(instance)?, leaving)))
    })
}

/// An instance with our tag that no shard knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The shard that judges it: that of its tag, or the first.
    pub shard: ShardNo,
    /// Some shard knew it and has buried it: the listing is older than that.
    pub buried: bool,
    /// What EC2 says of it.
    pub found: Ec2Instance,
}

/// Instances that look like orphans: a second consistent read of all shards must say so too before one is judged, since
/// a move between the reads of two shards looks the same.
#[must_use]
pub fn orphans(shards: &[Shard], ec2: &Ec2Word, policy: &Policy, now: Timestamp) -> Vec<Orphan> {
    let alive = |found: &&Ec2Instance| matches!(found.state, Ec2State::Pending | Ec2State::Running | Ec2State::Stopped);
    let known = |found: &Ec2Instance| shards.iter().any(|shard| shard.members.contains_key(&found.instance));
    let grace_seconds = policy.reconcile_grace_seconds.max(YOUNG_SECONDS);
    let old = |found: &&Ec2Instance| now.seconds_since(found.launched_at) > grace_seconds;
    let intended = |found: &Ec2Instance| {
        found.launch.as_ref().is_some_and(|launch| shards.iter().any(|shard| shard.intents.contains_key(launch)))
    };
    let home = |found: &Ec2Instance| found.shard.filter(|n| shards.iter().any(|s| s.number == *n)).unwrap_or(0);
    let unknown = ec2.listed.values().filter(alive).filter(old).filter(|found| !known(found) && !intended(found));
    let buried = |found: &Ec2Instance| shards.iter().any(|s| s.tombstones.contains_key(found.instance.as_str()));
    unknown.map(|found| Orphan { shard: home(found), buried: buried(found), found: found.clone() }).collect()
}

/// What to do with an orphan, given its shard as a second reading has it: a running one with room is taken in and must
/// say `ready`; anything else is doomed, and terminated once that is written.
///
/// `sequence` is the shard's number in the reading *before* that one. The shards of one reading are not read at one
/// moment: whoever takes the orphan in and gives it away between the readings of two shards changes the number since.
#[must_use]
pub fn judge_orphan(orphan: &Orphan, shard: &Shard, sequence: u64, now: Timestamp) -> Transition {
    let Ec2Instance { instance, kind, address, launch, .. } = orphan.found.clone();
    let launch = launch.unwrap_or_else(|| LaunchToken::trusted("none"));
    let usable = matches!(orphan.found.state, Ec2State::Pending | Ec2State::Running);
    if usable && shard.room >= 1 && !orphan.buried && !shard.tombstones.contains_key(instance.as_str()) {
        let member = Member { address, key: NodeKey::default(), boot_id: 0, since: now, served: 0, kind };
        return Transition::AdoptOrphan { instance, member, launch, sequence };
    }
    Transition::Doom { instance, launch, sequence, now }
}

/// Tombstones that nothing under way can need any more: old, and no shard records the transfer.
#[must_use]
pub fn forgettable(shards: &[Shard], now: Timestamp) -> Vec<(ShardNo, Transition)> {
    let written_before = now - TOMBSTONE_SECONDS;
    let recorded: BTreeSet<&str> =
        shards.iter().flat_map(|shard| shard.transfers.values()).map(|entry| entry.id.as_str()).collect();
    let mut prunes = Vec::new();
    for shard in shards {
        for (name, tombstone) in &shard.tombstones {
            if tombstone.written < written_before && !recorded.contains(name.as_str()) {
                prunes.push((shard.number, Transition::Prune { name: name.clone(), written_before }));
            }
        }
    }
    prunes
}
