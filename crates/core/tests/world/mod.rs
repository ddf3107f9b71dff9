//! A small world around some shards: callers, nodes, EC2 and plans that keep to the protocol, and a network that brings
//! writes twice and late. One step is one write, drawn from a seed.

mod draw;

use std::collections::BTreeMap;

use pool_core::ids::{InstanceId, LaunchToken, ShardNo, Token};
use pool_core::shard::{Fate, LeaseRef, Shard, Transfer, Transition};
use pool_core::time::Timestamp;

/// A write comes again at most so late. Tombstones live longer than that, and so must they.
const LATE_MAX_SECONDS: u64 = 900;
/// Age at which tombstones may be forgotten.
const TOMBSTONE_LIFE_SECONDS: u64 = 1_200;
/// How long EC2 goes on to list a terminated instance as if it lived.
const LIST_LAG_SECONDS: u64 = 90;
/// Tokens in the world; each has one home.
const TOKENS: u64 = 12;

/// Small numbers drawn from one seed (`SplitMix64`), so that a step of a sequence is one number that a test can print.
pub(crate) struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn one_of<T>(&mut self, values: impl IntoIterator<Item = T>) -> Option<T> {
        let mut values: Vec<T> = values.into_iter().collect();
        if values.is_empty() {
            return None;
        }
        let index = usize::try_from(self.roll(values.len() as u64)).expect("an index");
        Some(values.swap_remove(index))
    }
}

/// What one step did.
pub(crate) struct Step {
    /// Which shard it was about.
    pub(crate) shard: usize,
    /// The write.
    pub(crate) transition: Transition,
    /// Whether the shard took it.
    pub(crate) accepted: bool,
    /// All shards before it.
    pub(crate) before: Vec<Shard>,
}

/// The shards, and what is true outside of them.
pub(crate) struct World {
    /// The shards, by number.
    pub(crate) shards: Vec<Shard>,
    /// The time; it only grows.
    pub(crate) now: Timestamp,
    /// The largest cap that any layout had so far.
    pub(crate) cap_max: i64,
    /// What EC2 launched for a token: the same answer for ever.
    launched: BTreeMap<LaunchToken, Vec<InstanceId>>,
    /// The shard and launch that an instance's tags name.
    tags: BTreeMap<InstanceId, (usize, LaunchToken)>,
    /// Terminated instances, and since when.
    dead: BTreeMap<InstanceId, Timestamp>,
    /// Changes of the present layout that are not made yet.
    resizes: Vec<(usize, i64)>,
    layout: u64,
    /// Every write so far, and when.
    past: Vec<(Timestamp, usize, Transition)>,
}

impl World {
    /// Shards that share a cap of four each.
    pub(crate) fn new(shards: u32) -> Self {
        let mut world = Self {
            shards: (0..shards).map(Shard::new).collect(),
            now: Timestamp(10_000),
            cap_max: 4 * i64::from(shards),
            launched: BTreeMap::new(),
            tags: BTreeMap::new(),
            dead: BTreeMap::new(),
            resizes: Vec::new(),
            layout: 1,
            past: Vec::new(),
        };
        for shard in &mut world.shards {
            shard
                .apply(&Transition::Resize { from: 0, delta: 4, layout: 1 })
                .expect("the first layout of an empty shard");
        }
        world
    }

    /// Draws and makes one write.
    pub(crate) fn step(&mut self, seed: u64) -> Option<Step> {
        let mut dice = Dice(seed);
        self.now = self.now + [0, 0, 1, 2, 5, 40][usize::try_from(dice.roll(6)).expect("below 6")];
        if dice.one_in(60) {
            self.now = self.now + 2 * TOMBSTONE_LIFE_SECONDS;
        }
        let (shard, transition) = self.choose(&mut dice)?;
        // Some writes are on their way for a while: they are there to come late, and only then.
        if dice.one_in(10) {
            self.past.push((self.now, shard, transition));
            return None;
        }
        let before = self.shards.clone();
        let accepted = self.shards[shard].apply(&transition).is_ok();
        if accepted {
            self.follow(shard, &transition);
        }
        self.past.push((self.now, shard, transition.clone()));
        Some(Step { shard, transition, accepted, before })
    }

    /// What is true outside once a write was made.
    fn follow(&mut self, shard: usize, transition: &Transition) {
        match transition {
            Transition::Doom { instance, .. } => self.die(instance),
            Transition::Resize { delta, .. } => self.resizes.retain(|change| *change != (shard, *delta)),
            _ => {}
        }
    }

    fn die(&mut self, instance: &InstanceId) {
        self.dead.entry(instance.clone()).or_insert(self.now);
    }

    /// One in eight writes comes late, most for a second time; of the others, a few draws are tried until one would be
    /// taken.
    fn choose(&mut self, dice: &mut Dice) -> Option<(usize, Transition)> {
        if dice.one_in(8) {
            // Half of them are about moves, which are few and where two shards can go apart.
            let moves_only = dice.one_in(2);
            let late = self.past.iter().rev().take_while(|(at, ..)| self.now.seconds_since(*at) <= LATE_MAX_SECONDS);
            let late = late.filter(|(_, _, transition)| !moves_only || is_move(transition));
            if let Some((_, shard, transition)) = dice.one_of(late) {
                return Some((*shard, transition.clone()));
            }
        }
        let mut chosen = None;
        for _ in 0..=dice.roll(25) {
            let Some((shard, transition)) = self.draw(dice) else { continue };
            let taken = self.shards[shard].clone().apply(&transition).is_ok();
            chosen = Some((shard, transition));
            if taken {
                break;
            }
        }
        chosen
    }

    /// The only shard in which a token holds or waits.
    pub(crate) fn home_of(&self, token: u64) -> usize {
        usize::try_from(token).expect("a small number") % self.shards.len()
    }

    /// Instances that EC2 lists and no shard has. Its list lags: for a while it has the dead among the living. Those of a
    /// launch that is still to be adopted are among them, so that the guard alone must spare them.
    fn orphans(&self) -> Vec<InstanceId> {
        let known = |id: &InstanceId| self.shards.iter().any(|shard| shard.members.contains_key(id));
        let listed =
            |id: &InstanceId| self.dead.get(id).is_none_or(|died| self.now.seconds_since(*died) < LIST_LAG_SECONDS);
        self.tags.keys().filter(|id| !known(id) && listed(id)).cloned().collect()
    }

    /// EC2's answer to a launch, always the same one.
    fn launch(&mut self, dice: &mut Dice, shard: usize, launch: &LaunchToken, count: u64) -> Vec<InstanceId> {
        if let Some(ids) = self.launched.get(launch) {
            return ids.clone();
        }
        let come = if dice.one_in(3) { dice.roll(count + 1) } else { count };
        let first = self.tags.len() as u64;
        let ids: Vec<_> = (first..first + come).map(|n| InstanceId::trusted(format!("i-{n:017x}"))).collect();
        self.tags.extend(ids.iter().map(|id| (id.clone(), (shard, launch.clone()))));
        self.launched.insert(launch.clone(), ids.clone());
        ids
    }

    /// Members that count against the cap: one under way counts at its source until the target has taken it.
    pub(crate) fn counted(&self, shard: &Shard) -> usize {
        let taken = |entry: &Transfer| {
            let fate = self.shards[index(entry.to)].tombstones.get(entry.id.as_str());
            fate.is_some_and(|tombstone| tombstone.fate == Fate::Taken)
        };
        shard.members.keys().filter(|id| !shard.transfers.get(*id).is_some_and(taken)).count()
    }

    /// Every lease of every shard.
    pub(crate) fn leases(&self) -> impl Iterator<Item = (usize, LeaseRef)> {
        let of_shard = |(number, shard): (usize, &Shard)| {
            shard.leases.keys().filter_map(|token| Some((number, shard.lease(token)?))).collect::<Vec<_>>()
        };
        self.shards.iter().enumerate().flat_map(of_shard)
    }
}

fn is_move(transition: &Transition) -> bool {
    matches!(
        transition,
        Transition::Give { .. }
            | Transition::Take { .. }
            | Transition::Done { .. }
            | Transition::Cancel { .. }
            | Transition::Back { .. }
            | Transition::AdoptOrphan { .. }
            | Transition::Doom { .. }
    )
}

/// A shard's place in the world.
fn index(number: ShardNo) -> usize {
    usize::try_from(number).expect("a small number")
}

fn token(number: u64) -> Token {
    Token::from_bytes([u8::try_from(number).expect("a small number"); Token::BYTES])
}
