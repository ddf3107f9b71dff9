//! Giving a lease back: what is tried next, or what is answered.

use pool_core::answer::{Refusal, Step};
use pool_core::ids::{Grant, LeaseId};
use pool_core::policy::{AfterRelease, Policy};
use pool_core::release::{release, release_unseen};
use pool_core::shard::{AfterEnd, EndedBy, Next, Shard, Transition};

use crate::given::{Given, LEASE_EPOCH, NOW, ann, bob, instance, lease, policy, shard, token};

fn short() -> LeaseId {
    LeaseId { shard: 7, token: token(1), grant: None }
}

fn long(epoch: u64, n: u64) -> LeaseId {
    LeaseId { grant: Some(Grant { epoch, instance: instance(n) }), ..short() }
}

fn end(after: AfterEnd) -> Transition {
    Transition::End { lease: lease(1, 1), by: EndedBy::Owner(ann()), after, now: NOW }
}

fn released(id: &LeaseId, shard: &Shard) -> Step {
    release(id, &ann(), shard, &policy(), NOW)
}

#[test]
fn the_long_form_is_released_without_reading() {
    let of = |after_release| {
        let policy = Policy { after_release, ..policy() };
        release_unseen(&long(LEASE_EPOCH, 1), &ann(), &policy, NOW)
    };
    assert_eq!(of(AfterRelease::Reuse), Some(end(AfterEnd::Reuse(Next::Free))));
    assert_eq!(of(AfterRelease::Reset), Some(end(AfterEnd::Reset)));
    assert_eq!(release_unseen(&short(), &ann(), &policy(), NOW), None);
}

#[test]
fn a_lease_is_given_back_by_either_form_of_its_id() {
    for id in [short(), long(LEASE_EPOCH, 1)] {
        assert_eq!(released(&id, &shard(7).held(1, 1)), Step::Try(end(AfterEnd::Reuse(Next::Free))));
    }
    let expired = shard(7).held(1, 1).lasts_until(1, NOW - 1);
    assert_eq!(released(&short(), &expired), Step::Try(end(AfterEnd::Reuse(Next::Free))));
    assert_eq!(released(&short(), &shard(7).held(1, 1).vanished(1)), Step::Try(end(AfterEnd::Left)));
}

#[test]
fn only_its_owner_gives_a_lease_back_and_only_the_present_grant() {
    let shard = shard(7).held(1, 1);
    for id in [short(), long(LEASE_EPOCH, 1), long(1, 1)] {
        assert_eq!(release(&id, &bob(), &shard, &policy(), NOW), Step::Refuse(Refusal::Foreign));
    }
    for id in [long(LEASE_EPOCH - 1, 1), long(LEASE_EPOCH + 1, 1), long(LEASE_EPOCH, 2)] {
        assert_eq!(released(&id, &shard), Step::Refuse(Refusal::OtherEpoch));
    }
}

#[test]
fn a_wait_is_given_up_by_the_short_form_alone() {
    for until in [NOW + 90, NOW - 1] {
        let shard = shard(7).waiting(2).waiting(1).waits_until(1, until);
        let give_up = Transition::GiveUp { token: token(1), position: 1, until };
        assert_eq!(released(&short(), &shard), Step::Try(give_up));
        assert_eq!(released(&long(LEASE_EPOCH, 1), &shard), Step::Refuse(Refusal::OtherEpoch), "another request");
        assert_eq!(release(&short(), &bob(), &shard, &policy(), NOW), Step::Refuse(Refusal::Foreign));
    }
}

#[test]
fn a_lease_that_is_not_there_is_given_back_already() {
    for id in [short(), long(LEASE_EPOCH, 1)] {
        assert_eq!(released(&id, &shard(7).held(2, 2)), Step::Ended);
    }
}
