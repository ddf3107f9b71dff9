//! What is free and not needed: it joins the stopped tier, or it goes.
//!
//! Use is low when more than enough has been free for the whole scale-in cool-down on end; since the newest free instance
//! is leased first, the shards show it by how long each has been free. The most expensive go first, then the oldest, and
//! from the zone that has most, so that what is left is spread over the zones.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{InstanceId, ShardNo};
use crate::policy::Policy;
use crate::reap_idle::fence::{Candidate, Fences};
use crate::reap_idle::machines;
use crate::scale;
use crate::shard::{Market, Member, Shard};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// Stops free on-demand instances that nobody needs now and that are not to be replaced, while the stopped tier is not
/// full.
pub(super) fn stop(seen: Snapshot<'_>, outdated: &BTreeSet<InstanceId>, fences: &mut Fences<'_>) {
    let wanted = seen.missing_in_stopped_tier();
    if wanted == 0 || seen.waiting() > 0 || seen.control.operator.drained.is_some() || scale::need(seen).missing() > 0 {
        return;
    }
    let spare = spare(seen, fences, |_| true);
    let fits = fits_in_tier(seen, fences, spare).saturating_sub(tier(fences).len());
    let spare = spare.min(wanted).min(fits as u64);
    let mut free: Vec<(Timestamp, ShardNo, InstanceId)> = Vec::new();
    for shard in fences.shards() {
        let on_demand = shard.free.iter().filter_map(|instance| Some((instance, shard.members.get(instance)?)));
        let on_demand = on_demand
            .filter(|(instance, member)| member.kind.market == Market::OnDemand && !outdated.contains(*instance))
            // A stop is one of the machine, and must not hit a lease of another slot.
            .filter(|(instance, _)| fences.slots_of(instance) == 1);
        free.extend(on_demand.map(|(instance, member)| (member.since, shard.number, instance.clone())));
    }
    free.sort();
    for (_, shard, instance) in free.into_iter().take(usize::try_from(spare).unwrap_or(usize::MAX)) {
        fences.stop(shard, &instance, "it is free, and the stopped tier is not full", seen.now);
    }
}

/// Takes from the stopped tier what is above a cap that has become smaller, those first that were stopped last: the others
/// can be started sooner.
pub(super) fn tier_above_the_cap(seen: Snapshot<'_>, fences: &mut Fences<'_>) {
    let tier = tier(fences);
    if tier.is_empty() {
        return;
    }
    let beyond = tier.len().saturating_sub(fits_in_tier(seen, fences, spare(seen, fences, |_| true)));
    for (_, shard, instance) in tier.into_iter().rev().take(beyond) {
        let why = format!("the cap is {}, and more serve or are stopped", seen.cap());
        fences.withdraw(Candidate { shard, instance, why, deadline: seen.now, is_idle: false });
    }
}

/// How many stopped ones the cap has place for, beside those that serve and are not spare.
fn fits_in_tier(seen: Snapshot<'_>, fences: &Fences<'_>, spare: u64) -> usize {
    let serving: u64 = fences.shards().map(Shard::serving_here).sum();
    usize::try_from(seen.cap().saturating_sub(serving.saturating_sub(spare))).unwrap_or(usize::MAX)
}

/// What the stopped tier holds, those first that were stopped first.
fn tier(fences: &Fences<'_>) -> Vec<(Timestamp, ShardNo, InstanceId)> {
    let mut tier = Vec::new();
    for shard in fences.shards() {
        tier.extend(shard.in_tier().map(|(instance, stopped)| (stopped.since, shard.number, instance.clone())));
    }
    tier.sort();
    tier
}

/// Free instances beyond what must be kept, of those that have been free since `long_enough`.
fn spare(seen: Snapshot<'_>, fences: &Fences<'_>, long_enough: impl Fn(Timestamp) -> bool) -> u64 {
    let is_free_long = |shard: &Shard, instance: &InstanceId| {
        shard.members.get(instance).is_some_and(|member| long_enough(member.since))
    };
    let free = |shard: &Shard| shard.free.iter().filter(|instance| is_free_long(shard, instance)).count() as u64;
    let free: u64 = fences.shards().map(free).sum();
    let serving: u64 = fences.shards().map(Shard::serving_here).sum();
    let all_free: u64 = fences.shards().map(|shard| shard.free.len() as u64).sum();
    // Where the cap has become smaller, what is kept free must fit below it beside the others.
    let cap = seen.cap();
    let kept = seen.kept_in_all().min(cap.saturating_sub(serving.saturating_sub(all_free)));
    free.saturating_sub(kept).min(serving.saturating_sub(seen.least().min(cap)))
}

/// Marks leased instances beyond a cap that has become smaller: they leave after their leases, also while others wait,
/// who would be handed each of them for ever.
pub(super) fn above_the_cap(seen: Snapshot<'_>, fences: &mut Fences<'_>) {
    let cap = seen.cap();
    if fences.shards().map(|shard| shard.leases.len() as u64).sum::<u64>() <= cap {
        return;
    }
    let mut leased: Vec<(Timestamp, ShardNo, InstanceId)> = Vec::new();
    for shard in fences.shards() {
        let staying = shard.leases.values().filter(|instance| !shard.leaving.contains_key(*instance));
        let since = staying.filter_map(|instance| Some((shard.members.get(instance)?.since, instance)));
        leased.extend(since.map(|(since, instance)| (since, shard.number, instance.clone())));
    }
    leased.sort();
    let beyond = usize::try_from((leased.len() as u64).saturating_sub(cap)).unwrap_or(usize::MAX);
    // Whoever is marked takes the other leases of his machine with him.
    let mut of_machine: BTreeMap<InstanceId, usize> = BTreeMap::new();
    for (_, _, instance) in &leased {
        *of_machine.entry(instance.machine()).or_default() += 1;
    }
    let (mut marked, mut covered) = (BTreeSet::new(), 0);
    for machine in leased.iter().map(|(_, _, instance)| instance.machine()) {
        if covered < beyond && !marked.contains(&machine) {
            covered += of_machine[&machine];
            marked.insert(machine);
        }
    }
    for (_, shard, instance) in leased.into_iter().filter(|(_, _, instance)| marked.contains(&instance.machine())) {
        let why = format!("the cap is {cap}, and more are leased");
        fences.withdraw(Candidate { shard, instance, why, deadline: Timestamp::NEVER, is_idle: false });
    }
}

/// Removes what has been free for longer than the threshold and is not needed.
pub(super) fn remove(seen: Snapshot<'_>, fences: &mut Fences<'_>) {
    let (policy, now) = (seen.policy, seen.now);
    // The pool has just grown, so use is not low.
    let grows = now < seen.control.scaled_out_at + policy.scale_in_cooldown_seconds;
    if grows || seen.shards.iter().any(|shard| !shard.queue.is_empty()) {
        return;
    }
    let spare = spare(seen, fences, |since| now.seconds_since(since) >= policy.scale_in_cooldown_seconds);
    let mut spare = usize::try_from(spare).unwrap_or(usize::MAX).min(fences.left());
    let mut zones = Zones::of(seen, fences);
    while let Some(idle) = zones.next() {
        let Some(left) = spare.checked_sub(idle.slots.len()) else { break };
        spare = left;
        let minutes = now.seconds_since(idle.since) / 60;
        let why = format!("free for {minutes} minutes and not needed");
        for (shard, instance) in idle.slots {
            let why = why.clone();
            fences.withdraw(Candidate { shard, instance, why, deadline: now, is_idle: true });
        }
    }
}

/// An instance all of whose slots have been free for longer than the threshold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Idle {
    /// Most expensive first.
    cheapness: (bool, usize),
    /// The slot that was used last.
    since: Timestamp,
    /// Where its slots are.
    slots: Vec<(ShardNo, InstanceId)>,
}

/// The idle instances by zone, next one last, beside how many serve there in all.
#[derive(Default)]
struct Zones {
    idle: BTreeMap<String, (u64, Vec<Idle>)>,
}

impl Zones {
    fn of(seen: Snapshot<'_>, fences: &Fences<'_>) -> Self {
        let mut zones = Self::default();
        let mut idle: Vec<(&Member, Idle)> = Vec::new();
        for shard in fences.shards() {
            for (instance, member) in &shard.members {
                if shard.leaving.contains_key(instance) || shard.stopped.contains_key(instance) {
                    continue;
                }
                match zones.idle.get_mut(&member.kind.zone) {
                    Some((count, _)) => *count += 1,
                    None => drop(zones.idle.insert(member.kind.zone.clone(), (1, Vec::new()))),
                }
            }
            for instance in &shard.free {
                let Some(member) = shard.members.get(instance) else { continue };
                if seen.now.seconds_since(member.since) > seen.policy.idle_threshold_seconds {
                    let (cheapness, slots) = (cheapness(member, seen.policy), vec![(shard.number, instance.clone())]);
                    idle.push((member, Idle { cheapness, since: member.since, slots }));
                }
            }
        }
        let idle = if fences.have_slots() { whole_machines(idle, fences) } else { idle };
        for (member, idle) in idle {
            zones.idle.entry(member.kind.zone.clone()).or_default().1.push(idle);
        }
        for (_, idle) in zones.idle.values_mut() {
            idle.sort_by(|a, b| b.cmp(a));
        }
        zones
    }

    /// The next to go: of the zones that have most, the most expensive and oldest.
    fn next(&mut self) -> Option<Idle> {
        let most = self.idle.values().filter(|(_, idle)| !idle.is_empty()).map(|(count, _)| *count).max()?;
        let fullest = self.idle.values_mut().filter(|(count, idle)| *count == most && !idle.is_empty());
        let (count, idle) = fullest.min_by_key(|(_, idle)| idle.last().cloned())?;
        let next = idle.pop()?;
        *count = count.saturating_sub(next.slots.len() as u64);
        Some(next)
    }
}

/// The idle slots by their machines; one whose other slots are used goes when they are not, either.
fn whole_machines<'a>(idle: Vec<(&'a Member, Idle)>, fences: &Fences<'_>) -> Vec<(&'a Member, Idle)> {
    let mut whole: BTreeMap<InstanceId, (&Member, Idle)> = BTreeMap::new();
    for (member, Idle { cheapness, since, slots }) in idle {
        for slot in slots {
            let new = || (member, Idle { cheapness, since, slots: Vec::new() });
            let (_, machine) = whole.entry(slot.1.machine()).or_insert_with(new);
            machine.since = machine.since.max(since);
            machine.slots.push(slot);
        }
    }
    let sizes = machines::sizes(fences.shards());
    let is_whole = |(machine, (_, idle)): &(InstanceId, (&Member, Idle))| sizes.get(machine) == Some(&idle.slots.len());
    whole.into_iter().filter(is_whole).map(|(_, idle)| idle).collect()
}

/// How cheap an instance is: Spot costs less than on-demand, and of each market the types cost less the earlier the policy
/// names them.
fn cheapness(member: &Member, policy: &Policy) -> (bool, usize) {
    let rank = policy.instance_types.iter().position(|name| *name == member.kind.instance_type).unwrap_or(usize::MAX);
    (member.kind.market == Market::Spot, usize::MAX - rank)
}
