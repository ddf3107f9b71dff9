//! The rules of asking for a lease, looking at it and renewing it.
//!
//! Each is a small machine: given the shard as last seen (or nothing, at the start), it says what to write next or what
//! to answer. The first write is tried without reading, and the shard that comes back with it, changed or refused, is
//! what the next step is decided on.

use crate::answer::{self, Refusal, Step};
use crate::control::Layout;
use crate::ending;
use crate::home;
use crate::ids::{Grant, LeaseId, Owner, ShardNo, Token};
use crate::policy::Policy;
use crate::shard::{EndedBy, LeaseRef, Shard, Standing, Terms, Transition};
use crate::time::Timestamp;

/// A request for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub owner: Owner,
    /// Its token.
    pub token: Token,
    /// Wanted life, 1 to the policy's maximum.
    pub ttl_seconds: u64,
    /// How long it is ready to wait; 0 for not at all.
    pub wait_seconds: u64,
    /// The layout by which its home was found.
    pub layout: u64,
}

/// What to do next for a request, with the shard as it was last seen.
#[must_use]
pub fn acquire(request: &Request, seen: Option<&Shard>, policy: &Policy, now: Timestamp) -> Step {
    let grant = Transition::Grant {
        token: request.token.clone(),
        terms: policy.lease_terms(&request.owner, request.ttl_seconds, now),
        layout: request.layout,
    };
    let Some(shard) = seen else { return Step::Try(grant) };
    match shard.standing(&request.token, now) {
        Standing::Unknown if shard.layout > request.layout => Step::Refuse(Refusal::OldLayout),
        Standing::Unknown if !shard.free.is_empty() => Step::Try(grant),
        Standing::Unknown => nothing_free(request, shard, policy, now),
        // The key was used before and that lease or wait is over: it is cleared away, then this is a new request.
        Standing::Expired { lease, .. } => Step::Try(ending::end(shard, &lease, EndedBy::Expiry, policy, now)),
        _ => current(shard, &request.token, policy, now),
    }
}

fn nothing_free(request: &Request, shard: &Shard, policy: &Policy, now: Timestamp) -> Step {
    if let Some(overdue) = ending::overdue(shard, policy, now) {
        return Step::Try(overdue);
    }
    if request.wait_seconds == 0 {
        return Step::Refuse(Refusal::NothingFree);
    }
    if shard.queue.len() as u64 >= policy.queue_max {
        return Step::Refuse(Refusal::QueueFull);
    }
    Step::Try(Transition::Enqueue {
        token: request.token.clone(),
        terms: policy.wait_terms(&request.owner, request.ttl_seconds, request.wait_seconds, now),
        layout: request.layout,
        queue_max: policy.queue_max,
    })
}

/// Where a request goes on whose home has nothing free and which does not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    /// To this shard, under a new token.
    Ask(ShardNo),
    /// Nowhere: its key ties it to its home, or what is free is in a shard that is no longer anyone's home. A free
    /// instance is brought to it.
    Bring,
}

/// Where a request goes on, given all shards; `None` when nothing is free anywhere. Of several shards it is one by
/// chance, since others come from the same full shard with the same picture; `drawn` is that chance.
#[must_use]
pub fn elsewhere(shards: &[Shard], keyed: bool, layout: &Layout, drawn: u64) -> Option<Elsewhere> {
    let can_ask = shards.iter().filter(|shard| !keyed && shard.number < layout.shards);
    let free = can_ask.map(|shard| (shard.number, shard.free.len() as u64));
    if let Some(shard) = home::by_weight(free, drawn) {
        return Some(Elsewhere::Ask(shard));
    }
    shards.iter().any(|shard| !shard.free.is_empty()).then_some(Elsewhere::Bring)
}

/// What to do next for someone who looks at a lease.
#[must_use]
pub fn look(id: &LeaseId, owner: &Owner, shard: &Shard, policy: &Policy, now: Timestamp) -> Step {
    match shard.standing(&id.token, now) {
        Standing::Unknown | Standing::Expired { .. } => Step::Refuse(Refusal::NotThere),
        standing if standing.terms().is_some_and(|terms| terms.owner != *owner) => Step::Refuse(Refusal::Foreign),
        Standing::Waiting { .. } => match ending::overdue(shard, policy, now) {
            Some(overdue) => Step::Try(overdue),
            None => current(shard, &id.token, policy, now),
        },
        _ => current(shard, &id.token, policy, now),
    }
}

/// Brings a lease or wait that its owner looks at into a state that can be told, or tells it.
fn current(shard: &Shard, token: &Token, policy: &Policy, now: Timestamp) -> Step {
    match shard.standing(token, now) {
        Standing::Unconfirmed { lease, terms } => Step::Try(confirm(lease, &terms, policy, now)),
        Standing::LostBeforeClaim { lease, .. } => Step::Try(ending::replace_lost(shard, lease, policy, now)),
        Standing::WaitedOut { ahead, terms } => {
            Step::Try(Transition::GiveUp { token: token.clone(), position: ahead as u64, until: terms.until })
        }
        _ => match answer::lease(shard, token, policy, now) {
            Some(lease) => Step::Lease(lease),
            None => Step::Refuse(Refusal::NotThere),
        },
    }
}

/// The lease's life begins here, not when its wait would have ended.
fn confirm(lease: LeaseRef, terms: &Terms, policy: &Policy, now: Timestamp) -> Transition {
    let hard_end = (now + policy.lease_ttl_max_seconds).min(terms.hard_end);
    let until = (now + terms.ttl_seconds).min(hard_end);
    Transition::Confirm { lease, owner: terms.owner.clone(), until, hard_end }
}

/// A renewal of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// Who asks.
    pub owner: Owner,
    /// Which lease.
    pub id: LeaseId,
    /// Wanted life from now on; the lease's own when not given.
    pub ttl_seconds: Option<u64>,
}

/// What to do next for a renewal. With the long form of the id and a wanted life the first write needs no reading; `None`
/// is answered otherwise: what is not said, the grant or the lease's own life, must be read first.
#[must_use]
pub fn renew_unseen(renewal: &Renewal, now: Timestamp) -> Option<Transition> {
    let Grant { epoch, instance } = renewal.id.grant.clone()?;
    let lease = LeaseRef { token: renewal.id.token.clone(), instance, epoch };
    let until = now + renewal.ttl_seconds?;
    Some(Transition::Renew { lease, owner: renewal.owner.clone(), now, until })
}

/// What to do next for a renewal, with the shard as it was last seen. `done` says that a write of this renewal was
/// accepted.
#[must_use]
pub fn renew(renewal: &Renewal, shard: &Shard, done: bool, policy: &Policy, now: Timestamp) -> Step {
    let token = &renewal.id.token;
    let standing = shard.standing(token, now);
    if standing.terms().is_some_and(|terms| terms.owner != renewal.owner) {
        return Step::Refuse(Refusal::Foreign);
    }
    let other_grant = |lease: &LeaseRef| {
        renewal.id.grant.as_ref().is_some_and(|grant| grant.epoch != lease.epoch || grant.instance != lease.instance)
    };
    if standing.lease().is_some_and(other_grant) {
        return Step::Refuse(Refusal::OtherEpoch);
    }
    let (lease, terms, deadline) = match standing {
        Standing::Active { lease, terms } => (lease, terms, None),
        Standing::Interrupted { lease, terms, deadline } => (lease, terms, deadline),
        Standing::Waiting { .. } | Standing::Unconfirmed { .. } | Standing::LostBeforeClaim { .. } => {
            return current(shard, token, policy, now);
        }
        _ => return Step::Refuse(Refusal::NotThere),
    };
    if done || !shard.members.contains_key(&lease.instance) {
        return current(shard, token, policy, now);
    }
    if terms.hard_end <= now {
        return Step::Refuse(Refusal::PastHardEnd);
    }
    let wanted = now + renewal.ttl_seconds.unwrap_or(terms.ttl_seconds);
    let until = wanted.min(terms.hard_end).min(deadline.unwrap_or(Timestamp::NEVER));
    if until <= terms.until {
        // It already lasts that long, and a renewal never shortens. At its hard end there is nothing left to give.
        let at_its_end = terms.until >= terms.hard_end && wanted > terms.hard_end;
        return if at_its_end { Step::Refuse(Refusal::PastHardEnd) } else { current(shard, token, policy, now) };
    }
    Step::Try(Transition::Renew { lease, owner: renewal.owner.clone(), now, until })
}
