//! A tiny EC2: it launches once for a token, starts, stops and ends instances, and its list is behind the truth.
//!
//! The rule: an instance that was ended never lives again, and a launch token brings the same instances for ever.

use std::collections::BTreeMap;

use pool_core::ids::{InstanceId, LaunchToken};
use pool_core::reap_idle::{Ec2Instance, Ec2State};
use pool_core::shard::{Kind, Market};
use pool_core::time::Timestamp;

use super::world::Call;

/// The instances of the pool, and what each launch token brought.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Ec2 {
    machines: BTreeMap<InstanceId, Machine>,
    launched: BTreeMap<LaunchToken, InstanceId>,
}

/// One instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Machine {
    pub(super) phase: Phase,
    /// The shard and the launch of its tags.
    pub(super) shard: usize,
    pub(super) launch: LaunchToken,
    /// How often its node has started.
    pub(super) boots: u64,
}

/// What an instance does. The states on the way from one to the next decide nothing and are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Running,
    Stopped,
    /// Ended, and the list by tag may still show it running.
    EndedAndListed,
    /// Ended, and EC2 has stopped to list it.
    Ended,
}

impl Ec2 {
    pub(super) fn machine(&self, instance: &InstanceId) -> Option<&Machine> {
        self.machines.get(instance)
    }

    pub(super) fn is_in(&self, instance: &InstanceId, phase: Phase) -> bool {
        self.machine(instance).is_some_and(|machine| machine.phase == phase)
    }

    pub(super) fn is_alive(&self, instance: &InstanceId) -> bool {
        self.is_in(instance, Phase::Running) || self.is_in(instance, Phase::Stopped)
    }

    pub(super) fn alive(&self) -> impl Iterator<Item = &InstanceId> {
        self.machines.keys().filter(|instance| self.is_alive(instance))
    }

    /// What the list by tag may show, those ended a moment ago among the living.
    pub(super) fn listed(&self) -> impl Iterator<Item = (&InstanceId, &Machine)> {
        self.machines.iter().filter(|(_, machine)| machine.phase != Phase::Ended)
    }

    /// What a launch brought, if it was made.
    pub(super) fn brought(&self, launch: &LaunchToken) -> Option<&InstanceId> {
        self.launched.get(launch)
    }

    /// Carries out a call; `false` when it changes nothing.
    pub(super) fn call(&mut self, call: &Call) -> bool {
        match call {
            Call::CreateFleet { shard, launch } => self.create_fleet(*shard, launch),
            Call::Start(instance) => self.start(instance),
            Call::Stop(instance) => self.change(instance, Phase::Running, Phase::Stopped),
            Call::Terminate(instance) => self.end(instance),
        }
    }

    /// Launches one instance, once for each token.
    pub(super) fn create_fleet(&mut self, shard: usize, launch: &LaunchToken) -> bool {
        if self.launched.contains_key(launch) {
            return false;
        }
        let instance = InstanceId::trusted(format!("i-{}", self.machines.len()));
        let machine = Machine { phase: Phase::Running, shard, launch: launch.clone(), boots: 1 };
        self.machines.insert(instance.clone(), machine);
        self.launched.insert(launch.clone(), instance);
        true
    }

    fn start(&mut self, instance: &InstanceId) -> bool {
        let started = self.change(instance, Phase::Stopped, Phase::Running);
        if let Some(machine) = self.machines.get_mut(instance).filter(|_| started) {
            machine.boots += 1;
        }
        started
    }

    pub(super) fn end(&mut self, instance: &InstanceId) -> bool {
        self.change(instance, Phase::Running, Phase::EndedAndListed)
            || self.change(instance, Phase::Stopped, Phase::EndedAndListed)
    }

    pub(super) fn time_passes(&mut self) {
        for machine in self.machines.values_mut().filter(|machine| machine.phase == Phase::EndedAndListed) {
            machine.phase = Phase::Ended;
        }
    }

    fn change(&mut self, instance: &InstanceId, from: Phase, to: Phase) -> bool {
        let machine = self.machines.get_mut(instance).filter(|machine| machine.phase == from);
        machine.map(|machine| machine.phase = to).is_some()
    }
}

impl Machine {
    /// It as EC2's list tells of it.
    pub(super) fn told(&self, instance: &InstanceId) -> Ec2Instance {
        let state = if self.phase == Phase::Stopped { Ec2State::Stopped } else { Ec2State::Running };
        Ec2Instance {
            instance: instance.clone(),
            state,
            launched_at: Timestamp(0),
            kind: kind(),
            address: "a".to_owned(),
            shard: u32::try_from(self.shard).ok(),
            launch: Some(self.launch.clone()),
        }
    }
}

pub(super) fn kind() -> Kind {
    Kind { instance_type: String::new(), zone: String::new(), market: Market::Spot, template_version: 1 }
}
