//! The transitions of leases and of waiting: what each changes, and that it is refused when any one of its guards fails.

use pool_core::ids::Owner;
use pool_core::shard::{AfterEnd, EndedBy, LeaseRef, Next, Shard, Transition};
use pool_core::time::Timestamp;

use crate::given::{
    Given, LEASE_EPOCH, NOW, accepted, ann, bob, hand_over, handed_over, instance, lease, lease_terms, leaves, refused,
    shard, token, wait_terms,
};

fn end(by: EndedBy, after: AfterEnd) -> Transition {
    Transition::End { lease: lease(1, 1), by, after, now: NOW }
}

fn drop_lease(shard: &mut Shard, of: u8) {
    shard.leases.remove(&token(of));
    shard.lease_epochs.remove(&token(of));
    shard.lease_terms.remove(&token(of));
    shard.claims.remove(&token(of));
}

fn served(shard: &mut Shard) {
    let member = shard.members.get_mut(&instance(1)).expect("a member");
    member.since = NOW;
    member.served = 4;
}

#[test]
fn a_grant_gives_the_newest_free_instance_under_the_new_epoch() {
    let before = shard(7).free(1).free(2);
    let grant = |layout| Transition::Grant { token: token(1), terms: lease_terms(), layout };
    for layout in [2, 3] {
        accepted(&before, &grant(layout), |after| {
            after.free = vec![instance(2)];
            after.leases.insert(token(1), instance(1));
            after.lease_epochs.insert(token(1), 51);
            after.lease_terms.insert(token(1), lease_terms());
        });
    }
    refused(&grant(1), [("the shard has seen a newer layout", before.clone())]);
    refused(
        &grant(2),
        [
            ("nothing is free", shard(7).held(1, 2)),
            ("the token has a lease", before.clone().held(3, 1)),
            ("the token waits", before.waiting(1)),
        ],
    );
}

#[test]
fn a_request_is_queued_behind_the_others_while_nothing_is_free() {
    let before = shard(7).held(1, 1).waiting(2);
    let enqueue = |layout, queue_max| Transition::Enqueue { token: token(3), terms: wait_terms(), layout, queue_max };
    for (layout, queue_max) in [(2, 2), (3, 2), (2, 5)] {
        accepted(&before, &enqueue(layout, queue_max), |after| {
            after.queue = vec![token(2), token(3)];
            after.queue_terms.insert(token(3), wait_terms());
        });
    }
    for full in [1, 0] {
        refused(&enqueue(2, full), [("as many wait as may", before.clone())]);
    }
    refused(&enqueue(1, 2), [("the shard has seen a newer layout", before.clone())]);
    refused(
        &enqueue(2, 5),
        [
            ("something is free", before.clone().free(4)),
            ("the token has a lease", before.clone().held(4, 3)),
            ("the token waits", before.waiting(3)),
        ],
    );
}

#[test]
fn a_confirmed_lease_lives_until_what_its_holder_was_told() {
    let before = shard(7).handed_over(1, 1);
    let confirm = |lease, owner, hard_end| Transition::Confirm { lease, owner, until: NOW + 600, hard_end };
    for hard_end in [NOW + 999, NOW + 1_000] {
        accepted(&before, &confirm(lease(1, 1), ann(), hard_end), |after| {
            after.claims.clear();
            let terms = after.lease_terms.get_mut(&token(1)).expect("a lease");
            (terms.until, terms.hard_end) = (NOW + 600, hard_end);
        });
    }
    let other_epoch = LeaseRef { epoch: LEASE_EPOCH + 1, ..lease(1, 1) };
    for (guard, transition) in [
        ("another's lease", confirm(lease(1, 1), bob(), NOW + 999)),
        ("another instance", confirm(lease(2, 1), ann(), NOW + 999)),
        ("another epoch", confirm(other_epoch, ann(), NOW + 999)),
        ("another token", confirm(lease(1, 2), ann(), NOW + 999)),
        ("a later hard end", confirm(lease(1, 1), ann(), NOW + 1_001)),
    ] {
        refused(&transition, [(guard, before.clone().member(2))]);
    }
    refused(
        &confirm(lease(1, 1), ann(), NOW + 999),
        [
            ("nothing to confirm", shard(7).held(1, 1)),
            ("its instance leaves", before.clone().leaving(1, NOW + 5_000)),
            ("its instance is gone", before.vanished(1)),
        ],
    );
}

#[test]
fn a_renewal_prolongs_within_the_hard_end_and_the_deadline_of_the_instance() {
    let renew = |lease, owner, now, until| Transition::Renew { lease, owner, now, until };
    let at = |until| renew(lease(1, 1), ann(), NOW, until);
    let before = shard(7).held(1, 1);
    for (before, until) in [
        (before.clone(), NOW + 500),
        (before.clone(), NOW + 60),
        (before.clone(), NOW + 1_000),
        (before.clone().leaving(1, NOW + 500), NOW + 500),
        (shard(7).handed_over(1, 1), NOW + 500),
    ] {
        accepted(&before, &at(until), |after| {
            after.claims.clear();
            after.lease_terms.get_mut(&token(1)).expect("a lease").until = until;
        });
    }
    accepted(&before, &renew(lease(1, 1), ann(), NOW + 60, NOW + 61), |after| {
        after.lease_terms.get_mut(&token(1)).expect("a lease").until = NOW + 61;
    });
    for (guard, transition) in [
        ("another's lease", renew(lease(1, 1), bob(), NOW, NOW + 500)),
        ("another instance", renew(lease(2, 1), ann(), NOW, NOW + 500)),
        ("it has ended", renew(lease(1, 1), ann(), NOW + 61, NOW + 500)),
        ("it would end sooner", at(NOW + 59)),
        ("beyond the hard end", at(NOW + 1_001)),
    ] {
        refused(&transition, [(guard, before.clone().member(2))]);
    }
    refused(
        &at(NOW + 500),
        [
            ("its instance leaves before", before.clone().leaving(1, NOW + 499)),
            ("its instance is gone", before.vanished(1)),
        ],
    );
}

#[test]
fn a_released_instance_is_the_newest_free_one() {
    let before = shard(7).held(1, 1).free(2);
    accepted(&before, &end(EndedBy::Owner(ann()), AfterEnd::Reuse(Next::Free)), |after| {
        drop_lease(after, 1);
        served(after);
        after.free = vec![instance(1), instance(2)];
    });
    refused(
        &end(EndedBy::Owner(ann()), AfterEnd::Reuse(Next::Free)),
        [
            ("someone waits", shard(7).held(1, 1).waiting(2)),
            ("the instance leaves", before.clone().leaving(1, Timestamp::NEVER)),
            ("the instance is gone", before.vanished(1)),
        ],
    );
}

#[test]
fn a_lease_is_released_only_by_its_owner_and_only_in_its_own_epoch() {
    let before = shard(7).held(1, 1).member(2);
    let release = |lease, owner: Owner| Transition::End {
        lease,
        by: EndedBy::Owner(owner),
        after: AfterEnd::Reuse(Next::Free),
        now: NOW,
    };
    for (guard, transition) in [
        ("another's", release(lease(1, 1), bob())),
        ("another instance", release(lease(2, 1), ann())),
        ("an earlier epoch", release(LeaseRef { epoch: LEASE_EPOCH - 1, ..lease(1, 1) }, ann())),
        ("a later epoch", release(LeaseRef { epoch: LEASE_EPOCH + 1, ..lease(1, 1) }, ann())),
        ("another token", release(lease(1, 2), ann())),
    ] {
        refused(&transition, [(guard, before.clone())]);
    }
}

#[test]
fn a_released_instance_goes_to_the_first_waiter_without_being_free() {
    let before = shard(7).held(1, 1).waiting(2).waiting(3);
    let release = |waiter| end(EndedBy::Owner(ann()), AfterEnd::Reuse(hand_over(waiter)));
    for before in [before.clone(), before.clone().waits_until(2, NOW)] {
        accepted(&before, &release(2), |after| {
            drop_lease(after, 1);
            served(after);
            handed_over(after, 2, 51);
        });
    }
    refused(&release(3), [("another waits longer", before.clone())]);
    refused(
        &release(2),
        [
            ("nobody waits", shard(7).held(1, 1)),
            ("its wait is over", before.clone().waits_until(2, NOW - 1)),
            ("the waiter has a lease", before.clone().held(4, 2)),
            ("the instance leaves", before.clone().leaving(1, Timestamp::NEVER)),
            ("the instance is gone", before.vanished(1)),
        ],
    );
}

#[test]
fn a_released_instance_may_be_cleaned_first_or_leave() {
    let before = shard(7).held(1, 1).waiting(2);
    accepted(&before, &end(EndedBy::Owner(ann()), AfterEnd::Reset), |after| {
        drop_lease(after, 1);
        served(after);
        after.resetting.insert(instance(1), LEASE_EPOCH);
    });
    let recycle = || AfterEnd::Recycle(leaves(NOW + 7));
    accepted(&before, &end(EndedBy::Owner(ann()), recycle()), |after| {
        drop_lease(after, 1);
        after.leaving.insert(instance(1), leaves(NOW + 7));
    });
    for after in [AfterEnd::Reset, recycle()] {
        refused(
            &end(EndedBy::Owner(ann()), after),
            [
                ("the instance leaves", before.clone().leaving(1, Timestamp::NEVER)),
                ("the instance is gone", before.clone().vanished(1)),
            ],
        );
    }
}

#[test]
fn of_a_leaving_or_vanished_instance_only_the_lease_is_dropped() {
    let left = end(EndedBy::Owner(ann()), AfterEnd::Left);
    for before in [shard(7).held(1, 1).leaving(1, NOW + 9), shard(7).handed_over(1, 1).vanished(1)] {
        accepted(&before, &left, |after| drop_lease(after, 1));
    }
    refused(&left, [("the instance stays", shard(7).held(1, 1))]);
}

#[test]
fn an_expired_lease_is_ended_by_anyone_unless_it_waits_for_its_confirmation() {
    let over = shard(7).held(1, 1).lasts_until(1, NOW - 1);
    let expire = |lease| Transition::End { lease, by: EndedBy::Expiry, after: AfterEnd::Reuse(Next::Free), now: NOW };
    accepted(&over, &expire(lease(1, 1)), |after| {
        drop_lease(after, 1);
        served(after);
        after.free = vec![instance(1)];
    });
    refused(
        &expire(lease(1, 1)),
        [
            ("its last moment", over.clone().lasts_until(1, NOW)),
            ("it has time left", over.clone().lasts_until(1, NOW + 1)),
            ("it is not confirmed yet", over.clone().claimed_until(1, NOW - 1)),
        ],
    );
    refused(&expire(LeaseRef { epoch: LEASE_EPOCH - 1, ..lease(1, 1) }), [("another epoch", over.clone())]);
    refused(&expire(lease(2, 1)), [("another instance", over.member(2))]);
}

#[test]
fn an_unconfirmed_lease_is_ended_by_anyone_once_its_holder_is_late() {
    let late = shard(7).handed_over(1, 1).claimed_until(1, NOW - 1);
    let unclaimed =
        |lease| Transition::End { lease, by: EndedBy::Unclaimed, after: AfterEnd::Reuse(Next::Free), now: NOW };
    accepted(&late, &unclaimed(lease(1, 1)), |after| {
        drop_lease(after, 1);
        served(after);
        after.free = vec![instance(1)];
    });
    refused(
        &unclaimed(lease(1, 1)),
        [
            ("its last moment", late.clone().claimed_until(1, NOW)),
            ("it has time left", late.clone().claimed_until(1, NOW + 1)),
            ("it is confirmed", shard(7).held(1, 1).lasts_until(1, NOW - 1)),
        ],
    );
    refused(&unclaimed(LeaseRef { epoch: LEASE_EPOCH + 1, ..lease(1, 1) }), [("another epoch", late.clone())]);
    refused(&unclaimed(lease(2, 1)), [("another instance", late.member(2))]);
}

#[test]
fn a_lease_whose_instance_left_before_it_was_confirmed_waits_again_as_the_first() {
    let requeue = |lease| Transition::Requeue { lease };
    let lost = shard(7).handed_over(1, 1).waiting(2);
    for before in [lost.clone().leaving(1, NOW + 9), lost.clone().vanished(1)] {
        accepted(&before, &requeue(lease(1, 1)), |after| {
            drop_lease(after, 1);
            after.queue = vec![token(1), token(2)];
            after.queue_terms.insert(token(1), lease_terms());
        });
    }
    let lost = lost.vanished(1);
    refused(
        &requeue(lease(1, 1)),
        [
            ("something is free", lost.clone().free(3)),
            ("it is confirmed", shard(7).held(1, 1).vanished(1)),
            ("its instance stays", shard(7).handed_over(1, 1)),
        ],
    );
    refused(&requeue(LeaseRef { epoch: LEASE_EPOCH + 1, ..lease(1, 1) }), [("another epoch", lost.clone())]);
    refused(&requeue(lease(2, 1)), [("another instance", lost)]);
}

#[test]
fn a_lease_whose_instance_left_before_it_was_confirmed_takes_a_free_one() {
    let swap = |lease| Transition::Swap { lease, claim_until: NOW + 31 };
    let lost = shard(7).handed_over(1, 1).free(2).free(3);
    for before in [lost.clone().leaving(1, NOW + 9), lost.clone().vanished(1)] {
        accepted(&before, &swap(lease(1, 1)), |after| {
            after.free = vec![instance(3)];
            after.leases.insert(token(1), instance(2));
            after.lease_epochs.insert(token(1), 51);
            after.claims.insert(token(1), NOW + 31);
        });
    }
    refused(
        &swap(lease(1, 1)),
        [
            ("nothing is free", shard(7).handed_over(1, 1).vanished(1)),
            ("it is confirmed", shard(7).held(1, 1).vanished(1).free(2)),
            ("its instance stays", lost.clone()),
        ],
    );
    let lost = lost.vanished(1);
    refused(&swap(LeaseRef { epoch: LEASE_EPOCH + 1, ..lease(1, 1) }), [("another epoch", lost.clone())]);
    refused(&swap(lease(2, 1)), [("another instance", lost)]);
}

#[test]
fn a_waiter_who_gives_up_leaves_the_queue_if_it_is_still_the_same_wait() {
    let before = shard(7).waiting(1).waiting(2).waiting(3);
    let give_up = |of, position, until| Transition::GiveUp { token: token(of), position, until };
    accepted(&before, &give_up(2, 1, NOW + 90), |after| {
        after.queue = vec![token(1), token(3)];
        after.queue_terms.remove(&token(2));
    });
    for (guard, transition) in [
        ("another position", give_up(2, 0, NOW + 90)),
        ("no such position", give_up(2, 3, NOW + 90)),
        ("another wait of that token", give_up(2, 1, NOW + 89)),
        ("another token", give_up(4, 1, NOW + 90)),
    ] {
        refused(&transition, [(guard, before.clone())]);
    }
}

#[test]
fn the_first_two_waiters_are_dropped_together_once_both_are_past_their_time() {
    let drop_past = |first, second| Transition::DropPast { first: token(first), second: token(second), now: NOW };
    let past = NOW - 1;
    let before =
        shard(7).waiting(1).waiting(2).waiting(3).waits_until(1, past).waits_until(2, past).waits_until(3, past);
    accepted(&before, &drop_past(1, 2), |after| {
        after.queue = vec![token(3)];
        after.queue_terms.remove(&token(1));
        after.queue_terms.remove(&token(2));
    });
    for (guard, transition) in [
        ("the first is another", drop_past(3, 2)),
        ("the second is another", drop_past(1, 3)),
        ("both are others", drop_past(2, 3)),
    ] {
        refused(&transition, [(guard, before.clone())]);
    }
    for at in [NOW, NOW + 1] {
        refused(
            &drop_past(1, 2),
            [
                ("the first has time left", before.clone().waits_until(1, at)),
                ("the second has time left", before.clone().waits_until(2, at)),
            ],
        );
    }
}
