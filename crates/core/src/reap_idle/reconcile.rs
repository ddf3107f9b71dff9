//! EC2 against the shards, both ways: what EC2 has and no shard knows, and what leaves or is gone.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::ids::{InstanceId, LaunchToken, NodeKey, ShardNo};
use crate::on_instance_state_change::locate;
use crate::policy::Policy;
use crate::reap_idle::machines;
use crate::shard::{Kind, Leaving, Member, Place, Shard, StopPhase, Transition};
use crate::snapshot::Snapshot;
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

/// What EC2 said: the instances with our tag, and the explicit word on members that the list lacked (`None` for "EC2
/// does not know this id").
#[derive(Debug, Clone, Default)]
pub struct Ec2Word {
    /// The list by tag.
    pub listed: HashMap<InstanceId, Ec2Instance>,
    /// Members asked for by id.
    pub asked: BTreeMap<InstanceId, Option<Ec2Instance>>,
}

/// What EC2 says of one instance.
pub(super) enum Word<'a> {
    /// It was not asked.
    NotAsked,
    /// It was asked for this id and does not know it.
    Unknown,
    /// It has it.
    Found(&'a Ec2Instance),
}

/// What EC2 says of one member, as far as the plan asks.
#[derive(Clone, Copy)]
pub(super) enum Told {
    /// Nothing.
    NotAsked,
    /// It does not know it.
    Unknown,
    /// It has it.
    Found { state: Ec2State, launched_at: Timestamp },
}

impl Ec2Word {
    /// What it says of each member, in the order of [`Snapshot::members`]: in a large pool a look is dear, and several
    /// rules want it.
    pub(super) fn of_members(&self, seen: Snapshot<'_>) -> Vec<Told> {
        let told = |instance| match self.of(instance) {
            Word::Found(found) => Told::Found { state: found.state, launched_at: found.launched_at },
            Word::Unknown => Told::Unknown,
            Word::NotAsked => Told::NotAsked,
        };
        seen.members().map(|(_, instance, _)| told(instance)).collect()
    }

    pub(super) fn of(&self, instance: &InstanceId) -> Word<'_> {
        if let Some(found) = self.listed.get(instance) {
            return Word::Found(found);
        }
        match self.asked.get(instance) {
            Some(Some(found)) => Word::Found(found),
            Some(None) => Word::Unknown,
            None => Word::NotAsked,
        }
    }

    /// Whether EC2 was asked for a member by its id and does not know it. Right after a launch it may not know its own
    /// instance yet, which says nothing.
    pub(super) fn has_forgotten(
        &self,
        instance: &InstanceId,
        member: &Member,
        policy: &Policy,
        now: Timestamp,
    ) -> bool {
        let old = now.seconds_since(member.since) > policy.reconcile_grace_seconds;
        old && matches!(self.of(instance), Word::Unknown)
    }
}

/// Members that a list by tag lacks; each must be asked for by id before anything is concluded.
#[must_use]
pub fn unlisted(shards: &[Shard], ec2: &Ec2Word) -> Vec<InstanceId> {
    let members = shards.iter().flat_map(|shard| shard.members.keys());
    members.filter(|instance| !ec2.listed.contains_key(*instance)).cloned().collect()
}

/// What EC2 tells of the members' addresses and zones that their shards do not know yet.
#[must_use]
pub fn located(shards: &[Shard], ec2: &Ec2Word) -> Vec<(ShardNo, Transition)> {
    let mut news = Vec::new();
    for shard in shards {
        for instance in shard.members.keys() {
            if let Word::Found(found) = ec2.of(instance) {
                news.extend(locate(shard, found).map(|write| (shard.number, write)));
            }
        }
    }
    news
}

/// Instances to terminate now: they leave, EC2 still has them, no lease is on them or their deadline has passed, and the
/// operator does not keep them. Who drains the pool keeps nothing. Slots of one machine end together.
#[must_use]
pub fn to_terminate(seen: Snapshot<'_>, ec2: &Ec2Word) -> Vec<(ShardNo, InstanceId, String)> {
    let Snapshot { shards, policy, now, .. } = seen;
    let mut ending = Vec::new();
    if !anything_leaves(shards) {
        return ending;
    }
    let needed = machines::needed(shards.iter(), &seen.control.operator, now);
    for (shard, instance, member, leaving) in each_leaving(shards) {
        if needed.contains(&instance.machine()) {
            continue;
        }
        let ends_already = match ec2.of(instance) {
            Word::Found(found) => matches!(found.state, Ec2State::ShuttingDown | Ec2State::Terminated),
            Word::Unknown => ec2.has_forgotten(instance, member, policy, now),
            Word::NotAsked => false,
        };
        if !ends_already {
            ending.push((shard.number, instance.clone(), leaving.why.clone()));
        }
    }
    ending
}

/// Whether there is anything that could be terminated, or taken out of the count.
#[must_use]
pub fn anything_leaves(shards: &[Shard]) -> bool {
    shards.iter().any(|shard| !shard.leaving.is_empty())
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
    /// Another slot of its machine is a member, so that the machine must not end.
    pub shared: bool,
    /// What EC2 says of it.
    pub found: Ec2Instance,
}

/// Instances that look like orphans: a second consistent read of all shards must say so too before one is judged, since
/// a move between the reads of two shards looks the same.
#[must_use]
pub fn orphans(shards: &[Shard], ec2: &Ec2Word, policy: &Policy, now: Timestamp) -> Vec<Orphan> {
    // A pool may have as many instances as shards times sixteen, so nothing here looks through all shards for each.
    let members: HashSet<&InstanceId> = shards.iter().flat_map(|shard| shard.members.keys()).collect();
    let intents: HashSet<&LaunchToken> = shards.iter().flat_map(|shard| shard.intents.keys()).collect();
    let buried: HashSet<&str> = shards.iter().flat_map(|shard| shard.tombstones.keys()).map(String::as_str).collect();
    let machines: HashSet<InstanceId> = members.iter().map(|instance| instance.machine()).collect();
    let numbers: HashSet<ShardNo> = shards.iter().map(|shard| shard.number).collect();
    let alive = |found: &&Ec2Instance| matches!(found.state, Ec2State::Pending | Ec2State::Running | Ec2State::Stopped);
    let grace_seconds = policy.reconcile_grace_seconds.max(YOUNG_SECONDS);
    let old = |found: &&Ec2Instance| now.seconds_since(found.launched_at) > grace_seconds;
    let known = |found: &Ec2Instance| members.contains(&found.instance);
    let intended = |found: &Ec2Instance| found.launch.as_ref().is_some_and(|launch| intents.contains(launch));
    let home = |found: &Ec2Instance| found.shard.filter(|number| numbers.contains(number)).unwrap_or(0);
    let unknown = ec2.listed.values().filter(alive).filter(old).filter(|found| !known(found) && !intended(found));
    // The first slot stands for the machine: what becomes of it decides whether the others are looked at.
    let shared = |found: &Ec2Instance| machines.contains(&found.instance.machine());
    let unknown = unknown.filter(|found| found.instance.is_first_slot() || shared(found));
    let orphan = |found: &Ec2Instance| Orphan {
        shard: home(found),
        buried: buried.contains(found.instance.as_str()),
        shared: shared(found),
        found: found.clone(),
    };
    let mut orphans: Vec<Orphan> = unknown.map(orphan).collect();
    orphans.sort_by(|a, b| a.found.instance.cmp(&b.found.instance));
    orphans
}

/// What to do with an orphan, given its shard as a second reading has it: a running one with room is taken in and must
/// say `ready`; anything else is doomed, and terminated once that is written. Nothing is done with a slot that cannot be taken in
/// while others of its machine serve.
///
/// `sequence` is the shard's number in the reading *before* that one. The shards of one reading are not read at one
/// moment: whoever takes the orphan in and gives it away between the readings of two shards changes the number since.
#[must_use]
pub fn judge_orphan(orphan: &Orphan, shard: &Shard, sequence: u64, now: Timestamp) -> Option<Transition> {
    let Ec2Instance { instance, kind, address, launch, .. } = orphan.found.clone();
    let launch = launch.unwrap_or_else(|| LaunchToken::trusted("none"));
    let usable = matches!(orphan.found.state, Ec2State::Pending | Ec2State::Running);
    if usable && shard.room >= 1 && !orphan.buried && !shard.tombstones.contains_key(instance.as_str()) {
        let member = Member { address, key: NodeKey::default(), boot_id: 0, since: now, served: 0, kind };
        return Some(Transition::AdoptOrphan { instance, member, launch, sequence });
    }
    (!orphan.shared).then_some(Transition::Doom { instance, launch, sequence, now })
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

/// Instances of the stopped tier that EC2 was to stop and has not: it is asked once more. Only while the shard waits for
/// it: once it is known to be stopped it may be started, and no late stop may hit it then.
#[must_use]
pub fn stop_again(shards: &[Shard], ec2: &Ec2Word) -> Vec<InstanceId> {
    in_tier(shards, StopPhase::Stopping, |instance| {
        matches!(ec2.of(instance), Word::Found(found) if matches!(found.state, Ec2State::Running | Ec2State::Pending))
    })
    .map(|(_, instance)| instance.clone())
    .collect()
}

/// Instances of the stopped tier that EC2 has stopped, with the writes that say so.
#[must_use]
pub fn stopped(shards: &[Shard], ec2: &Ec2Word, now: Timestamp) -> Vec<(ShardNo, Transition)> {
    let stopped = in_tier(
        shards,
        StopPhase::Stopping,
        |instance| matches!(ec2.of(instance), Word::Found(found) if found.state == Ec2State::Stopped),
    );
    stopped.map(|(shard, instance)| (shard, Transition::Stopped { instance: instance.clone(), now })).collect()
}

fn in_tier<'a>(
    shards: &'a [Shard],
    phase: StopPhase,
    is: impl Fn(&InstanceId) -> bool + 'a,
) -> impl Iterator<Item = (ShardNo, &'a InstanceId)> {
    let all = shards
        .iter()
        .flat_map(|shard| shard.in_tier().map(move |(instance, stopped)| (shard.number, instance, stopped)));
    let of_phase = all.filter(move |(_, _, stopped)| stopped.phase == phase);
    of_phase.map(|(shard, instance, _)| (shard, instance)).filter(move |(_, instance)| is(instance))
}

/// Booting instances that EC2 has stopped: their start was written and the call never came. Each is started again.
#[must_use]
pub fn start_again(shards: &[Shard], found: &Ec2Instance) -> bool {
    let boots = |shard: &Shard| {
        matches!(shard.place_of(&found.instance), Some(Place::Booting(_)))
            && !shard.leaving.contains_key(&found.instance)
    };
    found.state == Ec2State::Stopped && shards.iter().any(boots)
}
