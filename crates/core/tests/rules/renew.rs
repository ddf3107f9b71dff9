//! Renewing a lease: how far it reaches, and when it is refused.

use pool_core::acquire::{Renewal, renew, renew_unseen};
use pool_core::answer::{LeaseState, Refusal, Step};
use pool_core::ids::{Grant, LeaseId};
use pool_core::shard::{Shard, Transition};
use pool_core::time::Timestamp;

use crate::given::{Given, LEASE_EPOCH, NOW, ann, bob, instance, lease, policy, shard, token};

fn grant(epoch: u64, n: u64) -> Grant {
    Grant { epoch, instance: instance(n) }
}

/// Ann's renewal of the lease under token 1, by the long form of its id.
fn renewal(ttl_seconds: Option<u64>) -> Renewal {
    named(ttl_seconds, Some(grant(LEASE_EPOCH, 1)))
}

fn named(ttl_seconds: Option<u64>, grant: Option<Grant>) -> Renewal {
    Renewal { owner: ann(), id: LeaseId { shard: 7, token: token(1), grant }, ttl_seconds }
}

fn renewed(renewal: &Renewal, shard: &Shard) -> Step {
    renew(renewal, shard, false, &policy(), NOW)
}

fn until(until: Timestamp) -> Step {
    Step::Try(Transition::Renew { lease: lease(1, 1), owner: ann(), now: NOW, until })
}

/// When the lease that a step answers with ends, and how it is.
fn told(step: Step) -> (LeaseState, Option<u64>) {
    let Step::Lease(lease) = step else { panic!("no lease is answered: {step:?}") };
    (lease.state, lease.expires_in_seconds)
}

#[test]
fn a_renewal_that_says_all_needs_no_reading() {
    let Step::Try(expected) = until(NOW + 120) else { panic!("a write") };
    assert_eq!(renew_unseen(&renewal(Some(120)), NOW), Some(expected));
    assert_eq!(renew_unseen(&renewal(None), NOW), None, "the lease's own life must be read");
    assert_eq!(renew_unseen(&named(Some(120), None), NOW), None, "the grant must be read");
}

#[test]
fn a_lease_is_renewed_for_the_wanted_life_or_its_own() {
    let shard = shard(7).held(1, 1);
    assert_eq!(renewed(&renewal(Some(120)), &shard), until(NOW + 120));
    assert_eq!(renewed(&renewal(None), &shard), until(NOW + 600));
    assert_eq!(renewed(&named(Some(120), None), &shard), until(NOW + 120), "the short form");
    assert_eq!(renewed(&renewal(Some(61)), &shard), until(NOW + 61));
}

#[test]
fn a_renewal_reaches_neither_beyond_the_hard_end_nor_beyond_the_deadline() {
    let shard = shard(7).held(1, 1);
    assert_eq!(renewed(&renewal(Some(1_000)), &shard), until(NOW + 1_000));
    assert_eq!(renewed(&renewal(Some(1_001)), &shard), until(NOW + 1_000));
    assert_eq!(renewed(&renewal(Some(500)), &shard.clone().leaving(1, NOW + 90)), until(NOW + 90));
    assert_eq!(renewed(&renewal(Some(500)), &shard.leaving(1, Timestamp::NEVER)), until(NOW + 500));
}

#[test]
fn a_renewal_never_shortens() {
    let shard = shard(7).held(1, 1);
    for ttl in [59, 60] {
        assert_eq!(told(renewed(&renewal(Some(ttl)), &shard)), (LeaseState::Active, Some(60)));
    }
    let leaving = shard.leaving(1, NOW + 60);
    assert_eq!(
        told(renewed(&renewal(Some(500)), &leaving)),
        (LeaseState::Interrupted, Some(60)),
        "so long and no more"
    );
}

#[test]
fn at_its_hard_end_a_lease_is_not_renewed() {
    let at_its_end = shard(7).held(1, 1).lasts_until(1, NOW + 1_000);
    assert_eq!(renewed(&renewal(Some(1_001)), &at_its_end), Step::Refuse(Refusal::PastHardEnd));
    for ttl in [999, 1_000] {
        let step = renewed(&renewal(Some(ttl)), &at_its_end);
        assert_eq!(told(step), (LeaseState::Active, Some(1_000)), "no more is wanted than it has");
    }
    let over = |hard_end| {
        shard(7).held(1, 1).lasts_until(1, NOW + 5).with(|shard| {
            shard.lease_terms.get_mut(&token(1)).expect("a lease").hard_end = hard_end;
        })
    };
    assert_eq!(renewed(&renewal(Some(1)), &over(NOW)), Step::Refuse(Refusal::PastHardEnd));
    assert_eq!(renewed(&renewal(Some(1)), &over(NOW - 1)), Step::Refuse(Refusal::PastHardEnd));
    assert_eq!(told(renewed(&renewal(Some(1)), &over(NOW + 1))), (LeaseState::Active, Some(5)));
}

#[test]
fn only_the_owner_renews_and_only_the_present_grant() {
    let shard = || shard(7).held(1, 1);
    let foreign = Renewal { owner: bob(), ..renewal(Some(120)) };
    assert_eq!(renewed(&foreign, &shard()), Step::Refuse(Refusal::Foreign));
    assert_eq!(renewed(&foreign, &crate::given::shard(7).waiting(1)), Step::Refuse(Refusal::Foreign));
    for other in [grant(LEASE_EPOCH - 1, 1), grant(LEASE_EPOCH + 1, 1), grant(LEASE_EPOCH, 2)] {
        assert_eq!(renewed(&named(Some(120), Some(other)), &shard()), Step::Refuse(Refusal::OtherEpoch));
    }
}

#[test]
fn what_is_over_or_unknown_is_not_renewed() {
    for shard in [shard(7), shard(7).held(1, 1).lasts_until(1, NOW - 1), shard(7).waiting(1).waits_until(1, NOW - 1)] {
        assert_eq!(renewed(&renewal(Some(120)), &shard), Step::Refuse(Refusal::NotThere));
    }
}

#[test]
fn what_waits_is_told_and_what_was_handed_over_is_confirmed_or_replaced_first() {
    assert_eq!(told(renewed(&named(None, None), &shard(7).waiting(1))), (LeaseState::Pending, None));
    let step = renewed(&named(None, None), &shard(7).handed_over(1, 1));
    assert!(matches!(step, Step::Try(Transition::Confirm { .. })), "{step:?}");
    let step = renewed(&named(None, None), &shard(7).handed_over(1, 1).vanished(1));
    assert_eq!(step, Step::Try(Transition::Requeue { lease: lease(1, 1) }));
}

#[test]
fn after_its_write_and_without_its_instance_the_lease_is_told_as_it_is() {
    let step = renew(&renewal(Some(120)), &shard(7).held(1, 1), true, &policy(), NOW);
    assert_eq!(told(step), (LeaseState::Active, Some(60)));
    let gone = renewed(&renewal(Some(120)), &shard(7).held(1, 1).vanished(1));
    assert_eq!(told(gone), (LeaseState::Interrupted, Some(60)));
}
