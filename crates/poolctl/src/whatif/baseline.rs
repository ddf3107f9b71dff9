//! What the pool is compared with: a fixed number of instances, and a plain target utilisation.
//!
//! Both have the same shards, the same callers and the same EC2, and both may launch any number at a time: no launch
//! budget holds them back.

use pool_core::ids::{InstanceId, LaunchToken, ShardNo};
use pool_core::shard::{Intent, Launch, Market, Transition};
use pool_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::pool::template;
use super::report::number;
use super::world::World;

/// A pool of a fixed size. What EC2 takes is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    /// Its size.
    pub instances: u64,
}

/// Target tracking as EC2 Auto Scaling does it: utilisation is leased by ready instances; when it was above the target
/// for some minutes on end, the pool grows to what would have met it; when it was below nine tenths of the target for
/// longer, it shrinks likewise. Only free instances are removed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TargetTracking {
    /// The target utilisation.
    pub percent: f64,
    /// Minutes above it before the pool grows.
    pub scale_out_after_minutes: u32,
    /// Minutes below nine tenths of it before the pool shrinks.
    pub scale_in_after_minutes: u32,
    /// No growth before, since the last.
    pub scale_out_cooldown_seconds: u64,
    /// No shrinking before, since the last change.
    pub scale_in_cooldown_seconds: u64,
}

impl Default for TargetTracking {
    fn default() -> Self {
        Self {
            percent: 70.0,
            scale_out_after_minutes: 3,
            scale_in_after_minutes: 15,
            scale_out_cooldown_seconds: 60,
            scale_in_cooldown_seconds: 300,
        }
    }
}

/// What target tracking remembers between two minutes.
#[derive(Debug, Default)]
pub(super) struct Tracking {
    minutes_high: u32,
    minutes_low: u32,
    grown_at: Timestamp,
    shrunk_at: Timestamp,
}

/// Below this part of the target, utilisation counts as low.
const LOW: f64 = 0.9;

impl World<'_> {
    pub(super) fn keep_fixed(&mut self, fixed: Fixed) {
        let wanted = fixed.instances.min(self.policy.max_instances);
        self.launch_plainly(wanted.saturating_sub(self.present()));
        self.terminate_leaving();
        self.forget_tombstones();
    }

    pub(super) fn track(&mut self, target: &TargetTracking, tracking: &mut Tracking) {
        let (now, least, most) = (self.now, self.policy.min_instances.max(1), self.policy.max_instances);
        let (leased, ready, present) = (self.tally.leased, self.tally.leased + self.tally.free, self.present());
        let used = number(leased) / number(ready.max(1)) * 100.0;
        tracking.minutes_high = if used > target.percent { tracking.minutes_high + 1 } else { 0 };
        tracking.minutes_low = if used < target.percent * LOW { tracking.minutes_low + 1 } else { 0 };
        let wanted = (number(ready) * used / target.percent).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "no more than a hundred pools")]
        let wanted = (wanted as u64).clamp(least, most.max(least));
        let rested = |since: Timestamp, seconds: u64| now >= since + seconds;
        if present < least {
            self.launch_plainly(least - present);
        } else if wanted > present
            && tracking.minutes_high >= target.scale_out_after_minutes
            && rested(tracking.grown_at, target.scale_out_cooldown_seconds)
        {
            tracking.grown_at = now;
            self.launch_plainly(wanted - present);
        } else if wanted < present
            && tracking.minutes_low >= target.scale_in_after_minutes
            && rested(tracking.grown_at.max(tracking.shrunk_at), target.scale_in_cooldown_seconds)
        {
            tracking.shrunk_at = now;
            self.remove_oldest_free(present - wanted);
        }
        self.terminate_leaving();
        self.forget_tombstones();
    }

    /// Members that do not leave.
    fn present(&self) -> u64 {
        self.shards.iter().map(|shard| shard.serving() as u64).sum()
    }

    /// Launches so many into the shards that have most room.
    fn launch_plainly(&mut self, count: u64) {
        let room = self.shards.iter().map(|shard| shard.room).sum::<i64>();
        let (mut on_demand, mut spot) = self.markets();
        for _ in 0..count.min(u64::try_from(room).unwrap_or(0)) {
            let Some(shard) = self.shards.iter().max_by_key(|shard| (shard.room, std::cmp::Reverse(shard.number)))
            else {
                return;
            };
            let (number, sequence) = (shard.number, shard.sequence);
            let market = self.policy.market_for(on_demand, spot);
            match market {
                Market::OnDemand => on_demand += 1,
                Market::Spot => spot += 1,
            }
            let token = LaunchToken::trusted(format!("plain-{number}-{sequence}-{}", self.now.0));
            let launch = Launch {
                template_id: template(self.model.zones).id,
                template_version: 1,
                market,
                instance_types: self.policy.instance_types.clone(),
                subnets: template(self.model.zones).subnets,
                except: Vec::new(),
                sessions: 1,
            };
            let intent = Intent { count: 1, launch, since: self.now };
            let write = Transition::Intend { launch: token.clone(), intent: intent.clone(), sequence };
            if self.write(number, &write).is_err() {
                return;
            }
            self.launch(number, &token, &intent);
        }
    }

    /// On-demand and Spot members. A baseline has the same mix as the pool.
    fn markets(&self) -> (u64, u64) {
        let members = || self.shards.iter().flat_map(|shard| shard.members.values());
        let on_demand = members().filter(|member| member.kind.market == Market::OnDemand).count() as u64;
        (on_demand, members().count() as u64 - on_demand)
    }

    fn remove_oldest_free(&mut self, count: u64) {
        let mut free: Vec<(Timestamp, ShardNo, InstanceId)> = Vec::new();
        for shard in &self.shards {
            let since = shard.free.iter().filter_map(|it| Some((shard.members.get(it)?.since, it)));
            free.extend(since.map(|(since, instance)| (since, shard.number, instance.clone())));
        }
        free.sort_unstable();
        for (_, shard, instance) in free.into_iter().take(usize::try_from(count).unwrap_or(usize::MAX)) {
            self.withdraw(shard, &instance, "more than the target needs");
        }
    }
}
