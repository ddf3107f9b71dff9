//! The stopped tier: which instances join it, which are started again and when, and what EC2's word changes.

use pool_core::control::{Control, Halt, KnownTemplate, Order, Orders};
use pool_core::ids::{InstanceId, ShardNo};
use pool_core::policy::Policy;
use pool_core::reap_idle::{self, Ec2Instance, Ec2State, Ec2Word, Removal, start_again, stop_again, stopped};
use pool_core::scale::{self, Plan, PlannedStart};
use pool_core::shard::{Apart, Leaving, Shard, Transition};
use pool_core::utilisation::Utilisation;

use crate::given::{Given, NOW, control, found, instance, keeping, listed, policy, seen, shard, template};

const ALL_STATES: [Ec2State; 6] = [
    Ec2State::Pending,
    Ec2State::Running,
    Ec2State::Stopping,
    Ec2State::Stopped,
    Ec2State::ShuttingDown,
    Ec2State::Terminated,
];

fn grown(shards: &[Shard], control: &Control, policy: &Policy) -> Plan {
    scale::plan(seen(shards, control, policy), &template(), "browsers")
}

fn started(plan: &Plan) -> Vec<(ShardNo, InstanceId)> {
    plan.starts.iter().map(|start| (start.shard, start.instance.clone())).collect()
}

fn reaped(shards: &[Shard], ec2: &Ec2Word, control: &Control, policy: &Policy) -> Vec<Removal> {
    reap_idle::plan(seen(shards, control, policy), ec2).removals
}

/// Stopped, or on its way there, for so many seconds.
fn for_seconds(shard: Shard, n: u64, seconds: u64) -> Shard {
    shard.with(|shard| shard.stopped.get_mut(&instance(n)).expect("in the tier").since = NOW - seconds)
}

fn stopped_for(shard: Shard, n: u64, seconds: u64) -> Shard {
    for_seconds(shard.stopped(n), n, seconds)
}

fn start(shard: ShardNo, n: u64) -> PlannedStart {
    let transition = Transition::Start { instance: instance(n), now: NOW, stopped_before: NOW - 900 };
    PlannedStart { shard, instance: instance(n), transition }
}

#[test]
fn what_is_missing_is_started_before_it_is_launched_and_those_stopped_longest_first() {
    let first = stopped_for(stopped_for(shard(7), 1, 901), 2, 5_000);
    let shards = [first, stopped_for(shard(8), 3, 2_000)];
    let two = grown(&shards, &control(), &keeping(2));
    assert_eq!(two.starts, [start(7, 2), start(8, 3)]);
    assert_eq!(two.launches, []);
    assert_eq!(two.control, Control { scaled_out_at: NOW, ..control() }, "a start claims the turn as well");
    let five = grown(&shards, &control(), &keeping(5));
    assert_eq!(five.starts, [start(7, 2), start(8, 3), start(7, 1)]);
    assert_eq!(five.launches.iter().map(|launch| launch.intent.count).sum::<u64>(), 2);
    assert_eq!(grown(&shards, &control(), &keeping(0)).starts, []);
}

#[test]
fn only_what_is_stopped_for_longer_than_any_function_lives_and_stays_is_started() {
    let of = |shard: Shard| started(&grown(&[shard], &control(), &keeping(1))).len();
    assert_eq!((of(stopped_for(shard(7), 1, 901)), of(stopped_for(shard(7), 1, 900))), (1, 0));
    assert_eq!(of(stopped_for(shard(7), 1, 9_000).leaving(1, NOW)), 0);
    assert_eq!(of(for_seconds(shard(7).stopping(1), 1, 9_000)), 0);
}

#[test]
fn a_start_needs_no_room_and_no_permission_to_launch() {
    let stopped = || stopped_for(shard(7), 1, 901).with(|shard| shard.room = 0);
    assert_eq!(started(&grown(&[stopped()], &control(), &keeping(3))), [(7, instance(1))]);
    let halted = Some(Halt { until: NOW + 9, why: "no permission".to_owned() });
    let halted = Control { halted, ..control() };
    assert_eq!(started(&grown(&[stopped()], &halted, &keeping(1))), [(7, instance(1))]);
}

#[test]
fn what_holds_growth_back_holds_back_starts() {
    let stopped = stopped_for(shard(7), 1, 901);
    let order = || Some(Order { at: NOW, why: "a test".to_owned() });
    for control in [
        Control { operator: Orders { paused: order(), ..Orders::default() }, ..control() },
        Control { operator: Orders { drained: order(), ..Orders::default() }, ..control() },
        Control { scaled_out_at: NOW - 29, ..control() },
    ] {
        let plan = grown(std::slice::from_ref(&stopped), &control, &keeping(1));
        assert_eq!((started(&plan), plan.control), (Vec::new(), control));
    }
}

#[test]
fn what_was_started_is_replaced_in_the_tier_by_a_launch() {
    let policy = Policy { stopped_size: 2, ..keeping(1) };
    let plan = grown(&[stopped_for(shard(7), 1, 901)], &control(), &policy);
    assert_eq!((started(&plan).len(), plan.launches.len()), (1, 1));
    assert_eq!(plan.launches[0].intent.count, 1, "it lacks one now, and the second when the start is written");
}

/// Four free ones, all but the last on demand; the second has been free for longest, then the first.
fn four() -> Shard {
    let shard = shard(7).free(1).on_demand(1).free(2).on_demand(2).free(3).on_demand(3).free(4);
    shard.since(2, NOW - 119).since(1, NOW - 110)
}

/// What joins the tier of two when one is kept free.
fn stopped_of(shards: &[Shard], control: &Control, policy: Policy) -> Vec<InstanceId> {
    let policy = Policy { stopped_size: 2, ..policy };
    let removals = reaped(shards, &Ec2Word::default(), control, &policy);
    assert!(removals.iter().all(|removal| matches!(removal.transition, Transition::Stop { .. })), "{removals:?}");
    removals.into_iter().map(|removal| removal.instance).collect()
}

fn instances<const N: usize>(numbers: [u64; N]) -> Vec<InstanceId> {
    numbers.into_iter().map(instance).collect()
}

#[test]
fn what_was_free_for_longest_of_those_on_demand_joins_the_tier_beyond_any_budget() {
    let policy = Policy { stopped_size: 2, removal_budget_percent: 1, ..keeping(1) };
    let stop = |n, position, keep| Removal {
        shard: 7,
        instance: instance(n),
        transition: Transition::Stop { instance: instance(n), position, keep, now: NOW },
        why: "it is free, and the stopped tier is not full".to_owned(),
        is_idle: false,
    };
    let removals = reaped(&[four()], &Ec2Word::default(), &Control::default(), &policy);
    assert_eq!(removals, [stop(2, 1, 3), stop(1, 0, 2)]);
    assert_eq!(reaped(&[four()], &Ec2Word::default(), &Control::default(), &keeping(1)), [], "there is no tier");
}

#[test]
fn no_more_join_the_tier_than_it_lacks() {
    let of = |shard: Shard| stopped_of(&[four(), shard], &Control::default(), keeping(1));
    assert_eq!(of(shard(8).stopped(9)), instances([2]));
    assert_eq!(of(shard(8).stopping(9)), instances([2]));
    assert_eq!(of(shard(8).stopped(8).stopping(9)), []);
}

#[test]
fn nothing_joins_the_tier_that_is_kept_waited_for_or_missing() {
    let of = |shards: &[Shard], policy: Policy| stopped_of(shards, &Control::default(), policy);
    assert_eq!(of(&[four()], keeping(2)), instances([2, 1]));
    assert_eq!(of(&[four()], keeping(3)), [], "one would be missing");
    let coming = four().booting(5).booting(6);
    assert_eq!(of(std::slice::from_ref(&coming), keeping(3)), instances([2]), "what boots is not free yet");
    assert_eq!(of(std::slice::from_ref(&coming), keeping(4)), []);
    assert_eq!(of(&[four(), shard(8).waiting(1)], keeping(1)), [], "somebody waits");
    let least = |min_instances| Policy { min_instances, ..keeping(0) };
    assert_eq!(of(&[four().intending(1, 2)], least(2)), instances([2, 1]));
    assert_eq!(of(&[four().intending(1, 2)], least(3)), instances([2]), "what is intended is not there yet");
    assert_eq!(of(&[four().intending(1, 2)], least(4)), []);
    let busy = |extra| {
        let utilisation = Utilisation { extra, ..Utilisation::default() };
        stopped_of(&[four()], &Control { utilisation, ..Control::default() }, keeping(1))
    };
    assert_eq!((busy(1), busy(2)), (instances([2, 1]), instances([])), "more are wanted for busy nodes");
}

#[test]
fn what_is_to_be_replaced_does_not_join_the_tier() {
    let newest = |version| {
        let template = KnownTemplate { version, seen_at: NOW };
        stopped_of(&[four()], &Control { template, ..Control::default() }, keeping(1))
    };
    assert_eq!(newest(3).len(), 2);
    assert_eq!(newest(4), instances([]), "all are outdated, though only some are about to be replaced");
}

#[test]
fn of_several_shards_those_free_for_longest_join_the_tier() {
    let other = shard(8).free(5).on_demand(5).since(5, NOW - 115);
    assert_eq!(stopped_of(&[four(), other], &Control::default(), keeping(1)), instances([2, 5]));
}

#[test]
fn one_that_never_stops_or_runs_although_it_was_stopped_goes() {
    let of = |shard: Shard, ec2: &Ec2Word| {
        let removals = reaped(&[shard], ec2, &Control::default(), &policy());
        assert!(removals.len() <= 1);
        removals.into_iter().next().map(|removal| (removal.transition, removal.why))
    };
    let fence = |why: &str| {
        let leaving = Leaving { why: why.to_owned(), deadline: NOW };
        let place = Apart::Stopped;
        Some((Transition::FenceApart { instance: instance(1), place, leaving }, why.to_owned()))
    };
    let stopping = |seconds| for_seconds(shard(7).stopping(1), 1, seconds);
    assert_eq!(of(stopping(600), &listed([(1, Ec2State::Running)])), None);
    for ec2 in [listed([(1, Ec2State::Running)]), listed([(1, Ec2State::Stopped)]), Ec2Word::default()] {
        assert_eq!(of(stopping(601), &ec2), fence("it did not stop in time"));
    }
    let stopped = |seconds| stopped_for(shard(7), 1, seconds);
    assert_eq!(of(stopped(121), &listed([(1, Ec2State::Running)])), fence("it runs although it was stopped"));
    assert_eq!(of(stopped(120), &listed([(1, Ec2State::Running)])), None, "the listing may be older");
    for state in [Ec2State::Pending, Ec2State::Stopping, Ec2State::Stopped] {
        assert_eq!(of(stopped(9_000), &listed([(1, state)])), None, "{state:?}");
    }
    assert_eq!(of(stopped(9_000), &Ec2Word::default()), None, "EC2 was not asked");
    let asked = Ec2Word { asked: [(instance(1), Some(found(1, Ec2State::Running)))].into(), ..Ec2Word::default() };
    assert_eq!(of(stopped(121), &asked), fence("it runs although it was stopped"));
}

#[test]
fn ec2_is_asked_again_to_stop_what_it_was_to_stop_and_runs() {
    let of = |shard: Shard, state| stop_again(&[shard], &listed([(1, state)]));
    for state in ALL_STATES {
        let again = matches!(state, Ec2State::Pending | Ec2State::Running);
        assert_eq!(of(shard(7).stopping(1), state), if again { vec![instance(1)] } else { vec![] }, "{state:?}");
    }
    for (situation, shard) in [
        ("it may be started at any time", shard(7).stopped(1)),
        ("it leaves", shard(7).stopping(1).leaving(1, NOW)),
        ("it serves", shard(7).free(1)),
    ] {
        assert_eq!(of(shard, Ec2State::Running), [], "{situation}");
    }
    assert_eq!(stop_again(&[shard(7).stopping(1)], &Ec2Word::default()), [], "EC2 was not asked");
    let unknown = Ec2Word { asked: [(instance(1), None)].into(), ..Ec2Word::default() };
    assert_eq!(stop_again(&[shard(7).stopping(1)], &unknown), []);
    let shards = [shard(7).stopping(1).stopping(2), shard(8).stopping(3)];
    let ec2 = listed([(1, Ec2State::Running), (2, Ec2State::Stopping), (3, Ec2State::Running)]);
    assert_eq!(stop_again(&shards, &ec2), [instance(1), instance(3)]);
}

#[test]
fn what_ec2_has_stopped_is_written_down() {
    let stopped_at = |n| Transition::Stopped { instance: instance(n), now: NOW };
    let of = |shard: Shard, state| stopped(&[shard], &listed([(1, state)]), NOW);
    for state in ALL_STATES {
        let expected = if state == Ec2State::Stopped { vec![(7, stopped_at(1))] } else { vec![] };
        assert_eq!(of(shard(7).stopping(1), state), expected, "{state:?}");
    }
    for (situation, shard) in [
        ("it is known", shard(7).stopped(1)),
        ("it leaves", shard(7).stopping(1).leaving(1, NOW)),
        ("it serves", shard(7).free(1)),
    ] {
        assert_eq!(of(shard, Ec2State::Stopped), [], "{situation}");
    }
    assert_eq!(stopped(&[shard(7).stopping(1)], &Ec2Word::default(), NOW), []);
    let shards = [shard(7).stopping(1).stopping(2), shard(8).stopping(3)];
    let ec2 = listed([(1, Ec2State::Stopped), (2, Ec2State::Stopping), (3, Ec2State::Stopped)]);
    assert_eq!(stopped(&shards, &ec2, NOW), [(7, stopped_at(1)), (8, stopped_at(3))]);
}

#[test]
fn an_instance_whose_start_was_written_and_never_came_is_started_again() {
    let of = |shard: Shard, found: &Ec2Instance| start_again(&[crate::given::shard(6), shard], found);
    for state in ALL_STATES {
        assert_eq!(of(shard(7).booting(1), &found(1, state)), state == Ec2State::Stopped, "{state:?}");
    }
    for (situation, shard) in [
        ("it leaves", shard(7).booting(1).leaving(1, NOW)),
        ("it is to be stopped", shard(7).stopped(1)),
        ("it serves", shard(7).free(1)),
        ("it is gone", shard(7).booting(1).vanished(1)),
        ("another one boots", shard(7).booting(2)),
    ] {
        assert!(!of(shard, &found(1, Ec2State::Stopped)), "{situation}");
    }
}

/// Two that serve and are kept, and four in the tier: the fourth was stopped before the fifth, the sixth still stops.
fn two_and_four() -> [Shard; 2] {
    let tier = stopped_for(stopped_for(shard(8), 3, 3_000), 4, 2_000);
    [shard(7).free(1).free(2), for_seconds(stopped_for(tier, 5, 1_000).stopping(6), 6, 10)]
}

#[test]
fn a_smaller_cap_takes_from_the_tier_what_was_stopped_last() {
    let of = |policy: Policy| {
        let removals = reaped(&two_and_four(), &Ec2Word::default(), &Control::default(), &policy);
        removals.into_iter().map(|one| (one.instance, one.transition)).collect::<Vec<_>>()
    };
    let gone = |n, cap: u64| {
        let leaving = Leaving { why: format!("the cap is {cap}, and more serve or are stopped"), deadline: NOW };
        (instance(n), Transition::FenceApart { instance: instance(n), place: Apart::Stopped, leaving })
    };
    let capped = |max_instances| Policy { max_instances, stopped_size: 4, removal_budget_percent: 100, ..keeping(2) };
    assert_eq!(of(capped(6)), []);
    assert_eq!(of(capped(5)), [gone(6, 5)]);
    assert_eq!(of(capped(4)), [gone(6, 4), gone(5, 4)]);
    assert_eq!(of(capped(2)), [6, 5, 4, 3].map(|n| gone(n, 2)), "those that serve are as many as may be");
    let slowly = Policy { removal_budget_percent: 20, ..capped(2) };
    assert_eq!(of(slowly), [gone(6, 2)], "each is a removal like any other");
}

#[test]
fn nothing_joins_the_tier_that_would_be_above_the_cap_there() {
    let of =
        |shards: &[Shard], cap| stopped_of(shards, &Control::default(), Policy { max_instances: cap, ..keeping(2) });
    assert_eq!(of(&[four()], 4), instances([2, 1]));
    assert_eq!(of(&[four()], 3), instances([2]));
    assert_eq!(of(&[four()], 2), [], "the two that are not needed go");
    let more = [four(), shard(8).stopped(9)];
    assert_eq!(of(&more, 4), instances([2]));
    assert_eq!(of(&more, 3), [], "the place is that of one that is stopped already");
}
