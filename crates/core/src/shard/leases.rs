//! The transitions of leases and of waiting: grant, enqueue, confirm, renew, end, re-queue, swap, give up.

use super::{AfterEnd, EndedBy, LeaseRef, Shard, Transition};
use crate::ids::{Owner, Token};
use crate::time::Timestamp;

impl Shard {
    /// Whether a lease transition's precondition holds; `None` when it is not one of them.
    pub(super) fn permits_lease(&self, transition: &Transition) -> Option<bool> {
        Some(match transition {
            Transition::Grant { token, layout, .. } => {
                !self.free.is_empty() && self.is_new(token) && self.layout <= *layout
            }
            Transition::Enqueue { token, layout, queue_max, .. } => {
                self.free.is_empty()
                    && self.is_new(token)
                    && self.layout <= *layout
                    && (self.queue.len() as u64) < *queue_max
            }
            Transition::Confirm { lease, owner, hard_end, .. } => {
                self.is_owned(lease, owner)
                    && self.claims.contains_key(&lease.token)
                    && self.lease_terms.get(&lease.token).is_some_and(|terms| terms.hard_end >= *hard_end)
                    && self.stays(&lease.instance)
            }
            Transition::Renew { lease, owner, now, until } => self.permits_renew(lease, owner, *now, *until),
            Transition::End { lease, by, after, now } => {
                self.may_be_ended(lease, by, *now) && self.may_follow(lease, after, *now)
            }
            Transition::Requeue { lease } => self.lost_before_claim(lease) && self.free.is_empty(),
            Transition::Swap { lease, .. } => self.lost_before_claim(lease) && !self.free.is_empty(),
            Transition::GiveUp { token, position, until } => {
                usize::try_from(*position).ok().and_then(|k| self.queue.get(k)) == Some(token)
                    && self.queue_terms.get(token).is_some_and(|terms| terms.until == *until)
            }
            Transition::DropPast { first, second, now } => {
                let past = |token| self.queue_terms.get(token).is_some_and(|terms| terms.until < *now);
                self.queue.first() == Some(first) && self.queue.get(1) == Some(second) && past(first) && past(second)
            }
            _ => return None,
        })
    }

    /// Carries out a lease transition whose precondition holds.
    pub(super) fn change_leases(&mut self, transition: &Transition) {
        self.epoch += 1;
        let epoch = self.epoch;
        match transition {
            Transition::Grant { token, terms, .. } => {
                self.leases.insert(token.clone(), self.free.remove(0));
                self.lease_epochs.insert(token.clone(), epoch);
                self.lease_terms.insert(token.clone(), terms.clone());
            }
            Transition::Enqueue { token, terms, .. } => {
                self.queue.push(token.clone());
                self.queue_terms.insert(token.clone(), terms.clone());
            }
            Transition::Confirm { lease, until, hard_end, .. } => {
                self.claims.remove(&lease.token);
                if let Some(terms) = self.lease_terms.get_mut(&lease.token) {
                    (terms.until, terms.hard_end) = (*until, *hard_end);
                }
            }
            Transition::Renew { lease, until, .. } => {
                self.claims.remove(&lease.token);
                if let Some(terms) = self.lease_terms.get_mut(&lease.token) {
                    terms.until = *until;
                }
            }
            Transition::End { lease, after, now, .. } => self.end(lease, after, *now),
            Transition::Requeue { lease } => {
                if let Some(terms) = self.lease_terms.get(&lease.token).cloned() {
                    self.queue_terms.insert(lease.token.clone(), terms);
                }
                self.drop_lease(&lease.token);
                self.queue.insert(0, lease.token.clone());
            }
            Transition::Swap { lease, claim_until } => {
                self.leases.insert(lease.token.clone(), self.free.remove(0));
                self.lease_epochs.insert(lease.token.clone(), epoch);
                self.claims.insert(lease.token.clone(), *claim_until);
            }
            Transition::GiveUp { token, .. } => self.leave_queue(token),
            Transition::DropPast { first, second, .. } => {
                self.leave_queue(first);
                self.leave_queue(second);
            }
            _ => {}
        }
    }

    fn end(&mut self, lease: &LeaseRef, after: &AfterEnd, now: Timestamp) {
        if matches!(after, AfterEnd::Reuse(_) | AfterEnd::Reset)
            && let Some(member) = self.members.get_mut(&lease.instance)
        {
            member.since = now;
            member.served += 1;
        }
        self.drop_lease(&lease.token);
        match after {
            AfterEnd::Reuse(next) => self.place(&lease.instance, next, now, self.epoch),
            AfterEnd::Reset => {
                self.resetting.insert(lease.instance.clone(), lease.epoch);
            }
            AfterEnd::Recycle(leaving) => {
                self.leaving.insert(lease.instance.clone(), leaving.clone());
            }
            AfterEnd::Left => {}
        }
    }

    fn drop_lease(&mut self, token: &Token) {
        self.leases.remove(token);
        self.lease_epochs.remove(token);
        self.lease_terms.remove(token);
        self.claims.remove(token);
    }

    fn leave_queue(&mut self, token: &Token) {
        self.queue.retain(|waiting| waiting != token);
        self.queue_terms.remove(token);
    }

    fn is_new(&self, token: &Token) -> bool {
        !self.leases.contains_key(token) && !self.queue_terms.contains_key(token)
    }

    fn is_present(&self, lease: &LeaseRef) -> bool {
        self.leases.get(&lease.token) == Some(&lease.instance)
            && self.lease_epochs.get(&lease.token) == Some(&lease.epoch)
    }

    fn is_owned(&self, lease: &LeaseRef, owner: &Owner) -> bool {
        self.is_present(lease) && self.lease_terms.get(&lease.token).is_some_and(|terms| terms.owner == *owner)
    }

    fn permits_renew(&self, lease: &LeaseRef, owner: &Owner, now: Timestamp, until: Timestamp) -> bool {
        let in_time = self
            .lease_terms
            .get(&lease.token)
            .is_some_and(|terms| now <= terms.until && terms.until <= until && until <= terms.hard_end);
        let before_deadline = self.leaving.get(&lease.instance).is_none_or(|leaving| leaving.deadline >= until);
        self.is_owned(lease, owner) && in_time && self.members.contains_key(&lease.instance) && before_deadline
    }

    fn may_be_ended(&self, lease: &LeaseRef, by: &EndedBy, now: Timestamp) -> bool {
        match by {
            EndedBy::Owner(owner) => self.is_owned(lease, owner),
            EndedBy::Expiry => {
                self.is_present(lease)
                    && !self.claims.contains_key(&lease.token)
                    && self.lease_terms.get(&lease.token).is_some_and(|terms| terms.until < now)
            }
            EndedBy::Unclaimed => {
                self.is_present(lease) && self.claims.get(&lease.token).is_some_and(|deadline| *deadline < now)
            }
        }
    }

    fn may_follow(&self, lease: &LeaseRef, after: &AfterEnd, now: Timestamp) -> bool {
        match after {
            AfterEnd::Reuse(next) => self.stays(&lease.instance) && self.next_holds(next, now),
            AfterEnd::Reset | AfterEnd::Recycle(_) => self.stays(&lease.instance),
            AfterEnd::Left => !self.stays(&lease.instance),
        }
    }

    /// Handed over and not yet confirmed, and then its instance left.
    fn lost_before_claim(&self, lease: &LeaseRef) -> bool {
        self.is_present(lease) && self.claims.contains_key(&lease.token) && !self.stays(&lease.instance)
    }
}
