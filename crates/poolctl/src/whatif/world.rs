//! The simulated world: real shards, and around them the callers, the instances and the events to come.

use std::collections::{HashMap, VecDeque};

use pool_core::control::{Control, Layout};
use pool_core::ids::{InstanceId, Owner, ShardNo, Token};
use pool_core::node::InstanceRecord;
use pool_core::policy::Policy;
use pool_core::reap_idle::Ec2Word;
use pool_core::shard::{AfterEnd, Next, Refused, Shard, Transition};
use pool_core::snapshot::Snapshot;
use pool_core::time::Timestamp;
use pool_core::transfer;

use super::callers::Caller;
use super::events::Events;
use super::machines::Machine;
use super::model::Model;
use super::policy_file::Scenario;
use super::tally::Tally;

/// Heartbeats that may be missed here: more than a trace can last.
const NEVER_SILENT: u64 = 1 << 32;

/// Everything there is.
pub(super) struct World<'a> {
    /// The policy, but for heartbeats: no node falls silent here, so nobody need tell of all that beat.
    pub(super) policy: Policy,
    pub(super) model: &'a Model,
    pub(super) wait_seconds: u64,
    pub(super) now: Timestamp,
    pub(super) shards: Vec<Shard>,
    pub(super) control: Control,
    pub(super) machines: Vec<Machine>,
    pub(super) callers: Vec<Caller>,
    pub(super) owner: Owner,
    /// Which caller waits under a token.
    pub(super) waiting: HashMap<Token, usize>,
    /// Waiting callers in the order of coming, and some that wait no longer.
    pub(super) queue: VecDeque<usize>,
    pub(super) events: Events,
    /// What EC2 says of those that do not simply run: the plans find nothing to do for the others, and would look each
    /// of ten thousand up to find that.
    pub(super) ec2: Ec2Word,
    /// The latest boots.
    pub(super) records: Vec<InstanceRecord>,
    /// The last run of `scale` for somebody who waits, and the next one, if it is foreseen.
    pub(super) woken_at: Timestamp,
    pub(super) wakes_at: Option<Timestamp>,
    pub(super) random: fastrand::Rng,
    pub(super) tally: Tally,
    free: FreeShards,
}

impl<'a> World<'a> {
    /// An empty pool at `now`; what is billed and reported begins at `from` and ends at `until`.
    pub(super) fn new(scenario: &'a Scenario, seed: u64, [now, from, until]: [Timestamp; 3]) -> Self {
        let policy = Policy { heartbeat_misses: NEVER_SILENT, ..scenario.policy.clone() };
        let layout = Layout::default().changed_by(&policy, now).unwrap_or_default();
        let shards = (0..layout.shards).map(|number| {
            let mut shard = Shard::new(number);
            let resize = Transition::Resize { from: 0, delta: layout.share_of(number), layout: layout.number };
            // A new shard has no share yet, so nothing can stand against its first one.
            let _ = shard.apply(&resize);
            shard
        });
        Self {
            policy,
            model: &scenario.model,
            wait_seconds: scenario.wait_seconds,
            now,
            shards: shards.collect(),
            free: FreeShards::new(layout.shards),
            control: Control { layout, version: 1, ..Control::default() },
            machines: Vec::new(),
            callers: Vec::new(),
            owner: Owner::of("what-if"),
            waiting: HashMap::new(),
            queue: VecDeque::new(),
            events: Events::default(),
            ec2: Ec2Word::default(),
            records: Vec::new(),
            woken_at: Timestamp(0),
            wakes_at: None,
            random: fastrand::Rng::with_seed(seed),
            tally: Tally::new(from, until),
        }
    }

    /// What a plan looks at.
    pub(super) fn snapshot(&self) -> Snapshot<'_> {
        let Self { shards, control, policy, now, .. } = self;
        Snapshot { shards, control, records: &self.records, policy, now: *now }
    }

    pub(super) fn shard(&self, number: ShardNo) -> &Shard {
        &self.shards[number as usize]
    }

    /// Carries out a transition. Whoever gets an instance by it learns it at once.
    pub(super) fn write(&mut self, number: ShardNo, transition: &Transition) -> Result<(), Refused> {
        let shard = &mut self.shards[number as usize];
        let (free_before, leased_before) = (shard.free.len(), shard.leases.len());
        shard.apply(transition)?;
        self.tally.free += shard.free.len() as u64;
        self.tally.free -= free_before as u64;
        self.tally.leased_changes(self.now, leased_before, shard.leases.len());
        self.free.note(number, !shard.free.is_empty());
        if let Some(waiter) = handed_to(transition).cloned() {
            self.confirm(number, &waiter);
        }
        Ok(())
    }

    /// A shard that has something free, each with the same chance, as a random token finds it.
    pub(super) fn any_free_shard(&mut self) -> Option<ShardNo> {
        let having = &self.free.having;
        if having.is_empty() { None } else { Some(having[self.random.usize(..having.len())]) }
    }

    /// Brings free instances to the shards of those who wait longest, by the three writes of a move.
    pub(super) fn bring(&mut self) {
        let mut tried = 0;
        while !self.free.having.is_empty() && tried < self.queue.len() {
            let caller = self.queue[tried];
            if !self.callers[caller].is_waiting() {
                self.queue.remove(tried);
                continue;
            }
            let to = self.callers[caller].shard;
            if self.bring_one(to).is_none() {
                tried += 1;
            }
        }
    }

    fn bring_one(&mut self, to: ShardNo) -> Option<()> {
        let (from, give) = transfer::give(&self.shards, to, &self.policy, self.now)?;
        let instance = give.instance()?.clone();
        self.write(from, &give).ok()?;
        let moved = transfer::recorded(self.shard(from), &instance)?;
        if let Some(machine) = self.machine_of(&instance) {
            self.machines[machine].shard = to;
        }
        loop {
            let take = transfer::take(&moved, self.shard(to), &self.policy, self.now);
            let done = matches!(take, Transition::Take { .. });
            self.write(to, &take).ok()?;
            if done {
                break;
            }
        }
        self.write(from, &Transition::Done { instance, transfer: moved.id }).ok()
    }

    /// The modelled instance behind an id.
    pub(super) fn machine_of(&self, instance: &InstanceId) -> Option<usize> {
        let number = instance.as_str().strip_prefix("i-").and_then(|digits| usize::from_str_radix(digits, 16).ok())?;
        (number < self.machines.len()).then_some(number)
    }
}

/// The waiter who gets an instance by a transition.
fn handed_to(transition: &Transition) -> Option<&Token> {
    match transition {
        Transition::End { after: AfterEnd::Reuse(Next::HandOver { waiter, .. }), .. }
        | Transition::Ready { next: Next::HandOver { waiter, .. }, .. }
        | Transition::ResetDone { next: Next::HandOver { waiter, .. }, .. }
        | Transition::Take { next: Next::HandOver { waiter, .. }, .. }
        | Transition::Back { next: Next::HandOver { waiter, .. }, .. } => Some(waiter),
        _ => None,
    }
}

/// The shards that have something free, so that an arrival need not look at all of them.
struct FreeShards {
    having: Vec<ShardNo>,
    /// Where each shard is in `having`.
    places: Vec<Option<usize>>,
}

impl FreeShards {
    fn new(shards: u32) -> Self {
        Self { having: Vec::new(), places: vec![None; shards as usize] }
    }

    fn note(&mut self, shard: ShardNo, has_free: bool) {
        match (self.places[shard as usize], has_free) {
            (None, true) => {
                self.places[shard as usize] = Some(self.having.len());
                self.having.push(shard);
            }
            (Some(place), false) => {
                self.having.swap_remove(place);
                self.places[shard as usize] = None;
                if let Some(moved) = self.having.get(place) {
                    self.places[*moved as usize] = Some(place);
                }
            }
            _ => {}
        }
    }
}
