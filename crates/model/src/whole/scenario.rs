//! Where a history begins and how much may happen in it.
//!
//! The rule: a scenario is small enough to be tried whole, and between them the scenarios have every transition.

use pool_core::control::Layout;
use pool_core::ids::{LaunchToken, NodeKey};
use pool_core::policy::AfterRelease;
use pool_core::shard::{Member, Next, Shard, Transition};
use pool_core::time::Timestamp;

use super::ec2::{Ec2, kind};
use super::growth;
use super::world::World;

/// How often something may happen in a history, and how often it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Launches that are intended.
    pub launches: u8,
    /// Grants, handing over included.
    pub leases: u8,
    /// Requests that queue.
    pub waits: u8,
    /// Renewals.
    pub renewals: u8,
    /// Instances given to another shard.
    pub moves: u8,
    /// Judgements of orphans that are begun.
    pub judgements: u8,
    /// Instances fenced or marked.
    pub removals: u8,
    /// Instances sent to the stopped tier.
    pub stops: u8,
    /// Starts of stopped instances in EC2.
    pub starts: u8,
    /// Changes of the layout.
    pub layouts: u8,
    /// Instances that EC2 takes away.
    pub losses: u8,
    /// Times that so much time passes that nothing is on its way any more.
    pub ages: u8,
    /// Writes that are delayed, each of which arrives as often as it likes.
    pub delays: u8,
}

impl Limits {
    pub(super) fn within(&self, limits: &Limits) -> bool {
        self.counts().into_iter().zip(limits.counts()).all(|(spent, limit)| spent <= limit)
    }

    fn counts(self) -> [u8; 13] {
        [
            self.launches,
            self.leases,
            self.waits,
            self.renewals,
            self.moves,
            self.judgements,
            self.removals,
            self.stops,
            self.starts,
            self.layouts,
            self.losses,
            self.ages,
            self.delays,
        ]
    }

    /// Counts an accepted transition.
    pub(super) fn count(&mut self, transition: &Transition) {
        let counter = match transition {
            Transition::Intend { .. } => &mut self.launches,
            Transition::Enqueue { .. } => &mut self.waits,
            Transition::Renew { .. } => &mut self.renewals,
            Transition::Give { .. } => &mut self.moves,
            Transition::Fence { .. } | Transition::FenceApart { .. } | Transition::Mark { .. } => &mut self.removals,
            Transition::Stop { .. } => &mut self.stops,
            _ => return,
        };
        *counter += 1;
    }
}

/// Where a history begins and how far it goes.
#[derive(Debug, Clone, Default)]
pub struct Scenario {
    /// The cap and the number of shards in use, first and after each change of the layout.
    pub layouts: Vec<(u64, u32)>,
    /// A free instance for each, in this shard.
    pub free: Vec<usize>,
    /// An instance that no shard knows for each, tagged with this shard.
    pub orphans: Vec<usize>,
    /// A caller for each, whose token has this home.
    pub callers: Vec<usize>,
    /// What may happen to an instance when its lease ends; the first is what everybody asks for who does not end one.
    pub after_release: Vec<AfterRelease>,
    /// How far it goes.
    pub limits: Limits,
}

impl Scenario {
    /// The layout after so many changes.
    pub(super) fn layout(&self, changes: u8) -> Layout {
        let (max_instances, shards) = *self.layouts.get(usize::from(changes)).expect("a layout for each change");
        Layout { number: 1 + u64::from(changes), max_instances, shards, ..Layout::default() }
    }

    /// The largest cap there was after so many changes.
    pub(super) fn cap_max(&self, changes: u8) -> i64 {
        let caps = self.layouts.iter().take(usize::from(changes) + 1).map(|(cap, _)| *cap);
        caps.max().and_then(|cap| i64::try_from(cap).ok()).expect("a small number")
    }

    /// The world as this scenario finds it.
    pub(super) fn begin(&self) -> World {
        let mut shards = [Shard::new(0), Shard::new(1)];
        let mut ec2 = Ec2::default();
        for shard in &mut shards {
            let layout = self.layout(0);
            let delta = layout.share_of(shard.number);
            shard.apply(&Transition::Resize { from: 0, delta, layout: layout.number }).expect("the first layout");
        }
        for number in &self.free {
            serve(*number, &mut shards[*number], &mut ec2);
        }
        for (k, number) in self.orphans.iter().enumerate() {
            ec2.create_fleet(*number, &LaunchToken::trusted(format!("lost-{k}")));
        }
        let booked = shards.iter().flat_map(|shard| shard.members.keys().cloned()).collect();
        World {
            shards,
            ec2,
            late: Vec::new(),
            movers: Vec::new(),
            judges: Vec::new(),
            spent: Limits::default(),
            booked,
            highest: [].into(),
            broken: [].into(),
        }
    }
}

/// Launches an instance into a shard by the shortest way.
fn serve(number: usize, shard: &mut Shard, ec2: &mut Ec2) {
    let now = Timestamp(0);
    let (launch, intend) = growth::intend(number, shard, now);
    ec2.create_fleet(number, &launch);
    let instance = ec2.brought(&launch).expect("it was launched").clone();
    let adopt = Transition::Adopt { launch, members: vec![(instance.clone(), member(now))], short: 0 };
    for transition in [intend, adopt] {
        shard.apply(&transition).expect("nothing else happens in this shard");
    }
    let ready = Transition::Ready { boot_epoch: shard.epoch, instance, key: key(), boot_id: 1, now, next: Next::Free };
    shard.apply(&ready).expect("nothing else happens in this shard");
}

pub(super) fn member(now: Timestamp) -> Member {
    Member { address: "a".to_owned(), key: NodeKey::default(), boot_id: 0, since: now, served: 0, kind: kind() }
}

pub(super) fn key() -> NodeKey {
    NodeKey::stored(*b"key")
}
