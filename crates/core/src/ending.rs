//! Every lease ends: how, what becomes of its instance, and what is overdue in a shard.
//!
//! Time is judged with a grace, so that a caller whose clock is a little behind is never cut off before the moment it
//! was told.

use crate::policy::{AfterRelease, Policy};
use crate::shard::{AfterEnd, EndedBy, LeaseRef, Leaving, Next, Shard, Standing, Transition};
use crate::time::Timestamp;

/// How much later than promised a lease is taken away, in seconds; more than the clocks of functions differ.
pub const GRACE_SECONDS: u64 = 2;

impl Shard {
    /// Where an instance that can be used again goes: to the first waiter, or to `free`. The error is what must be done
    /// first: a waiter whose time is over stands at the front.
    ///
    /// # Errors
    /// The transition that clears the front of the queue.
    pub fn next(&self, policy: &Policy, now: Timestamp) -> Result<Next, Transition> {
        let Some(first) = self.queue.first() else { return Ok(Next::Free) };
        match self.drop_past(0, now) {
            Some(transition) => Err(transition),
            None => Ok(Next::HandOver { waiter: first.clone(), claim_until: now + policy.claim_seconds }),
        }
    }

    /// Takes the waiter at `position` out if its time is over, with the second one if both are at the front.
    fn drop_past(&self, position: usize, now: Timestamp) -> Option<Transition> {
        let until = |k: usize| self.queue.get(k).and_then(|token| self.queue_terms.get(token)).map(|terms| terms.until);
        let past = |k: usize| until(k).is_some_and(|until| until < now);
        if !past(position) {
            return None;
        }
        if position == 0 && past(1) {
            return Some(Transition::DropPast { first: self.queue[0].clone(), second: self.queue[1].clone(), now });
        }
        let token = self.queue[position].clone();
        Some(Transition::GiveUp { token, position: position as u64, until: until(position)? })
    }
}

/// The transition that ends a lease in the shard as it is now, or one that must come before it.
#[must_use]
pub fn end(shard: &Shard, lease: &LeaseRef, by: EndedBy, policy: &Policy, now: Timestamp) -> Transition {
    let after = if !shard.members.contains_key(&lease.instance) || shard.leaving.contains_key(&lease.instance) {
        AfterEnd::Left
    } else if by == EndedBy::Unclaimed {
        // Its holder never saw it, so there is nothing to clean.
        match shard.next(policy, now) {
            Ok(next) => AfterEnd::Reuse(next),
            Err(first) => return first,
        }
    } else {
        match (after_release(policy), shard.next(policy, now)) {
            (AfterEnd::Reuse(_), Ok(next)) => AfterEnd::Reuse(next),
            (AfterEnd::Reuse(_), Err(first)) => return first,
            (after, _) => after,
        }
    };
    Transition::End { lease: lease.clone(), by, after, now }
}

/// What becomes of an instance after its lease when nobody waits.
#[must_use]
pub fn after_release(policy: &Policy) -> AfterEnd {
    match policy.after_release {
        AfterRelease::Reuse => AfterEnd::Reuse(Next::Free),
        AfterRelease::Reset => AfterEnd::Reset,
        AfterRelease::Recycle => {
            AfterEnd::Recycle(Leaving { why: "recycled after its lease".to_owned(), deadline: Timestamp::NEVER })
        }
    }
}

/// The first thing in the shard whose time is over: a lease that expired or was not confirmed, a waiter who waited in
/// vain. Any poll or tick may carry it out.
#[must_use]
pub fn overdue(shard: &Shard, policy: &Policy, now: Timestamp) -> Option<Transition> {
    let late = now - GRACE_SECONDS;
    let lease = shard.leases.keys().find_map(|token| match shard.standing(token, late) {
        Standing::LostBeforeClaim { lease, .. } => Some(replace_lost(shard, lease, policy, now)),
        Standing::Expired { lease, .. } => Some(end(shard, &lease, EndedBy::Expiry, policy, now)),
        Standing::Unconfirmed { lease, .. } if shard.claims.get(token).is_some_and(|deadline| *deadline < late) => {
            Some(end(shard, &lease, EndedBy::Unclaimed, policy, now))
        }
        _ => None,
    });
    lease.or_else(|| (0..shard.queue.len()).find_map(|position| shard.drop_past(position, now)))
}

/// A lease that was handed over and whose instance left before its holder saw it gets another instance, or the first
/// place in the queue.
#[must_use]
pub fn replace_lost(shard: &Shard, lease: LeaseRef, policy: &Policy, now: Timestamp) -> Transition {
    if shard.free.is_empty() {
        Transition::Requeue { lease }
    } else {
        Transition::Swap { lease, claim_until: now + policy.claim_seconds }
    }
}
