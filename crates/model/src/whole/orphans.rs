//! Orphans: instances with our tag that no shard knows. A run finds one in EC2's list, reads both shards twice, one after
//! the other, and then decides.
//!
//! The shards are not read at one moment: `BatchGetItem` is consistent for each item, not over all. Anything may happen
//! between two readings. So the sequence number that a verdict names must be that of the first reading: then the write
//! is refused if the judging shard took the instance in and gave it away while the other shard was read, and what was in
//! neither at that moment is in no shard's books.

use pool_core::ids::InstanceId;
use pool_core::reap_idle::{self, Orphan};
use pool_core::shard::{Fate, Shard, Tombstone, Transition};

use super::Whole;
use super::variant::Variant;
use super::world::{Action, Call, World, Write};

/// In which order a judge reads the two shards, both times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// The shard that judges comes first.
    HomeFirst,
    /// It comes last.
    HomeLast,
}

/// Somebody who judges one instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Judge {
    instance: InstanceId,
    order: Order,
    readings: usize,
    /// The judging shard's number in the first reading.
    sequence: u64,
    /// The judging shard as it was in the second reading, as far as a verdict looks at it.
    home: Option<Shard>,
    /// Some shard has buried the instance.
    buried: bool,
    verdict: Option<Transition>,
}

impl Judge {
    pub(super) fn new(instance: InstanceId, order: Order) -> Self {
        Self { instance, order, readings: 0, sequence: 0, home: None, buried: false, verdict: None }
    }

    pub(super) fn verdict(&self) -> Option<&Transition> {
        self.verdict.as_ref()
    }
}

/// Judgements that may begin, and readings that come next.
pub(super) fn readings(model: &Whole, world: &World) -> Vec<Action> {
    let going_on = world.judges.iter().enumerate().filter(|(_, judge)| judge.verdict.is_none());
    let mut actions: Vec<Action> = going_on.map(|(judge, _)| Action::Read { judge }).collect();
    if world.spent.judgements < model.scenario.limits.judgements {
        for (instance, _) in world.ec2.listed() {
            let orders = [Order::HomeFirst, Order::HomeLast];
            actions.extend(orders.map(|order| Action::BeginJudging { instance: instance.clone(), order }));
        }
    }
    actions
}

/// A judge reads its next shard. One that finds the instance there, or the intent it came from, has nothing to judge.
pub(super) fn read(model: &Whole, world: &mut World, number: usize) {
    let now = world.now();
    let judge = &mut world.judges[number];
    let machine = world.ec2.machine(&judge.instance).expect("it was listed");
    let is_home = judge.readings.is_multiple_of(2) == (judge.order == Order::HomeFirst);
    let shard = &world.shards[if is_home { machine.shard } else { 1 - machine.shard }];
    if shard.members.contains_key(&judge.instance) || shard.intents.contains_key(&machine.launch) {
        world.judges.remove(number);
        return;
    }
    judge.readings += 1;
    if is_home && (judge.readings <= 2 || model.variant == Variant::NumberReadLate) {
        judge.sequence = shard.sequence;
    }
    if judge.readings > 2 {
        judge.buried |= shard.tombstones.contains_key(judge.instance.as_str());
        if is_home {
            judge.home = Some(Shard { room: shard.room.min(1), ..Shard::new(shard.number) });
        }
    }
    if judge.readings == 4
        && let Some(home) = judge.home.take()
    {
        let found = machine.told(&judge.instance);
        let orphan = Orphan { shard: home.number, buried: judge.buried, shared: false, found };
        judge.verdict = reap_idle::judge_orphan(&orphan, &home, judge.sequence, now);
    }
}

/// Verdicts are written, and what is doomed is terminated.
pub(super) fn decide(model: &Whole, world: &World, writes: &mut Vec<Write>) {
    for judge in &world.judges {
        let machine = world.ec2.machine(&judge.instance).expect("it was listed");
        match &judge.verdict {
            Some(Transition::Doom { .. }) if model.variant == Variant::NoDoom => {
                writes.push(Write::Ec2(Call::Terminate(judge.instance.clone())));
            }
            Some(verdict) => writes.push(Write::Table { shard: machine.shard, transition: verdict.clone() }),
            None => {}
        }
    }
    for shard in &world.shards {
        // Only whoever wrote the verdict goes on from it; a later run has to judge anew.
        let fresh = |tombstone: &Tombstone| tombstone.fate == Fate::Doomed && tombstone.written == world.now();
        let doomed = shard.tombstones.iter().filter(|(_, tombstone)| fresh(tombstone));
        writes.extend(doomed.map(|(name, _)| Write::Ec2(Call::Terminate(InstanceId::trusted(name.as_str())))));
    }
}
