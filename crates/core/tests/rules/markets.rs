//! Of which market and through which offerings a plan launches: an offering in doubt is tried with one instance, and the
//! stopped tier is filled on demand.

use pool_core::control::{Control, CoolDown};
use pool_core::launch_budget::LaunchBudget;
use pool_core::offering;
use pool_core::policy::Policy;
use pool_core::scale::{Plan, plan};
use pool_core::shard::{Market, Shard};
use pool_core::time::Timestamp;

use crate::given::{Given, NOW, control, keeping, seen, shard, template};

const COOLING: &str = "every offering is cooling down";
const USED_UP: &str = "the launch budget is used up";

fn planned(shards: &[Shard], control: &Control, policy: &Policy) -> Plan {
    plan(seen(shards, control, policy), &template(), "browsers")
}

/// How many each launch of a plan asks for, of which market and in which subnets.
fn brief(plan: &Plan) -> Vec<(u64, Market, Vec<&str>)> {
    let launches = plan.launches.iter().map(|launch| &launch.intent);
    launches.map(|i| (i.count, i.launch.market, i.launch.subnets.iter().map(String::as_str).collect())).collect()
}

/// Offerings that failed, of one market in these subnets, and until when each cools.
fn failed(market: Market, subnets: &[(&str, Timestamp)]) -> Control {
    let entry = |(subnet, until): &(&str, Timestamp)| {
        let cause = "InsufficientInstanceCapacity".to_owned();
        (offering::name("t3.medium", subnet, market), CoolDown { until: *until, failures: 2, cause })
    };
    Control { offerings: subnets.iter().map(entry).collect(), ..control() }
}

/// Until when each offering that failed is left alone after a plan, in the order of their names.
fn left_alone_until(plan: &Plan) -> Vec<Timestamp> {
    plan.control.offerings.values().map(|cooling| cooling.until).collect()
}

fn without_calls(control: Control) -> Control {
    Control { launch_budget: LaunchBudget { calls: 0, counted_at: NOW, refusals: 0 }, ..control }
}

#[test]
fn an_offering_in_doubt_is_tried_with_one_instance_and_nobody_else_tries_it() {
    let one_in_doubt = failed(Market::Spot, &[("subnet-a", NOW)]);
    let three = planned(&[shard(7)], &one_in_doubt, &keeping(3));
    assert_eq!(brief(&three), [(1, Market::Spot, vec!["subnet-a"]), (2, Market::Spot, vec!["subnet-b"])]);
    assert_eq!(left_alone_until(&three), [NOW + 60]);
    let one = planned(&[shard(7)], &one_in_doubt, &keeping(1));
    assert_eq!(brief(&one), [(1, Market::Spot, vec!["subnet-b"])], "one is all that is missing, and somebody may wait");
    assert_eq!(left_alone_until(&one), [NOW]);
    let two = planned(&[shard(7)], &one_in_doubt, &keeping(2));
    assert_eq!(brief(&two), [(1, Market::Spot, vec!["subnet-a"]), (1, Market::Spot, vec!["subnet-b"])]);
    let none = planned(&[shard(7).free(1)], &one_in_doubt, &keeping(1));
    assert_eq!((brief(&none), &none.control), (Vec::new(), &one_in_doubt), "nothing is missing, so nothing is tried");
    let cools = planned(&[shard(7)], &failed(Market::Spot, &[("subnet-a", NOW + 1)]), &keeping(3));
    assert_eq!(brief(&cools), [(3, Market::Spot, vec!["subnet-b"])]);
    assert_eq!(left_alone_until(&cools), [NOW + 1]);
}

#[test]
fn while_all_of_spot_is_in_doubt_one_is_tried_and_the_rest_is_on_demand() {
    let all = failed(Market::Spot, &[("subnet-a", NOW), ("subnet-b", NOW - 9)]);
    let both = || vec!["subnet-a", "subnet-b"];
    let three = planned(&[shard(7)], &all, &keeping(3));
    assert_eq!(brief(&three), [(1, Market::Spot, both()), (2, Market::OnDemand, both())]);
    assert_eq!(left_alone_until(&three), [NOW + 60, NOW + 60]);
    let one = planned(&[shard(7)], &all, &keeping(1));
    assert_eq!(brief(&one), [(1, Market::Spot, both())]);
    assert!(!one.why.contains(COOLING), "{}", one.why);
    let half = failed(Market::Spot, &[("subnet-a", NOW), ("subnet-b", NOW + 1)]);
    let three = planned(&[shard(7)], &half, &keeping(3));
    assert_eq!(brief(&three), [(1, Market::Spot, vec!["subnet-a"]), (2, Market::OnDemand, both())]);
    assert_eq!(left_alone_until(&three), [NOW + 60, NOW + 1]);
}

#[test]
fn on_demand_in_doubt_is_tried_once_in_a_plan_and_spot_does_not_stand_in() {
    let all = failed(Market::OnDemand, &[("subnet-a", NOW), ("subnet-b", NOW)]);
    let policy = Policy { on_demand_base: 50, stopped_size: 1, ..keeping(2) };
    let plan = planned(&[shard(7)], &all, &policy);
    assert_eq!(brief(&plan), [(1, Market::OnDemand, vec!["subnet-a", "subnet-b"])]);
    assert!(plan.why.ends_with(COOLING), "{}", plan.why);
}

#[test]
fn the_stopped_tier_is_filled_on_demand_beside_what_is_missing() {
    let plan = planned(&[shard(7)], &control(), &Policy { stopped_size: 2, ..keeping(1) });
    let both = || vec!["subnet-a", "subnet-b"];
    assert_eq!(brief(&plan), [(1, Market::Spot, both()), (2, Market::OnDemand, both())]);
    assert_eq!(plan.why, "0 leased + 0 waiting + 1 kept free: 1 wanted, 0 present: 2 for the stopped tier");
    let none = planned(&[shard(7).free(1)], &control(), &keeping(1));
    assert!(!none.why.contains("stopped tier"), "{}", none.why);
}

#[test]
fn what_is_stopped_serves_nobody_and_is_no_part_of_the_mix() {
    let policy = Policy { on_demand_base: 1, ..keeping(2) };
    let of = |shard: Shard| {
        let plan = planned(&[shard], &control(), &policy);
        brief(&plan).iter().map(|(count, market, _)| (*count, *market)).collect::<Vec<_>>()
    };
    assert_eq!(of(shard(7).free(1).on_demand(1)), [(1, Market::Spot)]);
    assert_eq!(of(shard(7).stopped(1).on_demand(1)), [(1, Market::OnDemand), (1, Market::Spot)]);
    let share = Policy { spot_percent: 50, ..keeping(2) };
    let of = |shard: Shard| brief(&planned(&[shard], &control(), &share))[0].1;
    assert_eq!(of(shard(7).free(1)), Market::OnDemand);
    assert_eq!(of(shard(7).free(1).on_demand(1).stopping(2)), Market::Spot);
}

#[test]
fn a_used_up_launch_budget_is_told_when_something_was_wanted() {
    for (min_available, stopped_size, told) in [(1, 0, true), (0, 1, true), (1, 1, true), (0, 0, false)] {
        let policy = Policy { stopped_size, ..keeping(min_available) };
        let plan = planned(&[shard(7)], &without_calls(control()), &policy);
        assert_eq!((brief(&plan).len(), plan.why.ends_with(USED_UP)), (0, told), "{}", plan.why);
    }
    let one = Control { launch_budget: LaunchBudget { calls: 3, counted_at: NOW, refusals: 0 }, ..control() };
    let plan = planned(&[shard(7)], &one, &keeping(2));
    assert!(!plan.why.contains(USED_UP), "{}", plan.why);
}

#[test]
fn offerings_are_not_blamed_for_a_used_up_launch_budget() {
    let policy = Policy { on_demand_base: 50, ..keeping(2) };
    let cooling = failed(Market::OnDemand, &[("subnet-a", NOW + 1), ("subnet-b", NOW + 1)]);
    let with_calls = planned(&[shard(7)], &cooling, &policy);
    assert!(with_calls.why.ends_with(COOLING), "{}", with_calls.why);
    let without = planned(&[shard(7)], &without_calls(cooling), &policy);
    assert!(!without.why.contains(COOLING) && without.why.ends_with(USED_UP), "{}", without.why);
}

#[test]
fn while_no_call_may_be_made_nothing_counts_as_tried() {
    let in_doubt = without_calls(failed(Market::Spot, &[("subnet-a", NOW), ("subnet-b", NOW)]));
    let plan = planned(&[shard(7)], &in_doubt, &keeping(3));
    assert_eq!((brief(&plan), left_alone_until(&plan)), (Vec::new(), vec![NOW, NOW]));
    let tier = Policy { stopped_size: 2, ..keeping(0) };
    let why = planned(&[shard(7)], &without_calls(control()), &tier).why;
    assert!(why.contains(USED_UP) && !why.contains("for the stopped tier"), "{why}");
}

#[test]
fn what_leaves_is_no_part_of_the_mix() {
    let base = Policy { on_demand_base: 1, ..keeping(2) };
    let there = shard(7).free(1).on_demand(1);
    assert_eq!(brief(&planned(&[there], &control(), &base))[0].1, Market::Spot);
    let leaves = shard(7).member(1).on_demand(1).leaving(1, NOW + 9);
    let markets: Vec<_> = brief(&planned(&[leaves], &control(), &base)).into_iter().map(|one| (one.1, one.0)).collect();
    assert_eq!(markets, [(Market::OnDemand, 1), (Market::Spot, 1)]);
}
