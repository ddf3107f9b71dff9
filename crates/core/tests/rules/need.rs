//! What counts as wanted and what as present, beyond the plain sum: busy nodes, leases that end with their instance,
//! what is to be replaced or stopped, and boots that are late.

use pool_core::control::{Control, Measures, Order, Orders, Retiring};
use pool_core::policy::Policy;
use pool_core::scale::{self, Need};
use pool_core::shard::Shard;
use pool_core::time::Timestamp;
use pool_core::utilisation::Utilisation;

use crate::given::{Given, NOW, control, instance, keeping, policy, seen, shard, token};

fn need(shards: &[Shard], control: &Control, policy: &Policy) -> Need {
    scale::need(seen(shards, control, policy))
}

/// Waits since so many seconds.
fn waits_for(shard: Shard, of: u8, seconds: u64) -> Shard {
    shard.waiting(of).with(|shard| {
        shard.queue_terms.get_mut(&token(of)).expect("it waits").hard_end = NOW - seconds + 300 + 28_800;
    })
}

fn retiring<const N: usize>(instances: [u64; N]) -> Control {
    let retiring = Retiring { since: NOW - 50, why: "it is old".to_owned() };
    Control { retiring: instances.map(|n| (instance(n), retiring.clone())).into(), ..control() }
}

#[test]
fn missing_is_what_is_wanted_and_not_present() {
    let missing =
        |target, present| Need { target, present, beyond_cap: 7, for_stopped_tier: 9, why: String::new() }.missing();
    assert_eq!((missing(5, 3), missing(3, 3), missing(3, 5)), (2, 0, 0));
}

#[test]
fn a_lease_whose_instance_leaves_only_after_it_needs_no_other() {
    let leaves_after = shard(7).held(1, 1).leaving(1, Timestamp::NEVER);
    let taken_back = leaves_after.held(2, 2).leaving(2, NOW + 9).held(3, 3).held(4, 4).vanished(4);
    let need = need(&[taken_back], &control(), &keeping(0));
    assert_eq!(need.why, "2 leased + 0 waiting + 0 kept free: 2 wanted, 1 present");
    assert_eq!((need.target, need.present), (2, 1));
}

#[test]
fn more_are_kept_while_leased_nodes_are_busy() {
    let busy = |extra| {
        let control = Control { utilisation: Utilisation { extra, ..Utilisation::default() }, ..control() };
        let need = need(&[shard(7).held(1, 1)], &control, &keeping(2));
        (need.target, need.why)
    };
    assert_eq!(busy(0), (3, "1 leased + 0 waiting + 2 kept free: 3 wanted, 1 present".to_owned()));
    let why = "1 leased + 0 waiting + 2 kept free + 1 since leased nodes are busy: 4 wanted, 1 present";
    assert_eq!(busy(1), (4, why.to_owned()));
    assert_eq!(busy(500).0, 100, "the cap is above all");
}

#[test]
fn a_drained_pool_wants_nothing() {
    let drained = Some(Order { at: NOW, why: "it moves".to_owned() });
    let control = Control { operator: Orders { drained, ..Orders::default() }, ..control() };
    let policy = Policy { min_instances: 3, stopped_size: 2, ..keeping(2) };
    let need = need(&[shard(7).held(1, 1).free(2).on_demand(2).waiting(3)], &control, &policy);
    assert_eq!((need.target, need.present, need.for_stopped_tier), (0, 2, 0));
}

#[test]
fn a_free_instance_that_is_to_be_replaced_is_missing_already() {
    let shards = [shard(7).free(1).free(2).held(3, 3), shard(8).free(4)];
    let of = |control: &Control| {
        let need = need(&shards, control, &keeping(0));
        (need.present, need.why)
    };
    let why = "1 leased + 0 waiting + 0 kept free: 1 wanted, 2 present, 2 to be replaced".to_owned();
    assert_eq!(of(&retiring([1, 3, 4, 9])), (2, why), "one that is leased or gone is not");
    assert_eq!(of(&retiring([3])).0, 4);
    assert_eq!(of(&control()).0, 4);
}

/// One free and one booting on demand, one free Spot: two of the three missing ones can be set aside.
fn for_the_tier(policy: Policy) -> Need {
    let shard = shard(7).free(1).on_demand(1).free(2).booting(3).on_demand(3);
    need(&[shard], &control(), &Policy { stopped_size: 3, ..policy })
}

#[test]
fn what_the_stopped_tier_lacks_is_set_aside_as_far_as_it_is_there_and_launched_beside_the_target() {
    let why = "0 leased + 0 waiting + 1 kept free: 1 wanted, 1 present, 2 set aside for the stopped tier".to_owned();
    assert_eq!(for_the_tier(keeping(1)), Need { target: 1, present: 1, beyond_cap: 0, for_stopped_tier: 1, why });
    let of = |shard: Shard, stopped_size| {
        let need = need(&[shard], &control(), &Policy { stopped_size, ..keeping(0) });
        (need.present, need.for_stopped_tier)
    };
    let three = || shard(7).free(1).on_demand(1).free(2).on_demand(2).free(3).on_demand(3);
    assert_eq!(of(three(), 2), (1, 0), "no more than it lacks");
    assert_eq!(of(three().stopped(4).stopping(5), 3), (2, 0));
    assert_eq!(of(three().stopped(4).stopping(5), 2), (3, 0));
    assert_eq!(of(shard(7).free(1), 2), (1, 2));
}

#[test]
fn room_is_what_the_shards_may_intend_and_the_cap_leaves_with_everything_counted() {
    let shards =
        || [shard(7).free(1).stopped(2).member(3).leaving(3, NOW).intending(4, 2).with(|shard| shard.room = 3)];
    let room = |shards: &[Shard], cap| {
        let policy = Policy { max_instances: cap, ..policy() };
        seen(shards, &control(), &policy).room()
    };
    assert_eq!([4, 5, 6, 7, 8, 9].map(|cap| room(&shards(), cap)), [0, 0, 1, 2, 3, 3]);
    let overfull = shard(8).with(|shard| shard.room = -2);
    assert_eq!(room(&[shards().into_iter().next().expect("one"), overfull], 99), 1);
    assert_eq!(room(&[shard(8).with(|shard| shard.room = -2)], 99), 0);
}

/// How many of one late boot count when someone waits for so long and boots take that long.
fn present(boot_seconds: u64, waits: u64, boots: u64) -> u64 {
    let control = Control { measures: Measures { boot_seconds, ..control().measures }, ..control() };
    let shards = [waits_for(shard(7), 1, waits).waiting(2), shard(8).booting(1).since(1, NOW - boots)];
    need(&shards, &control, &keeping(0)).present
}

#[test]
fn a_boot_that_takes_twice_as_long_as_most_counts_for_nobody_who_waits_longer_than_one_takes() {
    assert_eq!((present(0, 61, 121), present(0, 61, 120), present(0, 60, 121)), (0, 1, 1), "a minute is assumed");
    assert_eq!((present(31, 32, 63), present(31, 32, 62), present(31, 31, 63)), (0, 1, 1));
}

#[test]
fn no_more_late_boots_are_missed_than_there_are_waiters() {
    let late = |shard: Shard, n| shard.booting(n).since(n, NOW - 500);
    let three = || late(late(late(shard(7), 1), 2), 3);
    let of = |shards: &[Shard]| {
        let need = need(shards, &control(), &keeping(0));
        (need.present, need.why)
    };
    let said = |text: &str| format!("0 leased + {text} late in booting while somebody waits");
    let one = [waits_for(three(), 1, 90)];
    assert_eq!(of(&one), (2, said("1 waiting + 0 kept free: 1 wanted, 2 present, 1")));
    let two = [waits_for(late(shard(7), 1), 1, 90), waits_for(late(shard(8), 2), 2, 90)];
    assert_eq!(of(&two), (0, said("2 waiting + 0 kept free: 2 wanted, 0 present, 2")));
    assert_eq!(of(&[three()]), (3, "0 leased + 0 waiting + 0 kept free: 0 wanted, 3 present".to_owned()));
}

#[test]
fn a_late_boot_that_leaves_is_missed_only_once() {
    let shard = waits_for(shard(7), 1, 90).booting(1).since(1, NOW - 500).leaving(1, NOW).booting(2);
    assert_eq!(need(&[shard], &control(), &keeping(0)).present, 1);
}
