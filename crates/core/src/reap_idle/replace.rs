//! What is replaced although it works: too old, worn out by leases, or launched from an older template.
//!
//! A free one goes only once another is ready in its place, a few at a time, and none while the new ones do not boot: so a
//! new image rolls out without a moment in which less is free than should be. A leased one leaves after its lease: in a
//! busy pool it would otherwise never be seen free. Until one instance of the newest template was ready, one at a time is
//! tried, so that a broken image takes no more than that.

use std::collections::BTreeSet;

use crate::control::{Control, Retiring};
use crate::ids::InstanceId;
use crate::policy::Policy;
use crate::reap_idle::budget;
use crate::reap_idle::fence::{Candidate, Fences};
use crate::reap_idle::machines;
use crate::reap_idle::reconcile::Told;
use crate::scale;
use crate::shard::{Member, Place, Shard};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// Instances that wait for their replacement at a time, at most.
const RETIRING_MAX: usize = 16;

/// Plans the replacements, remembers in `control` who waits for one, and answers all that should be replaced.
pub(super) fn plan(
    seen: Snapshot<'_>,
    told: &[Told],
    control: &mut Control,
    fences: &mut Fences<'_>,
) -> BTreeSet<InstanceId> {
    let due: Vec<(Candidate, bool)> = due(seen, told);
    let all = due.iter().map(|(candidate, _)| candidate.instance.clone()).collect();
    let is_free_and_due =
        |instance: &InstanceId| due.iter().any(|(candidate, free)| *free && candidate.instance == *instance);
    control.retiring.retain(|instance, _| is_free_and_due(instance));
    if no_replacement_comes(seen) {
        return all;
    }
    let now = seen.now;
    let (most, mut leaving) = if newest_was_ready(seen) {
        (budget(seen).min(RETIRING_MAX), after_their_leases(seen))
    } else {
        (
            1,
            after_their_leases(seen)
                + control.retiring.len()
                + usize::try_from(seen.on_the_way()).unwrap_or(usize::MAX),
        )
    };
    for (candidate, free) in due {
        if !free {
            let may_leave = leaving < most && fences.withdraw(candidate);
            leaving += usize::from(may_leave);
        } else if control.retiring.contains_key(&candidate.instance) {
            if may_go(seen, fences, &candidate.instance) && fences.withdraw(candidate.clone()) {
                control.retiring.remove(&candidate.instance);
            }
        } else if control.retiring.len() < most {
            control.retiring.insert(candidate.instance, Retiring { since: now, why: candidate.why });
        }
    }
    all
}

/// Whether an instance of the newest template was ready, as far as a member tells.
fn newest_was_ready(seen: Snapshot<'_>) -> bool {
    let newest = seen.control.template.version;
    newest == 0 || seen.members().any(|(_, _, member)| member.kind.template_version >= newest && member.boot_id > 0)
}

/// Leased instances that leave after their lease, each of which will need a replacement then.
fn after_their_leases(seen: Snapshot<'_>) -> usize {
    let leaves = |shard: &Shard, instance: &InstanceId| {
        shard.leaving.get(instance).is_some_and(|leaving| leaving.deadline == Timestamp::NEVER)
    };
    let of = |shard: &Shard| shard.leases.values().filter(|instance| leaves(shard, instance)).count();
    seen.shards.iter().map(of).sum()
}

/// Nothing is launched now, or what is launched does not boot: then what works stays.
fn no_replacement_comes(seen: Snapshot<'_>) -> bool {
    !seen.control.breaker.failed.is_empty() || scale::stopped_because(seen).is_some()
}

/// Whether a free instance may go now: another is free in its place, or there is no room for another.
fn may_go(seen: Snapshot<'_>, fences: &Fences<'_>, instance: &InstanceId) -> bool {
    if seen.waiting() > 0 {
        return false;
    }
    let free: u64 = fences.shards().map(|shard| shard.free.len() as u64).sum();
    let serving: u64 = fences.shards().map(Shard::serving_here).sum();
    // It goes with all its slots.
    let gone = fences.slots_of(instance) as u64;
    if free >= seen.kept_in_all() + gone && serving >= seen.least() + gone {
        return true;
    }
    // What leaves after a lease, or is kept by the operator, makes no room soon.
    let under_way = || {
        let needed = machines::needed(fences.shards(), &seen.control.operator, seen.now);
        let ends = |instance: &InstanceId| !needed.contains(&instance.machine());
        fences.shards().any(|shard| shard.leaving.keys().any(ends))
    };
    seen.room() == 0 && seen.on_the_way() == 0 && !under_way()
}

/// What should be replaced, oldest first, and whether it is free.
fn due(seen: Snapshot<'_>, told: &[Told]) -> Vec<(Candidate, bool)> {
    let mut due = Vec::new();
    for ((shard, instance, member), told) in seen.members().zip(told) {
        let launched_at = match told {
            Told::Found { launched_at, .. } => Some(*launched_at),
            Told::Unknown | Told::NotAsked => None,
        };
        // Most are due in no place, and to find the place of each takes long in a large pool.
        if why(seen, member, launched_at, true).is_none() || shard.leaving.contains_key(instance) {
            continue;
        }
        let place = shard.place_of(instance);
        // A stopped one serves nobody and is refilled in the background.
        if !matches!(place, Some(Place::Leased | Place::Free(_) | Place::Stopped(_))) {
            continue;
        }
        if let Some(why) = why(seen, member, launched_at, place == Some(Place::Leased)) {
            let free = matches!(place, Some(Place::Free(_)));
            due.push((launched_at.unwrap_or(seen.now), Candidate::new(shard, instance, &why, Timestamp::NEVER), free));
        }
    }
    due.sort_by_key(|(launched_at, _, _)| *launched_at);
    due.into_iter().map(|(_, candidate, free)| (candidate, free)).collect()
}

/// Why it should be replaced, if it should.
fn why(seen: Snapshot<'_>, member: &Member, launched_at: Option<Timestamp>, leased: bool) -> Option<String> {
    let Policy { max_age_seconds, max_leases_per_instance: most, .. } = *seen.policy;
    if launched_at.is_some_and(|at| seen.now.seconds_since(at) > max_age_seconds) {
        return Some("it reached its maximum age".to_owned());
    }
    // The lease that it bears now counts too.
    if most > 0 && member.served + u64::from(leased) >= most {
        return Some(format!("it served {most} leases"));
    }
    let (of, newest) = (member.kind.template_version, seen.control.template.version);
    (of > 0 && of < newest).then(|| format!("its launch template version {of} is older than {newest}"))
}
