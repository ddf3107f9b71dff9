//! The rules of giving a lease back. It is safe to repeat: a lease that is not there is already given back.

use crate::answer::{Refusal, Step};
use crate::ending;
use crate::ids::{Grant, LeaseId, Owner};
use crate::policy::Policy;
use crate::shard::{EndedBy, LeaseRef, Shard, Standing, Transition};
use crate::time::Timestamp;

/// The first write of a release, without reading; `None` for the short form of the id, which must be read first.
#[must_use]
pub fn release_unseen(id: &LeaseId, owner: &Owner, policy: &Policy, now: Timestamp) -> Option<Transition> {
    let Grant { epoch, instance } = id.grant.clone()?;
    let lease = LeaseRef { token: id.token.clone(), instance, epoch };
    Some(Transition::End { lease, by: EndedBy::Owner(owner.clone()), after: ending::after_release(policy), now })
}

/// What to do next for a release, with the shard as it was last seen.
#[must_use]
pub fn release(id: &LeaseId, owner: &Owner, shard: &Shard, policy: &Policy, now: Timestamp) -> Step {
    let standing = shard.standing(&id.token, now);
    if standing.terms().is_some_and(|terms| terms.owner != *owner) {
        return Step::Refuse(Refusal::Foreign);
    }
    match (standing.lease(), &standing) {
        (Some(lease), _) => {
            let named = id.grant.as_ref().map(|grant| (grant.epoch, &grant.instance));
            if named.is_some_and(|named| named != (lease.epoch, &lease.instance)) {
                return Step::Refuse(Refusal::OtherEpoch);
            }
            Step::Try(ending::end(shard, lease, EndedBy::Owner(owner.clone()), policy, now))
        }
        // A long id names a grant that is over; the token's present wait is another request.
        (None, Standing::Waiting { .. } | Standing::WaitedOut { .. }) if id.grant.is_some() => {
            Step::Refuse(Refusal::OtherEpoch)
        }
        (None, Standing::Waiting { ahead, terms } | Standing::WaitedOut { ahead, terms }) => {
            Step::Try(Transition::GiveUp { token: id.token.clone(), position: *ahead as u64, until: terms.until })
        }
        _ => Step::Ended,
    }
}
