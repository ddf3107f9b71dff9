//! Which instances are replaced although they work, and when each may go.

use pool_core::breaker::Breaker;
use pool_core::control::{Control, Halt, KnownTemplate, Order, Orders, Retiring};
use pool_core::ids::InstanceId;
use pool_core::policy::Policy;
use pool_core::reap_idle::{Ec2Word, Plan, plan};
use pool_core::shard::{Apart, Leaving, Shard, Transition};
use pool_core::time::Timestamp;

use crate::given::{Given, NOW, instance, launched, policy, seen, shard};

const OLD: &str = "it reached its maximum age";
const DRIFTED: &str = "its launch template version 3 is older than 4";

/// A policy that keeps so many free and may remove everything at once.
fn keeping(min_available: u64) -> Policy {
    Policy { removal_budget_percent: 100, min_available, max_instances: 100, ..policy() }
}

/// The template has a newer version than every member, and these wait for a replacement.
fn drifted<const N: usize>(retiring: [u64; N]) -> Control {
    let retiring = retiring.map(|n| (instance(n), waits(DRIFTED, NOW - 50))).into();
    Control { template: KnownTemplate { version: 4, seen_at: NOW }, retiring, ..Control::default() }
}

fn waits(why: &str, since: Timestamp) -> Retiring {
    Retiring { since, why: why.to_owned() }
}

/// A stopped instance of the newest template, which was ready once.
fn proven() -> Shard {
    shard(99).stopped(999).with(|shard| {
        shard.members.get_mut(&instance(999)).expect("a member").kind.template_version = 4;
        shard.room = 0;
    })
}

/// The plan where the newest template has been seen to work.
fn planned(shards: &[Shard], control: &Control, policy: &Policy) -> Plan {
    let all = [shards, &[proven()]].concat();
    plan(seen(&all, control, policy), &Ec2Word::default())
}

fn removed(plan: &Plan) -> Vec<InstanceId> {
    plan.removals.iter().map(|removal| removal.instance.clone()).collect()
}

fn retiring(plan: &Plan) -> Vec<InstanceId> {
    plan.control.retiring.keys().cloned().collect()
}

fn instances<const N: usize>(numbers: [u64; N]) -> Vec<InstanceId> {
    numbers.into_iter().map(instance).collect()
}

/// What a plan removes and who waits for a replacement after it.
fn brief(shards: &[Shard], control: &Control, policy: &Policy) -> (Vec<InstanceId>, Vec<InstanceId>) {
    let plan = planned(shards, control, policy);
    (removed(&plan), retiring(&plan))
}

/// Why a member is replaced that has served three leases and is of version 3; the newest version is that, too.
fn why(shard: Shard, version: u64, policy: &Policy, age: u64) -> Option<String> {
    let template = KnownTemplate { version, seen_at: NOW };
    let (shards, control) = ([shard], Control { template, ..Control::default() });
    let plan = plan(seen(&shards, &control, policy), &launched([(1, age)]));
    let waiting = plan.control.retiring.into_values().map(|retiring| retiring.why);
    plan.removals.into_iter().map(|removal| removal.why).chain(waiting).next()
}

#[test]
fn an_instance_is_replaced_when_it_is_older_than_the_policy_allows() {
    let policy = Policy { max_age_seconds: 7_200, ..keeping(9) };
    let of = |age| why(shard(7).free(1), 3, &policy, age);
    assert_eq!((of(7_200), of(7_201).as_deref()), (None, Some(OLD)));
    let unlisted = planned(&[shard(7).free(1)], &Control::default(), &policy);
    assert_eq!(retiring(&unlisted), [], "nobody knows its age");
}

#[test]
fn an_instance_is_replaced_when_it_has_served_as_many_leases_as_it_may() {
    let of = |shard: Shard, most| {
        let policy = Policy { max_leases_per_instance: most, ..keeping(9) };
        why(shard, 3, &policy, 60)
    };
    let free = |most| of(shard(7).free(1), most);
    assert_eq!(
        (free(4), free(3).as_deref(), free(2).as_deref()),
        (None, Some("it served 3 leases"), Some("it served 2 leases"),)
    );
    let leased = |most| of(shard(7).held(1, 1), most);
    assert_eq!((leased(5), leased(4).as_deref()), (None, Some("it served 4 leases")), "the one it bears counts too");
    assert_eq!((free(0), leased(0)), (None, None), "there is no limit");
    let new = |most| of(shard(7).free(1).with(|shard| shard.members.values_mut().for_each(|m| m.served = 0)), most);
    assert_eq!((new(0), new(1)), (None, None));
}

#[test]
fn an_instance_is_replaced_when_it_comes_from_an_older_template() {
    let of = |own, newest| {
        let shard = shard(7).free(1).with(|shard| {
            shard.members.get_mut(&instance(1)).expect("a member").kind.template_version = own;
        });
        why(shard, newest, &keeping(9), 60)
    };
    assert_eq!((of(3, 4).as_deref(), of(3, 3), of(3, 2), of(3, 0)), (Some(DRIFTED), None, None, None));
    assert_eq!((of(1, 2).is_some(), of(0, 2)), (true, None), "nobody knows where it comes from");
}

#[test]
fn age_is_told_before_wear_and_wear_before_drift() {
    let worn = Policy { max_leases_per_instance: 3, ..keeping(9) };
    assert_eq!(why(shard(7).free(1), 4, &worn, 86_401).as_deref(), Some(OLD));
    assert_eq!(why(shard(7).free(1), 4, &worn, 60).as_deref(), Some("it served 3 leases"));
}

#[test]
fn a_leased_one_leaves_after_its_lease_and_a_stopped_one_at_once() {
    let shards = [shard(7).held(1, 1).stopped(2).stopping(3)];
    let plan = planned(&shards, &drifted([]), &keeping(0));
    let leaving = || Leaving { why: DRIFTED.to_owned(), deadline: Timestamp::NEVER };
    let apart = |n| Transition::FenceApart { instance: instance(n), place: Apart::Stopped, leaving: leaving() };
    let mark = Transition::Mark { instance: instance(1), leaving: leaving() };
    let transitions: Vec<_> = plan.removals.iter().map(|removal| removal.transition.clone()).collect();
    assert_eq!(transitions, [mark, apart(2), apart(3)]);
    assert_eq!(retiring(&plan), []);
}

#[test]
fn what_does_not_serve_yet_or_is_under_way_is_left_alone() {
    let shards = [shard(7).booting(1).resetting(2).moving(3).held(4, 4).leaving(4, NOW + 9).member(5)];
    assert_eq!(brief(&shards, &drifted([]), &keeping(0)), (Vec::new(), Vec::new()));
}

#[test]
fn a_free_one_waits_for_its_replacement_first_and_goes_once_another_is_free() {
    let shards = [shard(7).free(1).free(2)];
    let first = planned(&shards[..1], &drifted([]), &keeping(1));
    assert_eq!(removed(&first), []);
    assert_eq!(first.control.retiring, [1, 2].map(|n| (instance(n), waits(DRIFTED, NOW))).into());
    let second = planned(&shards, &drifted([2]), &keeping(1));
    let leaving = Leaving { why: DRIFTED.to_owned(), deadline: Timestamp::NEVER };
    let fence = Transition::Fence { instance: instance(2), position: 1, keep: 1, leaving };
    assert_eq!(second.removals.iter().map(|removal| removal.transition.clone()).collect::<Vec<_>>(), [fence]);
    assert_eq!(retiring(&second), instances([1]), "and the other one waits now");
}

#[test]
fn one_that_waits_already_keeps_its_moment_and_its_reason() {
    let control = Control { retiring: [(instance(1), waits("as before", NOW - 50))].into(), ..drifted([]) };
    let plan = planned(&[shard(7).free(1)], &control, &keeping(1));
    assert_eq!((removed(&plan), plan.control.retiring), (Vec::new(), control.retiring));
}

#[test]
fn none_goes_while_as_few_are_free_as_must_be() {
    let of = |min_available, min_instances| {
        let policy = Policy { min_instances, ..keeping(min_available) };
        brief(&[shard(7).free(1).free(2).booting(3)], &drifted([1, 2]), &policy).0
    };
    assert_eq!(of(0, 0), instances([1, 2]));
    assert_eq!(of(1, 0), instances([1]), "the second would be missed");
    assert_eq!(of(2, 0), []);
    assert_eq!(of(0, 1), instances([1, 2]));
    assert_eq!(of(0, 2), instances([1]));
    assert_eq!(of(0, 3), []);
}

#[test]
fn neither_what_leaves_nor_what_is_stopped_serves_in_place_of_another() {
    let policy = Policy { min_instances: 2, ..keeping(0) };
    let others = shard(8).held(5, 5).leaving(5, NOW + 9).stopped(6).with(|shard| {
        shard.members.get_mut(&instance(6)).expect("a member").kind.template_version = 4;
    });
    assert_eq!(brief(&[shard(7).free(1).free(2), others], &drifted([1, 2]), &policy).0, []);
}

#[test]
fn none_goes_while_somebody_waits() {
    let shards = |shard: Shard| [crate::given::shard(7).free(1).free(2), shard];
    let waits = shards(shard(8).waiting(1));
    assert_eq!(brief(&waits, &drifted([1, 2]), &keeping(0)), (Vec::new(), instances([1, 2])));
    let in_vain = shards(shard(8).waiting(1).waits_until(1, NOW - 1));
    assert_eq!(brief(&in_vain, &drifted([1, 2]), &keeping(0)).0, instances([1, 2]));
}

/// A full pool can launch no replacement before something has gone.
#[test]
fn where_there_is_no_room_for_another_one_goes_first() {
    let full = |room| shard(7).free(1).free(2).with(|shard| shard.room = room);
    let of = |shards: &[Shard]| brief(shards, &drifted([1, 2]), &keeping(2)).0;
    assert_eq!(of(&[full(0)]), instances([1]), "and then there will be room");
    assert_eq!(of(&[full(-1)]), instances([1]));
    assert_eq!(of(&[full(1)]), []);
    assert_eq!(of(&[full(0), shard(8).with(|shard| shard.room = 1)]), [], "there is room elsewhere");
    assert_eq!(of(&[full(2), shard(8).with(|shard| shard.room = -2)]), instances([1]));
    assert_eq!(of(&[full(0).booting(3)]), [], "one is on its way");
    assert_eq!(of(&[full(0).intending(1, 1)]), [], "one is to be launched");
    assert_eq!(of(&[full(0).member(3).leaving(3, NOW)]), [], "there will be room soon");
}

#[test]
fn a_few_wait_at_a_time_the_oldest_first() {
    let twenty = (1..=20).fold(shard(7), Given::free);
    let policy = Policy { removal_budget_percent: 20, ..keeping(99) };
    let ages = launched([(5, 900), (9, 800), (17, 700), (2, 600), (3, 500)]);
    let (shards, control) = ([twenty, proven()], drifted([]));
    let oldest = plan(seen(&shards, &control, &policy), &ages);
    assert_eq!(retiring(&oldest), instances([2, 5, 9, 17]), "a fifth of them, and of unknown age last");
    let control = drifted([1, 4]);
    let two_more = plan(seen(&shards, &control, &policy), &ages);
    assert_eq!(retiring(&two_more), instances([1, 4, 5, 9]), "those that wait already are some of them");
}

#[test]
fn no_more_than_sixteen_wait_at_a_time() {
    let many = (1..=30).fold(shard(7), Given::free);
    for (percent, waiting) in [(50, 15), (51, 15), (52, 16), (60, 16), (100, 16), (1, 1)] {
        let policy = Policy { removal_budget_percent: percent, ..keeping(99) };
        let plan = planned(std::slice::from_ref(&many), &drifted([]), &policy);
        assert_eq!(retiring(&plan).len(), waiting, "{percent} % of thirty-one");
    }
}

#[test]
fn no_more_leave_in_one_run_than_the_removal_budget_allows() {
    let leased = (1..=10).fold(shard(7), |shard, n| shard.held(n, n.to_le_bytes()[0]));
    let policy = Policy { removal_budget_percent: 20, ..keeping(0) };
    assert_eq!(brief(&[leased], &drifted([]), &policy).0, instances([1, 2]));
    let free = (1..=10).fold(shard(7), Given::free);
    let (gone, waiting) = brief(&[free], &drifted([1, 2, 3]), &policy);
    assert_eq!((gone, waiting), (instances([1, 2]), instances([3, 4])), "the third waits on");
}

#[test]
fn while_no_replacement_would_come_what_works_stays() {
    let shards = || [shard(7).free(1).free(2).free(3).held(4, 4).stopped(5)];
    let order = || Some(Order { at: NOW - 9, why: "the image is bad".to_owned() });
    let failed = Breaker { failed: [instance(9)].into(), failed_at: NOW - 9, ..Breaker::default() };
    let halt = Halt { until: NOW + 9, why: "no permission".to_owned() };
    for (situation, control) in [
        ("a boot failed", Control { breaker: failed, ..drifted([1]) }),
        ("launching is paused", Control { operator: Orders { paused: order(), ..Orders::default() }, ..drifted([1]) }),
        ("launching is halted", Control { halted: Some(halt), ..drifted([1]) }),
    ] {
        assert_eq!(brief(&shards(), &control, &keeping(0)), (Vec::new(), instances([1])), "{situation}");
    }
    assert_eq!(brief(&shards(), &drifted([1]), &keeping(0)), (instances([1, 4, 5]), instances([2, 3])));
    let late = [shard(7).free(1).free(2).held(4, 4).booting(6).since(6, NOW - 601)];
    assert_eq!(brief(&late, &drifted([1]), &keeping(0)), (instances([6]), instances([1])), "a boot fails in this run");
}

#[test]
fn one_that_is_no_longer_free_or_due_does_not_wait_any_more() {
    let new = shard(7).free(1).held(2, 2).leaving(2, NOW + 9).booting(3).free(4).with(|shard| {
        shard.members.get_mut(&instance(4)).expect("a member").kind.template_version = 4;
    });
    let failed = Breaker { failed: [instance(9)].into(), ..Breaker::default() };
    let control = Control { breaker: failed, ..drifted([1, 2, 3, 4, 5]) };
    assert_eq!(brief(&[new], &control, &keeping(9)), (Vec::new(), instances([1])), "even while boots fail");
    let leased = planned(&[shard(7).held(1, 1)], &drifted([1]), &keeping(9));
    assert_eq!((removed(&leased), retiring(&leased)), (instances([1]), Vec::new()), "it leaves after its lease");
}

#[test]
fn until_the_newest_template_was_seen_to_work_one_is_tried_at_a_time() {
    let brief = |shard: Shard, waiting: &[u64]| {
        let control = Control {
            retiring: waiting.iter().map(|n| (instance(*n), waits(DRIFTED, NOW - 50))).collect(),
            ..drifted([])
        };
        let (shards, policy) = ([shard], keeping(2));
        let plan = plan(seen(&shards, &control, &policy), &Ec2Word::default());
        (removed(&plan), retiring(&plan))
    };
    let leased = || shard(7).held(1, 1).held(2, 2).stopped(3);
    assert_eq!(brief(leased(), &[]), (instances([1]), instances([])));
    assert_eq!(brief(leased().leaving(1, Timestamp::NEVER), &[]), (instances([]), instances([])), "one leaves already");
    assert_eq!(brief(leased().leaving(1, NOW + 9), &[]).0, instances([2]), "EC2 takes that one");
    assert_eq!(brief(leased().booting(4), &[]).0, instances([]), "the first of the new ones boots");
    assert_eq!(brief(leased().free(5).free(6), &[]), (instances([1]), instances([5])));
    assert_eq!(brief(leased().free(5).free(6), &[5]), (instances([]), instances([5])), "one waits for a replacement");
    let newer = |boot_id| {
        leased().free(9).with(|shard| {
            let member = shard.members.get_mut(&instance(9)).expect("a member");
            (member.kind.template_version, member.boot_id) = (4, boot_id);
        })
    };
    assert_eq!(brief(newer(1), &[]).0, instances([1, 2, 3]));
    assert_eq!(brief(newer(0), &[]).0, instances([1]), "it has not said ready");
}

#[test]
fn no_more_leased_ones_leave_at_a_time_than_one_run_may_remove() {
    let leased = |leaving: u64| {
        let ten = (1..=10).fold(shard(7), |shard, n| shard.held(n, n.to_le_bytes()[0]));
        (1..=leaving).fold(ten, |shard, n| shard.leaving(n, Timestamp::NEVER))
    };
    let policy = Policy { removal_budget_percent: 30, ..keeping(0) };
    let gone = |leaving| brief(&[leased(leaving)], &drifted([]), &policy).0;
    assert_eq!([0, 1, 2, 3, 4].map(|leaving| gone(leaving).len()), [3, 2, 1, 0, 0]);
}

#[test]
fn where_a_window_leaves_no_room_or_the_operator_keeps_one_an_old_one_goes_first() {
    let schedule = r#"[{"cron":"* * * * *","timezone":"UTC","duration_minutes":5,"max":2}]"#;
    let window = Policy { schedule: pool_core::schedule::parse(schedule).expect("valid"), ..keeping(2) };
    let two = || shard(7).free(1).free(2).with(|shard| shard.room = 8);
    let (shards, control) = ([two()], drifted([1]));
    let of = |policy: &Policy| removed(&plan(seen(&shards, &control, policy), &Ec2Word::default()));
    assert_eq!((of(&window), of(&keeping(2))), (instances([1]), instances([])));
    let kept = |cordoned: bool, leased: bool| {
        let third = if leased { shard(7).held(3, 3) } else { shard(7).member(3) };
        let full = third.free(1).free(2).leaving(3, Timestamp::NEVER).with(|shard| shard.room = 0);
        let order = Order { at: NOW - 9, why: "to look at".to_owned() };
        let cordoned = cordoned.then(|| (instance(3), order)).into_iter().collect();
        let control = Control { operator: Orders { cordoned, ..Orders::default() }, ..drifted([1, 2]) };
        brief(&[full], &control, &keeping(2)).0
    };
    assert_eq!(
        (kept(false, false), kept(true, false), kept(false, true)),
        (instances([]), instances([1]), instances([1]))
    );
}
