//! Where launches go: over the shards that have room, first to those whose waiters nothing is on its way for.
//!
//! Each launch is one call and belongs to one shard, so no more shards get one than the launch budget has calls for.

use std::cmp::Reverse;

use crate::ids::{LaunchToken, ShardNo};
use crate::scale::PlannedLaunch;
use crate::shard::{Intent, Launch, Shard, Transition};
use crate::snapshot::Snapshot;

/// Sessions that one launch brings at most, so that a crash leaves little in doubt.
const LAUNCH_MAX: u64 = 16;

/// What the launches of one plan may still use up.
pub(super) struct Spread<'a> {
    pool: &'a str,
    seen: Snapshot<'a>,
    rooms: Vec<Room>,
    /// Calls that the launch budget still has.
    pub(super) calls: u64,
    /// What is to be launched so far.
    pub(super) launches: Vec<PlannedLaunch>,
}

/// What a shard can take.
struct Room {
    shard: ShardNo,
    /// Instances that it can still own.
    left: u64,
    /// Instances that one launch may ask for.
    launch_max: u64,
    /// The number of its next intent.
    sequence: u64,
    /// Instances that the waiters need that nothing is on its way for.
    uncovered: u64,
}

impl Room {
    fn of(shard: &Shard, sessions: u64) -> Self {
        let on_the_way = shard.booting.len() as u64 + shard.intended();
        let uncovered = (shard.queue.len() as u64).saturating_sub(on_the_way).div_ceil(sessions);
        let left = u64::try_from(shard.room).unwrap_or(0) / sessions;
        let launch_max = (LAUNCH_MAX / sessions).max(1);
        Self { shard: shard.number, left, launch_max, sequence: shard.sequence, uncovered }
    }

    /// Instances that one launch into this shard can bring.
    fn fits(&self) -> u64 {
        self.left.min(self.launch_max)
    }
}

impl<'a> Spread<'a> {
    pub(super) fn new(seen: Snapshot<'a>, pool: &'a str) -> Self {
        let rooms = seen.shards.iter().map(|shard| Room::of(shard, seen.policy.sessions_per_instance)).collect();
        let calls = seen.control.launch_budget.calls(seen.now);
        Self { pool, seen, rooms, calls, launches: Vec::new() }
    }

    /// Plans launches of so many instances, and answers how many found a place.
    pub(super) fn launch(&mut self, wanted: u64, launch: &Launch) -> u64 {
        let mut left = wanted;
        while left > 0 && self.calls > 0 {
            let placed = self.one_round(left, launch);
            if placed == 0 {
                break;
            }
            left -= placed;
        }
        wanted - left
    }

    /// Instances that are to be launched so far.
    pub(super) fn launched(&self) -> u64 {
        self.launches.iter().map(|planned| planned.intent.count / planned.intent.launch.sessions).sum()
    }

    /// At most one launch for each shard.
    fn one_round(&mut self, wanted: u64, launch: &Launch) -> u64 {
        self.rooms.sort_by_key(|room| (Reverse((room.uncovered, room.left)), room.shard));
        let calls = usize::try_from(self.calls).unwrap_or(usize::MAX);
        let open = self.rooms.iter_mut().filter(|room| room.left > 0).take(calls);
        let mut counts: Vec<(&mut Room, u64)> = open.map(|room| (room, 0)).collect();
        let mut left = wanted;
        for (room, count) in &mut counts {
            *count = room.uncovered.min(room.fits()).min(left);
            left -= *count;
        }
        while left > 0 {
            // The rest goes one by one to whoever has most room left, so that shards fill evenly.
            let fitting = counts.iter_mut().filter(|(room, count)| room.fits() > *count);
            let Some((_, count)) = fitting.max_by_key(|(room, count)| (room.left - *count, Reverse(room.shard))) else {
                break;
            };
            *count += 1;
            left -= 1;
        }
        let since = self.seen.now;
        for (room, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            // The time keeps a token unique even when the table was deleted and made again under the same name.
            let token = LaunchToken::trusted(format!("{}-{}-{}-{}", self.pool, room.shard, room.sequence, since.0));
            let intent = Intent { count: count * launch.sessions, launch: launch.clone(), since };
            let transition =
                Transition::Intend { launch: token.clone(), intent: intent.clone(), sequence: room.sequence };
            self.launches.push(PlannedLaunch { shard: room.shard, launch: token, intent, transition });
            room.left -= count;
            room.uncovered = room.uncovered.saturating_sub(count);
            room.sequence += 1;
            self.calls -= 1;
        }
        wanted - left
    }
}
