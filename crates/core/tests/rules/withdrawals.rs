//! The transitions that take an instance out of service, and the start that brings a stopped one back: what each
//! changes, and that it is refused when any one of its guards fails.

use pool_core::shard::{Apart, Fate, StopPhase, Stopped, Tombstone, Transition};
use pool_core::time::Timestamp;

use crate::given::{Given, NOW, accepted, instance, leaves, refused, shard};

#[test]
fn a_free_instance_is_fenced_while_more_are_free_than_must_be_kept() {
    let fence = |position, keep| Transition::Fence { instance: instance(2), position, keep, leaving: leaves(NOW + 9) };
    let before = shard(7).free(1).free(2).free(3);
    for keep in [0, 2] {
        accepted(&before, &fence(1, keep), |after| {
            after.free = vec![instance(1), instance(3)];
            after.leaving.insert(instance(2), leaves(NOW + 9));
        });
    }
    for (guard, transition) in [
        ("only as many are free as must be kept", fence(1, 3)),
        ("fewer are free", fence(1, 4)),
        ("it is not at that position", fence(0, 0)),
        ("nothing is at that position", fence(3, 0)),
    ] {
        refused(&transition, [(guard, before.clone())]);
    }
}

#[test]
fn a_booting_a_stopped_and_a_cleaned_instance_are_fenced_where_they_stand() {
    let fence = |place| Transition::FenceApart { instance: instance(1), place, leaving: leaves(NOW + 9) };
    let states = [
        (Apart::Booting, shard(7).booting(1)),
        (Apart::Stopped, shard(7).stopped(1)),
        (Apart::Resetting, shard(7).resetting(1)),
    ];
    for (place, before) in &states {
        accepted(before, &fence(*place), |after| {
            after.booting.clear();
            after.stopped.clear();
            after.resetting.clear();
            after.leaving.insert(instance(1), leaves(NOW + 9));
        });
        for (_, other) in states.iter().filter(|(elsewhere, _)| elsewhere != place) {
            refused(&fence(*place), [("it stands elsewhere", other.clone())]);
        }
    }
}

#[test]
fn a_leased_instance_is_marked_and_leaves_later_or_sooner_than_was_said() {
    let mark = Transition::Mark { instance: instance(1), leaving: leaves(NOW + 9) };
    let before = shard(7).held(1, 1);
    for before in [before.clone(), before.clone().leaving(1, NOW + 10), shard(7).booting(1)] {
        accepted(&before, &mark, |after| {
            after.leaving.insert(instance(1), leaves(NOW + 9));
        });
    }
    refused(
        &mark,
        [
            ("it leaves then anyway", before.clone().leaving(1, NOW + 9)),
            ("it leaves sooner", before.clone().leaving(1, NOW + 8)),
            ("it is free", shard(7).free(1)),
            ("it is under way", shard(7).moving(1)),
            ("it is no member", before.vanished(1)),
        ],
    );
}

#[test]
fn a_free_instance_is_on_its_way_to_the_stopped_tier_before_ec2_is_asked() {
    let stop = |position, keep| Transition::Stop { instance: instance(2), position, keep, now: NOW };
    let before = shard(7).free(1).free(2).free(3);
    for keep in [0, 2] {
        accepted(&before, &stop(1, keep), |after| {
            after.free = vec![instance(1), instance(3)];
            after.stopped.insert(instance(2), Stopped { phase: StopPhase::Stopping, since: NOW });
        });
    }
    for (guard, transition) in [
        ("only as many are free as must be kept", stop(1, 3)),
        ("it is not at that position", stop(2, 0)),
        ("nothing is at that position", stop(3, 0)),
    ] {
        refused(&transition, [(guard, before.clone())]);
    }
}

#[test]
fn ec2s_word_that_an_instance_is_stopped_is_taken_only_of_one_that_is_stopping() {
    let stopped = Transition::Stopped { instance: instance(1), now: NOW };
    accepted(&shard(7).stopping(1), &stopped, |after| {
        after.stopped.insert(instance(1), Stopped { phase: StopPhase::Stopped, since: NOW });
    });
    refused(
        &stopped,
        [
            ("it is stopped already", shard(7).stopped(1)),
            ("it serves", shard(7).free(1)),
            ("another is stopping", shard(7).free(1).stopping(2)),
        ],
    );
}

#[test]
fn an_instance_is_started_only_long_after_it_stopped_and_has_no_address_then() {
    // It is stopped since 200 seconds ago.
    let start = |stopped_before| Transition::Start { instance: instance(1), now: NOW, stopped_before };
    accepted(&shard(7).stopped(1), &start(NOW - 199), |after| {
        after.stopped.clear();
        after.booting.insert(instance(1), 51);
        let member = after.members.get_mut(&instance(1)).expect("a member");
        member.since = NOW;
        member.address.clear();
    });
    for before in [NOW - 200, NOW - 201] {
        refused(&start(before), [("it has not been stopped for long", shard(7).stopped(1))]);
    }
    refused(
        &start(NOW - 199),
        [
            ("it is stopping yet", shard(7).stopping(1)),
            ("it is not stopped", shard(7).free(1)),
            ("it leaves", shard(7).stopped(1).leaving(1, NOW + 9)),
            ("it is no member", shard(7).stopped(1).vanished(1)),
        ],
    );
}

#[test]
fn the_place_of_a_gone_instance_becomes_room_and_its_lease_stays() {
    let gone = Transition::Gone { instance: instance(1), now: NOW };
    let leased = shard(7).held(1, 1);
    for before in [leased.clone(), shard(7).booting(1), shard(7).stopped(1), shard(7).resetting(1)] {
        accepted(&before.leaving(1, Timestamp::NEVER), &gone, |after| {
            after.room = 5;
            after.tombstones.insert(instance(1).as_str().to_owned(), Tombstone { written: NOW, fate: Fate::Gone });
            after.leaving.clear();
            after.members.clear();
            after.booting.clear();
            after.stopped.clear();
            after.resetting.clear();
        });
    }
    refused(
        &gone,
        [
            ("it does not leave", leased.clone()),
            ("it is no member", leased.leaving(1, NOW).vanished(1)),
            ("it is under way", shard(7).moving(1).leaving(1, NOW)),
        ],
    );
}
