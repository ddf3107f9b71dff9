//! What is learnt of how long boots take and how old leases are.

use pool_core::control::{Control, Measures};
use pool_core::measure;
use pool_core::node::InstanceRecord;
use pool_core::policy::Policy;
use pool_core::reap_idle::{self, Ec2Word};
use pool_core::shard::Shard;
use pool_core::snapshot::Snapshot;
use pool_core::time::Timestamp;

use crate::given::{Given, NOW, beat, policy, seen, shard, token};

/// What was measured before, last looked at then.
fn before(lease_age_seconds: u64, looked_at: Timestamp) -> Measures {
    Measures { boot_seconds: 77, lease_age_seconds, looked_at }
}

fn record(n: u64, boot_seconds: Option<u64>) -> InstanceRecord {
    InstanceRecord { boot_seconds, ..beat(n, NOW, true) }
}

/// What a look at records of boots that took so long teaches.
fn boots(seconds: impl IntoIterator<Item = u64>) -> Measures {
    let mut records = vec![record(0, None)];
    records.extend(seconds.into_iter().zip(1..).map(|(seconds, n)| record(n, Some(seconds))));
    let control = Control { measures: before(55, NOW - 9), ..Control::default() };
    let policy = policy();
    measure::boots(Snapshot { records: &records, ..seen(&[], &control, &policy) })
}

/// A lease of this token that began so many seconds ago.
fn aged(shard: Shard, n: u8, seconds: u64) -> Shard {
    shard.held(n.into(), n).with(|shard| {
        shard.lease_terms.get_mut(&token(n)).expect("it has a lease").hard_end = NOW - seconds + 28_800;
    })
}

/// What a look at these leases teaches.
fn leases(before: Measures, shards: &[Shard]) -> Measures {
    let control = Control { measures: before, ..Control::default() };
    measure::leases(seen(shards, &control, &policy()))
}

#[test]
fn a_boot_takes_as_long_as_nine_of_ten_take_at_most() {
    let measured = |boot_seconds| Measures { boot_seconds, ..before(55, NOW - 9) };
    assert_eq!(boots([40]), measured(40));
    assert_eq!(boots([40, 30]), measured(40));
    assert_eq!(boots((1..=9).rev()), measured(9));
    assert_eq!(boots((1..=10).rev()), measured(9), "one of ten may take longer");
    assert_eq!(boots(1..=11), measured(10));
    assert_eq!(boots(1..=20), measured(18));
    assert_eq!(boots(1..=21), measured(19));
}

#[test]
fn without_a_boot_what_was_measured_stays() {
    assert_eq!(boots([]), before(55, NOW - 9));
}

#[test]
fn a_run_of_reap_idle_measures_the_boots() {
    let control = Control { measures: before(55, NOW - 9), ..Control::default() };
    let (records, policy) = ([record(1, Some(31))], policy());
    let plan = reap_idle::plan(Snapshot { records: &records, ..seen(&[], &control, &policy) }, &Ec2Word::default());
    assert_eq!(plan.control.measures, Measures { boot_seconds: 31, ..before(55, NOW - 9) });
}

#[test]
fn leases_are_as_old_as_they_are_on_average() {
    let shards = [aged(aged(shard(7), 1, 100), 2, 300), aged(shard(8), 3, 503)];
    assert_eq!(leases(before(0, NOW - 30), &shards), before(301, NOW));
}

#[test]
fn a_look_counts_for_an_eighth() {
    let shards = [aged(shard(7), 1, 160)];
    assert_eq!(leases(before(80, NOW - 30), &shards), before(90, NOW));
    assert_eq!(leases(before(160, NOW - 30), &shards), before(160, NOW));
    assert_eq!(leases(before(801, NOW - 30), &shards), before(720, NOW));
}

#[test]
fn a_measured_age_is_at_least_a_second_since_none_means_not_measured() {
    let shards = [aged(shard(7), 1, 0)];
    assert_eq!(leases(before(0, NOW - 30), &shards), before(1, NOW));
    assert_eq!(leases(before(1, NOW - 30), &shards), before(1, NOW));
}

#[test]
fn leases_are_looked_at_once_in_half_a_minute() {
    let shards = [aged(shard(7), 1, 160)];
    assert_eq!(leases(before(80, NOW - 29), &shards), before(80, NOW - 29));
    assert_eq!(leases(before(80, NOW - 30), &shards), before(90, NOW));
}

#[test]
fn a_lease_that_its_holder_has_not_seen_yet_says_nothing_of_its_age() {
    let unclaimed = aged(shard(7), 1, 160).claimed_until(1, NOW + 30);
    assert_eq!(leases(before(0, NOW - 99), std::slice::from_ref(&unclaimed)), before(0, NOW - 99), "none is in force");
    assert_eq!(leases(before(0, NOW - 99), &[aged(unclaimed, 2, 40)]), before(40, NOW));
}

#[test]
fn when_a_lease_began_is_told_by_how_long_one_may_live() {
    let control = Control { measures: before(0, NOW - 30), ..Control::default() };
    let policy = Policy { lease_ttl_max_seconds: 28_700, ..policy() };
    let shards = [aged(shard(7), 1, 160)];
    assert_eq!(measure::leases(seen(&shards, &control, &policy)), before(60, NOW));
}
