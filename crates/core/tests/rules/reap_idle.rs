//! Which instance is withdrawn, why, in which order and within which budget; which is terminated, and which is gone.

use pool_core::control::{Control, Order, Orders};
use pool_core::ids::{InstanceId, ShardNo};
use pool_core::node::InstanceRecord;
use pool_core::policy::Policy;
use pool_core::reap_idle::{self, Ec2State, Ec2Word, Removal, gone, plan};
use pool_core::schedule;
use pool_core::shard::{Apart, Leaving, Shard, Transition};
use pool_core::snapshot::Snapshot;
use pool_core::time::Timestamp;

use crate::given::{Given, NOW, beat, found, instance, launched, listed, policy, seen, shard};

/// A policy that may remove everything and keeps nothing free.
fn unbound() -> Policy {
    Policy { removal_budget_percent: 100, min_available: 0, ..policy() }
}

/// EC2 was asked for this member by its id and does not know it.
fn unknown(n: u64) -> Ec2Word {
    Ec2Word { asked: [(instance(n), None)].into(), ..Ec2Word::default() }
}

fn removals(shards: &[Shard], ec2: &Ec2Word, records: &[InstanceRecord], policy: &Policy) -> Vec<Removal> {
    let control = Control::default();
    plan(Snapshot { records, ..seen(shards, &control, policy) }, ec2).removals
}

/// The removals in brief: of which shard, which instance, why.
fn planned(
    shards: &[Shard],
    ec2: &Ec2Word,
    records: &[InstanceRecord],
    policy: &Policy,
) -> Vec<(ShardNo, InstanceId, String)> {
    let removals = removals(shards, ec2, records, policy);
    removals.into_iter().map(|removal| (removal.shard, removal.instance, removal.why)).collect()
}

/// The instances of shard 7 that are removed.
fn removed(shard: Shard, ec2: &Ec2Word, records: &[InstanceRecord], policy: &Policy) -> Vec<InstanceId> {
    planned(&[shard], ec2, records, policy).into_iter().map(|(_, instance, _)| instance).collect()
}

fn instances<const N: usize>(numbers: [u64; N]) -> Vec<InstanceId> {
    numbers.into_iter().map(instance).collect()
}

#[test]
fn what_ec2_ended_is_withdrawn_beyond_any_budget() {
    let shards = [shard(7).free(1), shard(8).free(2).free(3).held(4, 1).free(5).free(6)];
    let ec2 = listed([
        (1, Ec2State::Running),
        (2, Ec2State::Pending),
        (3, Ec2State::Terminated),
        (4, Ec2State::ShuttingDown),
        (5, Ec2State::Terminated),
        (6, Ec2State::Stopped),
    ]);
    let removals = removals(&shards, &ec2, &[], &policy());
    let brief: Vec<_> = removals.iter().map(|r| (r.shard, r.instance.clone(), r.why.as_str())).collect();
    assert_eq!(
        brief,
        [
            (8, instance(3), "EC2 terminated it"),
            (8, instance(4), "EC2 shuts it down"),
            (8, instance(5), "EC2 terminated it"),
        ]
    );
    let leaving = |why: &str| Leaving { why: why.to_owned(), deadline: NOW };
    // Each keeps as many free as the plan saw beside it, and names the position that the one before has left it.
    let fence = |n, position, keep| Transition::Fence {
        instance: instance(n),
        position,
        keep,
        leaving: leaving("EC2 terminated it"),
    };
    let mark = Transition::Mark { instance: instance(4), leaving: leaving("EC2 shuts it down") };
    let transitions: Vec<_> = removals.into_iter().map(|removal| removal.transition).collect();
    assert_eq!(transitions, [fence(3, 1, 3), mark, fence(5, 1, 2)]);
}

#[test]
fn what_leaves_already_or_is_under_way_is_not_withdrawn_again() {
    let shard = shard(7).member(1).leaving(1, NOW).moving(2);
    let ec2 = listed([(1, Ec2State::Terminated), (2, Ec2State::Terminated)]);
    assert_eq!(removals(&[shard], &ec2, &[], &unbound()), []);
}

#[test]
fn a_run_removes_a_share_of_the_members_and_at_least_one() {
    let late = |n: u64| (1..=n).fold(shard(7), |shard, n| shard.booting(n).since(n, NOW - 601));
    for (members, percent, removed) in [(10, 20, 2), (14, 20, 2), (15, 20, 3), (4, 20, 1), (1, 1, 1), (10, 100, 10)] {
        let policy = Policy { removal_budget_percent: percent, ..policy() };
        let planned = planned(&[late(members)], &Ec2Word::default(), &[], &policy);
        assert_eq!(planned.len(), removed, "{percent} % of {members}");
    }
    let ended = listed([(1, Ec2State::Terminated)]);
    assert_eq!(planned(&[late(10)], &ended, &[], &policy()).len(), 3, "what EC2 ended is not of the budget");
}

#[test]
fn a_member_that_ec2_has_forgotten_is_removed_after_the_grace() {
    let since = |since| shard(7).held(1, 1).since(1, since);
    let why = "EC2 does not know it any more";
    let leaving = Leaving { why: why.to_owned(), deadline: NOW };
    let removals = removals(&[since(NOW - 121)], &unknown(1), &[beat(1, NOW, true)], &unbound());
    assert_eq!(removals.len(), 1);
    assert_eq!(removals[0].transition, Transition::Mark { instance: instance(1), leaving });
    assert_eq!(removals[0].why, why);
    let spared = |since_then, ec2: &Ec2Word| {
        assert_eq!(removed(since(since_then), ec2, &[beat(1, NOW, true)], &unbound()), []);
    };
    spared(NOW - 120, &unknown(1));
    spared(NOW - 121, &Ec2Word::default());
    spared(NOW - 121, &listed([(1, Ec2State::Running)]));
    let described = Ec2Word { asked: [(instance(1), Some(found(1, Ec2State::Running)))].into(), ..Ec2Word::default() };
    spared(NOW - 121, &described);
}

#[test]
fn a_member_that_the_list_lacks_is_judged_by_the_explicit_answer() {
    let described =
        Ec2Word { asked: [(instance(1), Some(found(1, Ec2State::Terminated)))].into(), ..Ec2Word::default() };
    assert_eq!(removed(shard(7).held(1, 1), &described, &[], &unbound()), instances([1]));
}

#[test]
fn a_boot_or_a_cleaning_that_takes_too_long_ends() {
    let at = |since| shard(7).booting(1).resetting(2).since(1, since).since(2, since);
    // The one that is being cleaned beats, so that its silence is not the reason.
    let beats = [beat(2, NOW, true)];
    let removals = removals(&[at(NOW - 601)], &Ec2Word::default(), &beats, &unbound());
    let fence = |n, place, why: &str| {
        let leaving = Leaving { why: why.to_owned(), deadline: NOW };
        Transition::FenceApart { instance: instance(n), place, leaving }
    };
    let transitions: Vec<_> = removals.into_iter().map(|removal| removal.transition).collect();
    assert_eq!(
        transitions,
        [fence(1, Apart::Booting, "it was not ready in time"), fence(2, Apart::Resetting, "it was not clean in time"),]
    );
    assert_eq!(removed(at(NOW - 600), &Ec2Word::default(), &beats, &unbound()), []);
}

#[test]
fn a_node_that_is_silent_or_unwell_leaves_after_its_lease() {
    let shard = || shard(7).held(1, 1).free(2).resetting(3).booting(4).free(5);
    let policy = Policy { min_available: 9, ..unbound() };
    let well = |n| beat(n, NOW - 120, true);
    let of = |records: &[InstanceRecord]| planned(&[shard()], &Ec2Word::default(), records, &policy);
    assert_eq!(of(&[well(1), well(2), well(3), well(5)]), []);
    assert_eq!(
        of(&[beat(1, NOW - 121, true), well(2), beat(3, NOW, false), well(5)]),
        [(7, instance(3), "its health check fails".to_owned()), (7, instance(1), "its heartbeats stopped".to_owned()),]
    );
    let removals = removals(&[shard()], &Ec2Word::default(), &[beat(1, NOW, false)], &policy);
    let leaving = Leaving { why: "its health check fails".to_owned(), deadline: Timestamp::NEVER };
    assert_eq!(removals[0].transition, Transition::Mark { instance: instance(1), leaving });
    assert_eq!(removals.len(), 1, "one that has never beaten is heard of since it serves, and booting ones are not");
    assert_eq!(removed(shard().since(2, NOW - 121), &Ec2Word::default(), &[], &policy), instances([2]));
    let silent = [beat(1, NOW - 500, true)];
    assert_eq!(removed(shard().leaving(1, NOW + 9), &Ec2Word::default(), &silent, &policy), []);
    assert_eq!(removed(shard().since(4, NOW - 500), &Ec2Word::default(), &[], &policy), [], "it boots");
}

#[test]
fn when_three_nodes_and_more_than_half_fall_silent_the_fault_is_ours() {
    let policy = Policy { min_available: 99, ..unbound() };
    let removed = |silent: u64, serving: u64, shard: Shard| {
        let shard = (1..=serving).fold(shard, Given::free);
        let records: Vec<_> = (1..=serving).map(|n| beat(n, if n <= silent { NOW - 121 } else { NOW }, true)).collect();
        planned(&[shard], &Ec2Word::default(), &records, &policy).len()
    };
    assert_eq!(removed(2, 2, shard(7)), 2);
    assert_eq!(removed(3, 6, shard(7)), 3);
    assert_eq!(removed(3, 5, shard(7)), 0);
    assert_eq!(removed(3, 3, shard(7)), 0);
    assert_eq!(removed(4, 9, shard(7)), 4);
    let leaving = shard(7).held(20, 1).held(21, 2).leaving(20, NOW + 9).leaving(21, NOW + 9);
    assert_eq!(removed(3, 5, leaving), 0, "one that leaves anyway does not count");
}

/// A free one goes in a later run, once another is free in its place: see `replace.rs`.
#[test]
fn an_instance_leaves_at_its_maximum_age_after_its_lease_or_once_it_is_replaced() {
    let policy = Policy { min_available: 9, ..unbound() };
    let shards = [shard(7).held(1, 1).free(2).booting(3).free(4)];
    let old = |seconds| launched([(1, seconds), (2, seconds), (3, seconds)]);
    let why = "it reached its maximum age".to_owned();
    let aged = plan(seen(&shards, &Control::default(), &policy), &old(86_401));
    let mark =
        Transition::Mark { instance: instance(1), leaving: Leaving { why: why.clone(), deadline: Timestamp::NEVER } };
    assert_eq!(
        aged.removals,
        [Removal { shard: 7, instance: instance(1), transition: mark, why: why.clone(), is_idle: false }]
    );
    let retiring: Vec<_> = aged.control.retiring.into_iter().map(|(n, it)| (n, it.since, it.why)).collect();
    assert_eq!(retiring, [(instance(2), NOW, why)]);
    let young = plan(seen(&shards, &Control::default(), &policy), &old(86_400));
    assert_eq!((young.removals, young.control), (Vec::new(), Control::default()));
}

#[test]
fn what_is_free_longest_goes_first_and_what_must_be_kept_stays() {
    let heard: Vec<_> = (1..=9).map(|n| beat(n, NOW, true)).collect();
    let idle = |shards: &[Shard], policy: &Policy| {
        planned(shards, &Ec2Word::default(), &heard, policy).into_iter().map(|(_, n, _)| n).collect::<Vec<_>>()
    };
    let first = || shard(7).free(1).free(2).since(1, NOW - 700).since(2, NOW - 900);
    let second = || shard(8).free(3).free(4).since(3, NOW - 601).since(4, NOW - 600);
    let shards = [first(), second()];
    assert_eq!(idle(&shards, &unbound()), instances([2, 1, 3]), "the fourth is at the threshold");
    assert_eq!(idle(&shards, &Policy { min_available: 2, ..unbound() }), instances([2, 1]));
    assert_eq!(idle(&shards, &Policy { min_available: 3, ..unbound() }), instances([2]));
    assert_eq!(idle(&shards, &Policy { min_available: 5, ..unbound() }), []);
    assert_eq!(idle(&shards, &Policy { min_instances: 2, ..unbound() }), instances([2, 1]));
    assert_eq!(idle(&shards, &Policy { min_instances: 5, ..unbound() }), []);
    let leased = shard(9).held(5, 1).held(6, 2).leaving(6, NOW + 9);
    assert_eq!(
        idle(&[first(), second(), leased], &Policy { min_instances: 3, ..unbound() }),
        instances([2, 1]),
        "one that leaves is not one of those that must be there"
    );
    let under_way = [first().moving(7), second()];
    assert_eq!(idle(&under_way, &Policy { min_instances: 3, ..unbound() }), instances([2]), "nor is one under way");
    assert_eq!(idle(&[first(), second(), shard(9).waiting(1)], &unbound()), [], "someone waits");
    let open = r#"[{"cron":"* * * * *","timezone":"UTC","duration_minutes":5,"min_available":3}]"#;
    let scheduled = Policy { schedule: schedule::parse(open).expect("valid"), ..unbound() };
    assert_eq!(idle(&shards, &scheduled), instances([2]));
    assert_eq!(idle(&shards, &Policy { min_available: 2, ..scheduled.clone() }), instances([2]));
    assert_eq!(idle(&shards, &Policy { min_available: 4, ..scheduled }), []);
}

#[test]
fn an_idle_instance_leaves_at_once_and_says_for_how_long_it_was_free() {
    let shard = shard(7).free(1).since(1, NOW - 779);
    let removals = removals(&[shard], &Ec2Word::default(), &[beat(1, NOW, true)], &unbound());
    let why = "free for 12 minutes and not needed";
    let leaving = Leaving { why: why.to_owned(), deadline: NOW };
    assert_eq!(removals.len(), 1);
    assert_eq!(removals[0].why, why);
    assert_eq!(removals[0].transition, Transition::Fence { instance: instance(1), position: 0, keep: 0, leaving });
}

#[test]
fn the_most_urgent_comes_first_and_what_is_idle_is_judged_on_what_is_left() {
    let shard = shard(7)
        .free(1)
        .resetting(2)
        .held(3, 1)
        .free(4)
        .held(5, 2)
        .free(6)
        .since(1, NOW - 700)
        .since(2, NOW - 700)
        .since(3, NOW - 130);
    let mut ec2 = listed([(4, Ec2State::Terminated), (5, Ec2State::Running)]);
    ec2.asked.insert(instance(3), None);
    ec2.listed.get_mut(&instance(5)).expect("listed").launched_at = NOW - 90_000;
    let records = [1, 2, 3, 5].map(|n| beat(n, NOW, true)).into_iter().chain([beat(6, NOW, false)]);
    let records: Vec<_> = records.collect();
    let order = removed(shard.clone(), &ec2, &records, &unbound());
    assert_eq!(order, instances([4, 3, 2, 6, 5, 1]), "ended, forgotten, stuck, unwell, aged, idle");
    let keeping = Policy { min_available: 1, ..unbound() };
    assert_eq!(removed(shard.clone(), &ec2, &records, &keeping), instances([4, 3, 2, 6, 5]));
    // While boots fail nothing that works is replaced: the aged one stays.
    let stuck = shard.booting(8).since(8, NOW - 700);
    assert_eq!(removed(stuck, &ec2, &records, &unbound()), instances([4, 3, 2, 8, 6, 1]));
}

#[test]
fn what_the_operator_keeps_is_forgotten_some_time_after_it_is_gone() {
    let order = |at| Order { at, why: "to look at".to_owned() };
    let cordoned = [(instance(1), order(NOW - 900)), (instance(2), order(NOW - 600)), (instance(3), order(NOW - 599))];
    let control = Control { operator: Orders { cordoned: cordoned.into(), ..Orders::default() }, ..Control::default() };
    let (shards, policy) = ([shard(7).held(1, 1)], unbound());
    let after = plan(seen(&shards, &control, &policy), &Ec2Word::default()).control.operator.cordoned;
    assert_eq!(after.into_keys().collect::<Vec<_>>(), instances([1, 3]));
}

#[test]
fn however_many_say_that_they_are_ill_they_go_within_the_budget() {
    let policy = Policy { min_available: 99, ..unbound() };
    let four = || shard(7).free(1).free(2).free(3).free(4);
    let ill: Vec<_> = [1, 2, 3, 4].map(|n| beat(n, NOW, false)).into();
    assert_eq!(removed(four(), &Ec2Word::default(), &ill, &policy), instances([1, 2, 3, 4]));
    let policy = Policy { removal_budget_percent: 50, ..policy };
    assert_eq!(removed(four(), &Ec2Word::default(), &ill, &policy), instances([1, 2]));
}

/// What is terminated of shard 7 under these orders.
fn to_terminate_under(operator: Orders, shard: Shard, ec2: &Ec2Word) -> Vec<(ShardNo, InstanceId, String)> {
    let control = Control { operator, ..Control::default() };
    reap_idle::to_terminate(seen(&[shard], &control, &policy()), ec2)
}

fn to_terminate(shard: Shard, ec2: &Ec2Word) -> Vec<(ShardNo, InstanceId, String)> {
    to_terminate_under(Orders::default(), shard, ec2)
}

#[test]
fn what_the_operator_cordons_is_kept_running() {
    let leaving = || shard(7).member(1).leaving(1, NOW).member(2).leaving(2, NOW);
    let order = Order { at: NOW, why: "a look at it".to_owned() };
    let operator = Orders { cordoned: [(instance(1), order)].into(), ..Orders::default() };
    let ec2 = listed([(1, Ec2State::Running), (2, Ec2State::Running)]);
    let terminated = |operator| to_terminate_under(operator, leaving(), &ec2);
    assert_eq!(terminated(operator.clone()), [(7, instance(2), "it must go".to_owned())]);
    let drained = Some(Order { at: NOW, why: "the stack goes".to_owned() });
    assert_eq!(terminated(Orders { drained, ..operator }).len(), 2, "who drains the pool keeps nothing");
}

#[test]
fn a_leaving_instance_is_terminated_once_no_lease_is_on_it_or_its_deadline_has_come() {
    let free = || shard(7).member(1).leaving(1, Timestamp::NEVER);
    let running = || listed([(1, Ec2State::Running)]);
    let old = |shard: Shard| shard.since(1, NOW - 121);
    let expected = vec![(7, instance(1), "it must go".to_owned())];
    for (situation, shard, ec2) in [
        ("it runs", free(), running()),
        ("it is stopped", free(), listed([(1, Ec2State::Stopped)])),
        ("EC2 was not asked", free(), Ec2Word::default()),
        ("EC2 may not know it yet", free(), unknown(1)),
        ("its deadline is now", shard(7).held(1, 1).leaving(1, NOW), running()),
        ("its deadline is over", shard(7).held(1, 1).leaving(1, NOW - 1), running()),
    ] {
        assert_eq!(to_terminate(shard, &ec2), expected, "{situation}");
    }
    for (situation, shard, ec2) in [
        ("its lease goes on", shard(7).held(1, 1).leaving(1, NOW + 1), running()),
        ("it shuts down", free(), listed([(1, Ec2State::ShuttingDown)])),
        ("it is terminated", free(), listed([(1, Ec2State::Terminated)])),
        ("EC2 has forgotten it", old(free()), unknown(1)),
        ("it stays", shard(7).free(1), running()),
        ("its move must be settled first", shard(7).moving(1).leaving(1, NOW), running()),
        ("it is no member", free().vanished(1), running()),
    ] {
        assert_eq!(to_terminate(shard, &ec2), [], "{situation}");
    }
}

#[test]
fn a_leaving_instance_is_gone_only_when_ec2_says_so() {
    let leaving = || shard(7).held(1, 1).leaving(1, Timestamp::NEVER).since(1, NOW - 121);
    let expected = vec![(7, instance(1), Transition::Gone { instance: instance(1), now: NOW })];
    let terminated = || listed([(1, Ec2State::Terminated)]);
    for ec2 in [terminated(), unknown(1)] {
        assert_eq!(gone(&[leaving()], &ec2, &policy(), NOW), expected, "{ec2:?}");
    }
    for (situation, shard, ec2) in [
        ("it shuts down", leaving(), listed([(1, Ec2State::ShuttingDown)])),
        ("EC2 was not asked", leaving(), Ec2Word::default()),
        ("EC2 may not know it yet", leaving().since(1, NOW - 120), unknown(1)),
        ("it does not leave", shard(7).free(1), terminated()),
        ("its move must be settled first", shard(7).moving(1).leaving(1, NOW), terminated()),
        ("it is no member", leaving().vanished(1), terminated()),
    ] {
        assert_eq!(gone(&[shard], &ec2, &policy(), NOW), [], "{situation}");
    }
}
