//! The heart: one shard, the small state machine that owns up to sixteen instances and everything that decides about
//! them.
//!
//! A [`Shard`] is the content of one item of the table, `pk = shard#<n>`. It changes only by a [`Transition`], and
//! [`Shard::apply`] is the definition of each: its precondition, then its effect. The store carries the same transitions
//! out as conditional `UpdateItem`s; a property test holds the two equal. Nothing reads a shard in order to write it: a
//! transition names what it expects, and a refused one changes nothing.
//!
//! Within a shard `free` and `queue` are never both non-empty, an instance is in at most one of `free`, `leases`,
//! `booting`, `stopped`, `resetting` and `transfers`, and members + intents + room over all shards is the cap.

mod instances;
mod leases;
mod moves;
mod transition;
mod view;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{Epoch, Grant, InstanceId, LaunchToken, LeaseId, NodeKey, Owner, ShardNo, Token, TransferId};
use crate::time::Timestamp;

pub use transition::{AfterEnd, Apart, EndedBy, LeaseRef, Lift, Next, Transition};
pub use view::{Place, Standing};

/// One shard, whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Shard {
    /// Its number; the key of its item, never changed.
    pub number: ShardNo,
    /// Grows by one in every transition, the source of fencing tokens.
    pub epoch: Epoch,
    /// Grows by one in every intend and give, so that a late duplicate of either is refused.
    pub sequence: u64,
    /// Launches this shard may still intend; below zero after its share was cut under what it holds.
    pub room: i64,
    /// Its share of the cap.
    pub share: i64,
    /// The layout of the pool that `share` belongs to.
    pub layout: u64,
    /// Instances ready to be granted, newest first.
    pub free: Vec<InstanceId>,
    /// Every instance of this shard, whatever it does.
    pub members: BTreeMap<InstanceId, Member>,
    /// Lease to instance.
    pub leases: BTreeMap<Token, InstanceId>,
    /// Lease to the epoch of its grant.
    pub lease_epochs: BTreeMap<Token, Epoch>,
    /// Lease to its terms.
    pub lease_terms: BTreeMap<Token, Terms>,
    /// Waiting requests, oldest first.
    pub queue: Vec<Token>,
    /// Waiting request to its terms; `until` is how long it waits.
    pub queue_terms: BTreeMap<Token, Terms>,
    /// Leases that came by hand-over and must be confirmed by then.
    pub claims: BTreeMap<Token, Timestamp>,
    /// Booting instances and the epoch in which each began to.
    pub booting: BTreeMap<InstanceId, Epoch>,
    /// The stopped tier.
    pub stopped: BTreeMap<InstanceId, Stopped>,
    /// Instances being cleaned, and the epoch of the lease whose traces must go.
    pub resetting: BTreeMap<InstanceId, Epoch>,
    /// Instances that leave; a leased one may be among them (it was interrupted, or leaves after its lease).
    pub leaving: BTreeMap<InstanceId, Leaving>,
    /// Launches written down before EC2 was called.
    pub intents: BTreeMap<LaunchToken, Intent>,
    /// Instances under way to another shard.
    pub transfers: BTreeMap<InstanceId, Transfer>,
    /// What must not happen again: transfers taken or cancelled, instances gone or doomed.
    pub tombstones: BTreeMap<String, Tombstone>,
}

/// What callers and plans need to know of an instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// Private or public address, as EC2 told it; empty until it did.
    pub address: String,
    /// The node's key, from which access tokens are made; empty until the node was ready once. Never logged.
    pub key: NodeKey,
    /// Grows with every start of the node.
    pub boot_id: u64,
    /// When it entered what it does now.
    pub since: Timestamp,
    /// Leases served so far.
    pub served: u64,
    /// What EC2 gave us.
    pub kind: Kind,
}

/// What an instance is, fixed at its launch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Kind {
    /// Such as `t3.medium`.
    pub instance_type: String,
    /// Availability zone.
    pub zone: String,
    /// How it is paid.
    pub market: Market,
    /// Version of the launch template it came from; 0 when unknown.
    pub template_version: u64,
}

/// How an instance is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Market {
    /// At the Spot price; EC2 may take it back.
    Spot,
    /// At the list price.
    OnDemand,
}

/// The terms of a lease, or of a wait for one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Who holds or waits.
    pub owner: Owner,
    /// Until when, without a renewal (a lease) or at all (a wait).
    pub until: Timestamp,
    /// No renewal reaches beyond this.
    pub hard_end: Timestamp,
    /// The life wanted at each grant and renewal.
    pub ttl_seconds: u64,
}

/// An instance on its way out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Leaving {
    /// Why, for people.
    pub why: String,
    /// When it is taken away even if a lease is on it; [`Timestamp::NEVER`] when it leaves only after its lease.
    pub deadline: Timestamp,
}

/// A member of the stopped tier.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stopped {
    /// How far the stop has come.
    pub phase: StopPhase,
    /// Since when it is in this phase.
    pub since: Timestamp,
}

/// How far a stop has come. Only a stopped instance may be started, so that a late `StopInstances` cannot hit a
/// restarted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopPhase {
    /// EC2 was or will be asked to stop it.
    Stopping,
    /// EC2 says that it is stopped.
    Stopped,
}

/// A launch that was decided; it takes its place in the count until it is adopted or settled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Intent {
    /// How many instances, and where each serves several sessions, how many sessions in all.
    pub count: u64,
    /// The exact parameters of the call, since a repetition must not differ in one of them.
    pub launch: Launch,
    /// When it was decided.
    pub since: Timestamp,
}

/// The parameters of a launch, complete: calling EC2 twice with the same value and token launches once.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Launch {
    /// Launch template id.
    #[serde(rename = "l")]
    pub template_id: String,
    /// Its version as a number: `$Latest` could mean another one at the repetition.
    #[serde(rename = "v")]
    pub template_version: u64,
    /// How it is paid.
    #[serde(rename = "m")]
    pub market: Market,
    /// Instance types, in order of preference.
    #[serde(rename = "t")]
    pub instance_types: Vec<String>,
    /// Subnets, at most one in a zone.
    #[serde(rename = "s")]
    pub subnets: Vec<String>,
    /// Pairs of type and subnet that are left out, since they have nothing to sell.
    #[serde(rename = "x", default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<(String, String)>,
    /// Sessions that each instance is to serve; the count of an intent is in sessions.
    #[serde(rename = "n", default = "one", skip_serializing_if = "is_one")]
    pub sessions: u64,
}

fn one() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(sessions: &u64) -> bool {
    *sessions == 1
}

impl Launch {
    /// The pairs of type and subnet that are tried.
    pub fn pairs(&self) -> impl Iterator<Item = (&String, &String)> {
        let pairs = self.instance_types.iter().flat_map(|t| self.subnets.iter().map(move |s| (t, s)));
        pairs.filter(|(t, s)| !self.except.iter().any(|(without_t, without_s)| (without_t, without_s) == (*t, *s)))
    }
}

/// An instance under way to another shard.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transfer {
    /// The shard that is to take it.
    pub to: ShardNo,
    /// This move, among all moves of this instance.
    pub id: TransferId,
    /// When it was given.
    pub since: Timestamp,
}

/// A fact that outlives what it is about, so that a late message cannot bring it back.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tombstone {
    /// When it was written.
    pub written: Timestamp,
    /// Of what.
    pub fate: Fate,
}

/// What a tombstone says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// The transfer arrived.
    Taken,
    /// The transfer will never arrive.
    Cancelled,
    /// The instance is terminated.
    Gone,
    /// The instance is an orphan that will be terminated.
    Doomed,
}

/// The precondition of a transition did not hold; nothing was changed. Losing a race is an outcome, not a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the shard is not in the state that this transition needs")]
pub struct Refused;

impl Shard {
    /// An empty shard without any share of the cap.
    #[must_use]
    pub fn new(number: ShardNo) -> Self {
        Self { number, ..Self::default() }
    }

    /// Carries out a transition.
    ///
    /// # Errors
    /// [`Refused`] when its precondition does not hold; the shard is unchanged then.
    pub fn apply(&mut self, transition: &Transition) -> Result<(), Refused> {
        if !self.permits(transition) {
            return Err(Refused);
        }
        match transition {
            Transition::Grant { .. }
            | Transition::Enqueue { .. }
            | Transition::Confirm { .. }
            | Transition::Renew { .. }
            | Transition::End { .. }
            | Transition::Requeue { .. }
            | Transition::Swap { .. }
            | Transition::GiveUp { .. }
            | Transition::DropPast { .. } => self.change_leases(transition),
            Transition::Give { .. }
            | Transition::Take { .. }
            | Transition::Done { .. }
            | Transition::Cancel { .. }
            | Transition::Back { .. }
            | Transition::Prune { .. }
            | Transition::Resize { .. } => self.change_moves(transition),
            _ => self.change_instances(transition),
        }
        Ok(())
    }

    fn permits(&self, transition: &Transition) -> bool {
        self.permits_lease(transition)
            .or_else(|| self.permits_move(transition))
            .or_else(|| self.permits_instance(transition))
            .unwrap_or(false)
    }

    /// The instance stays: it is a member and does not leave.
    fn stays(&self, instance: &InstanceId) -> bool {
        self.members.contains_key(instance) && !self.leaving.contains_key(instance)
    }

    /// Whether `next` may follow: nobody waits, or exactly this live waiter is first.
    fn next_holds(&self, next: &Next, now: Timestamp) -> bool {
        match next {
            Next::Free => self.queue.is_empty(),
            Next::HandOver { waiter, .. } => {
                self.queue.first() == Some(waiter)
                    && self.queue_terms.get(waiter).is_some_and(|terms| terms.until >= now)
                    && !self.leases.contains_key(waiter)
            }
        }
    }

    /// Puts an instance at the front of `free`, or gives it to the first waiter without passing through `free`.
    /// `epoch` is the epoch after the transition.
    fn place(&mut self, instance: &InstanceId, next: &Next, now: Timestamp, epoch: Epoch) {
        if let Some(member) = self.members.get_mut(instance) {
            member.since = now;
        }
        match next {
            Next::Free => self.free.insert(0, instance.clone()),
            Next::HandOver { waiter, claim_until } => {
                self.queue.remove(0);
                if let Some(terms) = self.queue_terms.remove(waiter) {
                    self.lease_terms.insert(waiter.clone(), terms);
                }
                self.leases.insert(waiter.clone(), instance.clone());
                self.lease_epochs.insert(waiter.clone(), epoch);
                self.claims.insert(waiter.clone(), *claim_until);
            }
        }
    }

    /// The lease under this token, if there is one.
    #[must_use]
    pub fn lease(&self, token: &Token) -> Option<LeaseRef> {
        let instance = self.leases.get(token)?.clone();
        let epoch = *self.lease_epochs.get(token)?;
        Some(LeaseRef { token: token.clone(), instance, epoch })
    }

    /// The lease as its holder names it.
    #[must_use]
    pub fn lease_id(&self, lease: &LeaseRef) -> LeaseId {
        let grant = Grant { epoch: lease.epoch, instance: lease.instance.clone() };
        LeaseId { shard: self.number, token: lease.token.clone(), grant: Some(grant) }
    }
}
