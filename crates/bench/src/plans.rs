//! How long the plans take over pools of all sizes. They are pure functions, so nothing but their own work is in it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pool_core::control::{Control, KnownTemplate, Layout};
use pool_core::ids::{LaunchToken, Owner, Token};
use pool_core::node::InstanceRecord;
use pool_core::policy::Policy;
use pool_core::reap_idle::{self, Ec2Instance, Ec2State, Ec2Word};
use pool_core::scale::{self, Template};
use pool_core::shard::{Shard, Terms};
use pool_core::snapshot::Snapshot;
use pool_core::status;

use crate::pool::{self, NOW};

/// Instances of a shard.
const SIZE: u32 = 16;

/// Times that each plan is made; the fastest counts, for what else the machine does only ever adds.
const RUNS: u32 = 5;

/// Heartbeats came so long ago, in seconds.
const BEAT_SECONDS: u64 = 10;

/// What is known of a pool at one moment: three of four instances are leased, a third of the others idle for long, ten
/// thousandths are unknown to the shards, and a few callers wait.
#[derive(Debug)]
pub struct Picture {
    policy: Policy,
    control: Control,
    shards: Vec<Shard>,
    records: Vec<InstanceRecord>,
    ec2: Ec2Word,
}

/// Something that is decided on a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// The growth plan.
    Growth,
    /// The removal plan.
    Removal,
    /// The comparison of EC2's listing with the shards.
    Reconcile,
    /// The picture for people.
    Status,
}

impl Task {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Growth, Self::Removal, Self::Reconcile, Self::Status];

    /// What it is called in the tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Growth => "growth plan",
            Self::Removal => "removal plan",
            Self::Reconcile => "EC2 against the shards",
            Self::Status => "`status`",
        }
    }
}

impl Picture {
    /// A pool of so many instances.
    ///
    /// # Panics
    /// Never: the policy is sound.
    #[must_use]
    pub fn of(instances: u32) -> Self {
        let defaults = Policy::parse::<&str, &str>([]).expect("the defaults are valid");
        // A tenth of the cap is still to be launched.
        let max_instances = u64::from(instances) * 10 / 9;
        let policy = Policy { max_instances, min_available: u64::from(instances) / 100, ..defaults };
        let layout = Layout::default().changed_by(&policy, NOW).expect("a first layout");
        let template = KnownTemplate { version: 1, seen_at: NOW };
        let control = Control { layout: layout.clone(), template, ..Control::default() };
        let mut shards: Vec<Shard> = (0..layout.shards).map(|number| shard(number, &layout, &policy)).collect();
        shards.truncate(instances.div_ceil(SIZE) as usize);
        let members =
            || shards.iter().flat_map(|shard| shard.members.iter().map(move |(id, member)| (shard, id, member)));
        let records = members().map(|(shard, id, _)| record(id.clone(), shard)).collect();
        let found = |(n, (shard, id, member)): (usize, (&Shard, &_, &pool_core::shard::Member))| {
            let found = Ec2Instance {
                instance: Clone::clone(id),
                state: Ec2State::Running,
                launched_at: NOW - 3_600,
                kind: member.kind.clone(),
                address: member.address.clone(),
                shard: Some(shard.number),
                launch: Some(LaunchToken::trusted(format!("bench-{n}"))),
            };
            (found.instance.clone(), found)
        };
        let mut ec2 = Ec2Word { listed: members().enumerate().map(found).collect(), ..Ec2Word::default() };
        for n in 0..instances / 10_000 {
            let id = pool::instance(u32::MAX, n);
            let found = Ec2Instance {
                instance: id.clone(),
                shard: None,
                launch: None,
                ..ec2.listed.values().next().expect("it has some").clone()
            };
            ec2.listed.insert(id, found);
        }
        Self { policy, control, shards, records, ec2 }
    }

    /// Does it once; answers how much came of it, so that it cannot be left out.
    #[must_use]
    pub fn carry_out(&self, task: Task) -> usize {
        let Self { policy, control, shards, records, ec2 } = self;
        let seen = Snapshot { shards, control, records, policy, now: NOW };
        match task {
            Task::Growth => {
                let template = Template { id: "lt-1".to_owned(), version: 1, subnets: vec!["subnet-1".to_owned()] };
                scale::plan(seen, &template, "bench").launches.len()
            }
            Task::Removal => reap_idle::plan(seen, ec2).removals.len(),
            Task::Reconcile => {
                reap_idle::unlisted(shards, ec2).len()
                    + reap_idle::orphans(shards, ec2, policy, NOW).len()
                    + reap_idle::gone(shards, ec2, policy, NOW).len()
                    + reap_idle::to_terminate(seen, ec2).len()
                    + reap_idle::forgettable(shards, NOW).len()
                    + reap_idle::located(shards, ec2).len()
            }
            Task::Status => status::pool("bench", seen, 0).instances.len(),
        }
    }

    /// How long it takes.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is what is measured")]
    pub fn time(&self, task: Task) -> Duration {
        let once = || {
            let began = Instant::now();
            black_box(black_box(self).carry_out(task));
            began.elapsed()
        };
        (0..RUNS).map(|_| once()).min().unwrap_or_default()
    }
}

fn shard(number: u32, layout: &Layout, policy: &Policy) -> Shard {
    let mut shard = pool::shard(number, SIZE);
    shard.layout = layout.number;
    shard.share = layout.share_of(number);
    shard.room = 2;
    let terms = |owner: &str| Terms { owner: Owner::of(owner), ..policy.lease_terms(&Owner::of(owner), 600, NOW) };
    let token = |n: u8| {
        let mut bytes = [n; Token::BYTES];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        Token::from_bytes(bytes)
    };
    // In one shard of a hundred nothing is free, and somebody waits.
    let full = number.is_multiple_of(100);
    let leased = if full { SIZE } else { SIZE * 3 / 4 };
    for n in 0..u8::try_from(leased).unwrap_or(u8::MAX) {
        let token = token(n);
        let Some(instance) = shard.free.pop() else { break };
        shard.lease_epochs.insert(token.clone(), 99_000 + u64::from(n));
        shard.lease_terms.insert(token.clone(), terms("AROABENCHCALLER00001"));
        shard.leases.insert(token, instance);
    }
    if full {
        let waits = policy.wait_terms(&Owner::of("AROABENCHCALLER00002"), 600, 60, NOW);
        shard.queue.push(token(200));
        shard.queue_terms.insert(token(200), waits);
    }
    for idle in shard.free.iter().take(1) {
        if let Some(member) = shard.members.get_mut(idle) {
            member.since = NOW - 7_200;
        }
    }
    shard
}

fn record(instance: pool_core::ids::InstanceId, shard: &Shard) -> InstanceRecord {
    InstanceRecord {
        instance,
        shard: Some(shard.number),
        healthy: true,
        cpu_percent: 40.0,
        memory_percent: 50.0,
        sessions: 1,
        beat_at: Some(NOW - BEAT_SECONDS),
        ready_at: Some(NOW - 3_500),
        boot_seconds: Some(70),
        history: Vec::new(),
    }
}
