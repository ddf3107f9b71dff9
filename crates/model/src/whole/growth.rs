//! Growth: intents, launches, what they brought; the nodes that become ready; the share of each shard.

use pool_core::ids::{InstanceId, LaunchToken};
use pool_core::on_instance_state_change::{self, Fact};
use pool_core::register::{self, Ready, ReadyStep};
use pool_core::scale;
use pool_core::shard::{Intent, Launch, Market, Shard, Transition};
use pool_core::time::Timestamp;

use super::Whole;
use super::ec2::{Machine, Phase};
use super::scenario::{key, member};
use super::world::{Call, World, Write};

pub(super) fn decide(model: &Whole, world: &World, writes: &mut Vec<Write>) {
    for (number, shard) in world.shards.iter().enumerate() {
        let table = |transition| Write::Table { shard: number, transition };
        // A plan may want one more at any time; the table says whether there is room.
        writes.push(table(intend(number, shard, world.now()).1));
        for launch in shard.intents.keys() {
            if let Some(instance) = world.ec2.brought(launch) {
                writes.push(table(record(shard, launch, instance, world.now())));
            } else {
                writes.push(Write::Ec2(Call::CreateFleet { shard: number, launch: launch.clone() }));
                // EC2 may as well refuse, which changes nothing there.
                writes.push(table(Transition::Settle { launch: launch.clone() }));
            }
        }
    }
    let layout = model.scenario.layout(world.spent.layouts);
    // A run makes them in this order and ends when one fails, so nobody makes the second before the first is made.
    writes.extend(scale::resizes(&world.shards, &layout).into_iter().take(1).map(|(number, transition)| {
        Write::Table { shard: usize::try_from(number).expect("a shard's number"), transition }
    }));
    for (instance, machine) in world.ec2.listed() {
        if machine.phase == Phase::Running {
            writes.extend(node(model, world, instance, machine));
        }
    }
}

/// The launch of one instance, and the write that intends it.
pub(super) fn intend(number: usize, shard: &Shard, now: Timestamp) -> (LaunchToken, Transition) {
    let sequence = shard.sequence;
    let launch = LaunchToken::trusted(format!("launch-{number}-{sequence}"));
    let parameters = Launch {
        template_id: String::new(),
        template_version: 1,
        market: Market::Spot,
        instance_types: Vec::new(),
        subnets: Vec::new(),
        except: Vec::new(),
        sessions: 1,
    };
    let intent = Intent { count: 1, launch: parameters, since: now };
    (launch.clone(), Transition::Intend { launch, intent, sequence })
}

/// Adopts what came, or gives the room back when the shard knows it already.
fn record(shard: &Shard, launch: &LaunchToken, instance: &InstanceId, now: Timestamp) -> Transition {
    let launch = launch.clone();
    if shard.members.contains_key(instance) || shard.tombstones.contains_key(instance.as_str()) {
        return Transition::Settle { launch };
    }
    Transition::Adopt { launch, members: vec![(instance.clone(), member(now))], short: 0 }
}

/// What a node says, and what EC2 tells of where it is.
fn node(model: &Whole, world: &World, instance: &InstanceId, machine: &Machine) -> Vec<Write> {
    let Some(shard) = register::shard_of(world.shards.to_vec(), instance) else { return Vec::new() };
    let number = usize::try_from(shard.number).expect("a shard's number");
    let said = Ready {
        instance: instance.clone(),
        boot_id: machine.boots,
        key: key(),
        cleaned_epoch: shard.resetting.get(instance).copied(),
    };
    let mut transitions = Vec::new();
    if let ReadyStep::Try(transition) = register::ready(&said, Some(&shard), model.policy(), world.now()) {
        transitions.push(transition);
    }
    let runs = Fact::Running(machine.told(instance));
    transitions.extend(on_instance_state_change::next(&shard, instance, &runs, world.now()));
    transitions.into_iter().map(|transition| Write::Table { shard: number, transition }).collect()
}
