//! Decline: instances are fenced, terminated and taken out of the count, stopped and started, and what is old is
//! forgotten.

use std::collections::BTreeMap;

use pool_core::control::Control;
use pool_core::ids::{InstanceId, ShardNo};
use pool_core::leaving;
use pool_core::on_instance_state_change::{self, Fact};
use pool_core::reap_idle::{self, Ec2State, Ec2Word};
use pool_core::shard::{Place, Shard, StopPhase, Transition};
use pool_core::snapshot::Snapshot;
use pool_core::time::Timestamp;

use super::Whole;
use super::ec2::Phase;
use super::variant::Variant;
use super::world::{Call, World, Write};

pub(super) fn decide(model: &Whole, world: &World, writes: &mut Vec<Write>) {
    for (number, shard) in world.shards.iter().enumerate() {
        for instance in shard.members.keys() {
            let table = |transition| Write::Table { shard: number, transition };
            writes.extend(of_member(world, shard, instance).map(table));
            writes.extend(stop_and_start(world, shard, instance).map(Write::Ec2));
        }
    }
    let (told, now) = (told(world), world.now());
    let control = Control::default();
    let seen = Snapshot { shards: &world.shards, control: &control, records: &[], policy: model.policy(), now };
    let ending = reap_idle::to_terminate(seen, &told);
    writes.extend(ending.into_iter().map(|(_, instance, _)| Write::Ec2(Call::Terminate(instance))));
    let gone = reap_idle::gone(&world.shards, &told, model.policy(), now);
    writes.extend(gone.into_iter().map(|(number, _, transition)| table(number, transition)));
    writes.extend(forgettable(model, world).into_iter().map(|(number, prune)| table(number, prune)));
}

/// Why a member may leave, and how far its stop or start has come.
fn of_member(world: &World, shard: &Shard, instance: &InstanceId) -> impl Iterator<Item = Transition> {
    let (now, free_position) = (world.now(), shard.free.iter().position(|free| free == instance));
    let ended = !world.ec2.is_alive(instance);
    let unwanted = leaving::withdraw(shard, instance, "not needed", Timestamp::NEVER);
    let lost = ended.then(|| leaving::withdraw(shard, instance, "EC2 ended it", now)).flatten();
    let stop = free_position.map(|position| Transition::Stop {
        instance: instance.clone(),
        position: position as u64,
        keep: 0,
        now,
    });
    let stopped = world.ec2.is_in(instance, Phase::Stopped);
    let stopped = stopped.then(|| on_instance_state_change::next(shard, instance, &Fact::Stopped, now)).flatten();
    // Only what was stopped longer ago than a function lives may be started.
    let start = Transition::Start { instance: instance.clone(), now, stopped_before: now };
    [unwanted, lost, stop, stopped, Some(start)].into_iter().flatten()
}

/// EC2 is asked to stop what is written down as stopping, and to start what boots and is stopped.
fn stop_and_start(world: &World, shard: &Shard, instance: &InstanceId) -> Option<Call> {
    match shard.place_of(instance)? {
        Place::Stopped(stopped) if stopped.phase == StopPhase::Stopping => Some(Call::Stop(instance.clone())),
        Place::Booting(_) if world.ec2.is_in(instance, Phase::Stopped) => Some(Call::Start(instance.clone())),
        _ => None,
    }
}

/// What EC2 answers when it is asked for each instance by its id.
fn told(world: &World) -> Ec2Word {
    let members = world.shards.iter().flat_map(|shard| shard.members.keys());
    let listed = members.filter_map(|instance| {
        let mut told = world.ec2.machine(instance)?.told(instance);
        if !world.ec2.is_alive(instance) {
            told.state = Ec2State::Terminated;
        }
        Some((instance.clone(), told))
    });
    Ec2Word { listed: listed.collect(), asked: BTreeMap::new() }
}

fn forgettable(model: &Whole, world: &World) -> Vec<(ShardNo, Transition)> {
    if model.variant == Variant::PrunedByAge {
        let mut blind = world.shards.clone();
        for shard in &mut blind {
            shard.transfers.clear();
        }
        return reap_idle::forgettable(&blind, world.now());
    }
    reap_idle::forgettable(&world.shards, world.now())
}

fn table(number: ShardNo, transition: Transition) -> Write {
    Write::Table { shard: usize::try_from(number).expect("a shard's number"), transition }
}
