//! The callers: each asks once, waits for as long as it is ready to, and gives back after its time.
//!
//! A caller that waits holds its request open, so it confirms a hand-over in the same second.

use pool_core::acquire::{self, Request};
use pool_core::answer::{Refusal, Step};
use pool_core::ids::{LeaseId, ShardNo, Token};
use pool_core::release;
use pool_core::shard::{AfterEnd, Transition};
use pool_core::time::Timestamp;

use super::events::Event;
use super::trace::Arrival;
use super::world::World;

/// From a waiter's arrival to the run of `scale` for it, and the least time between two such runs, in seconds.
const WAKE_SECONDS: u64 = 3;

/// A caller.
#[derive(Debug)]
pub(super) struct Caller {
    arrived_at: Timestamp,
    duration_seconds: u64,
    pub(super) shard: ShardNo,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Waiting,
    Holding,
    Over,
}

impl Caller {
    pub(super) fn is_waiting(&self) -> bool {
        self.standing == Standing::Waiting
    }
}

impl World<'_> {
    /// A caller comes.
    pub(super) fn arrives(&mut self, arrival: Arrival) {
        let caller = self.callers.len();
        let token = token_of(caller);
        let shard = self.any_free_shard().unwrap_or_else(|| self.random.u32(..self.control.layout.shards));
        let duration_seconds = arrival.duration_seconds.min(self.policy.lease_ttl_max_seconds);
        self.callers.push(Caller { arrived_at: self.now, duration_seconds, shard, standing: Standing::Over });
        let request = Request {
            owner: self.owner.clone(),
            token: token.clone(),
            ttl_seconds: duration_seconds,
            wait_seconds: self.wait_seconds,
            layout: self.control.layout.number,
        };
        loop {
            let step = acquire::acquire(&request, Some(self.shard(shard)), &self.policy, self.now);
            match step {
                Step::Try(transition) => {
                    if self.write(shard, &transition).is_err() {
                        return self.tally.refused(Refusal::NoPool, self.wait_seconds);
                    }
                    match transition {
                        Transition::Grant { .. } => return self.granted(caller),
                        Transition::Enqueue { .. } => return self.waits(caller, token),
                        _ => {}
                    }
                }
                Step::Refuse(why) => return self.tally.refused(why, self.wait_seconds),
                Step::Lease(_) | Step::Ended => return,
            }
        }
    }

    fn waits(&mut self, caller: usize, token: Token) {
        self.callers[caller].standing = Standing::Waiting;
        self.waiting.insert(token, caller);
        self.queue.push_back(caller);
        self.events.at(self.now + self.wait_seconds, Event::WaitEnds { caller });
        self.wake_in(WAKE_SECONDS);
    }

    /// Has `scale` look in so many seconds, unless it will before.
    pub(super) fn wake_in(&mut self, seconds: u64) {
        let at = (self.now + seconds).max(self.woken_at + WAKE_SECONDS);
        if self.wakes_at.is_none_or(|foreseen| at < foreseen) {
            self.wakes_at = Some(at);
            self.events.at(at, Event::Wake);
        }
    }

    fn granted(&mut self, caller: usize) {
        let holder = &mut self.callers[caller];
        holder.standing = Standing::Holding;
        self.tally.waited(self.now.seconds_since(holder.arrived_at));
        self.events.at(self.now + holder.duration_seconds, Event::LeaseEnds { caller });
        let lease = self.shards[holder.shard as usize].leases.get(&token_of(caller)).cloned();
        if let Some(machine) = lease.and_then(|instance| self.machine_of(&instance)) {
            self.machines[machine].has_served = true;
        }
    }

    /// A waiter sees that it was handed an instance, and confirms.
    pub(super) fn confirm(&mut self, shard: ShardNo, token: &Token) {
        let Some(caller) = self.waiting.remove(token) else { return };
        let step = acquire::look(&lease_id(shard, token), &self.owner, self.shard(shard), &self.policy, self.now);
        if let Step::Try(confirm) = step
            && self.write(shard, &confirm).is_ok()
        {
            self.granted(caller);
        }
    }

    /// A caller gives back.
    pub(super) fn lease_ends(&mut self, caller: usize) {
        if self.callers[caller].standing != Standing::Holding {
            return;
        }
        self.callers[caller].standing = Standing::Over;
        let (shard, token) = (self.callers[caller].shard, token_of(caller));
        while let Step::Try(transition) =
            release::release(&lease_id(shard, &token), &self.owner, self.shard(shard), &self.policy, self.now)
        {
            if self.write(shard, &transition).is_err() {
                break;
            }
            if let Transition::End { after: AfterEnd::Reset, lease, .. } = &transition
                && let Some(machine) = self.machine_of(&lease.instance)
            {
                let at = self.now + self.model.reset_seconds;
                self.events.at(at, Event::Cleaned { machine, epoch: lease.epoch });
            }
        }
        self.bring();
    }

    /// The holder of a lease whose instance EC2 took.
    pub(super) fn interrupted(&mut self, token: &Token) {
        self.tally.interrupted_leases += 1;
        if let Some(caller) = caller_of(token) {
            self.lease_ends(caller);
        }
    }

    /// A caller waits no longer.
    pub(super) fn wait_ends(&mut self, caller: usize) {
        let token = token_of(caller);
        if self.waiting.remove(&token).is_none() {
            return;
        }
        let shard = self.callers[caller].shard;
        self.callers[caller].standing = Standing::Over;
        let step = release::release(&lease_id(shard, &token), &self.owner, self.shard(shard), &self.policy, self.now);
        if let Step::Try(give_up) = step
            && self.write(shard, &give_up).is_ok()
        {
            self.tally.waited_in_vain(self.wait_seconds);
        }
    }
}

fn lease_id(shard: ShardNo, token: &Token) -> LeaseId {
    LeaseId { shard, token: token.clone(), grant: None }
}

/// The token of a caller: its number in fixed width, so that the holder of a lease is found without a table.
fn token_of(caller: usize) -> Token {
    Token::trusted(format!("{caller:012}"))
}

fn caller_of(token: &Token) -> Option<usize> {
    token.as_str().parse().ok()
}
