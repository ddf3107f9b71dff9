//! How many instances are wanted, how many there are, and why.

use crate::ids::InstanceId;
use crate::shard::{Leaving, Shard};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

/// A boot that takes so many times as long as most do counts for nobody who waits.
const LATE_BOOTS: u64 = 2;
/// What a boot takes before one was measured, in seconds.
pub(crate) const BOOT_ASSUMED_SECONDS: u64 = 60;

/// How many instances there should be, how many there are, and why: where each serves several sessions, how many sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Wanted.
    pub target: u64,
    /// There, booting or intended, without those that are set aside for the stopped tier, those about to be replaced,
    /// and boots that are too late for those who wait.
    pub present: u64,
    /// Wanted beyond the cap, and so not part of the target.
    pub beyond_cap: u64,
    /// On-demand instances to launch for the stopped tier, beside the target.
    pub for_stopped_tier: u64,
    /// In words.
    pub why: String,
}

impl Need {
    /// Instances that are missing, without those for the stopped tier.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.target.saturating_sub(self.present)
    }
}

/// How many instances are wanted: leased + waiting + kept free, within [`min_instances`, cap].
#[must_use]
pub fn need(seen: Snapshot<'_>) -> Need {
    let leased: u64 = seen.shards.iter().map(leased).sum();
    let (waiting, kept, extra) = (seen.waiting(), seen.kept(), seen.control.utilisation.extra);
    let cap = seen.cap();
    let drained = seen.control.operator.drained.is_some();
    let wanted = if drained { 0 } else { (leased + waiting + kept + extra).max(seen.least()) };
    let target = wanted.min(cap);
    let there: u64 = seen.shards.iter().map(|shard| shard.serving_here() + shard.intended()).sum();
    let missing_in_tier = if drained { 0 } else { seen.missing_in_stopped_tier() };
    let for_tier = if missing_in_tier > 0 { missing_in_tier.min(seen.stoppable()) } else { 0 };
    let late = if waiting > 0 { late_boots(seen).min(waiting) } else { 0 };
    let (retiring, present) = (retiring(seen), there.saturating_sub(for_tier));
    let present = present.saturating_sub(retiring).saturating_sub(late);
    let mut sum = vec![format!("{leased} leased + {waiting} waiting + {kept} kept free")];
    if extra > 0 {
        sum.push(format!("{extra} since leased nodes are busy"));
    }
    let mut found = vec![format!("{target} wanted, {present} present")];
    for (count, what) in [
        (for_tier, "set aside for the stopped tier"),
        (retiring, "to be replaced"),
        (late, "late in booting while somebody waits"),
    ] {
        if count > 0 {
            found.push(format!("{count} {what}"));
        }
    }
    let why = format!("{}: {}", sum.join(" + "), found.join(", "));
    let for_stopped_tier = missing_in_tier - for_tier;
    Need { target, present, beyond_cap: wanted - target, for_stopped_tier, why }
}

/// Leases that need an instance. One whose instance leaves only after it needs no other, and one whose instance EC2
/// takes away will need one at once.
fn leased(shard: &Shard) -> u64 {
    let stays_for_it = |instance: &InstanceId| {
        let leaves_after = |leaving: &Leaving| leaving.deadline == Timestamp::NEVER;
        shard.leaving.get(instance).is_some_and(leaves_after)
    };
    let members = shard.leases.values().filter(|instance| shard.members.contains_key(*instance));
    members.filter(|instance| !stays_for_it(instance)).count() as u64
}

/// Free instances that go as soon as there is another one in their place.
fn retiring(seen: Snapshot<'_>) -> u64 {
    if seen.control.retiring.is_empty() {
        return 0;
    }
    let of = |shard: &Shard| shard.free.iter().filter(|instance| seen.control.retiring.contains_key(*instance)).count();
    seen.shards.iter().map(of).sum::<usize>() as u64
}

/// Boots that should have been over long ago, while somebody waits for longer than a boot takes.
fn late_boots(seen: Snapshot<'_>) -> u64 {
    let usual = match seen.control.measures.boot_seconds {
        0 => BOOT_ASSUMED_SECONDS,
        measured => measured,
    };
    if seen.oldest_wait_seconds() <= usual {
        return 0;
    }
    let late = |since: Timestamp| seen.now.seconds_since(since) > usual * LATE_BOOTS;
    let of = |shard: &Shard| shard.boots().filter(|(_, member)| late(member.since)).count() as u64;
    seen.shards.iter().map(of).sum()
}
