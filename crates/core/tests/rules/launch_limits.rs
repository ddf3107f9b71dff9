//! What holds launches back: the operator, a halt, boots that fail, rooms; and what a run of `scale` learns beside.

use pool_core::breaker::Breaker;
use pool_core::control::{Control, Halt, KnownTemplate, Measures, Order, Orders};
use pool_core::node::InstanceRecord;
use pool_core::policy::Policy;
use pool_core::scale::{Plan, asks_for_template, observed, plan, stopped_because};
use pool_core::shard::{Market, Shard};
use pool_core::snapshot::Snapshot;
use pool_core::time::Timestamp;
use pool_core::utilisation::Utilisation;

use crate::given::{Given, NOW, beat, control, instance, keeping, seen, shard, template};

fn planned(shards: &[Shard], control: &Control, policy: &Policy) -> Plan {
    plan(seen(shards, control, policy), &template(), "browsers")
}

/// How many a plan launches: for those who use the pool, which are Spot here, and for the stopped tier.
fn launched(plan: &Plan) -> (u64, u64) {
    let of = |market| {
        let of_market = plan.launches.iter().filter(|launch| launch.intent.launch.market == market);
        of_market.map(|launch| launch.intent.count).sum()
    };
    (of(Market::Spot), of(Market::OnDemand))
}

/// So many are kept free and so many in the stopped tier.
fn wanting(min_available: u64, stopped_size: u64) -> Policy {
    Policy { stopped_size, ..keeping(min_available) }
}

fn paused() -> Control {
    let paused = Some(Order { at: NOW - 20, why: "the image is bad".to_owned() });
    Control { operator: Orders { paused, ..Orders::default() }, ..control() }
}

fn halted(until: Timestamp) -> Control {
    Control { halted: Some(Halt { until, why: "no permission".to_owned() }), ..control() }
}

/// Three boots failed in a row.
fn broken(open_until: Timestamp) -> Control {
    let failed = [1, 2, 3].map(instance).into();
    Control { breaker: Breaker { failed, failed_at: NOW - 9, opened: 1, open_until }, ..control() }
}

const OPEN: &str = "3 boots failed in a row, so nothing is launched until 2026-11-23T18:13:21Z";
const HALF_OPEN: &str = "3 boots failed in a row, so one instance is tried first";
const HALTED: &str = "launching is halted until 2026-11-23T18:13:21Z: no permission";
const PAUSED: &str = "the operator paused launching at 2026-11-23T18:13:00Z: the image is bad";

#[test]
fn the_newest_template_is_asked_for_once_a_minute() {
    let asks = |version, seen_at| {
        let template = KnownTemplate { version, seen_at };
        asks_for_template(&Control { template, ..control() }, NOW)
    };
    assert_eq!((asks(5, NOW - 59), asks(5, NOW - 60), asks(5, NOW - 61)), (false, true, true));
    assert!(asks(0, NOW), "it was never asked for");
}

#[test]
fn a_plan_remembers_another_template_and_when_it_was_asked_for() {
    let after = |version, seen_at| {
        let control = Control { template: KnownTemplate { version, seen_at }, ..control() };
        planned(&[], &control, &keeping(0)).control.template
    };
    assert_eq!(after(5, NOW - 59), KnownTemplate { version: 5, seen_at: NOW - 59 });
    assert_eq!(after(5, NOW - 60), KnownTemplate { version: 5, seen_at: NOW });
    assert_eq!(after(4, NOW - 59), KnownTemplate { version: 5, seen_at: NOW });
    assert_eq!(after(0, Timestamp(0)), KnownTemplate { version: 5, seen_at: NOW });
}

#[test]
fn a_look_at_the_pool_learns_of_leases_and_busy_nodes_and_forgets_a_halt_that_is_over() {
    let busy = InstanceRecord { cpu_percent: 90.0, ..beat(1, NOW, true) };
    let (shards, policy, records) = ([shard(7).held(1, 1)], keeping(1), [busy]);
    let measures = Measures { looked_at: NOW - 30, ..Measures::default() };
    let before = Control { measures, version: 4, ..halted(NOW + 1) };
    let after = observed(Snapshot { records: &records, ..seen(&shards, &before, &policy) });
    let measures = Measures { lease_age_seconds: 27_800, looked_at: NOW, ..measures };
    let utilisation = Utilisation { high_since: Some(NOW), high_at: NOW, ..Utilisation::default() };
    assert_eq!(after, Control { measures, utilisation, ..before });
    for until in [NOW, NOW - 1] {
        assert_eq!(observed(seen(&[], &halted(until), &policy)), control());
    }
}

#[test]
fn a_plan_is_made_with_what_the_look_taught() {
    let busy = InstanceRecord { cpu_percent: 90.0, ..beat(1, NOW, true) };
    let (shards, records) = ([shard(7).held(1, 1)], [busy]);
    let policy = Policy { scale_out_period_seconds: 0, ..keeping(0) };
    let control = control();
    let plan = plan(Snapshot { records: &records, ..seen(&shards, &control, &policy) }, &template(), "browsers");
    assert_eq!((launched(&plan), plan.control.utilisation.extra), ((1, 0), 1));
}

#[test]
fn while_the_operator_pauses_launching_nothing_is_launched_for_anyone() {
    for (min_available, stopped_size) in [(1, 0), (0, 1), (1, 1)] {
        let plan = planned(&[shard(7)], &paused(), &wanting(min_available, stopped_size));
        assert_eq!((launched(&plan), &plan.control), ((0, 0), &paused()));
        assert!(plan.why.ends_with(PAUSED), "{}", plan.why);
    }
    let waits = planned(&[shard(7).waiting(1)], &paused(), &keeping(0));
    assert_eq!(launched(&waits), (0, 0), "not even for one who waits");
    let enough = planned(&[shard(7).free(1)], &paused(), &keeping(1));
    assert_eq!(enough.why, "0 leased + 0 waiting + 1 kept free: 1 wanted, 1 present");
}

#[test]
fn growth_of_the_stopped_tier_respects_the_cool_down_too() {
    let stepped = |seconds| Control { scaled_out_at: NOW - seconds, ..control() };
    assert_eq!(launched(&planned(&[shard(7)], &stepped(29), &wanting(0, 1))), (0, 0));
    assert_eq!(launched(&planned(&[shard(7)], &stepped(30), &wanting(0, 1))), (0, 1));
}

#[test]
fn the_rooms_go_to_what_is_missing_first_and_then_to_the_stopped_tier() {
    let of = |min_available, stopped_size| {
        launched(&planned(&[shard(7)], &control(), &wanting(min_available, stopped_size)))
    };
    assert_eq!(of(1, 2), (1, 2));
    assert_eq!(of(1, 3), (1, 3));
    assert_eq!(of(1, 4), (1, 3));
    assert_eq!(of(3, 4), (3, 1));
    assert_eq!(of(4, 4), (4, 0));
    assert_eq!(of(5, 4), (4, 0));
    assert_eq!(of(0, 5), (0, 4));
    let crowded = planned(&[shard(7)], &control(), &wanting(3, 4));
    assert!(crowded.why.ends_with(": 1 for the stopped tier"), "{}", crowded.why);
}

#[test]
fn while_boots_fail_nothing_is_launched() {
    for (min_available, stopped_size) in [(2, 0), (0, 2), (1, 1)] {
        let plan = planned(&[shard(7)], &broken(NOW + 1), &wanting(min_available, stopped_size));
        assert_eq!((launched(&plan), &plan.control), ((0, 0), &broken(NOW + 1)));
        assert!(plan.why.ends_with(OPEN), "{}", plan.why);
    }
}

#[test]
fn after_boots_failed_a_single_instance_is_tried() {
    let of = |shard: Shard, min_available, stopped_size| {
        let plan = planned(&[shard], &broken(NOW), &wanting(min_available, stopped_size));
        (launched(&plan), plan.why.contains(HALF_OPEN))
    };
    assert_eq!(of(shard(7), 1, 0), ((1, 0), false), "no more is missing");
    assert_eq!(of(shard(7), 2, 0), ((1, 0), true));
    assert_eq!(of(shard(7), 0, 1), ((0, 1), false));
    assert_eq!(of(shard(7), 0, 2), ((0, 1), true));
    assert_eq!(of(shard(7), 1, 1), ((1, 0), true));
    assert_eq!(of(shard(7).booting(1), 2, 0), ((0, 0), true), "it is on its way");
    assert_eq!(of(shard(7).intending(1, 1), 2, 0), ((0, 0), true), "its launch is decided");
}

/// A start is a try as well: two instances at once would be more than one.
#[test]
fn after_boots_failed_the_start_of_a_stopped_instance_is_the_try() {
    let stopped = shard(7).stopped(1).with(|shard| {
        shard.stopped.get_mut(&instance(1)).expect("stopped").since = NOW - 901;
    });
    let plan = planned(&[stopped], &broken(NOW), &keeping(2));
    assert_eq!((plan.starts.len(), launched(&plan)), (1, (0, 0)));
    assert!(plan.why.ends_with(HALF_OPEN), "{}", plan.why);
}

#[test]
fn a_halt_is_for_the_stopped_tier_too() {
    let plan = planned(&[shard(7)], &halted(NOW + 1), &wanting(0, 1));
    assert_eq!(launched(&plan), (0, 0));
    assert!(plan.why.ends_with(HALTED), "{}", plan.why);
}

#[test]
fn status_says_why_launching_is_stopped() {
    let why = |control: &Control| stopped_because(seen(&[], control, &keeping(1)));
    assert_eq!(why(&control()), None);
    assert_eq!(why(&halted(NOW + 1)).as_deref(), Some(HALTED));
    assert_eq!(why(&halted(NOW)), None, "the halt is over");
    assert_eq!(why(&broken(NOW + 1)).as_deref(), Some(OPEN));
    assert_eq!(why(&broken(NOW)).as_deref(), Some(HALF_OPEN));
    let all = Control { operator: paused().operator, halted: halted(NOW + 1).halted, ..broken(NOW + 1) };
    assert_eq!(why(&all).as_deref(), Some(PAUSED), "the operator's order first");
    let both = Control { operator: Orders::default(), ..all };
    assert_eq!(why(&both).as_deref(), Some(HALTED));
    let few = Control { breaker: Breaker { opened: 0, ..broken(NOW + 1).breaker }, ..control() };
    assert_eq!(why(&few), None, "too few boots failed");
}
