//! What the word of a node does, and what it is answered.

use pool_core::ids::NodeKey;
use pool_core::policy::Policy;
use pool_core::register::{Command, HeartbeatAnswer, LeaseOnNode, Ready, ReadyStep, heartbeat, ready, shard_of};
use pool_core::shard::{Next, Shard, Transition};
use pool_core::time::Timestamp;

use crate::given::{BOOT_EPOCH, Given, LEASE_EPOCH, NOW, instance, policy, shard, token};

/// The word of instance 1; its node is known under boot id 5.
fn word(boot_id: u64) -> Ready {
    Ready { instance: instance(1), boot_id, key: NodeKey::stored(*b"new"), cleaned_epoch: None }
}

fn next(word: &Ready, shard: &Shard) -> ReadyStep {
    ready(word, Some(shard), &Policy { claim_seconds: 25, ..policy() }, NOW)
}

fn handed_over() -> Next {
    Next::HandOver { waiter: token(1), claim_until: NOW + 25 }
}

fn give_up() -> ReadyStep {
    ReadyStep::Try(Transition::GiveUp { token: token(1), position: 0, until: NOW - 1 })
}

#[test]
fn a_booted_node_serves_once_its_address_is_known() {
    let served = |next| {
        ReadyStep::Try(Transition::Ready {
            instance: instance(1),
            boot_epoch: BOOT_EPOCH,
            key: NodeKey::stored(*b"new"),
            boot_id: 6,
            now: NOW,
            next,
        })
    };
    let booting = shard(7).booting(1);
    assert_eq!(next(&word(6), &booting), served(Next::Free));
    assert_eq!(next(&word(6), &booting.clone().waiting(1)), served(handed_over()));
    assert_eq!(next(&word(6), &booting.clone().waiting(1).waits_until(1, NOW - 1)), give_up());
    let unlocated = booting.with(|shard| {
        shard.members.get_mut(&instance(1)).expect("a member").address.clear();
    });
    assert_eq!(next(&word(6), &unlocated), ReadyStep::NotYet);
}

#[test]
fn a_node_that_nobody_knows_yet_tries_again() {
    assert_eq!(ready(&word(6), None, &policy(), NOW), ReadyStep::NotYet);
    assert_eq!(next(&word(6), &shard(7).booting(2)), ReadyStep::NotYet);
}

#[test]
fn a_leaving_node_has_nothing_left_to_say() {
    for shard in [shard(7).booting(1), shard(7).held(1, 1)] {
        assert_eq!(next(&word(6), &shard.leaving(1, NOW)), ReadyStep::Done);
    }
}

#[test]
fn a_new_key_is_recorded_only_for_a_later_boot() {
    let again = Transition::ReadyAgain { instance: instance(1), key: NodeKey::stored(*b"new"), boot_id: 6 };
    for shard in [shard(7).free(1), shard(7).held(1, 1), shard(7).resetting(1), shard(7).stopped(1)] {
        assert_eq!(next(&word(6), &shard), ReadyStep::Try(again.clone()));
        for boot_id in [4, 5] {
            assert_eq!(next(&word(boot_id), &shard), ReadyStep::Done);
        }
    }
}

#[test]
fn a_new_key_waits_until_the_move_of_its_instance_is_over() {
    let moving = shard(7).moving(1);
    assert_eq!(next(&word(6), &moving), ReadyStep::NotYet);
    for boot_id in [4, 5] {
        assert_eq!(next(&word(boot_id), &moving), ReadyStep::Done);
    }
}

#[test]
fn a_cleaned_node_serves_again() {
    let cleaned = |epoch| Ready { cleaned_epoch: Some(epoch), ..word(5) };
    let done = |cleaned_epoch, next| {
        ReadyStep::Try(Transition::ResetDone { instance: instance(1), cleaned_epoch, now: NOW, next })
    };
    let resetting = shard(7).resetting(1);
    for epoch in [LEASE_EPOCH, LEASE_EPOCH + 1] {
        assert_eq!(next(&cleaned(epoch), &resetting), done(epoch, Next::Free));
    }
    assert_eq!(next(&cleaned(LEASE_EPOCH - 1), &resetting), ReadyStep::Done, "an older lease was cleaned away");
    assert_eq!(next(&word(5), &resetting), ReadyStep::Done, "it says nothing of cleaning");
    assert_eq!(next(&cleaned(LEASE_EPOCH), &shard(7).free(1)), ReadyStep::Done, "nothing is to be cleaned");
    let waited = resetting.waiting(1);
    assert_eq!(next(&cleaned(LEASE_EPOCH), &waited), done(LEASE_EPOCH, handed_over()));
    assert_eq!(next(&cleaned(LEASE_EPOCH), &waited.waits_until(1, NOW - 1)), give_up());
}

#[test]
fn the_shard_that_an_instance_comes_from_answers_until_it_has_arrived() {
    let (from, to) = (|| shard(7).moving(1), || shard(8).free(1));
    for shards in [vec![from(), to()], vec![to(), from()], vec![shard(6).free(2), to()]] {
        assert_eq!(shard_of(shards, &instance(1)), Some(to()));
    }
    assert_eq!(shard_of(vec![shard(6), from()], &instance(1)), Some(from()));
    assert_eq!(shard_of(vec![shard(6), to()], &instance(2)), None);
}

#[test]
fn a_heartbeat_is_answered_with_the_lease_the_floor_and_what_to_do() {
    let answer = |epoch_floor, command| Some(HeartbeatAnswer { epoch_floor, lease: None, command });
    let of = |shard: &Shard| heartbeat(&instance(1), shard, NOW);
    assert_eq!(of(&shard(7).free(1)), answer(51, Command::None), "any grant to come is above the shard's epoch");
    assert_eq!(of(&shard(7).booting(1)), answer(51, Command::Register));
    assert_eq!(of(&shard(7).resetting(1)), answer(LEASE_EPOCH + 1, Command::Register), "that lease is over");
    assert_eq!(of(&shard(7).stopped(1)), answer(51, Command::None));
    assert_eq!(of(&shard(7).moving(1)), answer(0, Command::None), "its new shard may have a lower epoch");
    assert_eq!(of(&shard(7).member(1).leaving(1, NOW)), answer(51, Command::Drain));
    assert_eq!(of(&shard(7).free(2)), None);
}

#[test]
fn a_leased_node_is_told_of_its_lease() {
    let of = |shard: &Shard| heartbeat(&instance(1), shard, NOW);
    let leased = |command, expires_in_seconds| {
        let lease = Some(LeaseOnNode { epoch: LEASE_EPOCH, expires_in_seconds });
        Some(HeartbeatAnswer { epoch_floor: LEASE_EPOCH, lease, command })
    };
    let held = shard(7).held(1, 1);
    assert_eq!(of(&held), leased(Command::None, 60));
    assert_eq!(of(&held.clone().lasts_until(1, NOW - 9)), leased(Command::None, 0));
    assert_eq!(of(&held.leaving(1, Timestamp::NEVER)), leased(Command::Drain, 60));
}
