//! The transitions of a shard, each with all it needs to know.
//!
//! What a transition expects and does is said in [`super::Shard::apply`]; the names are those of the protocol. Values
//! that depend on policy (how long, how many) are computed before and carried here, so that a repetition does the same.

#![expect(
    missing_docs,
    reason = "the fields have the names of the protocol, and each variant's sentence says what they are for"
)]

use super::{Intent, Kind, Leaving, Member, Terms, Timestamp};
use crate::ids::{Epoch, InstanceId, LaunchToken, NodeKey, Owner, ShardNo, Token, TransferId};

/// One grant: this instance to this token, in this epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeaseRef {
    /// The request it answers.
    pub token: Token,
    /// The instance.
    pub instance: InstanceId,
    /// The fencing token.
    pub epoch: Epoch,
}

/// Who or what ends a lease, and what must be true for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EndedBy {
    /// Its owner gives it back.
    Owner(Owner),
    /// Its time ended before `now`, and it does not wait for a confirmation.
    Expiry,
    /// It came by hand-over and was not confirmed in time.
    Unclaimed,
}

/// Where an instance goes that can be used again.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Next {
    /// To the front of `free`; only while nobody waits.
    Free,
    /// To the first waiter, who must confirm by then.
    HandOver {
        /// The first in the queue.
        waiter: Token,
        /// When another poll or tick may move it on.
        claim_until: Timestamp,
    },
}

/// What becomes of the instance of an ended lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AfterEnd {
    /// It is used again.
    Reuse(Next),
    /// The node cleans it first.
    Reset,
    /// It is terminated and replaced.
    Recycle(Leaving),
    /// It leaves, or is no member any more: only the lease is dropped.
    Left,
}

/// Where a booting, stopped or resetting instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Apart {
    /// In `booting`.
    Booting,
    /// In `stopped`.
    Stopped,
    /// In `resetting`.
    Resetting,
}

/// A change of one shard, made whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Transition {
    /// Gives the newest free instance to `token`, unless the token has a lease or waits, or the shard has seen a newer
    /// layout than `layout`, in which this may not be the token's home any more.
    Grant { token: Token, terms: Terms, layout: u64 },
    /// Appends `token` to the queue, while nothing is free and fewer than `queue_max` wait; `layout` as in a grant.
    Enqueue { token: Token, terms: Terms, layout: u64, queue_max: u64 },
    /// Its holder has seen a lease that came by hand-over; it now lasts until `until`, and at most until `hard_end`.
    Confirm { lease: LeaseRef, owner: Owner, until: Timestamp, hard_end: Timestamp },
    /// Prolongs a lease that has not ended; never shortens, never beyond its hard end or its instance's deadline.
    Renew { lease: LeaseRef, owner: Owner, now: Timestamp, until: Timestamp },
    /// Ends a lease.
    End { lease: LeaseRef, by: EndedBy, after: AfterEnd, now: Timestamp },
    /// Back to the front of the queue: handed over, but the instance left before that was confirmed.
    Requeue { lease: LeaseRef },
    /// The same, while another instance is free: it takes that one.
    Swap { lease: LeaseRef, claim_until: Timestamp },
    /// Takes the waiter at `position` out of the queue, if it is still the wait that ends at `until`.
    GiveUp { token: Token, position: u64, until: Timestamp },
    /// Takes the first two waiters out, both past their time.
    DropPast { first: Token, second: Token, now: Timestamp },

    /// Writes a launch down before EC2 is called; `sequence` is the shard's number as the plan saw it.
    Intend { launch: LaunchToken, intent: Intent, sequence: u64 },
    /// Records what a launch brought; `short` is how many fewer than intended.
    Adopt { launch: LaunchToken, members: Vec<(InstanceId, Member)>, short: i64 },
    /// A launch that brought nothing gives its room back.
    Settle { launch: LaunchToken },
    /// Takes in an instance with our tag that no shard knows; `launch` is the token of its tag, `sequence` the shard's
    /// number as the judge saw it: whoever took the instance in meanwhile may have given it away again.
    AdoptOrphan { instance: InstanceId, member: Member, launch: LaunchToken, sequence: u64 },
    /// Decides to terminate such an instance.
    Doom { instance: InstanceId, launch: LaunchToken, sequence: u64, now: Timestamp },
    /// Records what EC2 tells of an instance only after its launch: its address, and what and where it is.
    Locate { instance: InstanceId, address: String, kind: Kind },
    /// The node of an instance that booted since `boot_epoch` serves.
    Ready { instance: InstanceId, boot_epoch: Epoch, key: NodeKey, boot_id: u64, now: Timestamp, next: Next },
    /// The node started again and has a new key.
    ReadyAgain { instance: InstanceId, key: NodeKey, boot_id: u64 },
    /// The node has cleaned away all leases up to `cleaned_epoch`.
    ResetDone { instance: InstanceId, cleaned_epoch: Epoch, now: Timestamp, next: Next },
    /// Takes the free instance at `position` out of service while more than `keep` are free.
    Fence { instance: InstanceId, position: u64, keep: u64, leaving: Leaving },
    /// Takes a booting, stopped or resetting instance out of service.
    FenceApart { instance: InstanceId, place: Apart, leaving: Leaving },
    /// An instance that is not free leaves when its lease has ended, or at the deadline. One that leaves already leaves
    /// sooner by it, never later.
    Mark { instance: InstanceId, leaving: Leaving },
    /// Moves the free instance at `position` to the stopped tier, before EC2 is asked to stop it.
    Stop { instance: InstanceId, position: u64, keep: u64, now: Timestamp },
    /// EC2 says that it is stopped.
    Stopped { instance: InstanceId, now: Timestamp },
    /// Starts an instance that is stopped since before `stopped_before`.
    Start { instance: InstanceId, now: Timestamp, stopped_before: Timestamp },
    /// EC2 says that a leaving instance is terminated; its place becomes room.
    Gone { instance: InstanceId, now: Timestamp },

    /// Sends the free instance at `position` to another shard.
    Give { instance: InstanceId, position: u64, to: ShardNo, transfer: TransferId, sequence: u64, now: Timestamp },
    /// Receives it; the epoch rises above `source_epoch`, so that the instance never sees its epochs go back.
    Take {
        instance: InstanceId,
        transfer: TransferId,
        member: Member,
        source_epoch: Epoch,
        limit: u64,
        now: Timestamp,
        next: Next,
        lift: Lift,
    },
    /// The target has it: the source forgets it.
    Done { instance: InstanceId, transfer: TransferId },
    /// The target will never take it.
    Cancel { transfer: TransferId, now: Timestamp },
    /// The source takes a cancelled one back.
    Back { instance: InstanceId, transfer: TransferId, now: Timestamp, next: Next },
    /// Forgets a tombstone that is older than `written_before`.
    Prune { name: String, written_before: Timestamp },
    /// Changes the shard's share of the cap from `from` to that of layout `layout`. Without what it was computed from, one
    /// decided before an earlier change arrives would leave a share that nobody corrects.
    Resize { from: i64, delta: i64, layout: u64 },
}

/// Which of the two writes of a take is meant; an expression cannot choose, so the caller does and is refused when wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lift {
    /// The target's epoch is at or above the source's: it grows by one.
    None,
    /// It is below: it becomes the source's plus one.
    ToSource,
}

impl Transition {
    /// The transition's name, for logs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Transition::Grant { .. } => "grant",
            Transition::Enqueue { .. } => "enqueue",
            Transition::Confirm { .. } => "confirm",
            Transition::Renew { .. } => "renew",
            Transition::End { by: EndedBy::Owner(_), .. } => "release",
            Transition::End { by: EndedBy::Expiry, .. } => "expire",
            Transition::End { by: EndedBy::Unclaimed, .. } => "un-confirm",
            Transition::Requeue { .. } => "re-queue",
            Transition::Swap { .. } => "swap",
            Transition::GiveUp { .. } => "give up waiting",
            Transition::DropPast { .. } => "drop the past",
            Transition::Intend { .. } => "intend",
            Transition::Adopt { .. } => "adopt",
            Transition::Settle { .. } => "settle",
            Transition::AdoptOrphan { .. } => "adopt an orphan",
            Transition::Doom { .. } => "doom an orphan",
            Transition::Locate { .. } => "locate",
            Transition::Ready { .. } => "ready",
            Transition::ReadyAgain { .. } => "ready again",
            Transition::ResetDone { .. } => "reset done",
            Transition::Fence { .. } | Transition::FenceApart { .. } => "fence",
            Transition::Mark { .. } => "mark",
            Transition::Stop { .. } => "stop",
            Transition::Stopped { .. } => "stopped",
            Transition::Start { .. } => "start",
            Transition::Gone { .. } => "gone",
            Transition::Give { .. } => "give",
            Transition::Take { .. } => "take",
            Transition::Done { .. } => "done",
            Transition::Cancel { .. } => "cancel",
            Transition::Back { .. } => "back",
            Transition::Prune { .. } => "prune",
            Transition::Resize { .. } => "resize",
        }
    }

    /// The request that it is about, if it is about one.
    #[must_use]
    pub fn token(&self) -> Option<&Token> {
        match self {
            Transition::Grant { token, .. } | Transition::Enqueue { token, .. } | Transition::GiveUp { token, .. } => {
                Some(token)
            }
            Transition::Confirm { lease, .. }
            | Transition::Renew { lease, .. }
            | Transition::End { lease, .. }
            | Transition::Requeue { lease }
            | Transition::Swap { lease, .. } => Some(&lease.token),
            _ => None,
        }
    }

    /// The waiter who is given the instance by it, if one is.
    #[must_use]
    pub fn handed_over_to(&self) -> Option<&Token> {
        match self {
            Transition::End { after: AfterEnd::Reuse(next), .. }
            | Transition::Ready { next, .. }
            | Transition::ResetDone { next, .. }
            | Transition::Take { next, .. }
            | Transition::Back { next, .. } => match next {
                Next::HandOver { waiter, .. } => Some(waiter),
                Next::Free => None,
            },
            _ => None,
        }
    }

    /// The instance that it is about, if it names one.
    #[must_use]
    pub fn instance(&self) -> Option<&InstanceId> {
        match self {
            Transition::Confirm { lease, .. }
            | Transition::Renew { lease, .. }
            | Transition::End { lease, .. }
            | Transition::Requeue { lease }
            | Transition::Swap { lease, .. } => Some(&lease.instance),
            Transition::AdoptOrphan { instance, .. }
            | Transition::Doom { instance, .. }
            | Transition::Locate { instance, .. }
            | Transition::Ready { instance, .. }
            | Transition::ReadyAgain { instance, .. }
            | Transition::ResetDone { instance, .. }
            | Transition::Fence { instance, .. }
            | Transition::FenceApart { instance, .. }
            | Transition::Mark { instance, .. }
            | Transition::Stop { instance, .. }
            | Transition::Stopped { instance, .. }
            | Transition::Start { instance, .. }
            | Transition::Gone { instance, .. }
            | Transition::Give { instance, .. }
            | Transition::Take { instance, .. }
            | Transition::Done { instance, .. }
            | Transition::Back { instance, .. } => Some(instance),
            _ => None,
        }
    }
}
