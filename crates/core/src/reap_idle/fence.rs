//! Fences in the making: each is planned on the shards as the ones before it leave them, within the budget of the run.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::ids::{InstanceId, ShardNo};
use crate::leaving;
use crate::reap_idle::{Removal, machines};
use crate::shard::{Member, Place, Shard, Transition};
use crate::time::Timestamp;

/// An instance that should go.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) shard: ShardNo,
    pub(super) instance: InstanceId,
    pub(super) why: String,
    pub(super) deadline: Timestamp,
    pub(super) is_idle: bool,
}

impl Candidate {
    pub(super) fn new(shard: &Shard, instance: &InstanceId, why: &str, deadline: Timestamp) -> Self {
        Self { shard: shard.number, instance: instance.clone(), why: why.to_owned(), deadline, is_idle: false }
    }
}

/// The members that `judge` wants out of service.
pub(super) fn each_member(
    shards: &[Shard],
    mut judge: impl FnMut(&Shard, &InstanceId, &Member) -> Option<Candidate>,
) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for shard in shards {
        candidates.extend(shard.members.iter().filter_map(|(instance, member)| judge(shard, instance, member)));
    }
    candidates
}

/// The fences of one run, and the shards as they leave them.
pub(super) struct Fences<'a> {
    shards: BTreeMap<ShardNo, &'a Shard>,
    changed: BTreeMap<ShardNo, Shard>,
    /// How many slots of each machine stood at the beginning, where machines have several.
    sizes: Option<HashMap<InstanceId, usize>>,
    /// Machines of which a slot was withdrawn by this run: the others go with it.
    broken: HashSet<InstanceId>,
    left: usize,
    pub(super) removals: Vec<Removal>,
}

impl<'a> Fences<'a> {
    /// No fence so far, and no budget that bounds them.
    pub(super) fn new(shards: &'a [Shard]) -> Self {
        let sizes = machines::has_slots(shards).then(|| machines::sizes(shards.iter()));
        let shards = shards.iter().map(|shard| (shard.number, shard)).collect();
        Self { shards, changed: BTreeMap::new(), sizes, broken: HashSet::new(), left: usize::MAX, removals: Vec::new() }
    }

    /// From now on so many at most.
    pub(super) fn within(&mut self, budget: usize) {
        self.left = budget;
    }

    /// Those that the budget still allows.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// The shards as the fences so far leave them.
    pub(super) fn shards(&self) -> impl Iterator<Item = &Shard> + Clone {
        self.shards.iter().map(|(number, shard)| self.changed.get(number).unwrap_or(shard))
    }

    /// Withdraws every candidate that the budget allows.
    pub(super) fn all(&mut self, candidates: impl IntoIterator<Item = Candidate>) {
        for candidate in candidates {
            self.withdraw(candidate);
        }
    }

    /// Withdraws one, if it does not leave already and the budget allows it.
    pub(super) fn withdraw(&mut self, candidate: Candidate) -> bool {
        let Candidate { shard: number, instance, why, deadline, is_idle } = candidate;
        if self.cost(&instance) > 0 && self.left == 0 {
            return false;
        }
        let Some(shard) = self.shard(number) else { return false };
        let Some(mut transition) = leaving::withdraw(shard, &instance, &why, deadline) else { return false };
        if let Transition::Fence { keep, .. } = &mut transition {
            // A caller who comes meanwhile is served first: the fence holds only while as many are free as the plan saw.
            *keep = shard.free.len() as u64 - 1;
        }
        let (cost, machine) = (self.cost(&instance), instance.machine());
        let planned = self.plan(Removal { shard: number, instance, transition, why, is_idle });
        if planned {
            self.left = self.left.saturating_sub(cost);
            self.broken.insert(machine);
        }
        planned
    }

    /// What a removal takes of the budget: a machine goes with all its slots, and once.
    fn cost(&self, instance: &InstanceId) -> usize {
        match &self.sizes {
            None => 1,
            Some(_) if self.broken.contains(&instance.machine()) => 0,
            Some(_) => self.slots_of(instance),
        }
    }

    /// Whether machines have several slots.
    pub(super) fn have_slots(&self) -> bool {
        self.sizes.is_some()
    }

    /// How many slots of this one's machine stand.
    pub(super) fn slots_of(&self, instance: &InstanceId) -> usize {
        self.sizes.as_ref().and_then(|sizes| sizes.get(&instance.machine()).copied()).unwrap_or(1)
    }

    /// Stops a free instance instead; the budget is for removals, and this is none.
    pub(super) fn stop(&mut self, number: ShardNo, instance: &InstanceId, why: &str, now: Timestamp) -> bool {
        let Some(shard) = self.shard(number) else { return false };
        let Some(Place::Free(position)) = shard.place_of(instance) else { return false };
        let keep = shard.free.len() as u64 - 1;
        let transition = Transition::Stop { instance: instance.clone(), position, keep, now };
        let (instance, why) = (instance.clone(), why.to_owned());
        self.plan(Removal { shard: number, instance, transition, why, is_idle: false })
    }

    fn plan(&mut self, removal: Removal) -> bool {
        let Some(before) = self.shards.get(&removal.shard) else { return false };
        let shard = self.changed.entry(removal.shard).or_insert_with(|| (*before).clone());
        if shard.apply(&removal.transition).is_err() {
            return false;
        }
        self.removals.push(removal);
        true
    }

    fn shard(&self, number: ShardNo) -> Option<&Shard> {
        self.changed.get(&number).or_else(|| self.shards.get(&number).copied())
    }
}
