//! The state of the whole model, and how a step changes it.
//!
//! The rule: what a step broke is found out here, when it happens; what can be seen in a state alone is a property of
//! its own module.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use pool_core::ids::{Epoch, InstanceId, LaunchToken};
use pool_core::shard::{Fate, LeaseRef, Shard, Transfer, Transition};
use pool_core::time::Timestamp;
use pool_core::transfer::{self, Move};

use super::ec2::Ec2;
use super::orphans::{Judge, Order};
use super::properties::{EPOCHS_GROW, NOT_STOPPED_IN_USE, NOT_TERMINATED_IN_USE};
use super::scenario::Limits;

/// Seconds that pass at once: longer than any lease lives, any message is under way and any tombstone is kept.
const AGE_SECONDS: u64 = 100_000;

/// The table, EC2, what is on its way, and what is true of the past.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    /// The table.
    pub shards: [Shard; 2],
    /// EC2.
    pub ec2: Ec2,
    /// Writes on their way. Each arrives as often as it likes until so much time has passed that none can.
    pub late: Vec<Write>,
    /// Moves whose mover still goes on.
    pub movers: Vec<Move>,
    /// Judges of orphans, with what they have read.
    pub(super) judges: Vec<Judge>,
    /// What was counted so far.
    pub spent: Limits,
    /// Instances that some shard ever had.
    pub booked: BTreeSet<InstanceId>,
    /// The highest epoch at which each instance was leased.
    pub highest: BTreeMap<InstanceId, Epoch>,
    /// What a step broke.
    pub broken: BTreeSet<&'static str>,
}

/// One write or call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Write {
    /// Of the table.
    Table {
        /// Which shard.
        shard: usize,
        /// What.
        transition: Transition,
    },
    /// Of EC2.
    Ec2(Call),
}

/// One call of EC2.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Call {
    /// Launches what a shard intends.
    CreateFleet {
        /// The shard of the tag.
        shard: usize,
        /// The client token.
        launch: LaunchToken,
    },
    /// Stops an instance.
    Stop(InstanceId),
    /// Starts it again.
    Start(InstanceId),
    /// Terminates it.
    Terminate(InstanceId),
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// A write is decided and made.
    Make(Write),
    /// A write is decided, and is on its way from now on.
    Delay(Write),
    /// A write that is on its way arrives.
    Arrive(Write),
    /// So much time passes that nothing is on its way any more, and all that was written is old.
    TimePasses,
    /// EC2 takes an instance away.
    Lose(InstanceId),
    /// The operator changes the cap or the number of shards.
    ChangeLayout,
    /// A run finds an instance in EC2's list and begins to read the shards for it.
    BeginJudging {
        /// Which.
        instance: InstanceId,
        /// In which order the two shards are read.
        order: Order,
    },
    /// A judge reads its next shard.
    Read {
        /// Which judge.
        judge: usize,
    },
}

impl World {
    /// The time.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp(AGE_SECONDS * (u64::from(self.spent.ages) + 1))
    }

    /// A moment before the next age when every lease that was granted in this one is over.
    pub(super) fn later(&self) -> Timestamp {
        self.now() + AGE_SECONDS / 2
    }

    /// Takes in what an accepted transition changed.
    pub(super) fn follow(&mut self, before: &World, number: usize, transition: &Transition) {
        self.spent.count(transition);
        let shard = &mut self.shards[number];
        for member in shard.members.values_mut() {
            // Nothing that is modelled looks at these two, and without them more histories meet.
            (member.since, member.served) = (Timestamp(0), 0);
        }
        self.booked.extend(shard.members.keys().cloned());
        for lease in granted(&before.shards[number], shard) {
            self.spent.leases += 1;
            let highest = self.highest.entry(lease.instance).or_insert(0);
            if *highest >= lease.epoch {
                self.broken.insert(EPOCHS_GROW);
            }
            *highest = lease.epoch.max(*highest);
        }
        if let Transition::Give { instance, .. } = transition {
            // The mover is told the shard as its write left it. One that forgets the move is asked what it had.
            let told = transfer::recorded(&self.shards[number], instance).or_else(|| {
                let mut remembered = before.shards[number].clone();
                remembered.apply(transition).ok()?;
                transfer::recorded(&remembered, instance)
            });
            self.movers.extend(told);
        }
        if let Transition::Doom { .. } | Transition::AdoptOrphan { .. } = transition {
            self.judges.retain(|judge| judge.verdict() != Some(transition));
        }
    }

    /// Carries out a call of EC2; `false` when it changes nothing.
    pub(super) fn call(&mut self, call: &Call) -> bool {
        if !self.ec2.call(call) {
            return false;
        }
        match call {
            Call::Stop(instance) => {
                let serves = |shard: &Shard| {
                    shard.free.contains(instance) || shard.leases.values().any(|leased| leased == instance)
                };
                if self.shards.iter().any(serves) {
                    self.broken.insert(NOT_STOPPED_IN_USE);
                }
            }
            Call::Terminate(instance) => {
                let has_left = |entry: &Transfer| is_taken(&self.shards, entry);
                let stays = |shard: &Shard| {
                    shard.members.contains_key(instance)
                        && !shard.leaving.contains_key(instance)
                        && !shard.transfers.get(instance).is_some_and(has_left)
                };
                if self.shards.iter().any(stays) {
                    self.broken.insert(NOT_TERMINATED_IN_USE);
                }
            }
            Call::Start(_) => self.spent.starts += 1,
            Call::CreateFleet { .. } => {}
        }
        true
    }

    /// Nothing that was sent before arrives after this, and no function that ran before runs on.
    pub(super) fn time_passes(&mut self) {
        self.spent.ages += 1;
        self.ec2.time_passes();
        self.late.clear();
        self.movers.clear();
        self.judges.clear();
    }

    pub(super) fn begin_judging(&mut self, instance: InstanceId, order: Order) {
        self.spent.judgements += 1;
        self.judges.push(Judge::new(instance, order));
    }
}

/// Leases that are in the shard after a write and were not before.
pub(super) fn granted<'a>(before: &'a Shard, after: &'a Shard) -> impl Iterator<Item = LeaseRef> + 'a {
    let leases = after.leases.keys().filter_map(|token| after.lease(token));
    leases.filter(|lease| before.lease(&lease.token).as_ref() != Some(lease))
}

/// Whether the shard that is to take an instance says that it did.
pub(super) fn is_taken(shards: &[Shard; 2], entry: &Transfer) -> bool {
    let target = shards.iter().find(|shard| shard.number == entry.to);
    let tombstone = target.and_then(|shard| shard.tombstones.get(entry.id.as_str()));
    tombstone.is_some_and(|tombstone| tombstone.fate == Fate::Taken)
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Make(write) => write!(f, "{write}"),
            Action::Delay(write) => write!(f, "delayed: {write}"),
            Action::Arrive(write) => write!(f, "arrives late: {write}"),
            Action::TimePasses => write!(f, "time passes"),
            Action::Lose(instance) => write!(f, "EC2 takes {instance} away"),
            Action::ChangeLayout => write!(f, "the layout is changed"),
            Action::BeginJudging { instance, order } => write!(f, "{instance} is listed, a judge begins ({order:?})"),
            Action::Read { judge } => write!(f, "judge {judge} reads its next shard"),
        }
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Write::Ec2(call) => write!(f, "EC2: {call:?}"),
            Write::Table { shard, transition } => {
                write!(f, "shard {shard}: {}", transition.name())?;
                if let Some(instance) = transition.instance() {
                    write!(f, " {instance}")?;
                }
                if let Some(token) = transition.token() {
                    write!(f, " for {token}")?;
                }
                match transition {
                    Transition::Give { transfer, .. }
                    | Transition::Take { transfer, .. }
                    | Transition::Done { transfer, .. }
                    | Transition::Cancel { transfer, .. }
                    | Transition::Back { transfer, .. } => write!(f, ", transfer {transfer}"),
                    Transition::Intend { launch, .. }
                    | Transition::Adopt { launch, .. }
                    | Transition::Settle { launch } => write!(f, ", launch {launch}"),
                    Transition::Prune { name, .. } => write!(f, " {name}"),
                    _ => Ok(()),
                }
            }
        }
    }
}
