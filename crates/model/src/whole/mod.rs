//! The whole protocol over two shards: launch, boot, leases, moves, orphans, the stopped tier, changes of the cap, until
//! EC2 has ended an instance.
//!
//! The rule: **who acts has no memory that must survive.** A step is one write (or one call of EC2), decided on a reading
//! of the table as it is now by the function of the core that decides it in production. Then it is made at once, or it is
//! delayed and arrives any number of times later, whatever has happened since; so a lost answer, a retry and a late
//! duplicate are all histories of this model. A crash needs no step: whoever would have gone on just never does, and
//! somebody else finds what was left. What an actor must carry from one write to the next (a mover what it moves, a judge
//! of orphans what it has read) is part of the state, and others act in between.
//!
//! Two kinds of freedom go beyond production on purpose: clocks (anybody may find a lease overdue or a move stuck at any
//! time) and plans (anything may be fenced, moved, launched or stopped that the table permits, needed or not).
//!
//! Two things are taken for granted. A decision reads both shards at one moment, but for that of a judge of orphans, which
//! is decided on readings of their own; a decision on an old reading is one that is delayed. And a write that raises the
//! epoch and changes nothing else is left out, since it could be made for ever.
//!
//! What would be endless is counted: [`Limits`] says how many launches, leases, moves and so on a history has, and how
//! many writes are delayed. Within its limits a scenario is tried whole.

mod callers;
mod decline;
mod ec2;
mod growth;
mod moves;
mod orphans;
mod properties;
mod scenario;
pub mod scenarios;
mod variant;
mod world;

use pool_core::policy::{AfterRelease, Policy};
use stateright::{Model, Property};

use crate::check::Accepted;

pub use orphans::Order;
pub use properties::{
    CAP, EPOCHS_GROW, NOT_IN_TWO_SHARDS, NOT_LEASED_TWICE, NOT_LOST, NOT_STOPPED_IN_USE, NOT_TERMINATED_IN_USE,
    ONE_PLACE, SHARES,
};
pub use scenario::{Limits, Scenario};
pub use variant::Variant;
pub use world::{Action, Call, World, Write};

/// The model: a scenario, played by the right protocol or by one that lacks a guard.
#[derive(Debug, Clone)]
pub struct Whole {
    /// Where it begins and how far it goes.
    pub scenario: Scenario,
    /// Which guard is missing, if one is.
    pub variant: Variant,
    /// A policy for each thing that may happen after a lease.
    policies: Vec<Policy>,
    /// What was accepted.
    pub accepted: Accepted,
}

impl Whole {
    /// The right protocol in a scenario.
    #[must_use]
    pub fn right(scenario: Scenario) -> Self {
        Self::of(scenario, Variant::Right)
    }

    /// A scenario without one of the guards.
    ///
    /// # Panics
    /// Never: the policy's defaults are valid.
    #[must_use]
    pub fn of(scenario: Scenario, variant: Variant) -> Self {
        let default = Policy::parse::<&str, &str>([]).expect("the defaults are valid");
        let policy = |after_release: &AfterRelease| Policy { after_release: *after_release, ..default.clone() };
        let policies = scenario.after_release.iter().map(policy).collect();
        Self { scenario, variant, policies, accepted: Accepted::default() }
    }

    /// The policy of whoever does not end a lease.
    fn policy(&self) -> &Policy {
        self.policies.first().expect("a scenario says what happens after a lease")
    }

    /// All that somebody may decide to write or to ask of EC2 now.
    fn decided(&self, world: &World) -> Vec<Write> {
        let mut writes = Vec::new();
        callers::decide(self, world, &mut writes);
        growth::decide(self, world, &mut writes);
        decline::decide(self, world, &mut writes);
        moves::decide(self, world, &mut writes);
        orphans::decide(self, world, &mut writes);
        writes
    }

    /// The world after a write, or `None` when it is refused or changes nothing.
    fn after(&self, world: &World, write: &Write) -> Option<World> {
        let mut after = world.clone();
        match write {
            Write::Table { shard, transition } => {
                self.variant.apply(&mut after.shards[*shard], transition).ok()?;
                after.follow(world, *shard, transition);
                self.accepted.note(transition.name());
            }
            Write::Ec2(call) => after.call(call).then_some(())?,
        }
        Some(after)
    }

    /// Of these, the writes and calls that change something and stay within the limits.
    fn possible(&self, world: &World, mut writes: Vec<Write>) -> Vec<Write> {
        let mut tables = world.shards.clone();
        writes.retain(|write| {
            let (shard, transition) = match write {
                Write::Table { shard, transition } => (shard, transition),
                Write::Ec2(Call::Start(_)) if world.spent.starts == self.scenario.limits.starts => return false,
                Write::Ec2(call) => return world.ec2.clone().call(call),
            };
            let (before, table) = (&world.shards[*shard], &mut tables[*shard]);
            // A refused write leaves the copy as it is, so only those that are accepted cost a new one.
            if self.variant.apply(table, transition).is_err() {
                return false;
            }
            let mut spent = world.spent;
            spent.count(transition);
            spent.leases += u8::try_from(world::granted(before, table).count()).expect("one at most");
            // One that raises the epoch and nothing else, as a second doom does, could be made for ever.
            table.epoch = before.epoch;
            let changed = table != before;
            table.clone_from(before);
            changed && spent.within(&self.scenario.limits)
        });
        writes
    }
}

impl Model for Whole {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.scenario.begin()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let limits = &self.scenario.limits;
        for write in self.possible(world, self.decided(world)) {
            if world.spent.delays < limits.delays && !world.late.contains(&write) {
                actions.push(Action::Delay(write.clone()));
            }
            actions.push(Action::Make(write));
        }
        actions.extend(self.possible(world, world.late.clone()).into_iter().map(Action::Arrive));
        actions.extend(orphans::readings(self, world));
        if world.spent.ages < limits.ages {
            actions.push(Action::TimePasses);
        }
        if world.spent.losses < limits.losses {
            actions.extend(world.ec2.alive().map(|instance| Action::Lose(instance.clone())));
        }
        if world.spent.layouts < limits.layouts {
            actions.push(Action::ChangeLayout);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut after = world.clone();
        match action {
            Action::Make(write) | Action::Arrive(write) => return self.after(world, &write),
            Action::Delay(write) => {
                after.late.push(write);
                after.spent.delays += 1;
            }
            Action::TimePasses => after.time_passes(),
            Action::Lose(instance) => {
                after.ec2.end(&instance);
                after.spent.losses += 1;
            }
            Action::ChangeLayout => after.spent.layouts += 1,
            Action::BeginJudging { instance, order } => after.begin_judging(instance, order),
            Action::Read { judge } => orphans::read(self, &mut after, judge),
        }
        (after != *world).then_some(after)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }

    fn format_action(&self, action: &Action) -> String {
        action.to_string()
    }
}
