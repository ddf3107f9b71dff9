//! The pool as one picture.

use pool_core::control::{Control, CoolDown};
use pool_core::node::{HistoryEntry, InstanceRecord};
use pool_core::shard::{Kind, Market, Shard};
use pool_core::status::{InstanceLine, OfferingLine, Pool, ShardLine, Totals, instance_line, pool, story};

use crate::given::{Given, NOW, instance, kind, shard};

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
        offerings: vec![OfferingLine {
            offering: "a/s/spot".to_owned(),
            cooling_until: "2026-11-23T18:13:21Z".to_owned(),
            failures: 2,
            cause: "NoCapacity".to_owned(),
        }],
    };
    assert_eq!(pool("browsers", &[first(), second()], &control), expected);
}

#[test]
fn an_instance_is_described_by_its_own_shard_alone() {
    let on_demand = first().on_demand(1);
    let described =
        InstanceLine { kind: Kind { market: Market::OnDemand, ..kind(Market::Spot) }, ..line(1, 7, "free") };
    assert_eq!(instance_line(&on_demand, &instance(1)), Some(described));
    assert_eq!(instance_line(&on_demand, &instance(21)), None);
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
        history,
    };
    let shards = [first(), second()];
    let known = record(Some(3), vec![entry]);
    let told = story(&shards, Some(known.clone()), &instance(21)).expect("it is there");
    assert_eq!((told.now, told.record), (Some(line(21, 8, "free")), known.clone()));
    let unheard_of = story(&shards, None, &instance(21)).expect("it is there");
    assert_eq!((unheard_of.now, unheard_of.record), (Some(line(21, 8, "free")), record(Some(8), Vec::new())));
    let gone = story(&shards[..1], Some(known.clone()), &instance(21)).expect("it is remembered");
    assert_eq!((gone.now, gone.record), (None, known));
    assert_eq!(story(&shards[..1], None, &instance(21)), None);
}
