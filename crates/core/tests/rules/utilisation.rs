//! When busy nodes make the pool keep more instances free, how many, and when that ends.

use pool_core::control::Control;
use pool_core::node::InstanceRecord;
use pool_core::policy::Policy;
use pool_core::shard::Shard;
use pool_core::snapshot::Snapshot;
use pool_core::time::Timestamp;
use pool_core::utilisation::{Load, Utilisation};

use crate::given::{Given, NOW, beat, keeping, seen, shard};

/// The heartbeat of a node that is so busy.
fn busy(n: u64, cpu_percent: f64, memory_percent: f64) -> InstanceRecord {
    InstanceRecord { cpu_percent, memory_percent, ..beat(n, NOW, true) }
}

/// So many leased.
fn leased(count: u8) -> Shard {
    (1..=count).fold(shard(7), |shard, n| shard.held(n.into(), n))
}

/// What is remembered after a look at so many leased instances of which the first told this.
fn after_look(before: Utilisation, count: u8, record: InstanceRecord, policy: &Policy) -> Utilisation {
    let (shards, control, records) = ([leased(count)], Control::default(), [record]);
    before.after(Snapshot { records: &records, ..seen(&shards, &control, policy) })
}

/// The same when the node is busy.
fn after(before: Utilisation, count: u8, policy: &Policy) -> Utilisation {
    after_look(before, count, busy(1, 90.0, 0.0), policy)
}

/// High since then, with so many kept and the last step then.
fn high(extra: u64, high_since: Timestamp, stepped_at: Timestamp) -> Utilisation {
    Utilisation { extra, high_since: Some(high_since), high_at: NOW - 60, stepped_at }
}

fn load(shards: &[Shard], records: &[InstanceRecord]) -> Load {
    let (control, policy) = (Control::default(), keeping(1));
    Load::of(Snapshot { records, ..seen(shards, &control, &policy) })
}

#[test]
fn the_load_is_the_mean_of_the_leased_nodes() {
    let shards = [shard(7).held(1, 1).free(2), shard(8).held(3, 3)];
    let records = [busy(1, 10.0, 20.0), busy(2, 100.0, 100.0), busy(3, 30.0, 60.0), busy(4, 100.0, 100.0)];
    assert_eq!(load(&shards, &records), Load { nodes: 2, cpu_percent: 20.0, memory_percent: 40.0 });
}

#[test]
fn nodes_that_fell_silent_tell_nothing_and_without_any_there_is_no_load() {
    let shards = [leased(3)];
    let at = |n, beat_at| InstanceRecord { beat_at, ..busy(n, 50.0, 40.0) };
    let heard = [at(1, Some(NOW - 120)), at(2, Some(NOW - 121)), at(3, None)];
    assert_eq!(load(&shards, &heard), Load { nodes: 1, cpu_percent: 50.0, memory_percent: 40.0 });
    assert_eq!(load(&shards, &heard[1..]), Load::default());
}

#[test]
fn either_mean_above_its_threshold_is_high_and_at_it_is_not() {
    let policy = keeping(1);
    let is_high = |cpu, memory| {
        let after = after_look(Utilisation::default(), 1, busy(1, cpu, memory), &policy);
        assert_eq!(after.high_at, if after.high_since.is_some() { NOW } else { Timestamp(0) });
        after.high_since.is_some()
    };
    assert!(!is_high(75.0, 80.0));
    assert!(is_high(75.5, 0.0));
    assert!(is_high(0.0, 80.5));
    assert!(is_high(99.0, 99.0));
}

#[test]
fn the_first_high_mean_is_remembered_and_no_step_is_taken_yet() {
    let seen_first = Utilisation { extra: 0, high_since: Some(NOW), high_at: NOW, stepped_at: Timestamp(0) };
    assert_eq!(after(Utilisation::default(), 20, &keeping(1)), seen_first);
}

#[test]
fn a_step_is_taken_when_the_mean_was_high_for_the_period() {
    let policy = keeping(1);
    let high_for = |seconds| after(high(3, NOW - seconds, Timestamp(0)), 20, &policy);
    let stepped = Utilisation { high_at: NOW, stepped_at: NOW, ..high(5, NOW - 120, Timestamp(0)) };
    assert_eq!(high_for(120), stepped);
    assert_eq!(high_for(119), Utilisation { high_at: NOW, ..high(3, NOW - 119, Timestamp(0)) });
    let at_once = Policy { scale_out_period_seconds: 0, ..policy };
    assert_eq!(after(Utilisation::default(), 20, &at_once).extra, 2);
}

#[test]
fn the_next_step_waits_for_a_period_and_for_the_cool_down() {
    let stepped = |seconds, period, cool_down| {
        let policy = Policy {
            scale_out_period_seconds: period,
            scale_out_cooldown_seconds: cool_down,
            max_instances: 100,
            ..keeping(1)
        };
        after(high(3, NOW - 900, NOW - seconds), 20, &policy).extra
    };
    assert_eq!((stepped(119, 120, 30), stepped(120, 120, 30)), (3, 5));
    assert_eq!((stepped(199, 120, 200), stepped(200, 120, 200)), (3, 5));
}

#[test]
fn a_step_is_a_tenth_of_what_is_leased_and_at_least_one() {
    let step = |count| after(high(0, NOW - 120, Timestamp(0)), count, &keeping(1)).extra;
    assert_eq!([1, 9, 10, 19, 20, 29, 30].map(step), [1, 1, 1, 1, 2, 2, 3]);
}

#[test]
fn no_more_is_asked_for_than_the_pool_may_have() {
    let step = |extra, cap| {
        let policy = Policy { max_instances: cap, ..keeping(1) };
        let after = after(high(extra, NOW - 120, Timestamp(7)), 2, &policy);
        (after.extra, after.stepped_at)
    };
    assert_eq!(step(19, 20), (20, NOW));
    assert_eq!(step(20, 20), (20, Timestamp(7)));
    assert_eq!(step(21, 20), (21, Timestamp(7)));
}

#[test]
fn all_steps_are_taken_back_when_the_mean_was_low_for_the_scale_in_cool_down() {
    let low = |seconds| {
        let before = Utilisation { high_at: NOW - seconds, ..high(3, NOW - 900, NOW - 700) };
        after_look(before, 20, busy(1, 75.0, 80.0), &keeping(1))
    };
    let kept = Utilisation { extra: 3, high_since: None, high_at: NOW - 299, stepped_at: NOW - 700 };
    assert_eq!(low(299), kept);
    assert_eq!(low(300), Utilisation { extra: 0, high_at: NOW - 300, ..kept });
}

#[test]
fn a_mean_that_was_low_in_between_begins_a_new_period() {
    let low = after_look(high(0, NOW - 900, Timestamp(0)), 20, busy(1, 0.0, 0.0), &keeping(1));
    assert_eq!(after(low, 20, &keeping(1)).extra, 0);
}
