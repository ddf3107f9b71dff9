//! What a plan looks at: all shards, the control record, the heartbeats, the policy and the time, as of one moment.
//!
//! Every plan is a function of this and of nothing else, so that the same picture gives the same decision in a function,
//! in `status`, and in a replay of recorded demand.

use crate::control::{Control, Order, Orders};
use crate::ids::InstanceId;
use crate::node::InstanceRecord;
use crate::policy::Policy;
use crate::schedule::{self, Wanted};
use crate::shard::{Market, Member, Shard, StopPhase};
use crate::time::Timestamp;

/// The schedules run once a minute (`template.yaml`).
const RUNS_EVERY_SECONDS: u64 = 60;

/// All that a plan looks at.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'a> {
    /// Every shard that was ever made.
    pub shards: &'a [Shard],
    /// The control record.
    pub control: &'a Control,
    /// The heartbeats of the instances that the plan asks about.
    pub records: &'a [InstanceRecord],
    /// What the operator decided at deployment.
    pub policy: &'a Policy,
    /// The time.
    pub now: Timestamp,
}

impl<'a> Snapshot<'a> {
    /// Every member with its shard.
    pub fn members(self) -> impl Iterator<Item = (&'a Shard, &'a InstanceId, &'a Member)> {
        self.shards
            .iter()
            .flat_map(|shard| shard.members.iter().map(move |(instance, member)| (shard, instance, member)))
    }

    /// Requests that wait and whose wait is not over.
    #[must_use]
    pub fn waiting(self) -> u64 {
        let live = |shard: &Shard| shard.queue_terms.values().filter(|terms| terms.until >= self.now).count() as u64;
        self.shards.iter().map(live).sum()
    }

    /// How long the oldest of them waits, in seconds; 0 when nobody does.
    #[must_use]
    pub fn oldest_wait_seconds(self) -> u64 {
        let live = |shard: &'a Shard| shard.queue_terms.values().filter(|terms| terms.until >= self.now);
        let since = |terms| self.now.seconds_since(self.policy.waiting_since(terms));
        self.shards.iter().flat_map(live).map(since).max().unwrap_or(0)
    }

    /// Free instances to be kept, by the policy and by the windows that are open now or will be when an instance that
    /// is launched now serves.
    #[must_use]
    pub fn kept(self) -> u64 {
        self.windows().min_available.unwrap_or(0).max(self.policy.min_available)
    }

    /// Free instances to be kept in all: those, and the steps that were taken for busy nodes.
    #[must_use]
    pub fn kept_in_all(self) -> u64 {
        self.kept() + self.control.utilisation.extra
    }

    /// The cap, in sessions: the operator's or the policy's, or less while a window says so.
    #[must_use]
    pub fn cap(self) -> u64 {
        self.policy.slots(self.cap_of_instances())
    }

    fn cap_of_instances(self) -> u64 {
        self.windows().max.unwrap_or(u64::MAX).min(self.control.max_instances(self.policy))
    }

    /// What the pool never has less of, in sessions.
    #[must_use]
    pub fn least(self) -> u64 {
        self.policy.slots(self.policy.min_instances)
    }

    /// What is launched in this minute must be ready when a window opens, or the next run, a minute later, is too late.
    fn windows(self) -> Wanted {
        let boot_seconds = self.control.measures.boot_seconds.min(self.policy.boot_deadline_seconds);
        schedule::wanted_ahead(&self.policy.schedule, self.now, boot_seconds + RUNS_EVERY_SECONDS)
    }

    /// Instances that boot, and those whose launch is decided.
    #[must_use]
    pub fn on_the_way(self) -> u64 {
        let of = |shard: &Shard| shard.boots().count() as u64 + shard.intended();
        self.shards.iter().map(of).sum()
    }

    /// Instances that may still be launched: what all shards together may intend, and no more than the cap of an open window
    /// leaves. A shard whose share was cut may have more than that for a while, so the rooms of the others are not all to be
    /// had.
    #[must_use]
    pub fn room(self) -> u64 {
        let rooms: i64 = self.shards.iter().map(|shard| shard.room).sum();
        let there: u64 = self.shards.iter().map(|shard| shard.members.len() as u64 + shard.intended()).sum();
        // Instances from before a change of their sessions may be more than their sessions tell.
        let instances: u64 = self.shards.iter().map(Shard::instances).sum();
        let by_instances = self.policy.slots(self.cap_of_instances().saturating_sub(instances));
        u64::try_from(rooms).unwrap_or(0).min(self.cap().saturating_sub(there)).min(by_instances)
    }

    /// How many the stopped tier lacks.
    #[must_use]
    pub fn missing_in_stopped_tier(self) -> u64 {
        let in_tier = |shard: &Shard| shard.in_tier().count() as u64;
        self.policy.stopped_size.saturating_sub(self.shards.iter().map(in_tier).sum())
    }

    /// Instances of the stopped tier that are stopped and stay.
    pub fn stopped(self) -> impl Iterator<Item = (&'a Shard, &'a InstanceId, Timestamp)> {
        self.shards.iter().flat_map(|shard| {
            let stopped = shard.in_tier().filter(|(_, stopped)| stopped.phase == StopPhase::Stopped);
            stopped.map(move |(instance, stopped)| (shard, instance, stopped.since))
        })
    }

    /// Free instances and booting ones that could join the stopped tier and are not about to be replaced: on-demand ones,
    /// for a Spot instance that is stopped may be taken, and a persistent request starts it again behind our back.
    #[must_use]
    pub fn stoppable(self) -> u64 {
        let on_demand = |shard: &Shard, instance: &InstanceId| {
            shard.members.get(instance).is_some_and(|member| member.kind.market == Market::OnDemand)
        };
        let of = |shard: &Shard| {
            let good = |instance: &InstanceId| {
                on_demand(shard, instance) && !self.control.retiring.contains_key(instance) && instance.is_first_slot()
            };
            let free = shard.free.iter().filter(|instance| good(instance)).count() as u64;
            let booting = shard.boots().filter(|(instance, _)| on_demand(shard, instance)).count() as u64;
            let intents = shard.intents.values().filter(|intent| intent.launch.market == Market::OnDemand);
            free + booting + intents.map(|intent| intent.count).sum::<u64>()
        };
        self.shards.iter().map(of).sum()
    }

    /// Why nothing is launched or started by the operator's order, if so.
    #[must_use]
    pub fn stopped_by_operator(self) -> Option<String> {
        let Orders { paused, drained, .. } = &self.control.operator;
        let say = |what: &str, order: &Order| format!("the operator {what} at {}: {}", order.at, order.why);
        let drained = drained.as_ref().map(|order| say("drained the pool", order));
        drained.or_else(|| paused.as_ref().map(|order| say("paused launching", order)))
    }
}
