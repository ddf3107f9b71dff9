//! What the operator may order, and how long it holds.

use std::collections::BTreeMap;

use pool_core::answer::Step;
use pool_core::control::{Control, Layout, Order, Orders};
use pool_core::ids::{Grant, InstanceId, LeaseId};
use pool_core::operate::{CAP_MAX, CORDONED_MAX, PoolOrder, cordoned, ordered, release, withdraw};
use pool_core::policy::Policy;
use pool_core::reap_idle::{self, Ec2Word};
use pool_core::shard::{Apart, Leaving, Shard, Transition};
use pool_core::time::Timestamp;

use crate::given::{Given, LEASE_EPOCH, NOW, ann, bob, control, instance, policy, seen, shard, token};

fn order(at: Timestamp, why: &str) -> Order {
    Order { at, why: why.to_owned() }
}

/// A control record with all orders in force.
fn ruled() -> Control {
    let operator = Orders {
        paused: Some(order(NOW - 1, "one")),
        drained: Some(order(NOW - 2, "two")),
        max_instances: Some(6),
        cordoned: [(instance(1), order(NOW - 3, "three"))].into(),
    };
    Control { operator, version: 4, ..control() }
}

fn after(before: &Control, order: &PoolOrder) -> Orders {
    let after = ordered(before, order, "why", NOW);
    assert_eq!(Control { operator: before.operator.clone(), ..after.clone() }, *before, "an order changes no more");
    after.operator
}

#[test]
fn each_order_is_remembered_with_its_moment_and_its_reason() {
    let new = Some(order(NOW, "why"));
    assert_eq!(after(&control(), &PoolOrder::Pause), Orders { paused: new.clone(), ..Orders::default() });
    assert_eq!(after(&control(), &PoolOrder::Drain), Orders { drained: new, ..Orders::default() });
    let capped = Orders { max_instances: Some(9), ..Orders::default() };
    assert_eq!(after(&control(), &PoolOrder::Cap(Some(9))), capped);
}

#[test]
fn an_order_that_is_in_force_stays_as_it_is_and_a_cap_is_replaced() {
    let before = ruled();
    assert_eq!(after(&before, &PoolOrder::Pause), before.operator);
    assert_eq!(after(&before, &PoolOrder::Drain), before.operator);
    let capped = Orders { max_instances: Some(9), ..before.operator.clone() };
    assert_eq!(after(&before, &PoolOrder::Cap(Some(9))), capped);
}

#[test]
fn an_order_lasts_until_it_is_taken_back() {
    let before = ruled();
    let orders = || before.operator.clone();
    assert_eq!(after(&before, &PoolOrder::Resume), Orders { paused: None, ..orders() });
    assert_eq!(after(&before, &PoolOrder::Undrain), Orders { drained: None, ..orders() });
    assert_eq!(after(&before, &PoolOrder::Cap(None)), Orders { max_instances: None, ..orders() });
    assert_eq!(after(&control(), &PoolOrder::Resume), Orders::default(), "it was not paused");
}

#[test]
fn the_operators_cap_is_above_the_policys() {
    let policy = Policy { max_instances: 40, ..policy() };
    let layout = Layout::default().changed_by(&policy, NOW - 9).expect("the first one");
    let under = |max_instances| {
        let operator = Orders { max_instances, ..Orders::default() };
        let control = Control { operator, layout: layout.clone(), ..control() };
        let next = control.next_layout(&policy, NOW).map(|next| (next.max_instances, next.shards));
        (control.max_instances(&policy), seen(&[], &control, &policy).cap(), next)
    };
    assert_eq!(under(None), (40, 40, None));
    assert_eq!(under(Some(40)), (40, 40, None));
    assert_eq!(under(Some(7)), (7, 7, Some((7, 1))));
    assert_eq!(under(Some(90)), (90, 90, Some((90, 6))));
}

#[test]
fn no_larger_cap_may_be_ordered_than_may_be_deployed() {
    let deployed = |max: u64| Policy::parse([("POOL_MAX", max.to_string())]).is_ok();
    assert!(deployed(CAP_MAX) && !deployed(CAP_MAX + 1));
}

#[test]
fn a_cordon_is_remembered_until_it_is_lifted() {
    let one = cordoned(&control(), &instance(2), Some("a look at it"), NOW).expect("there are few");
    let expected: BTreeMap<_, _> = [(instance(2), order(NOW, "a look at it"))].into();
    assert_eq!(one.operator.cordoned, expected);
    let again = cordoned(&one, &instance(2), Some("another reason"), NOW + 9).expect("there are few");
    assert_eq!(again, one, "the first reason stays");
    let two = cordoned(&one, &instance(3), Some("that too"), NOW).expect("there are few");
    assert_eq!(two.operator.cordoned.len(), 2);
    assert_eq!(cordoned(&two, &instance(3), None, NOW), Some(one.clone()));
    assert_eq!(cordoned(&one, &instance(3), None, NOW), Some(one), "it was not cordoned");
}

#[test]
fn no_more_than_a_hundred_are_cordoned_at_a_time() {
    let with = |count: u64| {
        let cordoned = (1..=count).map(|n| (instance(n), order(NOW - 9, "a look"))).collect();
        Control { operator: Orders { cordoned, ..Orders::default() }, ..control() }
    };
    assert_eq!(CORDONED_MAX, 100);
    let count = |control: Option<Control>| control.map(|control| control.operator.cordoned.len());
    assert_eq!(count(cordoned(&with(99), &instance(900), Some("why"), NOW)), Some(100));
    assert_eq!(count(cordoned(&with(100), &instance(900), Some("why"), NOW)), None);
    assert_eq!(count(cordoned(&with(101), &instance(900), Some("why"), NOW)), None);
    assert_eq!(cordoned(&with(100), &instance(5), Some("why"), NOW), Some(with(100)), "it is one of them");
    assert_eq!(count(cordoned(&with(100), &instance(5), None, NOW)), Some(99));
}

#[test]
fn an_instance_that_the_operator_withdraws_leaves_at_once_or_after_its_lease() {
    let leaving = Leaving { why: "the operator withdrew it: it smells".to_owned(), deadline: Timestamp::NEVER };
    let of = |shard: &Shard| withdraw(shard, &instance(1), "it smells");
    let fence = Transition::Fence { instance: instance(1), position: 1, keep: 0, leaving: leaving.clone() };
    assert_eq!(of(&shard(7).free(2).free(1)), Some(fence));
    let mark = Transition::Mark { instance: instance(1), leaving: leaving.clone() };
    assert_eq!(of(&shard(7).held(1, 1)), Some(mark));
    let apart = Transition::FenceApart { instance: instance(1), place: Apart::Booting, leaving };
    assert_eq!(of(&shard(7).booting(1)), Some(apart));
    assert_eq!(of(&shard(7).held(1, 1).leaving(1, NOW + 9)), None, "it leaves already");
    assert_eq!(of(&shard(7)), None);
}

#[test]
fn the_operator_ends_any_lease_or_wait_whoever_holds_it() {
    let short = LeaseId { shard: 7, token: token(1), grant: None };
    let of = |id: &LeaseId, shard: &Shard| release(id, shard, &policy(), NOW);
    let of_bob = |mut shard: Shard| {
        for terms in shard.lease_terms.values_mut().chain(shard.queue_terms.values_mut()) {
            terms.owner = bob();
        }
        shard
    };
    for (owner, held) in [(ann(), shard(7).held(1, 1)), (bob(), of_bob(shard(7).held(1, 1)))] {
        let expected = pool_core::release::release(&short, &owner, &held, &policy(), NOW);
        assert!(matches!(&expected, Step::Try(Transition::End { .. })), "{expected:?}");
        assert_eq!(of(&short, &held), expected);
    }
    let until = NOW + 90;
    let give_up = Step::Try(Transition::GiveUp { token: token(1), position: 0, until });
    assert_eq!(of(&short, &of_bob(shard(7).waiting(1))), give_up);
    let grant = |epoch| LeaseId { grant: Some(Grant { epoch, instance: instance(1) }), ..short.clone() };
    let held = of_bob(shard(7).held(1, 1));
    assert_eq!(of(&grant(LEASE_EPOCH), &held), of(&short, &held));
    assert!(matches!(of(&grant(LEASE_EPOCH + 1), &held), Step::Refuse(_)), "the id names another grant");
}

#[test]
fn a_lease_that_is_not_there_has_ended_already() {
    let id = LeaseId { shard: 7, token: token(1), grant: None };
    assert_eq!(release(&id, &shard(7).held(2, 2), &policy(), NOW), Step::Ended);
}

/// The fences of a run while the operator drains the pool, in brief: which instance, and until when.
fn drained(shards: &[Shard], operator: Orders) -> Vec<(InstanceId, Timestamp)> {
    let control = Control { operator, ..Control::default() };
    let removals = reap_idle::plan(seen(shards, &control, &policy()), &Ec2Word::default()).removals;
    let deadline = |transition: &Transition| match transition {
        Transition::Fence { leaving, .. }
        | Transition::FenceApart { leaving, .. }
        | Transition::Mark { leaving, .. } => {
            assert_eq!(leaving.why, "the operator drains the pool: it moves");
            leaving.deadline
        }
        other => panic!("{other:?} is no fence"),
    };
    removals.iter().map(|removal| (removal.instance.clone(), deadline(&removal.transition))).collect()
}

#[test]
fn a_drained_pool_is_emptied_at_once_beyond_any_budget_and_no_lease_is_cut_off() {
    let first = shard(7).free(1).free(2).held(3, 3).booting(4).stopped(5).resetting(6).moving(9);
    let shards = [first, shard(8).held(7, 7).leaving(7, NOW + 5).free(8)];
    let drain = Orders { drained: Some(order(NOW - 9, "it moves")), ..Orders::default() };
    assert_eq!(drained(&shards, drain), [1, 2, 3, 4, 5, 6, 8].map(|n| (instance(n), Timestamp::NEVER)));
    let pause = Orders { paused: Some(order(NOW - 9, "it moves")), ..Orders::default() };
    assert_eq!(drained(&shards, pause), [], "a pause removes nothing");
}
