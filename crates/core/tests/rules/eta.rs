//! When a waiter is told to expect an instance.

use pool_core::breaker::Breaker;
use pool_core::control::{Control, Halt, Measures, Order, Orders};
use pool_core::eta::{Expectations, Outlook};
use pool_core::shard::Shard;

use crate::given::{Given, NOW, shard};

fn expecting(boot_seconds: u64, lease_age_seconds: u64) -> Expectations {
    Expectations { measures: Measures { boot_seconds, lease_age_seconds, looked_at: NOW }, no_launches: false }
}

fn outlook(ahead: usize, boots: &[u64], leases: &[u64], room: u64) -> Outlook {
    Outlook { ahead, boots: boots.to_vec(), leases: leases.to_vec(), room }
}

/// In how many seconds, when nothing was measured yet.
fn unmeasured(outlook: &Outlook) -> Option<u64> {
    expecting(0, 0).eta_seconds(outlook)
}

#[test]
fn what_was_measured_is_expected_again() {
    let measures = Measures { boot_seconds: 31, lease_age_seconds: 32, looked_at: NOW };
    let expected = Expectations { measures, no_launches: false };
    assert_eq!(Expectations::of(&Control { measures, ..Control::default() }, NOW), expected);
}

#[test]
fn no_launch_is_expected_while_launching_is_stopped() {
    let order = || Some(Order { at: NOW, why: "the image is bad".to_owned() });
    let halted = |until| Control { halted: Some(Halt { until, why: "quota".to_owned() }), ..Control::default() };
    let opened = |opened, open_until| Control {
        breaker: Breaker { opened, open_until, ..Breaker::default() },
        ..Control::default()
    };
    let ordered = |operator| Control { operator, ..Control::default() };
    for (control, no_launches) in [
        (halted(NOW + 1), true),
        (halted(NOW), false),
        (opened(0, NOW + 1), false),
        (opened(1, NOW + 1), true),
        (opened(1, NOW), false),
        (ordered(Orders { paused: order(), ..Orders::default() }), true),
        (ordered(Orders { drained: order(), ..Orders::default() }), true),
        (ordered(Orders { max_instances: Some(1), ..Orders::default() }), false),
    ] {
        assert_eq!(Expectations::of(&control, NOW).no_launches, no_launches, "{control:?}");
    }
}

#[test]
fn a_boot_is_expected_when_most_are_over_and_a_late_one_soon() {
    let alone = |expectations: Expectations, age| expectations.eta_seconds(&outlook(0, &[age], &[], 0));
    for (age, seconds) in [(0, 60), (20, 40), (54, 6), (55, 5), (56, 5), (60, 5), (900, 5)] {
        assert_eq!(alone(expecting(0, 0), age), Some(seconds), "a minute is assumed, and {age} s are over");
    }
    for (age, seconds) in [(0, 31), (25, 6), (26, 5), (27, 5)] {
        assert_eq!(alone(expecting(31, 0), age), Some(seconds), "{age} of 31 s");
    }
}

#[test]
fn a_launch_is_expected_for_each_waiter_that_no_boot_covers_as_far_as_there_is_room() {
    assert_eq!(unmeasured(&outlook(0, &[], &[], 1)), Some(63));
    assert_eq!(expecting(31, 0).eta_seconds(&outlook(0, &[], &[], 1)), Some(34));
    assert_eq!(unmeasured(&outlook(0, &[], &[], 0)), None, "there is no room");
    assert_eq!(unmeasured(&outlook(2, &[], &[], 3)), Some(63));
    assert_eq!(unmeasured(&outlook(2, &[], &[], 2)), None);
    assert_eq!(unmeasured(&outlook(2, &[10, 20], &[], 1)), Some(63), "the third has no boot");
    assert_eq!(unmeasured(&outlook(1, &[10, 20], &[900], 9)), Some(50), "the second has one");
    let stopped = Expectations { no_launches: true, ..expecting(0, 0) };
    assert_eq!(stopped.eta_seconds(&outlook(0, &[], &[], 9)), None);
    assert_eq!(stopped.eta_seconds(&outlook(0, &[20], &[], 9)), Some(40), "what boots already still comes");
}

#[test]
fn a_waiter_is_served_in_its_turn_by_whatever_comes_first() {
    let all = |ahead| unmeasured(&outlook(ahead, &[50, 0], &[300, 20], 9));
    assert_eq!([0, 1, 2, 3].map(all), [10, 20, 60, 63].map(Some));
    let last = |ahead| unmeasured(&outlook(ahead, &[50, 0], &[300, 20], 0));
    assert_eq!([2, 3, 4].map(last), [Some(60), Some(300), None]);
}

#[test]
fn a_lease_is_expected_to_end_at_its_end_or_after_its_share_of_the_usual_life() {
    let ends = |lease_age, leases: &[u64], ahead| expecting(0, lease_age).eta_seconds(&outlook(ahead, &[], leases, 0));
    assert_eq!(ends(0, &[300], 0), Some(300), "nothing is known but its end");
    assert_eq!(ends(100, &[300], 0), Some(100));
    assert_eq!(ends(100, &[90], 0), Some(90));
    let four = [700, 600, 500, 400];
    assert_eq!([0, 1, 2, 3].map(|ahead| ends(100, &four, ahead)), [25, 50, 75, 100].map(Some));
    assert_eq!([0, 1].map(|ahead| ends(100, &[900, 30], ahead)), [30, 100].map(Some), "in the order of their ends");
    assert_eq!(ends(0, &[0], 0), Some(1), "never in no time at all");
    assert_eq!(ends(100, &[], 0), None);
}

fn shown(shard: &Shard) -> Outlook {
    Outlook::of(shard, 3, NOW)
}

#[test]
fn a_shard_shows_what_comes_and_for_how_long_it_has_been_coming() {
    let coming = shard(7).booting(1).since(1, NOW - 20).booting(2).since(2, NOW - 40).intending(3, 2);
    assert_eq!(shown(&coming), outlook(3, &[20, 40, 15, 15], &[], 4));
    let leaving = shard(7).booting(1).since(1, NOW - 20).booting(2).leaving(2, NOW).booting(3).vanished(3);
    assert_eq!(shown(&leaving), outlook(3, &[20], &[], 4), "neither what leaves nor what is gone");
}

#[test]
fn a_shard_shows_the_leases_whose_instance_will_serve_again() {
    let leased = shard(7).held(1, 1).held(2, 2).lasts_until(2, NOW - 5).held(3, 3).leaving(3, NOW + 9);
    assert_eq!(shown(&leased.held(4, 4).vanished(4)), outlook(3, &[], &[60, 0], 4));
}

#[test]
fn a_shard_that_has_more_than_its_share_has_no_room() {
    for (room, shown_room) in [(-1, 0), (0, 0), (1, 1)] {
        assert_eq!(shown(&shard(7).with(|shard| shard.room = room)), outlook(3, &[], &[], shown_room));
    }
}
