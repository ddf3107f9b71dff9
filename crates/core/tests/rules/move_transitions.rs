//! The transitions among shards: what each changes, and that it is refused when any one of its guards fails.

use pool_core::shard::{Fate, Lift, Next, Shard, Tombstone, Transfer, Transition};

use crate::given::{Given, NOW, accepted, hand_over, handed_over, instance, member, refused, shard, transfer_id};

fn take(limit: u64, source_epoch: u64, lift: Lift, next: Next) -> Transition {
    Transition::Take {
        instance: instance(1),
        transfer: transfer_id(1),
        member: member(1),
        source_epoch,
        limit,
        now: NOW,
        next,
        lift,
    }
}

fn taken(shard: &mut Shard) {
    shard.tombstones.insert(transfer_id(1).as_str().to_owned(), Tombstone { written: NOW, fate: Fate::Taken });
    let arrived = pool_core::shard::Member { since: NOW, ..member(1) };
    shard.members.insert(instance(1), arrived);
}

#[test]
fn a_given_instance_is_under_way_and_the_gift_is_numbered() {
    let give = |position, sequence| Transition::Give {
        instance: instance(2),
        position,
        to: 8,
        transfer: transfer_id(1),
        sequence,
        now: NOW,
    };
    let before = shard(7).free(1).free(2);
    accepted(&before, &give(1, 9), |after| {
        after.free = vec![instance(1)];
        after.sequence = 10;
        after.transfers.insert(instance(2), Transfer { to: 8, id: transfer_id(1), since: NOW });
    });
    for (guard, transition) in [
        ("a late duplicate", give(1, 8)),
        ("a later number", give(1, 10)),
        ("it is not at that position", give(0, 9)),
        ("nothing is at that position", give(2, 9)),
    ] {
        refused(&transition, [(guard, before.clone())]);
    }
    refused(&give(1, 9), [("someone waits here", before.waiting(1))]);
}

#[test]
fn a_taken_instance_is_the_newest_free_one_of_its_new_shard() {
    let before = shard(8).free(2);
    for source_epoch in [49, 50] {
        accepted(&before, &take(2, source_epoch, Lift::None, Next::Free), |after| {
            taken(after);
            after.free = vec![instance(1), instance(2)];
        });
    }
    let waited = shard(8).held(2, 2).waiting(1);
    accepted(&waited, &take(9, 50, Lift::None, hand_over(1)), |after| {
        taken(after);
        handed_over(after, 1, 51);
    });
    refused(
        &take(9, 50, Lift::None, Next::Free),
        [
            ("it was taken", before.clone().buried(transfer_id(1).as_str(), Fate::Taken)),
            ("it was cancelled", before.clone().buried(transfer_id(1).as_str(), Fate::Cancelled)),
            ("it is gone", before.clone().buried(instance(1).as_str(), Fate::Gone)),
            ("it is a member", before.clone().free(1)),
            ("someone waits", waited.clone()),
        ],
    );
    refused(&take(9, 50, Lift::None, hand_over(1)), [("its wait is over", waited.waits_until(1, NOW - 1))]);
    for limit in [0, 1] {
        refused(&take(limit, 50, Lift::None, Next::Free), [("the shard is full", before.clone())]);
    }
}

#[test]
fn an_instance_never_sees_its_epochs_go_back() {
    let before = shard(8).waiting(1);
    // One above the shard's own epoch is the least that must be lifted; a hand-over happens in the lifted epoch.
    for source_epoch in [51, 90] {
        accepted(&before, &take(9, source_epoch, Lift::ToSource, hand_over(1)), |after| {
            after.epoch = source_epoch + 1;
            taken(after);
            handed_over(after, 1, source_epoch + 1);
        });
        refused(&take(9, source_epoch, Lift::None, hand_over(1)), [("the epoch must be lifted", before.clone())]);
    }
    for source_epoch in [49, 50] {
        refused(&take(9, source_epoch, Lift::ToSource, hand_over(1)), [("nothing is to be lifted", before.clone())]);
    }
}

#[test]
fn the_source_forgets_what_has_arrived() {
    let done = |n| Transition::Done { instance: instance(1), transfer: transfer_id(n) };
    let before = shard(7).moving(1).moving(2);
    accepted(&before, &done(1), |after| {
        after.transfers.remove(&instance(1));
        after.members.remove(&instance(1));
    });
    refused(&done(2), [("an earlier move", before)]);
    refused(&done(1), [("it is not under way", shard(7).free(1))]);
}

#[test]
fn the_target_may_refuse_a_move_for_good() {
    let cancel = Transition::Cancel { transfer: transfer_id(1), now: NOW };
    accepted(&shard(8).buried(transfer_id(2).as_str(), Fate::Taken), &cancel, |after| {
        let cancelled = Tombstone { written: NOW, fate: Fate::Cancelled };
        after.tombstones.insert(transfer_id(1).as_str().to_owned(), cancelled);
    });
    refused(
        &cancel,
        [
            ("it has it", shard(8).buried(transfer_id(1).as_str(), Fate::Taken)),
            ("it has refused it", shard(8).buried(transfer_id(1).as_str(), Fate::Cancelled)),
        ],
    );
}

#[test]
fn a_cancelled_instance_is_back_as_the_oldest_free_one() {
    let back = |n, next| Transition::Back { instance: instance(1), transfer: transfer_id(n), now: NOW, next };
    let before = shard(7).moving(1).free(2).moving(3);
    accepted(&before, &back(1, Next::Free), |after| {
        after.transfers.remove(&instance(1));
        after.free = vec![instance(2), instance(1)];
    });
    let waited = shard(7).moving(1).waiting(1).waiting(2);
    accepted(&waited, &back(1, hand_over(1)), |after| {
        after.transfers.clear();
        handed_over(after, 1, 51);
    });
    refused(&back(3, Next::Free), [("an earlier move", before)]);
    refused(&back(1, Next::Free), [("someone waits", waited.clone()), ("it is not under way", shard(7).free(1))]);
    refused(&back(1, hand_over(2)), [("another waits longer", waited)]);
}

#[test]
fn a_tombstone_is_forgotten_only_when_it_is_old() {
    // It was written 300 seconds ago.
    let prune = |written_before| Transition::Prune { name: "7.1".to_owned(), written_before };
    let before = shard(8).buried("7.1", Fate::Taken).buried("7.2", Fate::Taken);
    accepted(&before, &prune(NOW - 299), |after| {
        after.tombstones.remove("7.1");
    });
    for written_before in [NOW - 300, NOW - 301] {
        refused(&prune(written_before), [("it is too young", before.clone())]);
    }
    refused(&prune(NOW - 299), [("there is none", shard(8).buried("7.2", Fate::Taken))]);
}

#[test]
fn a_share_is_changed_once_for_each_layout_and_only_from_what_it_was() {
    let resize = |from, delta, layout| Transition::Resize { from, delta, layout };
    for (delta, room, share) in [(3, 7, 19), (-6, -2, 10)] {
        accepted(&shard(7), &resize(16, delta, 5), |after| {
            (after.room, after.share, after.layout) = (room, share, 5);
        });
    }
    for (guard, transition) in [
        ("the same layout", resize(16, 3, 2)),
        ("an earlier layout", resize(16, 3, 1)),
        ("another share", resize(15, 3, 5)),
    ] {
        refused(&transition, [(guard, shard(7))]);
    }
}
