//! How a lease ends, what becomes of its instance, and what is overdue in a shard.

use pool_core::ending::{after_release, end, overdue, replace_lost};
use pool_core::policy::{AfterRelease, Policy};
use pool_core::shard::{AfterEnd, EndedBy, Leaving, Next, Shard, Transition};
use pool_core::time::Timestamp;

use crate::given::{Given, NOW, ann, lease, policy, shard, token};

fn with(after_release: AfterRelease) -> Policy {
    Policy { after_release, claim_seconds: 25, ..policy() }
}

fn handed_to(waiter: u8) -> Next {
    Next::HandOver { waiter: token(waiter), claim_until: NOW + 25 }
}

fn ended(by: EndedBy, after: AfterEnd) -> Transition {
    Transition::End { lease: lease(1, 1), by, after, now: NOW }
}

/// The end of the lease under token 1, given back by Ann.
fn given_back(shard: &Shard, policy: &Policy) -> Transition {
    end(shard, &lease(1, 1), EndedBy::Owner(ann()), policy, NOW)
}

fn give_up(of: u8, position: u64, until: Timestamp) -> Transition {
    Transition::GiveUp { token: token(of), position, until }
}

fn recycled() -> AfterEnd {
    AfterEnd::Recycle(Leaving { why: "recycled after its lease".to_owned(), deadline: Timestamp::NEVER })
}

#[test]
fn the_first_live_waiter_is_next() {
    let policy = with(AfterRelease::Reuse);
    assert_eq!(shard(7).next(&policy, NOW), Ok(Next::Free));
    let waited = shard(7).waiting(1).waiting(2);
    assert_eq!(waited.next(&policy, NOW), Ok(handed_to(1)));
    assert_eq!(waited.clone().waits_until(1, NOW).next(&policy, NOW), Ok(handed_to(1)), "its last moment");
    assert_eq!(waited.clone().waits_until(2, NOW - 1).next(&policy, NOW), Ok(handed_to(1)), "the second is not asked");
}

#[test]
fn a_waiter_whose_time_is_over_is_cleared_from_the_front() {
    let policy = with(AfterRelease::Reuse);
    let waited = shard(7).waiting(1).waiting(2).waits_until(1, NOW - 1);
    assert_eq!(waited.next(&policy, NOW), Err(give_up(1, 0, NOW - 1)));
    assert_eq!(waited.clone().waits_until(2, NOW).next(&policy, NOW), Err(give_up(1, 0, NOW - 1)));
    let both = Transition::DropPast { first: token(1), second: token(2), now: NOW };
    assert_eq!(waited.waits_until(2, NOW - 9).next(&policy, NOW), Err(both));
    let alone = shard(7).waiting(1).waits_until(1, NOW - 1);
    assert_eq!(alone.next(&policy, NOW), Err(give_up(1, 0, NOW - 1)));
}

#[test]
fn the_policy_says_what_becomes_of_an_instance_after_its_lease() {
    assert_eq!(after_release(&with(AfterRelease::Reuse)), AfterEnd::Reuse(Next::Free));
    assert_eq!(after_release(&with(AfterRelease::Reset)), AfterEnd::Reset);
    assert_eq!(after_release(&with(AfterRelease::Recycle)), recycled());
}

#[test]
fn an_instance_is_handed_over_unless_it_must_be_cleaned_or_replaced_first() {
    let alone = shard(7).held(1, 1);
    let waited = alone.clone().waiting(2);
    let by = || EndedBy::Owner(ann());
    let reuse = with(AfterRelease::Reuse);
    assert_eq!(given_back(&alone, &reuse), ended(by(), AfterEnd::Reuse(Next::Free)));
    assert_eq!(given_back(&waited, &reuse), ended(by(), AfterEnd::Reuse(handed_to(2))));
    for shard in [alone, waited.clone(), waited.waits_until(2, NOW - 1)] {
        assert_eq!(given_back(&shard, &with(AfterRelease::Reset)), ended(by(), AfterEnd::Reset));
        assert_eq!(given_back(&shard, &with(AfterRelease::Recycle)), ended(by(), recycled()));
    }
}

#[test]
fn a_waiter_past_its_time_is_cleared_away_before_a_lease_ends() {
    let shard = shard(7).handed_over(1, 1).waiting(2).waits_until(2, NOW - 1);
    assert_eq!(given_back(&shard, &with(AfterRelease::Reuse)), give_up(2, 0, NOW - 1));
    let unclaimed = end(&shard, &lease(1, 1), EndedBy::Unclaimed, &with(AfterRelease::Reset), NOW);
    assert_eq!(unclaimed, give_up(2, 0, NOW - 1));
}

#[test]
fn of_an_instance_that_leaves_or_left_only_the_lease_ends() {
    let held = shard(7).held(1, 1).waiting(2);
    for shard in [held.clone().leaving(1, Timestamp::NEVER), held.clone().vanished(1), held.leaving(1, NOW).vanished(1)]
    {
        assert_eq!(given_back(&shard, &with(AfterRelease::Reset)), ended(EndedBy::Owner(ann()), AfterEnd::Left));
    }
}

#[test]
fn what_its_holder_never_saw_needs_no_cleaning() {
    let shard = shard(7).handed_over(1, 1);
    for after_release in [AfterRelease::Reuse, AfterRelease::Reset, AfterRelease::Recycle] {
        let of = |shard: &Shard| end(shard, &lease(1, 1), EndedBy::Unclaimed, &with(after_release), NOW);
        assert_eq!(of(&shard), ended(EndedBy::Unclaimed, AfterEnd::Reuse(Next::Free)));
        assert_eq!(of(&shard.clone().waiting(2)), ended(EndedBy::Unclaimed, AfterEnd::Reuse(handed_to(2))));
    }
}

#[test]
fn a_lease_is_overdue_two_seconds_after_its_end() {
    let policy = with(AfterRelease::Reuse);
    let shard = |until| shard(7).held(2, 2).held(1, 1).lasts_until(1, until);
    assert_eq!(overdue(&shard(NOW - 2), &policy, NOW), None);
    let expired = ended(EndedBy::Expiry, AfterEnd::Reuse(Next::Free));
    assert_eq!(overdue(&shard(NOW - 3), &policy, NOW), Some(expired));
}

#[test]
fn a_hand_over_is_overdue_two_seconds_after_it_should_have_been_confirmed() {
    let policy = with(AfterRelease::Reuse);
    let shard = |until| shard(7).handed_over(1, 1).claimed_until(1, until);
    assert_eq!(overdue(&shard(NOW - 1), &policy, NOW), None);
    assert_eq!(overdue(&shard(NOW - 2), &policy, NOW), None);
    let unclaimed = ended(EndedBy::Unclaimed, AfterEnd::Reuse(Next::Free));
    assert_eq!(overdue(&shard(NOW - 3), &policy, NOW), Some(unclaimed.clone()));
    assert_eq!(overdue(&shard(NOW - 30).lasts_until(1, NOW - 30), &policy, NOW), Some(unclaimed));
}

#[test]
fn what_was_lost_before_it_was_seen_is_overdue_at_once() {
    let policy = with(AfterRelease::Reuse);
    let lost = shard(7).handed_over(1, 1).vanished(1);
    let requeue = Transition::Requeue { lease: lease(1, 1) };
    assert_eq!(replace_lost(&lost, lease(1, 1), &policy, NOW), requeue);
    assert_eq!(overdue(&lost, &policy, NOW), Some(requeue));
    let swap = Transition::Swap { lease: lease(1, 1), claim_until: NOW + 25 };
    assert_eq!(replace_lost(&lost.clone().free(2), lease(1, 1), &policy, NOW), swap);
    assert_eq!(overdue(&lost.free(2), &policy, NOW), Some(swap));
}

#[test]
fn a_wait_is_overdue_wherever_it_stands_and_after_every_lease() {
    let policy = with(AfterRelease::Reuse);
    let waited = shard(7).held(1, 1).waiting(2).waiting(3).waiting(4);
    assert_eq!(overdue(&waited, &policy, NOW), None);
    assert_eq!(overdue(&waited.clone().waits_until(3, NOW), &policy, NOW), None);
    assert_eq!(overdue(&waited.clone().waits_until(2, NOW - 1), &policy, NOW), Some(give_up(2, 0, NOW - 1)));
    let behind = waited.waits_until(3, NOW - 1);
    assert_eq!(overdue(&behind, &policy, NOW), Some(give_up(3, 1, NOW - 1)));
    assert_eq!(overdue(&behind.clone().waits_until(4, NOW - 1), &policy, NOW), Some(give_up(3, 1, NOW - 1)));
    let front = behind.clone().waits_until(2, NOW - 1);
    let both = Transition::DropPast { first: token(2), second: token(3), now: NOW };
    assert_eq!(overdue(&front, &policy, NOW), Some(both));
    let recycle = with(AfterRelease::Recycle);
    let expired = ended(EndedBy::Expiry, recycled());
    assert_eq!(overdue(&front.lasts_until(1, NOW - 3), &recycle, NOW), Some(expired));
}
