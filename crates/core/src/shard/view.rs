//! Reading a shard: where an instance is, how a request stands, who is next.

#![expect(
    missing_docs,
    reason = "the fields of a standing are the same in every variant: the lease, its terms, its place in the queue"
)]

use super::{LeaseRef, Leaving, Member, Shard, Stopped, Terms};
use crate::ids::{Epoch, InstanceId, Token};
use crate::time::Timestamp;

/// Where a member is. Whether it also leaves is [`Shard::leaving`]'s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In `free`, at this position.
    Free(u64),
    /// Under the lease that [`Shard::lease_on`] tells.
    Leased,
    /// Booting since this epoch.
    Booting(Epoch),
    /// In the stopped tier.
    Stopped(Stopped),
    /// Being cleaned of the lease of this epoch.
    Resetting(Epoch),
    /// Under way to another shard.
    Moving,
    /// Nowhere but on its way out.
    Leaving,
}

/// How a request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// The shard does not know it.
    Unknown,
    /// It waits; `ahead` others are before it.
    Waiting { ahead: usize, terms: Terms },
    /// Its wait is over without a lease, and nobody took it out of the queue yet.
    WaitedOut { ahead: usize, terms: Terms },
    /// It came by hand-over and its holder has not seen it yet.
    Unconfirmed { lease: LeaseRef, terms: Terms },
    /// The same, but the instance has left meanwhile.
    LostBeforeClaim { lease: LeaseRef, terms: Terms },
    /// A lease in force.
    Active { lease: LeaseRef, terms: Terms },
    /// A lease in force whose instance leaves by `deadline`, or has left.
    Interrupted { lease: LeaseRef, terms: Terms, deadline: Option<Timestamp> },
    /// Its time is over and nobody cleared it away yet.
    Expired { lease: LeaseRef, terms: Terms },
}

impl Standing {
    /// The terms under which it waits or holds.
    #[must_use]
    pub fn terms(&self) -> Option<&Terms> {
        match self {
            Standing::Unknown => None,
            Standing::Waiting { terms, .. }
            | Standing::WaitedOut { terms, .. }
            | Standing::Unconfirmed { terms, .. }
            | Standing::LostBeforeClaim { terms, .. }
            | Standing::Active { terms, .. }
            | Standing::Interrupted { terms, .. }
            | Standing::Expired { terms, .. } => Some(terms),
        }
    }

    /// The grant it holds, if any.
    #[must_use]
    pub fn lease(&self) -> Option<&LeaseRef> {
        match self {
            Standing::Unknown | Standing::Waiting { .. } | Standing::WaitedOut { .. } => None,
            Standing::Unconfirmed { lease, .. }
            | Standing::LostBeforeClaim { lease, .. }
            | Standing::Active { lease, .. }
            | Standing::Interrupted { lease, .. }
            | Standing::Expired { lease, .. } => Some(lease),
        }
    }
}

impl Shard {
    /// How the request of `token` stands at `now`.
    #[must_use]
    pub fn standing(&self, token: &Token, now: Timestamp) -> Standing {
        if let (Some(lease), Some(terms)) = (self.lease(token), self.lease_terms.get(token)) {
            return self.lease_standing(lease, terms.clone(), now);
        }
        match self.queue_terms.get(token) {
            None => Standing::Unknown,
            Some(terms) => {
                let ahead = self.queue.iter().position(|waiting| waiting == token).unwrap_or(0);
                let terms = terms.clone();
                if terms.until < now {
                    Standing::WaitedOut { ahead, terms }
                } else {
                    Standing::Waiting { ahead, terms }
                }
            }
        }
    }

    fn lease_standing(&self, lease: LeaseRef, terms: Terms, now: Timestamp) -> Standing {
        let stays = self.stays(&lease.instance);
        match (self.claims.contains_key(&lease.token), stays) {
            (true, true) => Standing::Unconfirmed { lease, terms },
            (true, false) => Standing::LostBeforeClaim { lease, terms },
            (false, _) if terms.until < now => Standing::Expired { lease, terms },
            (false, true) => Standing::Active { lease, terms },
            (false, false) => match self.leaving.get(&lease.instance) {
                // It leaves only after this lease: for its holder nothing has changed.
                Some(Leaving { deadline: Timestamp::NEVER, .. }) => Standing::Active { lease, terms },
                leaving => Standing::Interrupted { deadline: leaving.map(|l| l.deadline), lease, terms },
            },
        }
    }

    /// Where a member is; `None` when it is not a member.
    #[must_use]
    pub fn place_of(&self, instance: &InstanceId) -> Option<Place> {
        if !self.members.contains_key(instance) {
            return None;
        }
        if let Some(position) = self.free.iter().position(|free| free == instance) {
            return Some(Place::Free(position as u64));
        }
        if self.leases.values().any(|leased| leased == instance) {
            return Some(Place::Leased);
        }
        if let Some(epoch) = self.booting.get(instance) {
            return Some(Place::Booting(*epoch));
        }
        if let Some(stopped) = self.stopped.get(instance) {
            return Some(Place::Stopped(stopped.clone()));
        }
        if let Some(epoch) = self.resetting.get(instance) {
            return Some(Place::Resetting(*epoch));
        }
        Some(if self.transfers.contains_key(instance) { Place::Moving } else { Place::Leaving })
    }

    /// The lease on an instance, if there is one.
    #[must_use]
    pub fn lease_on(&self, instance: &InstanceId) -> Option<LeaseRef> {
        let (token, _) = self.leases.iter().find(|(_, leased)| *leased == instance)?;
        self.lease(token)
    }

    /// Members that this shard counts for: those under way to another shard are still here until it took them.
    #[must_use]
    pub fn serving(&self) -> usize {
        self.members.keys().filter(|instance| !self.leaving.contains_key(*instance)).count()
    }

    /// What the stopped tier holds: what is stopped or on its way there, and stays.
    pub fn in_tier(&self) -> impl Iterator<Item = (&InstanceId, &Stopped)> {
        self.stopped.iter().filter(|(instance, _)| !self.leaving.contains_key(*instance))
    }

    /// Members that serve or will: neither what leaves, nor what is under way to another shard, nor what is stopped. A
    /// stopped one may leave as well, when a mark that was meant for its lease came late, so that each must be counted by
    /// itself.
    #[must_use]
    pub fn serving_here(&self) -> u64 {
        let elsewhere = |instance: &InstanceId| {
            self.leaving.contains_key(instance)
                || self.transfers.contains_key(instance)
                || self.stopped.contains_key(instance)
        };
        self.members.keys().filter(|instance| !elsewhere(instance)).count() as u64
    }

    /// Whether a member is free, leased or being cleaned, and stays.
    #[must_use]
    pub fn serves(&self, instance: &InstanceId) -> bool {
        let elsewhere = self.leaving.contains_key(instance)
            || self.booting.contains_key(instance)
            || self.stopped.contains_key(instance)
            || self.transfers.contains_key(instance);
        !elsewhere && self.members.contains_key(instance)
    }

    /// Members that boot and stay.
    pub fn boots(&self) -> impl Iterator<Item = (&InstanceId, &Member)> {
        let staying = self.booting.keys().filter(|instance| !self.leaving.contains_key(*instance));
        staying.filter_map(|instance| Some((instance, self.members.get(instance)?)))
    }

    /// Leases whose instance is there. One whose instance is gone lives on until its holder or its time ends it, but
    /// nobody needs an instance for it: its holder must ask anew.
    #[must_use]
    pub fn leased(&self) -> u64 {
        self.leases.values().filter(|instance| self.members.contains_key(*instance)).count() as u64
    }

    /// Instances, however many sessions each serves, and those of launches that were decided.
    #[must_use]
    pub fn instances(&self) -> u64 {
        let members = self.members.keys().filter(|instance| instance.is_first_slot()).count() as u64;
        members + self.intents.values().map(|intent| intent.count / intent.launch.sessions.max(1)).sum::<u64>()
    }

    /// Instances of launches that were decided and not yet recorded.
    #[must_use]
    pub fn intended(&self) -> u64 {
        self.intents.values().map(|intent| intent.count).sum()
    }
}
