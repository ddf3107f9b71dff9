//! Asking for a lease and looking at one: what is tried next, or what is answered.

use pool_core::acquire::{Elsewhere, Request, acquire, elsewhere, look};
use pool_core::answer::{LeaseState, Refusal, Step};
use pool_core::control::Layout;
use pool_core::ending;
use pool_core::ids::{LeaseId, Owner};
use pool_core::policy::Policy;
use pool_core::shard::{AfterEnd, EndedBy, Next, Shard, Terms, Transition};
use pool_core::time::Timestamp;

use crate::given::{Given, NOW, ann, bob, instance, lease, policy, shard, token};

/// Ann's request under token 1, by the layout that the shards have.
fn request(wait_seconds: u64) -> Request {
    Request { owner: ann(), token: token(1), ttl_seconds: 600, wait_seconds, layout: 2 }
}

fn asked(request: &Request, shard: &Shard) -> Step {
    acquire(request, Some(shard), &policy(), NOW)
}

fn grant() -> Step {
    let terms = Terms { owner: ann(), until: NOW + 600, hard_end: NOW + 28_800, ttl_seconds: 600 };
    Step::Try(Transition::Grant { token: token(1), terms, layout: 2 })
}

fn looked(owner: &Owner, shard: &Shard) -> Step {
    let id = LeaseId { shard: 7, token: token(1), grant: None };
    look(&id, owner, shard, &policy(), NOW)
}

/// The state and the instance of the lease that a step answers with.
fn told(step: Step) -> (LeaseState, Option<pool_core::ids::InstanceId>) {
    let Step::Lease(lease) = step else { panic!("no lease is answered: {step:?}") };
    (lease.state, lease.instance_id)
}

/// The end of a lease of token 2 that nobody waits for.
fn overdue(shard: &Shard) -> Step {
    Step::Try(ending::overdue(shard, &policy(), NOW).expect("something is overdue"))
}

#[test]
fn a_grant_is_tried_without_reading_and_again_while_something_is_free() {
    assert_eq!(acquire(&request(0), None, &policy(), NOW), grant());
    assert_eq!(asked(&request(0), &shard(7).free(1)), grant());
    let newer = Request { layout: 3, ..request(0) };
    let Step::Try(Transition::Grant { layout, .. }) = asked(&newer, &shard(7).free(1)) else { panic!("free") };
    assert_eq!(layout, 3);
}

#[test]
fn a_home_found_by_an_older_layout_is_found_anew() {
    let old = Request { layout: 1, ..request(60) };
    assert_eq!(asked(&old, &shard(7).free(1)), Step::Refuse(Refusal::OldLayout));
    assert_eq!(asked(&old, &shard(7)), Step::Refuse(Refusal::OldLayout));
    assert_eq!(told(asked(&old, &shard(7).held(1, 1))), (LeaseState::Active, Some(instance(1))), "a replay");
}

#[test]
fn with_nothing_free_a_request_waits_or_is_refused() {
    let full = shard(7).held(2, 2).waiting(3).waiting(4);
    assert_eq!(asked(&request(0), &full), Step::Refuse(Refusal::NothingFree));
    let terms = Terms { owner: ann(), until: NOW + 60, hard_end: NOW + 300 + 28_800, ttl_seconds: 600 };
    let of = |queue_max| acquire(&request(60), Some(&full), &Policy { queue_max, ..policy() }, NOW);
    let enqueue = Transition::Enqueue { token: token(1), terms, layout: 2, queue_max: 3 };
    assert_eq!(of(3), Step::Try(enqueue));
    assert_eq!(of(2), Step::Refuse(Refusal::QueueFull));
    assert_eq!(of(1), Step::Refuse(Refusal::QueueFull));
}

#[test]
fn an_overdue_lease_is_ended_before_a_new_one_is_refused() {
    let shard = shard(7).held(2, 2).lasts_until(2, NOW - 3);
    let end = Transition::End { lease: lease(2, 2), by: EndedBy::Expiry, after: AfterEnd::Reuse(Next::Free), now: NOW };
    assert_eq!(asked(&request(0), &shard), Step::Try(end.clone()));
    assert_eq!(asked(&request(60), &shard), Step::Try(end));
}

#[test]
fn a_replayed_request_meets_its_own_lease_or_wait() {
    assert_eq!(told(asked(&request(0), &shard(7).held(1, 1).free(2))), (LeaseState::Active, Some(instance(1))));
    let marked = shard(7).held(1, 1).leaving(1, NOW + 9);
    assert_eq!(told(asked(&request(0), &marked)), (LeaseState::Interrupted, Some(instance(1))));
    assert_eq!(told(asked(&request(0), &shard(7).waiting(1))), (LeaseState::Pending, None));
}

#[test]
fn a_replayed_request_confirms_what_was_handed_over() {
    let confirm =
        |until, hard_end| Step::Try(Transition::Confirm { lease: lease(1, 1), owner: ann(), until, hard_end });
    let shard = |ttl_seconds, hard_end| {
        shard(7).handed_over(1, 1).with(|shard| {
            let terms = shard.lease_terms.get_mut(&token(1)).expect("a lease");
            (terms.ttl_seconds, terms.hard_end) = (ttl_seconds, hard_end);
        })
    };
    let far = NOW + 99_999;
    assert_eq!(asked(&request(0), &shard(600, far)), confirm(NOW + 600, NOW + 28_800), "its life begins now");
    assert_eq!(asked(&request(0), &shard(600, NOW + 700)), confirm(NOW + 600, NOW + 700));
    assert_eq!(asked(&request(0), &shard(900, NOW + 700)), confirm(NOW + 700, NOW + 700));
}

#[test]
fn what_was_lost_before_it_was_seen_is_replaced() {
    let lost = shard(7).handed_over(1, 1).vanished(1);
    assert_eq!(asked(&request(0), &lost), Step::Try(Transition::Requeue { lease: lease(1, 1) }));
    let swap = Transition::Swap { lease: lease(1, 1), claim_until: NOW + 30 };
    assert_eq!(asked(&request(0), &lost.free(2)), Step::Try(swap));
}

#[test]
fn what_is_over_under_a_key_is_cleared_away_first() {
    let expired = shard(7).held(1, 1).lasts_until(1, NOW - 1).free(2);
    let end = Transition::End { lease: lease(1, 1), by: EndedBy::Expiry, after: AfterEnd::Reuse(Next::Free), now: NOW };
    assert_eq!(asked(&request(0), &expired), Step::Try(end));
    let waited_out = shard(7).waiting(2).waiting(1).waits_until(1, NOW - 1);
    let give_up = Transition::GiveUp { token: token(1), position: 1, until: NOW - 1 };
    assert_eq!(asked(&request(60), &waited_out), Step::Try(give_up));
}

#[test]
fn a_look_tells_the_lease_to_its_owner_alone() {
    let shard = shard(7).held(1, 1);
    assert_eq!(told(looked(&ann(), &shard)), (LeaseState::Active, Some(instance(1))));
    assert_eq!(looked(&bob(), &shard), Step::Refuse(Refusal::Foreign));
    assert_eq!(looked(&bob(), &crate::given::shard(7).waiting(1)), Step::Refuse(Refusal::Foreign));
    assert_eq!(looked(&bob(), &crate::given::shard(7).handed_over(1, 1)), Step::Refuse(Refusal::Foreign));
}

#[test]
fn a_look_at_what_is_not_there_or_over_finds_nothing() {
    for shard in [shard(7), shard(7).held(1, 2), shard(7).held(1, 1).lasts_until(1, NOW - 1)] {
        for owner in [ann(), bob()] {
            assert_eq!(looked(&owner, &shard), Step::Refuse(Refusal::NotThere));
        }
    }
}

#[test]
fn a_waiter_who_looks_ends_what_is_overdue() {
    let shard = shard(7).held(2, 2).waiting(1);
    assert_eq!(told(looked(&ann(), &shard)), (LeaseState::Pending, None));
    let late = shard.lasts_until(2, NOW - 3);
    assert_eq!(looked(&ann(), &late), overdue(&late));
    let lost = crate::given::shard(7).held(1, 1).held(2, 2).lasts_until(2, NOW - 3);
    assert_eq!(told(looked(&ann(), &lost)), (LeaseState::Active, Some(instance(1))), "a holder leaves it to others");
}

#[test]
fn a_look_confirms_replaces_and_gives_up_for_its_owner() {
    let Step::Try(Transition::Confirm { lease: confirmed, .. }) = looked(&ann(), &shard(7).handed_over(1, 1)) else {
        panic!("it is confirmed")
    };
    assert_eq!(confirmed, lease(1, 1));
    let lost = shard(7).handed_over(1, 1).leaving(1, Timestamp::NEVER);
    assert_eq!(looked(&ann(), &lost), Step::Try(Transition::Requeue { lease: lease(1, 1) }));
    let waited_out = shard(7).waiting(1).waits_until(1, NOW - 1);
    let give_up = Transition::GiveUp { token: token(1), position: 0, until: NOW - 1 };
    assert_eq!(looked(&ann(), &waited_out), Step::Try(give_up));
}

#[test]
fn a_request_without_a_key_goes_where_something_is_free_and_more_often_where_more_is() {
    let layout = Layout { shards: 3, ..Layout::default() };
    let of = |shards: &[Shard], keyed| elsewhere(shards, keyed, &layout, 5);
    let shards = [shard(0).held(1, 1), shard(1).free(2).free(3), shard(2).free(4)];
    let drawn: Vec<_> = (0..6).map(|drawn| elsewhere(&shards, false, &layout, drawn)).collect();
    assert_eq!(drawn, [1, 1, 2, 1, 1, 2].map(|shard| Some(Elsewhere::Ask(shard))));
    assert_eq!(of(&shards, true), Some(Elsewhere::Bring), "a key is tied to its home");
    assert_eq!(of(&shards[..1], false), None);
    assert_eq!(of(&shards[..1], true), None);
    assert_eq!(of(&shards[2..], false), Some(Elsewhere::Ask(2)));
}

#[test]
fn from_a_shard_that_is_nobodys_home_an_instance_is_brought() {
    let layout = Layout { shards: 3, ..Layout::default() };
    let retired = || shard(3).free(1).free(2).free(3);
    assert_eq!(elsewhere(&[retired()], false, &layout, 1), Some(Elsewhere::Bring));
    let with_a_home = [shard(2).free(4), retired()];
    assert_eq!(elsewhere(&with_a_home, false, &layout, 1), Some(Elsewhere::Ask(2)), "asking is the shorter way");
}
