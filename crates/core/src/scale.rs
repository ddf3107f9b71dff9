//! The growth plan: how many instances are wanted, where, of which market, and why. `scale` only ever adds.
//!
//! Target = leased + waiting + kept free, within [`min_instances`, `max_instances`]. Instances that still boot count,
//! so a need is met once. Growth without a waiter respects a cool-down; a waiter is never left by one.

use crate::control::{Control, Layout};
use crate::ids::{InstanceId, LaunchToken, ShardNo};
use crate::offering;
use crate::policy::Policy;
use crate::schedule;
use crate::shard::{Intent, Launch, Market, Shard, Transition};
use crate::time::Timestamp;

/// An intent older than this belongs to a run that died; it is repeated with the same token, in seconds.
pub const INTENT_STALE_AFTER_SECONDS: u64 = 60;

/// Instances that one launch asks for at most, so that a crash leaves little in doubt.
const LAUNCH_MAX: u64 = 16;

/// What EC2 launches from, as the deployment says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Launch template id.
    pub id: String,
    /// Its newest version as a number.
    pub version: u64,
    /// Subnets, at most one in a zone.
    pub subnets: Vec<String>,
}

/// How many instances there should be, how many there are, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// Wanted.
    pub target: u64,
    /// There, booting or intended.
    pub present: u64,
    /// In words.
    pub why: String,
}

/// What a run of `scale` is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The control record to write before anything else; its writing claims the turn.
    pub control: Control,
    /// The launches to intend.
    pub launches: Vec<PlannedLaunch>,
    /// What was found, in words.
    pub why: String,
}

/// One launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedLaunch {
    /// The shard that is to own the instances.
    pub shard: ShardNo,
    /// The intent and its token.
    pub launch: LaunchToken,
    /// What to launch.
    pub intent: Intent,
    /// The write that records it.
    pub transition: Transition,
}

/// How many instances are wanted.
#[must_use]
pub fn need(shards: &[Shard], policy: &Policy, now: Timestamp) -> Need {
    let wanted = schedule::wanted(&policy.schedule, now);
    let leased: u64 = shards.iter().map(Shard::leased).sum();
    let waiting = waiting(shards, now);
    let kept = wanted.min_available.unwrap_or(0).max(policy.min_available);
    let max = wanted.max.unwrap_or(u64::MAX).min(policy.max_instances);
    let target = (leased + waiting + kept).max(policy.min_instances).min(max);
    let present = shards.iter().map(|shard| there(shard) + shard.intended()).sum();
    let why = format!("{leased} leased + {waiting} waiting + {kept} kept free: {target} wanted, {present} present");
    Need { target, present, why }
}

/// Members that serve or will: neither what leaves, nor what is under way to another shard, nor what is stopped. A stopped
/// one may leave as well, when a mark that was meant for its lease came late, so that each must be counted by itself.
fn there(shard: &Shard) -> u64 {
    let elsewhere = |instance: &InstanceId| {
        shard.leaving.contains_key(instance)
            || shard.transfers.contains_key(instance)
            || shard.stopped.contains_key(instance)
    };
    shard.members.keys().filter(|instance| !elsewhere(instance)).count() as u64
}

fn waiting(shards: &[Shard], now: Timestamp) -> u64 {
    let live = |shard: &Shard| shard.queue_terms.values().filter(|terms| terms.until >= now).count() as u64;
    shards.iter().map(live).sum()
}

/// The plan for a snapshot of all shards.
#[must_use]
pub fn plan(
    shards: &[Shard],
    control: &Control,
    policy: &Policy,
    template: &Template,
    pool: &str,
    now: Timestamp,
) -> Plan {
    let Need { target, present, mut why } = need(shards, policy, now);
    let mut next = control.clone();
    next.halted = control.halted.clone().filter(|halt| halt.until > now);
    // A shard whose share was cut may have more than that for a while, so the rooms of the others are not all to be had.
    let room: i64 = shards.iter().map(|shard| shard.room).sum();
    let mut missing = target.saturating_sub(present).min(u64::try_from(room).unwrap_or(0));
    let overfull = shards.iter().any(|shard| shard.room < 0);
    if missing > 0 && overfull && now <= control.scaled_out_at + INTENT_STALE_AFTER_SECONDS {
        why.push_str(": a shard has more than its share, so the last step must be over first");
        missing = 0;
    }
    if missing > 0 && waiting(shards, now) == 0 && now < control.scaled_out_at + policy.scale_out_cooldown_seconds {
        why.push_str(": cooling down since the last step");
        missing = 0;
    }
    if let (true, Some(halt)) = (missing > 0, &next.halted) {
        why = format!("{why}: launching is halted until {}: {}", halt.until, halt.why);
        missing = 0;
    }
    let markets = markets(shards, policy, missing);
    let mut launches = Vec::new();
    let mut rooms: Vec<(ShardNo, u64, u64)> = shards.iter().map(room_of).collect();
    for (market, wanted) in markets {
        let Some((market, types, subnets)) = open_market(market, control, policy, template, now) else {
            why.push_str(": every offering is cooling down");
            continue;
        };
        let launch = Launch {
            template_id: template.id.clone(),
            template_version: template.version,
            market,
            instance_types: types,
            subnets,
        };
        launches.extend(spread(&mut rooms, wanted, &launch, shards, pool, now));
    }
    if !launches.is_empty() {
        next.scaled_out_at = now;
    }
    Plan { control: next, launches, why }
}

/// How many of each market make up the missing ones, on-demand first.
fn markets(shards: &[Shard], policy: &Policy, missing: u64) -> Vec<(Market, u64)> {
    let count = |market: Market| {
        let members = |s: &Shard| s.members.values().filter(|m| m.kind.market == market).count() as u64;
        let intents =
            |s: &Shard| s.intents.values().filter(|i| i.launch.market == market).map(|i| i.count).sum::<u64>();
        shards.iter().map(|shard| members(shard) + intents(shard)).sum::<u64>()
    };
    let (mut on_demand, mut spot) = (count(Market::OnDemand), count(Market::Spot));
    let (had_on_demand, had_spot) = (on_demand, spot);
    for _ in 0..missing {
        match policy.market_for(on_demand, spot) {
            Market::OnDemand => on_demand += 1,
            Market::Spot => spot += 1,
        }
    }
    let wanted = [(Market::OnDemand, on_demand - had_on_demand), (Market::Spot, spot - had_spot)];
    wanted.into_iter().filter(|(_, count)| *count > 0).collect()
}

/// The offerings to try: those of the market, or on-demand ones while every Spot offering cools down.
fn open_market(
    market: Market,
    control: &Control,
    policy: &Policy,
    template: &Template,
    now: Timestamp,
) -> Option<(Market, Vec<String>, Vec<String>)> {
    let fallback = if market == Market::Spot { vec![Market::Spot, Market::OnDemand] } else { vec![market] };
    fallback.into_iter().find_map(|market| {
        let (types, subnets) = offering::open_offerings(policy, &template.subnets, control, market, now);
        (!types.is_empty()).then_some((market, types, subnets))
    })
}

/// A shard's room, and its sequence number, which each intent raises by one.
fn room_of(shard: &Shard) -> (ShardNo, u64, u64) {
    (shard.number, u64::try_from(shard.room).unwrap_or(0), shard.sequence)
}

/// Spreads launches over the shards that have room: first to those with more waiters than instances on their way, then
/// to those with most room.
fn spread(
    rooms: &mut [(ShardNo, u64, u64)],
    mut wanted: u64,
    launch: &Launch,
    shards: &[Shard],
    pool: &str,
    now: Timestamp,
) -> Vec<PlannedLaunch> {
    let uncovered = |number: ShardNo| {
        let on_the_way = |shard: &Shard| shard.booting.len() as u64 + shard.intended();
        let shard = shards.iter().find(|shard| shard.number == number);
        shard.map_or(0, |shard| (shard.queue.len() as u64).saturating_sub(on_the_way(shard)))
    };
    rooms.sort_by_key(|(number, room, _)| std::cmp::Reverse((uncovered(*number), *room)));
    let mut counts: Vec<u64> = rooms.iter().map(|(number, room, _)| uncovered(*number).min(*room)).collect();
    for count in &mut counts {
        *count = (*count).min(wanted);
        wanted -= *count;
    }
    while wanted > 0 {
        // The rest goes one by one to whoever has most room left, so that shards fill evenly.
        let most = (0..counts.len()).max_by_key(|&k| rooms[k].1 - counts[k]);
        match most {
            Some(k) if rooms[k].1 > counts[k] => counts[k] += 1,
            _ => break,
        }
        wanted -= 1;
    }
    let mut launches = Vec::new();
    for ((number, room, sequence), mut count) in rooms.iter_mut().zip(counts) {
        *room -= count;
        while count > 0 {
            let part = count.min(LAUNCH_MAX);
            launches.push(planned(*number, *sequence, part, launch, pool, now));
            *sequence += 1;
            count -= part;
        }
    }
    launches
}

fn planned(shard: ShardNo, sequence: u64, count: u64, launch: &Launch, pool: &str, now: Timestamp) -> PlannedLaunch {
    // The time keeps a token unique even when the table was deleted and made again under the same name.
    let token = LaunchToken::trusted(format!("{pool}-{shard}-{sequence}-{}", now.0));
    let intent = Intent { count, launch: launch.clone(), since: now };
    let transition = Transition::Intend { launch: token.clone(), intent: intent.clone(), sequence };
    PlannedLaunch { shard, launch: token, intent, transition }
}

/// Intents whose run died: to be repeated, exactly as they are.
#[must_use]
pub fn stale_intents(shard: &Shard, now: Timestamp) -> Vec<(LaunchToken, Intent)> {
    let stale = |intent: &Intent| now.seconds_since(intent.since) > INTENT_STALE_AFTER_SECONDS;
    shard.intents.iter().filter(|(_, i)| stale(i)).map(|(token, i)| (token.clone(), i.clone())).collect()
}

/// The writes that bring every shard to its share of the cap: all cuts come first, and nothing is raised before every
/// cut is made, so that members + intents + room never exceed the cap.
#[must_use]
pub fn resizes(shards: &[Shard], layout: &Layout) -> Vec<(ShardNo, Transition)> {
    let old = shards.iter().filter(|shard| shard.layout < layout.number);
    let mut changes: Vec<(ShardNo, i64, i64)> =
        old.map(|shard| (shard.number, shard.share, layout.share_of(shard.number) - shard.share)).collect();
    changes.sort_by_key(|(_, _, delta)| *delta);
    if changes.first().is_some_and(|(_, _, delta)| *delta < 0) {
        changes.retain(|(_, _, delta)| *delta <= 0);
    }
    let resize = |from, delta| Transition::Resize { from, delta, layout: layout.number };
    changes.into_iter().map(|(number, from, delta)| (number, resize(from, delta))).collect()
}
