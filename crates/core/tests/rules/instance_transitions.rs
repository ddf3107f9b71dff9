//! The transitions that bring an instance into service: what each changes, and that it is refused when any one of its
//! guards fails.

use pool_core::ids::NodeKey;
use pool_core::shard::{Fate, Market, Member, Next, Shard, Tombstone, Transition};

use crate::given::{
    BOOT_EPOCH, Given, LEASE_EPOCH, NOW, accepted, hand_over, handed_over, instance, intent, kind, launch_token,
    member, refused, shard,
};

fn member_of(shard: &mut Shard, n: u64) -> &mut Member {
    shard.members.get_mut(&instance(n)).expect("a member")
}

#[test]
fn an_intent_takes_its_room_and_is_numbered() {
    let intend =
        |count, sequence| Transition::Intend { launch: launch_token(1), intent: intent(count, Market::Spot), sequence };
    for count in [3, 4] {
        accepted(&shard(7), &intend(count, 9), |after| {
            after.room = 4 - i64::try_from(count).expect("small");
            after.sequence = 10;
            after.intents.insert(launch_token(1), intent(count, Market::Spot));
        });
    }
    for (guard, transition) in [
        ("a late duplicate", intend(3, 8)),
        ("a later number", intend(3, 10)),
        ("more than there is room", intend(5, 9)),
        ("more than can be counted", intend(u64::MAX, 9)),
    ] {
        refused(&transition, [(guard, shard(7))]);
    }
}

#[test]
fn what_a_launch_brought_boots_and_what_it_lacked_is_room_again() {
    let before = shard(7).intending(1, 5).intending(2, 1);
    let adopt = Transition::Adopt {
        launch: launch_token(1),
        members: vec![(instance(1), member(1)), (instance(2), member(2))],
        short: 3,
    };
    accepted(&before, &adopt, |after| {
        after.intents.remove(&launch_token(1));
        after.room = 7;
        for n in [1, 2] {
            after.booting.insert(instance(n), 51);
            after.members.insert(instance(n), member(n));
        }
    });
    refused(
        &adopt,
        [
            ("it was adopted or settled", shard(7).intending(2, 1)),
            ("one of them is known", before.clone().free(2)),
            ("one of them is buried", before.buried(instance(1).as_str(), Fate::Gone)),
        ],
    );
}

#[test]
fn a_launch_that_brought_nothing_gives_its_room_back_once() {
    let settle = Transition::Settle { launch: launch_token(1) };
    accepted(&shard(7).intending(1, 5).intending(2, 1), &settle, |after| {
        after.intents.remove(&launch_token(1));
        after.room = 9;
    });
    refused(&settle, [("it was adopted or settled", shard(7).intending(2, 1))]);
}

#[test]
fn an_orphan_is_taken_in_only_where_nothing_speaks_against_it() {
    let adopt = |sequence| Transition::AdoptOrphan {
        instance: instance(1),
        member: member(1),
        launch: launch_token(1),
        sequence,
    };
    for room in [1, 2] {
        let before = shard(7).intending(2, 1).with(|shard| shard.room = room);
        accepted(&before, &adopt(9), |after| {
            after.room = room - 1;
            after.booting.insert(instance(1), 51);
            after.members.insert(instance(1), member(1));
        });
    }
    for sequence in [8, 10] {
        refused(&adopt(sequence), [("the shard has moved on since it was judged", shard(7))]);
    }
    refused(
        &adopt(9),
        [
            ("it is a member", shard(7).booting(1)),
            ("it is buried", shard(7).buried(instance(1).as_str(), Fate::Doomed)),
            ("its launch is still to be adopted", shard(7).intending(1, 1)),
            ("there is no room", shard(7).with(|shard| shard.room = 0)),
            ("there is less than no room", shard(7).with(|shard| shard.room = -1)),
        ],
    );
}

#[test]
fn an_orphan_is_doomed_before_it_is_terminated() {
    let doom = |sequence| Transition::Doom { instance: instance(1), launch: launch_token(1), sequence, now: NOW };
    let full = shard(7).intending(2, 1).with(|shard| shard.room = 0);
    for before in [full, shard(7).buried(instance(1).as_str(), Fate::Gone)] {
        accepted(&before, &doom(9), |after| {
            after.tombstones.insert(instance(1).as_str().to_owned(), Tombstone { written: NOW, fate: Fate::Doomed });
        });
    }
    for sequence in [8, 10] {
        refused(&doom(sequence), [("the shard has moved on since it was judged", shard(7))]);
    }
    refused(
        &doom(9),
        [("it is a member", shard(7).booting(1)), ("its launch is still to be adopted", shard(7).intending(1, 1))],
    );
}

#[test]
fn an_instance_is_located_wherever_it_is() {
    let found = || kind(Market::OnDemand);
    let locate = Transition::Locate { instance: instance(1), address: "10.9.9.9".to_owned(), kind: found() };
    for before in [shard(7).booting(1), shard(7).held(1, 1).leaving(1, NOW)] {
        accepted(&before, &locate, |after| {
            member_of(after, 1).address = "10.9.9.9".to_owned();
            member_of(after, 1).kind = found();
        });
    }
    refused(&locate, [("it is no member", shard(7).booting(2))]);
}

#[test]
fn a_booted_instance_is_the_newest_free_one_and_its_node_is_known() {
    let ready = |boot_epoch, next| Transition::Ready {
        instance: instance(1),
        boot_epoch,
        key: NodeKey::stored(*b"new"),
        boot_id: 6,
        now: NOW,
        next,
    };
    let before = shard(7).booting(1).free(2);
    accepted(&before, &ready(BOOT_EPOCH, Next::Free), |after| {
        after.booting.clear();
        after.free = vec![instance(1), instance(2)];
        let member = member_of(after, 1);
        (member.key, member.boot_id, member.since) = (NodeKey::stored(*b"new"), 6, NOW);
    });
    for epoch in [BOOT_EPOCH - 1, BOOT_EPOCH + 1] {
        refused(&ready(epoch, Next::Free), [("another boot", before.clone())]);
    }
    refused(
        &ready(BOOT_EPOCH, Next::Free),
        [
            ("it does not boot", shard(7).free(1)),
            ("it leaves", before.clone().leaving(1, NOW)),
            ("it is no member", before.vanished(1)),
            ("someone waits", shard(7).booting(1).waiting(1)),
        ],
    );
}

#[test]
fn a_booted_instance_goes_to_the_first_waiter_if_that_one_still_waits() {
    let ready = |waiter| Transition::Ready {
        instance: instance(1),
        boot_epoch: BOOT_EPOCH,
        key: NodeKey::stored(*b"new"),
        boot_id: 6,
        now: NOW,
        next: hand_over(waiter),
    };
    let before = shard(7).booting(1).waiting(1).waiting(2);
    accepted(&before, &ready(1), |after| {
        after.booting.clear();
        handed_over(after, 1, 51);
        let member = member_of(after, 1);
        (member.key, member.boot_id, member.since) = (NodeKey::stored(*b"new"), 6, NOW);
    });
    refused(&ready(2), [("another waits longer", before.clone())]);
    refused(&ready(1), [("its wait is over", before.waits_until(1, NOW - 1))]);
}

#[test]
fn a_node_that_started_again_brings_a_new_key() {
    let again = |boot_id| Transition::ReadyAgain { instance: instance(1), key: NodeKey::stored(*b"new"), boot_id };
    let before = shard(7).held(1, 1).leaving(1, NOW + 9);
    accepted(&before, &again(6), |after| {
        let member = member_of(after, 1);
        (member.key, member.boot_id) = (NodeKey::stored(*b"new"), 6);
    });
    for boot_id in [4, 5] {
        refused(&again(boot_id), [("the same start or an earlier one", before.clone())]);
    }
    refused(
        &again(6),
        [
            ("it boots", shard(7).booting(1)),
            ("it is under way", shard(7).moving(1)),
            ("it is no member", shard(7).free(2)),
        ],
    );
}

#[test]
fn a_cleaned_instance_is_free_once_its_node_names_the_epoch_or_a_later_one() {
    let done = |cleaned_epoch, next| Transition::ResetDone { instance: instance(1), cleaned_epoch, now: NOW, next };
    let before = shard(7).resetting(1).free(2);
    for epoch in [LEASE_EPOCH, LEASE_EPOCH + 1] {
        accepted(&before, &done(epoch, Next::Free), |after| {
            after.resetting.clear();
            member_of(after, 1).since = NOW;
            after.free = vec![instance(1), instance(2)];
        });
    }
    let waited = shard(7).resetting(1).waiting(1);
    accepted(&waited, &done(LEASE_EPOCH, hand_over(1)), |after| {
        after.resetting.clear();
        member_of(after, 1).since = NOW;
        handed_over(after, 1, 51);
    });
    refused(&done(LEASE_EPOCH - 1, Next::Free), [("an earlier epoch was cleaned", before.clone())]);
    refused(
        &done(LEASE_EPOCH, Next::Free),
        [
            ("it is not being cleaned", shard(7).free(1)),
            ("it leaves", before.clone().leaving(1, NOW)),
            ("it is no member", before.vanished(1)),
            ("someone waits", waited),
        ],
    );
}
