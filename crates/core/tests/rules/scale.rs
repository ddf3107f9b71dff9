//! How many instances are wanted, when a run launches some, of which market they are, and what it says of itself.

use pool_core::control::{Control, CoolDown, Halt, Order, Orders};
use pool_core::launch_budget::LaunchBudget;
use pool_core::offering;
use pool_core::policy::Policy;
use pool_core::scale::{self, Need, Plan, plan};
use pool_core::schedule;
use pool_core::shard::{Market, Shard, Transition};

use crate::given::{Given, NOW, control, instance, intent, keeping, launch_token, leaves, seen, shard, template};

const COOLING: &str = ": every offering is cooling down";

fn need(shards: &[Shard], policy: &Policy) -> Need {
    scale::need(seen(shards, &control(), policy))
}

fn planned(shards: &[Shard], control: &Control, policy: &Policy) -> Plan {
    plan(seen(shards, control, policy), &template(), "browsers")
}

/// How many instances of each market a plan launches: on demand, Spot.
fn launched(plan: &Plan) -> (u64, u64) {
    let of = |market| {
        let of_market = plan.launches.iter().filter(|launch| launch.intent.launch.market == market);
        of_market.map(|launch| launch.intent.count).sum()
    };
    (of(Market::OnDemand), of(Market::Spot))
}

/// The control record of a plan that made so many launch calls.
fn after(calls: u64, control: Control) -> Control {
    let launch_budget = LaunchBudget { calls: 5 - calls, counted_at: NOW, refusals: 0 };
    Control { scaled_out_at: NOW, launch_budget, ..control }
}

/// Control with the offerings of a market cooling in these subnets.
fn cooling(market: Market, subnets: &[&str]) -> Control {
    let cool_down = CoolDown { until: NOW + 60, failures: 1, cause: "InsufficientInstanceCapacity".to_owned() };
    let entry = |subnet: &&str| (offering::name("t3.medium", subnet, market), cool_down.clone());
    Control { offerings: subnets.iter().map(entry).collect(), ..control() }
}

#[test]
fn wanted_is_what_is_leased_waited_for_and_kept_free() {
    let first = shard(7).held(1, 1).held(2, 2).waiting(11).waiting(12).waiting(13);
    let first = first.waits_until(11, NOW - 1).waits_until(12, NOW);
    let shards = [first, shard(8).held(3, 3).held(4, 4).vanished(4)];
    let why = "3 leased + 2 waiting + 4 kept free: 9 wanted, 3 present".to_owned();
    assert_eq!(need(&shards, &keeping(4)), Need { target: 9, present: 3, beyond_cap: 0, for_stopped_tier: 0, why });
}

#[test]
fn what_the_cap_forbids_is_told_beside_the_target() {
    let shards = [shard(7).held(1, 1).held(2, 2).waiting(11)];
    let told = |max_instances, control: &Control| {
        let policy = Policy { max_instances, ..keeping(2) };
        let need = scale::need(seen(&shards, control, &policy));
        (need.target, need.beyond_cap)
    };
    assert_eq!(told(5, &control()), (5, 0));
    assert_eq!(told(3, &control()), (3, 2));
    let drained = Some(Order { at: NOW, why: "it goes".to_owned() });
    let drained = Control { operator: Orders { drained, ..Orders::default() }, ..control() };
    assert_eq!(told(3, &drained), (0, 0), "nothing is wanted");
}

#[test]
fn wanted_lies_between_the_least_and_the_most() {
    let shards = [shard(7).held(1, 1).held(2, 2)];
    let target = |policy: &Policy| need(&shards, policy).target;
    assert_eq!(target(&Policy { min_instances: 3, ..keeping(1) }), 3);
    assert_eq!(target(&Policy { min_instances: 4, ..keeping(1) }), 4);
    assert_eq!(target(&Policy { min_instances: 2, ..keeping(1) }), 3);
    assert_eq!(target(&Policy { max_instances: 5, ..keeping(9) }), 5);
    assert_eq!(target(&Policy { max_instances: 5, min_instances: 9, ..keeping(1) }), 5, "the cap is above all");
}

#[test]
fn an_open_window_raises_what_is_kept_and_lowers_the_cap() {
    let open = r#"[{"cron":"* * * * *","timezone":"UTC","duration_minutes":5,"min_available":6,"max":8}]"#;
    let scheduled = |policy| Policy { schedule: schedule::parse(open).expect("valid"), ..policy };
    let target = |policy: &Policy| need(&[shard(7)], policy).target;
    assert_eq!(target(&scheduled(keeping(2))), 6);
    assert_eq!(target(&scheduled(keeping(7))), 7);
    assert_eq!(target(&scheduled(keeping(50))), 8);
    assert_eq!(target(&Policy { max_instances: 5, ..scheduled(keeping(50)) }), 5);
}

#[test]
fn present_is_what_serves_or_will_and_neither_what_is_stopped_nor_what_moves() {
    let first = shard(7).held(1, 1).held(2, 2).held(3, 3).free(4).booting(5).moving(6).stopped(7).stopping(8);
    let first = first.held(9, 9).leaving(9, NOW).intending(1, 4);
    assert_eq!(need(std::slice::from_ref(&first), &keeping(1)).present, 9);
    assert_eq!(need(&[first, shard(8).free(11).intending(2, 2)], &keeping(1)).present, 12);
}

/// A mark that was decided while it was leased may arrive after it was given back and stopped.
#[test]
fn a_stopped_instance_that_leaves_is_missed_only_once() {
    let mut stopping = shard(7).stopping(1).free(2);
    let mark = Transition::Mark { instance: instance(1), leaving: leaves(NOW + 9) };
    assert_eq!(stopping.apply(&mark), Ok(()));
    assert_eq!(need(&[stopping], &keeping(1)).present, 1);
    assert_eq!(need(&[shard(7).stopping(1).leaving(1, NOW)], &keeping(1)).present, 0);
}

#[test]
fn a_plan_launches_what_is_missing_and_claims_its_turn() {
    let control = Control { version: 3, scaled_out_at: NOW - 500, ..control() };
    let plan = planned(&[shard(7).free(1)], &control, &keeping(3));
    assert_eq!(launched(&plan), (0, 2));
    assert_eq!(plan.control, after(1, control));
    assert_eq!(plan.why, "0 leased + 0 waiting + 3 kept free: 3 wanted, 1 present");
}

#[test]
fn nothing_is_launched_and_nothing_claimed_when_nothing_is_missing() {
    // The step was just now, the shard is overfull and launching is halted, and none of it matters.
    let halted = Some(Halt { until: NOW + 9, why: "no permission".to_owned() });
    let control = Control { scaled_out_at: NOW - 1, halted, ..control() };
    for shard in [shard(7).free(1), shard(7).free(1).with(|shard| shard.room = -1)] {
        let plan = planned(&[shard], &control, &keeping(1));
        assert_eq!((plan.launches.len(), &plan.control), (0, &control));
        assert_eq!(plan.why, "0 leased + 0 waiting + 1 kept free: 1 wanted, 1 present");
    }
}

#[test]
fn no_more_is_launched_than_all_rooms_hold() {
    let shards = [shard(7), shard(8).with(|shard| shard.room = 3)];
    assert_eq!(launched(&planned(&shards, &control(), &keeping(6))), (0, 6));
    assert_eq!(launched(&planned(&shards, &control(), &keeping(9))), (0, 7));
    let overdrawn = [shard(7), shard(8).with(|shard| shard.room = -4)];
    assert_eq!(launched(&planned(&overdrawn, &control(), &keeping(9))), (0, 0));
    assert_eq!(launched(&planned(&[], &control(), &keeping(9))), (0, 0));
}

#[test]
fn while_a_shard_has_more_than_its_share_a_step_waits_for_the_one_before() {
    let with_room = |room| [shard(7).waiting(1), shard(8).with(|shard| shard.room = room)];
    let stepped = |seconds| Control { scaled_out_at: NOW - seconds, ..control() };
    let held_back = planned(&with_room(-1), &stepped(60), &keeping(9));
    assert_eq!(launched(&held_back), (0, 0));
    assert!(held_back.why.ends_with(": a shard has more than its share, so the last step must be over first"));
    assert_eq!(launched(&planned(&with_room(-1), &stepped(61), &keeping(9))), (0, 3));
    assert_eq!(launched(&planned(&with_room(0), &stepped(60), &keeping(9))), (0, 4), "it has just its share");
}

#[test]
fn growth_without_a_waiter_respects_the_cool_down() {
    let stepped = |seconds| Control { scaled_out_at: NOW - seconds, ..control() };
    let cools = planned(&[shard(7)], &stepped(29), &keeping(2));
    assert_eq!(launched(&cools), (0, 0));
    assert_eq!(cools.control, stepped(29));
    assert!(cools.why.ends_with(": cooling down since the last step"));
    assert_eq!(launched(&planned(&[shard(7)], &stepped(30), &keeping(2))), (0, 2));
    assert_eq!(launched(&planned(&[shard(7).waiting(1)], &stepped(29), &keeping(2))), (0, 3), "someone waits");
    let in_vain = shard(7).waiting(1).waits_until(1, NOW - 1);
    assert_eq!(launched(&planned(&[in_vain], &stepped(29), &keeping(2))), (0, 0), "its wait is over");
}

#[test]
fn what_only_a_person_can_mend_halts_launching_for_a_while() {
    let halted = |until| {
        let halted = Some(Halt { until, why: "no permission".to_owned() });
        Control { halted, ..control() }
    };
    let plan = planned(&[shard(7).waiting(1)], &halted(NOW + 1), &keeping(2));
    assert_eq!((launched(&plan), &plan.control), ((0, 0), &halted(NOW + 1)));
    assert!(plan.why.ends_with(": launching is halted until 2026-11-23T18:13:21Z: no permission"), "{}", plan.why);
    let over = planned(&[shard(7)], &halted(NOW), &keeping(2));
    assert_eq!((launched(&over), over.control.halted), ((0, 2), None));
}

#[test]
fn the_missing_ones_are_of_the_market_that_the_policy_asks_for_next() {
    let policy = |base, percent| Policy { on_demand_base: base, spot_percent: percent, ..keeping(9) };
    let of = |shard: Shard, base, percent| launched(&planned(&[shard], &control(), &policy(base, percent)));
    let empty = || shard(7).with(|shard| shard.room = 99);
    assert_eq!(of(empty(), 0, 100), (0, 9));
    assert_eq!(of(empty(), 0, 0), (9, 0));
    assert_eq!(of(empty(), 3, 100), (3, 6));
    assert_eq!(of(empty(), 3, 50), (6, 3));
    // Two on demand and four Spot are there or intended, and each counts.
    let some = empty().free(1).on_demand(1).free(2).free(3).intending(1, 2).with(|shard| {
        shard.intents.insert(launch_token(2), intent(1, Market::OnDemand));
    });
    assert_eq!(of(some.clone(), 3, 100), (1, 2));
    assert_eq!(of(some.clone(), 2, 100), (0, 3));
    assert_eq!(of(some.clone(), 2, 60), (2, 1));
    assert_eq!(of(some, 6, 100), (3, 0));
}

#[test]
fn while_every_spot_offering_cools_on_demand_ones_are_launched_and_not_the_reverse() {
    let on_demand = Policy { on_demand_base: 50, ..keeping(2) };
    let of = |control: &Control, policy: &Policy| planned(&[shard(7)], control, policy);
    let both = ["subnet-a", "subnet-b"];
    let spot_cools = cooling(Market::Spot, &both);
    assert_eq!(launched(&of(&spot_cools, &keeping(2))), (2, 0));
    assert!(!of(&spot_cools, &keeping(2)).why.ends_with(COOLING));
    assert_eq!(launched(&of(&cooling(Market::Spot, &both[..1]), &keeping(2))), (0, 2));
    let on_demand_cools = cooling(Market::OnDemand, &both);
    let nothing = of(&on_demand_cools, &on_demand);
    assert_eq!((launched(&nothing), &nothing.control), ((0, 0), &on_demand_cools));
    assert!(nothing.why.ends_with(COOLING));
    let spot = of(&on_demand_cools, &keeping(2));
    assert_eq!(launched(&spot), (0, 2));
    assert!(!spot.why.ends_with(COOLING), "no on-demand one was wanted: {}", spot.why);
}
