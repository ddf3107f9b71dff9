//! The pool as one picture.

use pool_core::breaker::Breaker;
use pool_core::control::{Control, CoolDown, Measures, Order, Orders, Retiring};
use pool_core::launch_budget::LaunchBudget;
use pool_core::node::{HistoryEntry, InstanceRecord};
use pool_core::shard::{Kind, Market, Shard};
use pool_core::status::{
    Growth, InstanceLine, MeasuresLine, OfferingLine, OperatorLine, OrderLine, Pool, ShardLine, Totals, instance_line,
    pool, story,
};
use pool_core::utilisation::Utilisation;

use crate::given::{Given, NOW, instance, kind, policy, seen, shard};

/// One free, two leased of which one leaves, three of a launch, a boot and a cleaning, two stopped, three waiting.
fn first() -> Shard {
    let shard = shard(7).free(1).held(2, 2).held(3, 3).leaving(3, NOW).intending(1, 3).booting(4).resetting(5);
    shard.stopping(6).stopped(7).waiting(11).waiting(12).waiting(13)
}

/// Two free, one leased, four boots, one that leaves, one under way, one waiting.
fn second() -> Shard {
    let shard = shard(8).free(21).free(22).held(23, 4).booting(24).booting(25).booting(26).booting(27);
    shard.member(28).leaving(28, NOW).moving(29).stopped(30).waiting(14).with(|shard| {
        (shard.epoch, shard.room, shard.share) = (70, -2, 11);
    })
}

fn line(n: u64, shard: u32, state: &'static str) -> InstanceLine {
    InstanceLine {
        instance_id: instance(n),
        shard,
        state,
        leaving: None,
        retiring: None,
        cordoned: None,
        since: "2026-11-23T18:11:40Z".to_owned(),
        leases_served: 3,
        kind: kind(Market::Spot),
    }
}

fn leaving(n: u64, shard: u32, state: &'static str) -> InstanceLine {
    InstanceLine { leaving: Some("it must go".to_owned()), ..line(n, shard, state) }
}

#[test]
fn the_pool_is_the_sum_of_its_shards_their_instances_and_what_failed() {
    let cool_down = CoolDown { until: NOW + 1, failures: 2, cause: "NoCapacity".to_owned() };
    let control = Control { offerings: [("a/s/spot".to_owned(), cool_down)].into(), ..Control::default() };
    let of_first = Totals { capacity: 16, free: 1, leased: 2, booting: 5, leaving: 1, stopped: 2, waiting: 3 };
    let of_second = Totals { capacity: 11, free: 2, leased: 1, booting: 4, leaving: 1, stopped: 1, waiting: 1 };
    let expected = Pool {
        pool: "browsers".to_owned(),
        totals: Totals { capacity: 27, free: 3, leased: 3, booting: 9, leaving: 2, stopped: 3, waiting: 4 },
        shards: vec![
            ShardLine { shard: 7, epoch: 50, room: 4, totals: of_first },
            ShardLine { shard: 8, epoch: 70, room: -2, totals: of_second },
        ],
        instances: vec![
            line(1, 7, "free"),
            line(2, 7, "leased"),
            leaving(3, 7, "leased"),
            line(4, 7, "booting"),
            line(5, 7, "resetting"),
            line(6, 7, "stopping"),
            line(7, 7, "stopped"),
            line(21, 8, "free"),
            line(22, 8, "free"),
            line(23, 8, "leased"),
            line(24, 8, "booting"),
            line(25, 8, "booting"),
            line(26, 8, "booting"),
            line(27, 8, "booting"),
            leaving(28, 8, "leaving"),
            line(29, 8, "moving"),
            line(30, 8, "stopped"),
        ],
        next_shard: None,
        offerings: vec![OfferingLine {
            offering: "a/s/spot".to_owned(),
            cooling_until: "2026-11-23T18:13:21Z".to_owned(),
            failures: 2,
            cause: "NoCapacity".to_owned(),
        }],
        // Leases of instances that leave now and one whose instance stays need one, and so do the four that wait.
        growth: Growth {
            target: 8,
            present: 14,
            why: "3 leased + 4 waiting + 1 kept free: 8 wanted, 14 present".to_owned(),
            launching_stopped: None,
            oldest_wait_seconds: 10,
            boot_failures: 0,
            launch_calls_left: 5,
            last_step_at: None,
        },
        measures: MeasuresLine {
            boot_seconds: None,
            lease_age_seconds: None,
            kept_for_busy_nodes: 0,
            usd_per_hour: 0.25566,
        },
        operator: OperatorLine::default(),
    };
    assert_eq!(pool("browsers", seen(&[first(), second()], &control, &policy()), 0), expected);
}

/// Each has a member and so two lines; a page ends with the shard that brings it to two thousand.
#[test]
fn a_large_pool_comes_in_pages_that_have_each_shard_once_and_the_same_sums() {
    let shards: Vec<Shard> = (0..2_500).map(|number| shard(number).free(u64::from(number))).collect();
    let (control, policy) = (Control::default(), policy());
    let page = |from| pool("browsers", seen(&shards, &control, &policy), from);
    let pages = [page(0), page(1_000), page(2_000)];
    assert_eq!(pages.each_ref().map(|page| page.next_shard), [Some(1_000), Some(2_000), None]);
    assert!(pages.iter().all(|page| page.totals.free == 2_500 && page.growth == pages[0].growth));
    let told: Vec<u32> = pages.iter().flat_map(|page| page.shards.iter().map(|line| line.shard)).collect();
    assert_eq!(told, (0..2_500).collect::<Vec<_>>());
    let of_instances: Vec<u32> = pages.iter().flat_map(|page| page.instances.iter().map(|line| line.shard)).collect();
    assert_eq!(of_instances, told);
    let beyond = page(2_500);
    assert!(beyond.shards.is_empty() && beyond.instances.is_empty() && beyond.next_shard.is_none(), "{beyond:?}");
}

#[test]
fn what_is_learnt_and_ordered_is_shown() {
    let order = |why: &str| Order { at: NOW - 20, why: why.to_owned() };
    let control = Control {
        scaled_out_at: NOW - 80,
        measures: Measures { boot_seconds: 31, lease_age_seconds: 32, looked_at: NOW },
        utilisation: Utilisation { extra: 3, ..Utilisation::default() },
        launch_budget: LaunchBudget { calls: 1, counted_at: NOW - 1, refusals: 1 },
        breaker: Breaker { failed: [instance(91), instance(92)].into(), ..Breaker::default() },
        retiring: [(instance(1), Retiring { since: NOW, why: "it is old".to_owned() })].into(),
        operator: Orders {
            paused: Some(order("the image is bad")),
            drained: None,
            max_instances: Some(6),
            cordoned: [(instance(2), order("a look at it"))].into(),
        },
        ..Control::default()
    };
    let shown = pool("browsers", seen(&[first()], &control, &policy()), 0);
    let paused = OrderLine { at: "2026-11-23T18:13:00Z".to_owned(), why: "the image is bad".to_owned() };
    assert_eq!(shown.operator, OperatorLine { paused: Some(paused), drained: None, max_instances: Some(6) });
    let measures = MeasuresLine {
        boot_seconds: Some(31),
        lease_age_seconds: Some(32),
        kept_for_busy_nodes: 3,
        usd_per_hour: 0.1027,
    };
    assert_eq!(shown.measures, measures);
    let growth = Growth {
        target: 6,
        present: 6,
        why:
            "2 leased + 3 waiting + 1 kept free + 3 since leased nodes are busy: 6 wanted, 6 present, 1 to be replaced"
                .to_owned(),
        launching_stopped: Some("the operator paused launching at 2026-11-23T18:13:00Z: the image is bad".to_owned()),
        oldest_wait_seconds: 10,
        boot_failures: 2,
        launch_calls_left: 3,
        last_step_at: Some("2026-11-23T18:12:00Z".to_owned()),
    };
    assert_eq!(shown.growth, growth);
    let retiring = InstanceLine { retiring: Some("it is old".to_owned()), ..line(1, 7, "free") };
    let cordoned = InstanceLine { cordoned: Some("a look at it".to_owned()), ..line(2, 7, "leased") };
    assert_eq!(shown.instances[..2], [retiring, cordoned]);
    let drained = Orders { drained: Some(order("moving")), ..Orders::default() };
    let shown = pool("browsers", seen(&[], &Control { operator: drained, ..Control::default() }, &policy()), 0);
    assert_eq!(shown.operator.drained.map(|order| order.why), Some("moving".to_owned()));
}

#[test]
fn an_instance_is_described_by_its_own_shard_alone() {
    let on_demand = first().on_demand(1);
    let described =
        InstanceLine { kind: Kind { market: Market::OnDemand, ..kind(Market::Spot) }, ..line(1, 7, "free") };
    assert_eq!(instance_line(&on_demand, &Control::default(), &instance(1)), Some(described));
    assert_eq!(instance_line(&on_demand, &Control::default(), &instance(21)), None);
}

#[test]
fn a_story_is_what_an_instance_is_now_or_what_is_left_of_it() {
    let entry = HistoryEntry { at: NOW, what: "launched".to_owned(), why: "someone waited".to_owned() };
    let record = |shard, history| InstanceRecord {
        instance: instance(21),
        shard,
        healthy: true,
        cpu_percent: 0.0,
        memory_percent: 0.0,
        sessions: 0,
        beat_at: None,
        ready_at: None,
        boot_seconds: None,
        history,
    };
    let (shards, control) = ([first(), second()], Control::default());
    let known = record(Some(3), vec![entry]);
    let told = story(&shards, &control, Some(known.clone()), &instance(21)).expect("it is there");
    assert_eq!((told.now, told.record), (Some(line(21, 8, "free")), known.clone()));
    let unheard_of = story(&shards, &control, None, &instance(21)).expect("it is there");
    assert_eq!((unheard_of.now, unheard_of.record), (Some(line(21, 8, "free")), record(Some(8), Vec::new())));
    let gone = story(&shards[..1], &control, Some(known.clone()), &instance(21)).expect("it is remembered");
    assert_eq!((gone.now, gone.record), (None, known));
    assert_eq!(story(&shards[..1], &control, None, &instance(21)), None);
}
