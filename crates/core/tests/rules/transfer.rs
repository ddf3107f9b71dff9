//! Which instance moves where, and how a move goes on or is settled.

use pool_core::policy::Policy;
use pool_core::shard::{Fate, Lift, Next, Shard, Transition};
use pool_core::transfer::{Move, fate, give, recorded, settle, stuck, take, wanting};

use crate::given::{Given, NOW, instance, member, policy, shard, token, transfer_id};

/// A policy under which a shard may hold six members: three of its own and as many again.
fn small() -> Policy {
    Policy { shard_size: 3, claim_seconds: 25, ..policy() }
}

fn moved() -> Move {
    Move { instance: instance(1), member: member(1), from: 7, to: 8, id: transfer_id(1), source_epoch: 50 }
}

fn handed_over() -> Next {
    Next::HandOver { waiter: token(1), claim_until: NOW + 25 }
}

fn give_up() -> Transition {
    Transition::GiveUp { token: token(1), position: 0, until: NOW - 1 }
}

/// Someone waited in vain.
fn waited_out(shard: Shard) -> Shard {
    shard.waiting(1).waits_until(1, NOW - 1)
}

#[test]
fn the_oldest_free_instance_of_the_shard_with_most_is_given() {
    let shards = [shard(6).free(1), shard(7).free(2).free(3).free(4), shard(8)];
    let given = Transition::Give {
        instance: instance(4),
        position: 2,
        to: 8,
        transfer: pool_core::ids::TransferId::trusted("7.9"),
        sequence: 9,
        now: NOW,
    };
    assert_eq!(give(&shards, 8, &small(), NOW), Some((7, given)));
}

#[test]
fn only_another_shard_with_something_to_spare_gives() {
    let target = || shard(8).free(8).free(9);
    for (situation, source) in [
        ("nothing is free", shard(7).held(1, 1)),
        ("someone waits there", shard(7).free(1).free(2).free(3).waiting(2)),
        ("nothing is there", shard(7)),
    ] {
        assert_eq!(give(&[source, target()], 8, &small(), NOW), None, "{situation}");
    }
    assert_eq!(give(&[shard(7).free(1)], 8, &small(), NOW), None, "there is no such target");
    let (source, _) = give(&[target(), shard(7).free(1)], 8, &small(), NOW).expect("another shard has one");
    assert_eq!(source, 7, "the target has more itself");
}

#[test]
fn a_full_target_is_given_nothing() {
    let source = || shard(7).free(1);
    let with = |members: u64| [source(), (10..10 + members).fold(shard(8), Given::booting)];
    assert!(give(&with(5), 8, &small(), NOW).is_some());
    assert_eq!(give(&with(6), 8, &small(), NOW), None);
    assert_eq!(give(&with(7), 8, &small(), NOW), None);
}

#[test]
fn a_move_is_read_from_what_its_source_records() {
    let source = shard(7).moving(1).free(2);
    assert_eq!(recorded(&source, &instance(1)), Some(moved()));
    assert_eq!(recorded(&source, &instance(2)), None);
    assert_eq!(recorded(&source.vanished(1), &instance(1)), None);
}

#[test]
fn the_target_takes_under_an_epoch_above_the_sources() {
    let taken = |next, lift| Transition::Take {
        instance: instance(1),
        transfer: transfer_id(1),
        member: member(1),
        source_epoch: 50,
        limit: 6,
        now: NOW,
        next,
        lift,
    };
    let at = |epoch| shard(8).with(|shard| shard.epoch = epoch);
    assert_eq!(take(&moved(), &at(49), &small(), NOW), taken(Next::Free, Lift::ToSource));
    assert_eq!(take(&moved(), &at(50), &small(), NOW), taken(Next::Free, Lift::None));
    assert_eq!(take(&moved(), &at(51), &small(), NOW), taken(Next::Free, Lift::None));
    assert_eq!(take(&moved(), &at(50).waiting(1), &small(), NOW), taken(handed_over(), Lift::None));
    assert_eq!(take(&moved(), &waited_out(at(50)), &small(), NOW), give_up());
}

#[test]
fn the_source_does_what_the_target_has_decided() {
    let source = || shard(7).moving(1);
    let back = |next| Transition::Back { instance: instance(1), transfer: transfer_id(1), now: NOW, next };
    let settled = |source: &Shard, fate| settle(&moved(), source, fate, &small(), NOW);
    let done = Transition::Done { instance: instance(1), transfer: transfer_id(1) };
    assert_eq!(settled(&source(), Fate::Taken), done);
    assert_eq!(settled(&source(), Fate::Cancelled), back(Next::Free));
    assert_eq!(settled(&source().waiting(1), Fate::Cancelled), back(handed_over()));
    assert_eq!(settled(&waited_out(source()), Fate::Cancelled), give_up());
    assert_eq!(settled(&waited_out(source()), Fate::Taken), done, "nothing comes back");
}

#[test]
fn the_target_says_what_it_decided_of_this_move() {
    for decided in [Fate::Taken, Fate::Cancelled] {
        let target = shard(8).buried(transfer_id(1).as_str(), decided);
        assert_eq!(fate(&target, &transfer_id(1)), Some(decided));
        assert_eq!(fate(&target, &transfer_id(2)), None);
    }
}

#[test]
fn a_move_is_stuck_after_a_minute() {
    let given = |n, seconds| {
        move |shard: &mut Shard| {
            shard.transfers.get_mut(&instance(n)).expect("it moves").since = NOW - seconds;
        }
    };
    let source = shard(7).moving(1).moving(2).with(given(1, 61)).with(given(2, 60));
    assert_eq!(stuck(&source, NOW), [moved()]);
}

#[test]
fn shards_with_waiters_want_what_is_free_elsewhere() {
    let waiters = || [shard(6).waiting(1).waiting(2), shard(7).waiting(3)];
    let with = |spare: Shard| {
        let [first, second] = waiters();
        wanting(&[first, second, spare])
    };
    assert!(with(shard(8)).is_empty());
    assert_eq!(with(shard(8).free(1)), [6]);
    assert_eq!(with(shard(8).free(1).free(2).free(3).free(4)), [6, 6, 7]);
    assert!(with(shard(8).free(1).free(2).waiting(4)).is_empty(), "its own waiters come first");
}
