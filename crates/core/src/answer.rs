//! What a caller is told about a lease.

use serde::Serialize;

use crate::access;
use crate::eta::{Expectations, Outlook};
use crate::ids::{InstanceId, LeaseId, Token};
use crate::policy::Policy;
use crate::shard::{LeaseRef, Shard, Standing, Terms, Transition};
use crate::time::Timestamp;

/// What a request needs next: another write, or it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Carry this out on the lease's shard, then look again.
    Try(Transition),
    /// The lease as it is.
    Lease(Lease),
    /// It is over and nothing is left to say.
    Ended,
    /// It cannot be done.
    Refuse(Refusal),
}

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The lease belongs to another caller.
    Foreign,
    /// There is no such lease, or not any more.
    NotThere,
    /// The id names an earlier grant; the present one has another epoch.
    OtherEpoch,
    /// The lease has lived as long as a lease may.
    PastHardEnd,
    /// Nothing is free and the request does not wait.
    NothingFree,
    /// As many wait as may.
    QueueFull,
    /// The pool is not set up yet.
    NoPool,
    /// The pool's layout has changed since the request's home was found; it is found anew.
    OldLayout,
}

/// The state of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LeaseState {
    /// It waits for an instance.
    Pending,
    /// The instance is the holder's.
    Active,
    /// The instance leaves by `deadline`, or has left.
    Interrupted,
    /// It is over.
    Ended,
}

/// A lease, as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lease {
    /// Names the lease in every later call; it becomes longer when the lease is granted.
    pub lease_id: String,
    /// What it is.
    pub state: LeaseState,
    /// The instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<InstanceId>,
    /// Where its service answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// The fencing token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// SHA-256 of the certificate that the endpoint shows, in hexadecimal; absent when it speaks plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_sha256: Option<String>,
    /// What the instance wants to see; a renewal brings a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
    /// When it ends without renewal, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The same as a duration, for callers whose clock is not ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
    /// Place in the queue, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// When an instance is expected, absent when nothing can be said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<u64>,
    /// When an interrupted instance goes away, RFC 3339; absent when it is already gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// What its shard shows a waiter, for the estimate.
    #[serde(skip)]
    pub outlook: Option<Outlook>,
}

impl Lease {
    fn empty(lease_id: &LeaseId, state: LeaseState) -> Self {
        Self {
            lease_id: lease_id.to_string(),
            state,
            instance_id: None,
            endpoint: None,
            epoch: None,
            tls_sha256: None,
            access_token: None,
            expires_at: None,
            expires_in_seconds: None,
            position: None,
            eta_seconds: None,
            deadline: None,
            outlook: None,
        }
    }

    /// Says when a waiter can expect an instance.
    pub fn estimate(&mut self, expectations: &Expectations) {
        self.eta_seconds = self.outlook.as_ref().and_then(|outlook| expectations.eta_seconds(outlook));
    }
}

/// The lease or wait of `token` in words; `None` when there is nothing that a caller could use or wait for.
#[must_use]
pub fn lease(shard: &Shard, token: &Token, policy: &Policy, now: Timestamp) -> Option<Lease> {
    match shard.standing(token, now) {
        Standing::Waiting { ahead, .. } => Some(pending(shard, token, ahead, now)),
        Standing::Active { lease, terms } => Some(active(shard, &lease, &terms, policy, now)),
        Standing::Interrupted { lease, terms, deadline } => {
            let mut answer = active(shard, &lease, &terms, policy, now);
            answer.state = LeaseState::Interrupted;
            answer.deadline = deadline.map(|deadline| deadline.to_string());
            Some(answer)
        }
        _ => None,
    }
}

fn pending(shard: &Shard, token: &Token, ahead: usize, now: Timestamp) -> Lease {
    let id = LeaseId { shard: shard.number, token: token.clone(), grant: None };
    Lease {
        position: Some(ahead as u64 + 1),
        outlook: Some(Outlook::of(shard, ahead, now)),
        ..Lease::empty(&id, LeaseState::Pending)
    }
}

fn active(shard: &Shard, lease: &LeaseRef, terms: &Terms, policy: &Policy, now: Timestamp) -> Lease {
    let member = shard.members.get(&lease.instance);
    let address = member.map(|member| member.address.as_str()).filter(|address| !address.is_empty());
    let secret = member.and_then(|member| member.key.secret());
    let tls_sha256 = member.and_then(|member| member.key.tls_sha256());
    let scheme = if tls_sha256.is_some() { "https" } else { "http" };
    Lease {
        instance_id: Some(lease.instance.clone()),
        endpoint: address.map(|address| format!("{scheme}://{address}:{}", policy.health_port)),
        epoch: Some(lease.epoch),
        tls_sha256,
        access_token: secret.and_then(|key| access::token(&key, &lease.instance, lease.epoch, terms.until)),
        expires_at: Some(terms.until.to_string()),
        expires_in_seconds: Some(terms.until.seconds_since(now)),
        ..Lease::empty(&shard.lease_id(lease), LeaseState::Active)
    }
}
