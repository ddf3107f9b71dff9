//! What a fact about an instance does to its shard.

use pool_core::leaving::withdraw;
use pool_core::on_instance_state_change::{Fact, gone, locate, next, unlocated};
use pool_core::reap_idle::{Ec2Instance, Ec2State};
use pool_core::shard::{Market, Shard, Transition};
use pool_core::time::Timestamp;

use crate::given::{Given, NOW, found, instance, kind, shard};

fn after(fact: &Fact, shard: &Shard) -> Option<Transition> {
    next(shard, &instance(1), fact, NOW)
}

fn withdrawn(shard: &Shard, why: &str, deadline: Timestamp) -> Option<Transition> {
    let transition = withdraw(shard, &instance(1), why, deadline);
    assert!(transition.is_some(), "it can be withdrawn");
    transition
}

fn running() -> Ec2Instance {
    found(1, Ec2State::Running)
}

#[test]
fn a_fact_about_an_instance_that_left_already_says_nothing() {
    let shard = shard(7).held(1, 1).leaving(1, NOW).vanished(1).free(2);
    let warned = Fact::SpotWarning { takes_at: NOW + 120 };
    for fact in [Fact::Running(running()), Fact::Stopped, Fact::ShuttingDown, Fact::Terminated, warned, Fact::Rebalance]
    {
        assert_eq!(after(&fact, &shard), None);
    }
}

#[test]
fn each_end_that_ec2_tells_of_withdraws_the_instance_by_its_own_deadline() {
    for shard in [shard(7).free(1), shard(7).held(1, 1), shard(7).booting(1)] {
        assert_eq!(after(&Fact::ShuttingDown, &shard), withdrawn(&shard, "EC2 shuts it down", NOW));
        assert_eq!(after(&Fact::Terminated, &shard), withdrawn(&shard, "EC2 terminated it", NOW));
        let warned = Fact::SpotWarning { takes_at: NOW + 120 };
        assert_eq!(after(&warned, &shard), withdrawn(&shard, "EC2 takes the Spot instance back", NOW + 120));
        let why = "EC2 recommends to replace it";
        assert_eq!(after(&Fact::Rebalance, &shard), withdrawn(&shard, why, Timestamp::NEVER));
    }
}

#[test]
fn a_terminated_instance_that_leaves_is_gone_unless_its_move_must_be_settled_first() {
    let expected = Some(Transition::Gone { instance: instance(1), now: NOW });
    let leaving = shard(7).held(1, 1).leaving(1, Timestamp::NEVER);
    assert_eq!(after(&Fact::Terminated, &leaving), expected);
    assert_eq!(gone(&leaving, &instance(1), NOW), expected);
    assert_eq!(after(&Fact::Terminated, &shard(7).moving(1).leaving(1, NOW)), None);
    assert_eq!(gone(&shard(7).moving(1), &instance(1), NOW), None);
}

#[test]
fn an_instance_is_located_when_that_is_news() {
    let at = |address: &str, kind| Ec2Instance { address: address.to_owned(), kind, ..running() };
    let located = |found: &Ec2Instance| {
        let (address, kind) = (found.address.clone(), found.kind.clone());
        Some(Transition::Locate { instance: instance(1), address, kind })
    };
    let shard = shard(7).booting(1);
    for news in [
        at("10.9.9.9", kind(Market::Spot)),
        at("10.0.0.1", kind(Market::OnDemand)),
        at("10.9.9.9", kind(Market::OnDemand)),
    ] {
        assert_eq!(after(&Fact::Running(news.clone()), &shard), located(&news));
        assert_eq!(locate(&shard, &news), located(&news));
    }
    for nothing_new in [running(), at("", kind(Market::Spot)), at("", kind(Market::OnDemand))] {
        assert_eq!(after(&Fact::Running(nothing_new), &shard), None);
    }
    assert_eq!(locate(&shard, &found(2, Ec2State::Running)), None, "it is no member");
}

#[test]
fn members_without_an_address_are_asked_for() {
    let without = |shard: &mut Shard| shard.members.get_mut(&instance(2)).expect("a member").address.clear();
    assert_eq!(unlocated(&[shard(6).free(1), shard(7).booting(2).booting(3).with(without)]), [instance(2)]);
}

#[test]
fn a_stop_is_recorded_when_it_was_ours_and_withdraws_what_serves_otherwise() {
    let stopped = Some(Transition::Stopped { instance: instance(1), now: NOW });
    assert_eq!(after(&Fact::Stopped, &shard(7).stopping(1)), stopped);
    for serving in [shard(7).free(1), shard(7).held(1, 1), shard(7).resetting(1)] {
        assert_eq!(after(&Fact::Stopped, &serving), withdrawn(&serving, "it was stopped from outside", NOW));
    }
    for (situation, shard) in [
        ("it is known to be stopped", shard(7).stopped(1)),
        ("a boot may have begun since", shard(7).booting(1)),
        ("it is under way", shard(7).moving(1)),
        ("it leaves", shard(7).member(1).leaving(1, NOW)),
    ] {
        assert_eq!(after(&Fact::Stopped, &shard), None, "{situation}");
    }
}
