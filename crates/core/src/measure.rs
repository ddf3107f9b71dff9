//! What is measured of boots and leases: how long a boot takes, how old leases are.
//!
//! Both are read off pictures that the schedules take anyway, so that no caller and no node pays for them. Of leases the
//! age is enough: of leases that come and go steadily, the time that one still lasts is distributed as its age is
//! (the inspection paradox of renewal theory), and that is what a waiter wants to know.

use crate::control::Measures;
use crate::shard::Terms;
use crate::snapshot::Snapshot;

/// Leases are looked at no more often than so, in seconds.
const LOOK_SECONDS: u64 = 30;
/// A look at leases counts for an eighth, as in the smoothing of round-trip times (RFC 6298).
const WEIGHT: u64 = 8;

/// The measures after a look at the boots that the records tell of.
#[must_use]
pub fn boots(seen: Snapshot<'_>) -> Measures {
    let before = seen.control.measures;
    let mut boots: Vec<u64> = seen.records.iter().filter_map(|record| record.boot_seconds).collect();
    if boots.is_empty() {
        return before;
    }
    boots.sort_unstable();
    Measures { boot_seconds: boots[(boots.len() * 9).div_ceil(10) - 1], ..before }
}

/// The measures after a look at the leases in force.
#[must_use]
pub fn leases(seen: Snapshot<'_>) -> Measures {
    let before = seen.control.measures;
    if seen.now < before.looked_at + LOOK_SECONDS {
        return before;
    }
    // A lease tells when it began: its hard end is that much later.
    let began = |terms: &Terms| terms.hard_end - seen.policy.lease_ttl_max_seconds;
    let leases = seen
        .shards
        .iter()
        .flat_map(|shard| shard.lease_terms.iter().filter(|(token, _)| !shard.claims.contains_key(*token)));
    let ages: Vec<u64> = leases.map(|(_, terms)| seen.now.seconds_since(began(terms))).collect();
    if ages.is_empty() {
        return before;
    }
    let mean = ages.iter().sum::<u64>() / ages.len() as u64;
    let smoothed =
        if before.lease_age_seconds == 0 { mean } else { (before.lease_age_seconds * (WEIGHT - 1) + mean) / WEIGHT };
    Measures { lease_age_seconds: smoothed.max(1), looked_at: seen.now, ..before }
}
