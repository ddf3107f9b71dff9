//! The modelled EC2 and the nodes on it: launches, boots, stops, ends, and what each hour costs.

use pool_core::ids::{InstanceId, LaunchToken, NodeKey, ShardNo};
use pool_core::leaving;
use pool_core::node::InstanceRecord;
use pool_core::offering;
use pool_core::on_instance_state_change::{self, Fact, SPOT_NOTICE_SECONDS};
use pool_core::reap_idle::{self, Ec2Instance, Ec2State};
use pool_core::register::{self, ReadyStep};
use pool_core::shard::{Intent, Kind, Market, Member, Transition};
use pool_core::time::Timestamp;

use super::events::Event;
use super::generate::exponential;
use super::world::World;

const SECONDS_PER_HOUR: f64 = 3_600.0;
/// Boots that the measures are taken from.
const BOOTS_REMEMBERED: usize = 200;

/// An instance.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) shard: ShardNo,
    pub(super) has_served: bool,
    kind: Kind,
    launched_at: Timestamp,
    /// Since when it runs and is billed; `None` while it is stopped or ended.
    billed_since: Option<Timestamp>,
    /// EC2 has said that it takes it back.
    is_warned: bool,
    /// How often it was started; a `ready` of an earlier start is none.
    boot: u64,
}

pub(super) fn id_of(machine: usize) -> InstanceId {
    InstanceId::trusted(format!("i-{machine:08x}"))
}

impl World<'_> {
    /// EC2 launches what is intended, and the shard takes it in.
    pub(super) fn launch(&mut self, shard: ShardNo, launch: &LaunchToken, intent: &Intent) {
        let mut members = Vec::new();
        let mut worked = Vec::new();
        for _ in 0..intent.count {
            let machine = self.machines.len();
            let zone = machine as u64 % self.model.zones;
            let Some((instance_type, subnet)) = intent.launch.pairs().find(|(_, s)| **s == subnet_of(zone)) else {
                break;
            };
            let (instance_type, subnet) = (instance_type.clone(), subnet.clone());
            let (market, template_version) = (intent.launch.market, intent.launch.template_version);
            let kind =
                Kind { instance_type: instance_type.clone(), zone: format!("zone-{zone}"), market, template_version };
            worked.push((instance_type, subnet));
            let member = Member {
                address: address_of(machine),
                key: NodeKey::default(),
                boot_id: 0,
                since: self.now,
                served: 0,
                kind: kind.clone(),
            };
            members.push((id_of(machine), member));
            self.machines.push(Machine {
                shard,
                has_served: false,
                kind,
                launched_at: self.now,
                billed_since: Some(self.now),
                is_warned: false,
                boot: 0,
            });
            let aged_at = self.now + self.policy.max_age_seconds + 1;
            self.events.at(aged_at, Event::Aged { machine });
            let spread = self.model.boot_spread_seconds;
            let boot_seconds = self.model.boot_seconds - spread + self.random.u64(0..=2 * spread);
            self.events.at(self.now + boot_seconds, Event::Ready { machine, boot: 0 });
            self.foresee_interruption(machine);
        }
        self.tally.launches(self.now, members.len() as u64);
        let short = i64::try_from(intent.count).unwrap_or(i64::MAX) - i64::try_from(members.len()).unwrap_or(0);
        offering::remember(&mut self.control, &intent.launch, &worked, &[], &self.policy, self.now);
        // The intent was written a moment ago and the ids are new, so nothing can stand against it.
        let _ = self.write(shard, &Transition::Adopt { launch: launch.clone(), members, short });
    }

    fn foresee_interruption(&mut self, machine: usize) {
        let per_hour = self.model.spot_interruptions_per_hour;
        if self.machines[machine].kind.market == Market::Spot && per_hour > 0.0 {
            let seconds = exponential(&mut self.random, SECONDS_PER_HOUR / per_hour);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is above zero, and capped")]
            let at = self.now + seconds.min(1e9) as u64;
            self.events.at(at, Event::SpotWarning { machine });
        }
    }

    /// What EC2 says of an instance.
    fn described(&self, machine: usize, state: Ec2State) -> Ec2Instance {
        let Machine { kind, launched_at, shard, .. } = &self.machines[machine];
        Ec2Instance {
            instance: id_of(machine),
            state,
            launched_at: *launched_at,
            kind: kind.clone(),
            address: address_of(machine),
            shard: Some(*shard),
            launch: None,
        }
    }

    /// What EC2 says from now on; of one that runs it need not be told unless it is old.
    fn ec2_says(&mut self, machine: usize, state: Ec2State) {
        let is_old = self.now.seconds_since(self.machines[machine].launched_at) > self.policy.max_age_seconds;
        if state == Ec2State::Running && !is_old {
            self.ec2.listed.remove(&id_of(machine));
        } else {
            self.ec2.listed.insert(id_of(machine), self.described(machine, state));
        }
    }

    /// An instance has reached the age at which it is replaced.
    pub(super) fn aged(&mut self, machine: usize) {
        if self.machines[machine].billed_since.is_some() {
            self.ec2_says(machine, Ec2State::Running);
        }
    }

    /// A node says that it serves.
    pub(super) fn ready(&mut self, machine: usize, boot: u64) {
        if self.machines[machine].boot != boot || self.machines[machine].billed_since.is_none() {
            return;
        }
        let number = self.machines[machine].shard;
        let began = self.shard(number).members.get(&id_of(machine)).map_or(self.now, |member| member.since);
        if self.says_ready(machine, None) {
            let boot_seconds = self.now.seconds_since(began);
            let record = InstanceRecord {
                instance: id_of(machine),
                shard: Some(number),
                healthy: true,
                cpu_percent: 0.0,
                memory_percent: 0.0,
                sessions: 0,
                beat_at: None,
                ready_at: Some(self.now),
                boot_seconds: Some(boot_seconds),
                history: Vec::new(),
            };
            if self.records.len() == BOOTS_REMEMBERED {
                self.records.remove(0);
            }
            self.records.push(record);
        }
        self.bring();
    }

    /// A node has cleaned up.
    pub(super) fn cleaned(&mut self, machine: usize, epoch: u64) {
        self.says_ready(machine, Some(epoch));
        self.bring();
    }

    /// Whether the pool took the node's word.
    fn says_ready(&mut self, machine: usize, cleaned_epoch: Option<u64>) -> bool {
        let Machine { shard, boot, .. } = self.machines[machine];
        let word =
            register::Ready { instance: id_of(machine), boot_id: boot + 1, key: NodeKey::default(), cleaned_epoch };
        let mut taken = false;
        while let ReadyStep::Try(transition) = register::ready(&word, Some(self.shard(shard)), &self.policy, self.now) {
            if self.write(shard, &transition).is_err() {
                break;
            }
            taken |= matches!(transition, Transition::Ready { .. } | Transition::ResetDone { .. });
        }
        taken
    }

    /// A start of the stopped tier was written: EC2 starts it.
    pub(super) fn start(&mut self, shard: ShardNo, instance: &InstanceId) {
        let Some(machine) = self.machine_of(instance) else { return };
        let started = &mut self.machines[machine];
        started.boot += 1;
        started.billed_since = Some(self.now);
        let boot = started.boot;
        self.tally.starts += 1;
        self.ec2_says(machine, Ec2State::Running);
        let found = self.described(machine, Ec2State::Running);
        if let Some(locate) = on_instance_state_change::locate(self.shard(shard), &found) {
            // It only tells an address, and the instance is a member.
            let _ = self.write(shard, &locate);
        }
        self.events.at(self.now + self.model.start_seconds, Event::Ready { machine, boot });
    }

    /// A stop was written: EC2 stops it.
    pub(super) fn stop(&mut self, instance: &InstanceId) {
        let Some(machine) = self.machine_of(instance) else { return };
        self.bill(machine);
        self.ec2_says(machine, Ec2State::Stopping);
        self.events.at(self.now + self.model.stop_seconds, Event::Stopped { machine });
    }

    pub(super) fn stopped(&mut self, machine: usize) {
        self.ec2_says(machine, Ec2State::Stopped);
        self.told(machine, &Fact::Stopped);
    }

    /// Terminates what leaves and bears no lease.
    pub(super) fn terminate_leaving(&mut self) {
        for (_, instance, _) in reap_idle::to_terminate(self.snapshot(), &self.ec2) {
            let Some(machine) = self.machine_of(&instance) else { continue };
            self.bill(machine);
            self.ec2_says(machine, Ec2State::ShuttingDown);
            let Machine { has_served, launched_at, is_warned, .. } = self.machines[machine];
            if !is_warned {
                let age_seconds = self.now.seconds_since(launched_at);
                self.tally.removed(self.now, has_served, age_seconds, &self.policy);
            }
            self.events.at(self.now + self.model.terminate_seconds, Event::Terminated { machine });
        }
    }

    pub(super) fn spot_warning(&mut self, machine: usize) {
        if self.machines[machine].billed_since.is_some() {
            self.machines[machine].is_warned = true;
            self.tally.interrupted(self.now);
            self.told(machine, &Fact::SpotWarning { takes_at: self.now + SPOT_NOTICE_SECONDS });
            self.events.at(self.now + SPOT_NOTICE_SECONDS, Event::SpotTaken { machine });
        }
    }

    pub(super) fn spot_taken(&mut self, machine: usize) {
        if self.machines[machine].billed_since.is_none() {
            return;
        }
        self.bill(machine);
        let lease = self.shard(self.machines[machine].shard).lease_on(&id_of(machine));
        self.terminated(machine);
        if let Some(lease) = lease {
            self.interrupted(&lease.token);
        }
    }

    /// EC2 says that it is terminated.
    pub(super) fn terminated(&mut self, machine: usize) {
        self.ec2.listed.remove(&id_of(machine));
        self.tally.ends(1);
        self.told(machine, &Fact::Terminated);
    }

    /// Carries out what an event of EC2 means.
    fn told(&mut self, machine: usize, fact: &Fact) {
        let (number, instance) = (self.machines[machine].shard, id_of(machine));
        while let Some(transition) = on_instance_state_change::next(self.shard(number), &instance, fact, self.now) {
            if self.write(number, &transition).is_err() {
                break;
            }
        }
    }

    /// Takes an instance out of service for a baseline.
    pub(super) fn withdraw(&mut self, shard: ShardNo, instance: &InstanceId, why: &str) {
        if let Some(transition) = leaving::withdraw(self.shard(shard), instance, why, Timestamp::NEVER) {
            // It was decided on this very shard.
            let _ = self.write(shard, &transition);
        }
    }

    /// Bills an instance up to now; it does not run any longer.
    fn bill(&mut self, machine: usize) {
        if let Some(since) = self.machines[machine].billed_since.take() {
            self.tally.bill(&self.machines[machine].kind, since, self.now);
        }
    }

    /// Bills what still runs at the end.
    pub(super) fn bill_all(&mut self) {
        for machine in 0..self.machines.len() {
            self.bill(machine);
        }
    }
}

/// The subnet of a zone, as the launch template's deployment would name it.
pub(super) fn subnet_of(zone: u64) -> String {
    format!("subnet-{zone}")
}

fn address_of(machine: usize) -> String {
    format!("node-{machine}")
}
