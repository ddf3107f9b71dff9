//! What the operator may order: pause launching, drain the pool or an instance, cordon one, end a lease, set the cap.
//!
//! Orders are above the policy and last until they are taken back. Those about the pool live in the control record, where
//! every plan sees them; those about an instance or a lease are transitions of its shard.

use crate::answer::Step;
use crate::control::{Control, Order};
use crate::ids::{InstanceId, LeaseId};
use crate::leaving;
use crate::policy::Policy;
use crate::release;
use crate::shard::{Shard, Transition};
use crate::time::Timestamp;

/// The largest cap that may be ordered, as for `POOL_MAX`.
pub const CAP_MAX: u64 = 10_000;

/// Instances that may be cordoned at a time; each makes every write of the control record dearer.
pub const CORDONED_MAX: usize = 100;

/// An order about the whole pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PoolOrder {
    /// Launch and start nothing.
    Pause,
    /// Launch again.
    Resume,
    /// Launch nothing, and empty the pool; leased instances leave after their lease.
    Drain,
    /// Fill it again.
    Undrain,
    /// This cap instead of the policy's; the policy's again when not given.
    Cap(Option<u64>),
}

/// The control record under an order. An order that is in force already stays as it is.
#[must_use]
pub fn ordered(control: &Control, order: &PoolOrder, why: &str, now: Timestamp) -> Control {
    let mut next = control.clone();
    let orders = &mut next.operator;
    let new = || Order { at: now, why: why.to_owned() };
    match order {
        PoolOrder::Pause => drop(orders.paused.get_or_insert_with(new)),
        PoolOrder::Resume => orders.paused = None,
        PoolOrder::Drain => drop(orders.drained.get_or_insert_with(new)),
        PoolOrder::Undrain => orders.drained = None,
        PoolOrder::Cap(cap) => orders.max_instances = *cap,
    }
    next
}

/// The control record when an instance is cordoned (kept running out of service) or, without a reason, no longer.
/// `None` when as many are cordoned as may be.
#[must_use]
pub fn cordoned(control: &Control, instance: &InstanceId, why: Option<&str>, now: Timestamp) -> Option<Control> {
    let mut next = control.clone();
    let cordoned = &mut next.operator.cordoned;
    // A slot is kept with its machine.
    let instance = instance.machine();
    match why {
        None => drop(cordoned.remove(&instance)),
        Some(_) if cordoned.len() >= CORDONED_MAX && !cordoned.contains_key(&instance) => return None,
        Some(why) => {
            cordoned.entry(instance).or_insert_with(|| Order { at: now, why: why.to_owned() });
        }
    }
    Some(next)
}

/// The transition that takes an instance out of service by the operator's order; `None` when it leaves already. A leased
/// one leaves after its lease.
#[must_use]
pub fn withdraw(shard: &Shard, instance: &InstanceId, why: &str) -> Option<Transition> {
    leaving::withdraw(shard, instance, &format!("the operator withdrew it: {why}"), Timestamp::NEVER)
}

/// What to do next to end a lease or a wait, whoever holds it.
#[must_use]
pub fn release(id: &LeaseId, shard: &Shard, policy: &Policy, now: Timestamp) -> Step {
    match shard.standing(&id.token, now).terms() {
        Some(terms) => release::release(id, &terms.owner, shard, policy, now),
        None => Step::Ended,
    }
}
