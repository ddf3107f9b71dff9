//! When boots that fail stop the launching of more, for how long, and what ends that.

use pool_core::breaker::{Breaker, State};
use pool_core::control::Control;
use pool_core::node::InstanceRecord;
use pool_core::policy::Policy;
use pool_core::reap_idle::{self, Ec2Word};
use pool_core::shard::Shard;
use pool_core::snapshot::Snapshot;
use pool_core::time::Timestamp;

use crate::given::{Given, NOW, beat, instance, policy, seen, shard};

/// A breaker that remembers the failures of these, the last one ten seconds ago, and has opened so often.
fn breaker<const N: usize>(failed: [u64; N], opened: u32, open_until: Timestamp) -> Breaker {
    Breaker { failed: failed.map(instance).into(), failed_at: NOW - 10, opened, open_until }
}

/// The breaker after these boots failed, when three in a row open it.
fn failed<const N: usize>(before: &Breaker, boots: [u64; N]) -> Breaker {
    before.after_failures(boots.map(instance), &policy(), NOW)
}

fn ready(n: u64, ready_at: Option<Timestamp>) -> InstanceRecord {
    InstanceRecord { ready_at, ..beat(n, NOW + 1, true) }
}

/// What a run of `reap-idle` remembers of this shard and these records.
fn reaped(before: Breaker, shard: Shard, records: &[InstanceRecord], policy: &Policy) -> Breaker {
    let control = Control { breaker: before, ..Control::default() };
    let shards = [shard];
    reap_idle::plan(Snapshot { records, ..seen(&shards, &control, policy) }, &Ec2Word::default()).control.breaker
}

#[test]
fn one_that_never_opened_lets_everything_through() {
    for closed in [Breaker::default(), breaker([1, 2], 0, NOW + 9)] {
        assert_eq!(closed.state(NOW), State::Closed);
        assert_eq!(closed.allows(9, NOW), (u64::MAX, None));
    }
}

#[test]
fn an_open_one_lets_nothing_through_until_its_moment() {
    let open = breaker([1, 2, 3], 1, NOW + 1);
    assert_eq!(open.state(NOW), State::Open(NOW + 1));
    let why = "3 boots failed in a row, so nothing is launched until 2026-11-23T18:13:21Z".to_owned();
    assert_eq!(open.allows(0, NOW), (0, Some(why)));
    for over in [NOW, NOW - 1] {
        assert_eq!(breaker([1, 2, 3], 1, over).state(NOW), State::HalfOpen);
    }
}

#[test]
fn a_half_open_one_lets_a_single_instance_through_until_it_has_booted() {
    let half_open = breaker([1, 2, 3, 4], 2, NOW);
    for (on_the_way, allowed) in [(0, 1), (1, 0), (2, 0)] {
        let why = "4 boots failed in a row, so one instance is tried first".to_owned();
        assert_eq!(half_open.allows(on_the_way, NOW), (allowed, Some(why)));
    }
}

#[test]
fn it_opens_when_as_many_boots_failed_in_a_row_as_the_policy_says() {
    let remembered = Breaker { failed_at: NOW, ..breaker([1, 2], 0, Timestamp(0)) };
    assert_eq!(failed(&Breaker::default(), [1, 2]), remembered);
    for (before, boots) in [(vec![], vec![1, 2, 3]), (vec![1, 2], vec![3]), (vec![1], vec![1, 2, 3])] {
        let before = Breaker { failed: before.into_iter().map(instance).collect(), ..Breaker::default() };
        let boots: Vec<_> = boots.into_iter().map(instance).collect();
        let after = before.after_failures(boots.clone(), &policy(), NOW);
        assert_eq!(after, Breaker { failed_at: NOW, ..breaker([1, 2, 3], 1, NOW + 180) });
    }
    let more = failed(&Breaker::default(), [1, 2, 3, 4]);
    assert_eq!(more, Breaker { failed_at: NOW, ..breaker([1, 2, 3, 4], 1, NOW + 180) });
    let strict = Policy { boot_failure_limit: 1, ..policy() };
    assert_eq!(Breaker::default().after_failures([instance(1)], &strict, NOW).opened, 1);
}

#[test]
fn a_failure_that_is_told_twice_counts_once_and_is_no_news() {
    let before = breaker([1, 2], 0, Timestamp(0));
    assert_eq!(failed(&before, [1]), before);
    assert_eq!(failed(&before, [1, 2]), before);
    assert_eq!(failed(&before, []), before);
    let half_open = breaker([1, 2, 3], 1, NOW);
    assert_eq!(failed(&half_open, [3]), half_open, "nor does it open anew");
}

#[test]
fn each_opening_in_a_row_lasts_twice_as_long_up_to_an_hour() {
    for (opened, seconds) in [(1, 360), (2, 720), (3, 1_440), (4, 2_880), (5, 3_600), (16, 3_600), (70, 3_600)] {
        let again = failed(&breaker([1, 2, 3], opened, NOW), [4]);
        let expected = Breaker { failed_at: NOW, ..breaker([1, 2, 3, 4], opened + 1, NOW + seconds) };
        assert_eq!(again, expected, "opened {opened} times before");
    }
}

#[test]
fn boots_that_fail_while_it_is_open_are_remembered_and_open_it_no_longer() {
    let still_open = failed(&breaker([1, 2, 3], 1, NOW + 1), [4]);
    assert_eq!(still_open, Breaker { failed_at: NOW, ..breaker([1, 2, 3, 4], 1, NOW + 1) });
}

#[test]
fn a_node_that_became_ready_after_the_last_failure_closes_it() {
    let after = |before: &Breaker, records: &[InstanceRecord]| {
        let (control, policy) = (Control::default(), policy());
        before.after_boots(Snapshot { records, ..seen(&[], &control, &policy) })
    };
    let open = breaker([1, 2, 3], 1, NOW + 99);
    assert_eq!(after(&open, &[ready(4, Some(NOW - 10)), ready(5, Some(NOW - 9))]), Breaker::default());
    assert_eq!(after(&open, &[ready(4, Some(NOW - 10)), ready(5, Some(NOW - 11)), ready(6, None)]), open);
    assert_eq!(after(&open, &[]), open);
    assert_eq!(after(&breaker([1], 0, Timestamp(0)), &[ready(4, Some(NOW))]), Breaker::default(), "not in a row");
    let first_word = InstanceRecord { beat_at: Some(NOW), ..ready(4, Some(NOW)) };
    assert_eq!(after(&open, &[first_word]), open, "it was not heard of since");
    assert_eq!(after(&open, &[InstanceRecord { healthy: false, ..ready(4, Some(NOW)) }]), open, "it fell ill at once");
    let idle = breaker([], 0, Timestamp(0));
    assert_eq!(after(&idle, &[ready(4, Some(NOW))]), idle, "without a failure there is nothing to forget");
}

#[test]
fn a_run_counts_every_boot_that_was_late_even_beyond_the_removal_budget() {
    let late = (1..=4).fold(shard(7), |shard, n| shard.booting(n).since(n, NOW - 601));
    // A cleaning that is late is no boot, and neither is a boot that leaves already.
    let late = late.resetting(5).since(5, NOW - 601).booting(6).since(6, NOW - 601).leaving(6, NOW);
    let after = reaped(Breaker::default(), late, &[], &policy());
    assert_eq!(after, Breaker { failed_at: NOW, ..breaker([1, 2, 3, 4], 1, NOW + 180) });
    let in_time = shard(7).booting(1).since(1, NOW - 600);
    assert_eq!(reaped(Breaker::default(), in_time, &[], &policy()), Breaker::default());
}

#[test]
fn a_run_closes_it_for_a_node_that_became_ready_and_then_counts_what_failed() {
    let open = breaker([1, 2, 3], 3, NOW);
    let records = [ready(9, Some(NOW - 5))];
    assert_eq!(reaped(open.clone(), shard(7).free(9), &records, &policy()), Breaker::default());
    let late = shard(7).free(9).booting(4).since(4, NOW - 601);
    let only_one = Breaker { failed_at: NOW, ..breaker([4], 0, Timestamp(0)) };
    assert_eq!(reaped(open, late, &records, &policy()), only_one);
}

#[test]
fn failures_are_forgotten_an_hour_after_the_last_or_after_it_was_open() {
    let after = |before: Breaker| {
        let (control, policy) = (Control::default(), policy());
        before.after_boots(seen(&[], &control, &policy))
    };
    let failed_at = |seconds, open_until| Breaker { failed_at: NOW - seconds, ..breaker([1, 2, 3], 1, open_until) };
    assert_eq!(after(failed_at(3_599, NOW - 3_700)), failed_at(3_599, NOW - 3_700));
    assert_eq!(after(failed_at(3_600, NOW - 3_700)), Breaker::default());
    assert_eq!(after(failed_at(9_000, NOW - 3_599)), failed_at(9_000, NOW - 3_599));
    assert_eq!(after(failed_at(9_000, NOW - 3_600)), Breaker::default());
}

#[test]
fn one_that_was_ready_before_is_no_boot_and_one_that_falls_ill_before_it_served_is() {
    let started = shard(7).booting(1).since(1, NOW - 601).with(|shard| {
        shard.members.get_mut(&instance(1)).expect("a member").boot_id = 5;
    });
    assert_eq!(reaped(Breaker::default(), started, &[], &policy()), Breaker::default());
    let ill = |served, leased: bool| {
        let shard = if leased { shard(7).held(1, 1) } else { shard(7).free(1) };
        let shard = shard.with(|shard| shard.members.get_mut(&instance(1)).expect("a member").served = served);
        reaped(Breaker::default(), shard, &[beat(1, NOW, false)], &policy()).failed.len()
    };
    assert_eq!((ill(0, false), ill(1, false), ill(0, true)), (1, 0, 0));
}
