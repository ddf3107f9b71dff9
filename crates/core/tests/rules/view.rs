//! Reading a shard: how a request stands, where an instance is, how many there are; and what a transition is about.

use pool_core::ids::{Grant, LeaseId};
use pool_core::shard::{AfterEnd, Apart, EndedBy, Lift, Market, Next, Place, Standing, StopPhase, Stopped, Transition};
use pool_core::time::Timestamp;

use crate::given::{
    BOOT_EPOCH, Given, LEASE_EPOCH, NOW, ann, instance, intent, kind, launch_token, lease, lease_terms, leaves, member,
    shard, token, transfer_id, wait_terms,
};

#[test]
fn a_lease_has_the_name_that_its_holder_was_told() {
    let shard = shard(7).held(1, 1).held(2, 2);
    assert_eq!(shard.lease(&token(2)), Some(lease(2, 2)));
    assert_eq!(shard.lease(&token(3)), None);
    let grant = Some(Grant { epoch: LEASE_EPOCH, instance: instance(2) });
    assert_eq!(shard.lease_id(&lease(2, 2)), LeaseId { shard: 7, token: token(2), grant });
}

#[test]
fn a_request_waits_in_its_place_until_its_last_moment() {
    let shard = shard(7).waiting(1).waiting(2).waits_until(2, NOW);
    let terms = || shard.queue_terms[&token(2)].clone();
    assert_eq!(shard.standing(&token(2), NOW), Standing::Waiting { ahead: 1, terms: terms() });
    assert_eq!(shard.standing(&token(2), NOW - 1), Standing::Waiting { ahead: 1, terms: terms() });
    assert_eq!(shard.standing(&token(2), NOW + 1), Standing::WaitedOut { ahead: 1, terms: terms() });
    assert_eq!(shard.standing(&token(1), NOW), Standing::Waiting { ahead: 0, terms: wait_terms() });
    assert_eq!(shard.standing(&token(3), NOW), Standing::Unknown);
}

#[test]
fn a_lease_is_in_force_until_its_last_moment() {
    let shard = shard(7).held(1, 1).lasts_until(1, NOW);
    let terms = || shard.lease_terms[&token(1)].clone();
    let active = Standing::Active { lease: lease(1, 1), terms: terms() };
    assert_eq!(shard.standing(&token(1), NOW), active);
    assert_eq!(shard.standing(&token(1), NOW - 1), active);
    assert_eq!(shard.standing(&token(1), NOW + 1), Standing::Expired { lease: lease(1, 1), terms: terms() });
}

#[test]
fn a_lease_that_came_by_hand_over_is_unconfirmed_whatever_its_time() {
    let shard = shard(7).handed_over(1, 1);
    let (lease, terms) = (lease(1, 1), lease_terms());
    let unconfirmed = Standing::Unconfirmed { lease: lease.clone(), terms: terms.clone() };
    assert_eq!(shard.standing(&token(1), NOW), unconfirmed);
    assert_eq!(shard.standing(&token(1), NOW + 61), unconfirmed);
    let lost = Standing::LostBeforeClaim { lease, terms };
    assert_eq!(shard.clone().leaving(1, Timestamp::NEVER).standing(&token(1), NOW), lost);
    assert_eq!(shard.vanished(1).standing(&token(1), NOW + 61), lost);
}

#[test]
fn a_lease_is_interrupted_only_when_its_instance_leaves_before_it_ends() {
    let shard = shard(7).held(1, 1);
    let (lease, terms) = (lease(1, 1), lease_terms());
    let interrupted = |deadline| Standing::Interrupted { lease: lease.clone(), terms: terms.clone(), deadline };
    assert_eq!(shard.clone().leaving(1, NOW + 9).standing(&token(1), NOW), interrupted(Some(NOW + 9)));
    assert_eq!(shard.clone().vanished(1).standing(&token(1), NOW), interrupted(None));
    let afterwards = shard.leaving(1, Timestamp::NEVER);
    assert_eq!(
        afterwards.standing(&token(1), NOW),
        Standing::Active { lease: lease.clone(), terms: terms.clone() },
        "it leaves only after its lease"
    );
    assert_eq!(afterwards.standing(&token(1), NOW + 61), Standing::Expired { lease, terms });
}

#[test]
fn a_standing_tells_its_terms_and_its_grant() {
    let (lease, terms) = (lease(1, 1), lease_terms());
    let of_a_grant = [
        Standing::Unconfirmed { lease: lease.clone(), terms: terms.clone() },
        Standing::LostBeforeClaim { lease: lease.clone(), terms: terms.clone() },
        Standing::Active { lease: lease.clone(), terms: terms.clone() },
        Standing::Interrupted { lease: lease.clone(), terms: terms.clone(), deadline: None },
        Standing::Expired { lease: lease.clone(), terms: terms.clone() },
    ];
    for standing in of_a_grant {
        assert_eq!((standing.terms(), standing.lease()), (Some(&terms), Some(&lease)));
    }
    let of_a_wait =
        [Standing::Waiting { ahead: 1, terms: terms.clone() }, Standing::WaitedOut { ahead: 1, terms: terms.clone() }];
    for standing in of_a_wait {
        assert_eq!((standing.terms(), standing.lease()), (Some(&terms), None));
    }
    assert_eq!((Standing::Unknown.terms(), Standing::Unknown.lease()), (None, None));
}

#[test]
fn every_member_is_in_one_place() {
    let shard = shard(7)
        .free(1)
        .free(2)
        .held(3, 1)
        .held(4, 2)
        .booting(5)
        .stopping(6)
        .resetting(7)
        .moving(8)
        .member(9)
        .leaving(9, NOW)
        .leaving(4, NOW);
    let stopping = Stopped { phase: StopPhase::Stopping, since: NOW - 200 };
    for (n, place) in [
        (1, Place::Free(0)),
        (2, Place::Free(1)),
        (3, Place::Leased),
        (4, Place::Leased),
        (5, Place::Booting(BOOT_EPOCH)),
        (6, Place::Stopped(stopping)),
        (7, Place::Resetting(LEASE_EPOCH)),
        (8, Place::Moving),
        (9, Place::Leaving),
    ] {
        assert_eq!(shard.place_of(&instance(n)), Some(place), "instance {n}");
    }
    assert_eq!(shard.place_of(&instance(10)), None);
    assert_eq!(shard.clone().vanished(3).place_of(&instance(3)), None, "its lease makes it no member");
    assert_eq!(shard.lease_on(&instance(4)), Some(lease(4, 2)));
    assert_eq!(shard.lease_on(&instance(1)), None);
}

#[test]
fn members_leases_and_intents_are_counted() {
    let shard =
        shard(7).held(1, 1).held(2, 2).held(3, 3).held(4, 4).free(5).leaving(2, NOW).intending(1, 3).intending(2, 4);
    assert_eq!((shard.serving(), shard.leased(), shard.intended()), (4, 4, 7));
    let vanished = shard.vanished(1);
    assert_eq!((vanished.serving(), vanished.leased()), (3, 3), "a lease without its instance needs none");
    let empty = crate::given::shard(7);
    assert_eq!((empty.serving(), empty.leased(), empty.intended()), (0, 0, 0));
}

/// Every transition, its name, and whether it is about token 1 and about instance 1.
fn all_transitions() -> Vec<(Transition, &'static str, bool, bool)> {
    let of = || lease(1, 1);
    let (token, instance, launch) = (|| token(1), || instance(1), || launch_token(1));
    let (transfer, leaving, key) = (|| transfer_id(1), || leaves(NOW), || member(1).key);
    let end = |by| Transition::End { lease: of(), by, after: AfterEnd::Left, now: NOW };
    let (now, next) = (NOW, || Next::Free);
    let place = Apart::Booting;
    vec![
        (Transition::Grant { token: token(), terms: lease_terms(), layout: 2 }, "grant", true, false),
        (Transition::Enqueue { token: token(), terms: wait_terms(), layout: 2, queue_max: 9 }, "enqueue", true, false),
        (Transition::Confirm { lease: of(), owner: ann(), until: now, hard_end: now }, "confirm", true, true),
        (Transition::Renew { lease: of(), owner: ann(), now, until: now }, "renew", true, true),
        (end(EndedBy::Owner(ann())), "release", true, true),
        (end(EndedBy::Expiry), "expire", true, true),
        (end(EndedBy::Unclaimed), "un-confirm", true, true),
        (Transition::Requeue { lease: of() }, "re-queue", true, true),
        (Transition::Swap { lease: of(), claim_until: now }, "swap", true, true),
        (Transition::GiveUp { token: token(), position: 0, until: now }, "give up waiting", true, false),
        (Transition::DropPast { first: token(), second: token(), now }, "drop the past", false, false),
        (Transition::Intend { launch: launch(), intent: intent(1, Market::Spot), sequence: 9 }, "intend", false, false),
        (Transition::Adopt { launch: launch(), members: Vec::new(), short: 0 }, "adopt", false, false),
        (Transition::Settle { launch: launch() }, "settle", false, false),
        (
            Transition::AdoptOrphan { instance: instance(), member: member(1), launch: launch(), sequence: 9 },
            "adopt an orphan",
            false,
            true,
        ),
        (Transition::Doom { instance: instance(), launch: launch(), sequence: 9, now }, "doom an orphan", false, true),
        (
            Transition::Locate { instance: instance(), address: String::new(), kind: kind(Market::Spot) },
            "locate",
            false,
            true,
        ),
        (
            Transition::Ready { instance: instance(), boot_epoch: 1, key: key(), boot_id: 1, now, next: next() },
            "ready",
            false,
            true,
        ),
        (Transition::ReadyAgain { instance: instance(), key: key(), boot_id: 1 }, "ready again", false, true),
        (
            Transition::ResetDone { instance: instance(), cleaned_epoch: 1, now, next: next() },
            "reset done",
            false,
            true,
        ),
        (Transition::Fence { instance: instance(), position: 0, keep: 0, leaving: leaving() }, "fence", false, true),
        (Transition::FenceApart { instance: instance(), place, leaving: leaving() }, "fence", false, true),
        (Transition::Mark { instance: instance(), leaving: leaving() }, "mark", false, true),
        (Transition::Stop { instance: instance(), position: 0, keep: 0, now }, "stop", false, true),
        (Transition::Stopped { instance: instance(), now }, "stopped", false, true),
        (Transition::Start { instance: instance(), now, stopped_before: now }, "start", false, true),
        (Transition::Gone { instance: instance(), now }, "gone", false, true),
        (
            Transition::Give { instance: instance(), position: 0, to: 8, transfer: transfer(), sequence: 9, now },
            "give",
            false,
            true,
        ),
        (
            Transition::Take {
                instance: instance(),
                transfer: transfer(),
                member: member(1),
                source_epoch: 1,
                limit: 1,
                now,
                next: next(),
                lift: Lift::None,
            },
            "take",
            false,
            true,
        ),
        (Transition::Done { instance: instance(), transfer: transfer() }, "done", false, true),
        (Transition::Cancel { transfer: transfer(), now }, "cancel", false, false),
        (Transition::Back { instance: instance(), transfer: transfer(), now, next: next() }, "back", false, true),
        (Transition::Prune { name: "7.1".to_owned(), written_before: now }, "prune", false, false),
        (Transition::Resize { from: 16, delta: 1, layout: 3 }, "resize", false, false),
    ]
}

#[test]
fn a_transition_says_its_name_and_what_it_is_about() {
    for (transition, name, of_token, of_instance) in all_transitions() {
        assert_eq!(transition.name(), name);
        assert_eq!(transition.token(), of_token.then(|| token(1)).as_ref(), "{name}");
        assert_eq!(transition.instance(), of_instance.then(|| instance(1)).as_ref(), "{name}");
    }
}
