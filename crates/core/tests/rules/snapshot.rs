//! What every plan counts in the picture that it looks at.

use pool_core::control::{Control, Measures, Order, Orders, Retiring};
use pool_core::policy::Policy;
use pool_core::schedule;
use pool_core::shard::{Market, Shard, Terms};

use crate::given::{
    Given, NOW, control, instance, intent, keeping, launch_token, policy, seen, shard, token, wait_terms,
};

/// Waits since so many seconds.
fn waits_for(shard: Shard, of: u8, seconds: u64) -> Shard {
    let hard_end = NOW - seconds + 300 + 28_800;
    shard.waiting(of).with(|shard| {
        shard.queue_terms.insert(token(of), Terms { hard_end, ..wait_terms() });
    })
}

#[test]
fn every_member_is_seen_with_its_shard() {
    let (shards, control, policy) = ([shard(7).free(2).booting(1), shard(8).held(3, 3)], control(), policy());
    let members = seen(&shards, &control, &policy).members();
    let brief: Vec<_> = members.map(|(shard, n, member)| (shard.number, n.clone(), member.address.as_str())).collect();
    assert_eq!(brief, [(7, instance(1), "10.0.0.1"), (7, instance(2), "10.0.0.2"), (8, instance(3), "10.0.0.3")]);
}

#[test]
fn a_wait_counts_until_its_last_second_and_the_oldest_is_told() {
    let waits = |shards: &[Shard]| {
        let (control, policy) = (control(), policy());
        let seen = seen(shards, &control, &policy);
        (seen.waiting(), seen.oldest_wait_seconds())
    };
    let first = || waits_for(waits_for(shard(7), 1, 20), 2, 30);
    let second = || waits_for(shard(8), 3, 40);
    assert_eq!(waits(&[first(), second()]), (3, 40));
    assert_eq!(waits(&[first(), second().waits_until(3, NOW)]), (3, 40));
    assert_eq!(waits(&[first(), second().waits_until(3, NOW - 1)]), (2, 30));
    assert_eq!(waits(&[first().waits_until(1, NOW - 1).waits_until(2, NOW - 1)]), (0, 0));
    assert_eq!(waits(&[shard(7).held(1, 1)]), (0, 0));
}

/// What is kept and the cap, when boots take so long and a window that keeps six, and eight at most, opens in two
/// minutes and forty seconds for an hour; the next run comes in a minute.
fn kept_before_a_window(boot_seconds: u64, boot_deadline_seconds: u64) -> (u64, u64) {
    let window = r#"[{"cron":"16 18 * * *","timezone":"UTC","duration_minutes":60,"min_available":6,"max":8}]"#;
    let schedule = schedule::parse(window).expect("valid");
    let policy = Policy { schedule, boot_deadline_seconds, ..keeping(2) };
    let control = Control { measures: Measures { boot_seconds, ..Measures::default() }, ..control() };
    let seen = seen(&[], &control, &policy);
    (seen.kept(), seen.cap())
}

#[test]
fn what_is_launched_now_is_to_serve_when_a_window_opens() {
    assert_eq!(kept_before_a_window(99, 600), (2, 100));
    assert_eq!(kept_before_a_window(100, 600), (6, 100), "and no window to come lowers the cap");
    assert_eq!(kept_before_a_window(900, 99), (2, 100), "no boot takes longer than the deadline");
    assert_eq!(kept_before_a_window(900, 100), (6, 100));
}

#[test]
fn the_cap_is_the_least_of_the_windows_and_of_what_is_in_force() {
    let window = r#"[{"cron":"* * * * *","timezone":"UTC","duration_minutes":5,"max":8}]"#;
    let cap = |window: &str, ordered| {
        let policy = Policy { schedule: schedule::parse(window).expect("valid"), max_instances: 10, ..policy() };
        let control = Control { operator: Orders { max_instances: ordered, ..Orders::default() }, ..control() };
        seen(&[], &control, &policy).cap()
    };
    assert_eq!([None, Some(7), Some(9), Some(20)].map(|ordered| cap(window, ordered)), [8, 7, 8, 8]);
    assert_eq!([None, Some(7), Some(20)].map(|ordered| cap("[]", ordered)), [10, 7, 20]);
}

#[test]
fn on_the_way_is_what_boots_and_stays_and_what_is_intended() {
    let first = shard(7).booting(1).booting(2).booting(3).leaving(3, NOW).booting(4).vanished(4).intending(1, 4);
    let (shards, control, policy) = ([first, shard(8).booting(5).free(6).resetting(7)], control(), policy());
    assert_eq!(seen(&shards, &control, &policy).on_the_way(), 7);
}

#[test]
fn the_stopped_tier_lacks_what_neither_is_in_it_nor_on_its_way_into_it() {
    let lacks = |stopped_size| {
        let shards = [shard(7).stopped(1).stopping(2).stopped(3).leaving(3, NOW), shard(8).stopped(4)];
        let (control, policy) = (control(), Policy { stopped_size, ..policy() });
        seen(&shards, &control, &policy).missing_in_stopped_tier()
    };
    assert_eq!([0, 2, 3, 4, 9].map(lacks), [0, 0, 0, 1, 6]);
}

#[test]
fn what_may_be_started_is_stopped_and_stays() {
    let first = shard(7).stopped(1).stopping(2).stopped(3).leaving(3, NOW);
    let (shards, control, policy) = ([first, shard(8).stopped(4)], control(), policy());
    let stopped: Vec<_> = seen(&shards, &control, &policy).stopped().map(|(s, n, at)| (s.number, n, at)).collect();
    assert_eq!(stopped, [(7, &instance(1), NOW - 200), (8, &instance(4), NOW - 200)]);
}

#[test]
fn only_on_demand_instances_may_join_the_stopped_tier() {
    let stoppable = |shards: &[Shard]| {
        let (control, policy) = (control(), policy());
        seen(shards, &control, &policy).stoppable()
    };
    let free = || shard(7).free(1).free(2).on_demand(2).free(3).on_demand(3);
    assert_eq!(stoppable(&[free()]), 2);
    let retiring = Retiring { since: NOW - 9, why: "it is old".to_owned() };
    let control = Control { retiring: [(instance(3), retiring)].into(), ..control() };
    assert_eq!(seen(&[free()], &control, &policy()).stoppable(), 1, "one is about to be replaced");
    let booting = || shard(8).booting(4).booting(5).on_demand(5).booting(6).on_demand(6).leaving(6, NOW);
    assert_eq!(stoppable(&[booting()]), 1);
    let intending = || {
        shard(9).intending(1, 9).with(|shard| {
            shard.intents.insert(launch_token(2), intent(4, Market::OnDemand));
        })
    };
    assert_eq!(stoppable(&[intending()]), 4);
    assert_eq!(stoppable(&[free(), booting(), intending()]), 7);
    let busy = shard(7).held(1, 1).on_demand(1).resetting(2).on_demand(2).stopped(3).on_demand(3).free(4).vanished(4);
    assert_eq!(stoppable(&[busy]), 0);
}

#[test]
fn the_operators_order_is_told_and_a_drain_before_a_pause() {
    let told = |paused: Option<&str>, drained: Option<&str>| {
        let order = |why: &str| Order { at: NOW - 20, why: why.to_owned() };
        let operator = Orders { paused: paused.map(order), drained: drained.map(order), ..Orders::default() };
        seen(&[], &Control { operator, ..control() }, &policy()).stopped_by_operator()
    };
    let paused = "the operator paused launching at 2026-11-23T18:13:00Z: one".to_owned();
    let drained = "the operator drained the pool at 2026-11-23T18:13:00Z: two".to_owned();
    assert_eq!(told(None, None), None);
    assert_eq!(told(Some("one"), None), Some(paused));
    assert_eq!(told(None, Some("two")), Some(drained.clone()));
    assert_eq!(told(Some("one"), Some("two")), Some(drained));
}
