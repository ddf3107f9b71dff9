//! The growth plan: how many instances are wanted, where, of which market, and why. `scale` only ever adds.
//!
//! Target = leased + waiting + kept free, within [`min_instances`, cap], and what busy nodes and windows about to open ask
//! for. Instances that still boot count, so a need is met once. A need starts stopped instances before it launches new
//! ones. Growth without a waiter respects a cool-down; a waiter is never left by one. What may be launched is bounded by
//! the rooms of the shards, the breaker, the offerings that work, and the launch budget.

mod markets;
mod need;
mod spread;

use crate::control::{Control, KnownTemplate, Layout};
use crate::ids::{InstanceId, LaunchToken, ShardNo};
use crate::measure;
use crate::shard::{Intent, Shard, Transition};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;

pub(crate) use need::BOOT_ASSUMED_SECONDS;
pub use need::{Need, need};

/// An intent older than this belongs to a run that died; it is repeated with the same token, in seconds.
pub const INTENT_STALE_AFTER_SECONDS: u64 = 60;

/// A call of EC2 that was on its way for so long arrives no more, in seconds: EC2 refuses a request whose signature is
/// older than five minutes (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>),
/// and a run signs within the minute that it may take.
const CALL_ARRIVES_WITHIN_SECONDS: u64 = 300 + 60;

/// A stopped instance is started only when it has been stopped for longer than any function lives, in seconds: by then no
/// `StopInstances` can be under way that would hit it once it is leased. Fifteen minutes is the most that Lambda allows
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
pub const FUNCTION_LIFE_SECONDS: u64 = 900;

/// The newest version of the launch template is asked for again after so many seconds.
const TEMPLATE_FRESH_SECONDS: u64 = 60;

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

/// What a run of `scale` is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The control record to write before anything else, if it differs; its writing claims the turn.
    pub control: Control,
    /// The stopped instances to start.
    pub starts: Vec<PlannedStart>,
    /// The launches to intend.
    pub launches: Vec<PlannedLaunch>,
    /// What was found, in words.
    pub why: String,
}

/// The start of a stopped instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedStart {
    /// Its shard.
    pub shard: ShardNo,
    /// Which instance.
    pub instance: InstanceId,
    /// The write that comes before the call.
    pub transition: Transition,
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

/// Whether EC2 must be asked for the newest version of the launch template before the plan is made.
#[must_use]
pub fn asks_for_template(control: &Control, now: Timestamp) -> bool {
    control.template.version == 0 || now >= control.template.seen_at + TEMPLATE_FRESH_SECONDS
}

/// What a look at the pool teaches: how busy it is, how old its leases are, whether a halt is over.
#[must_use]
pub fn observed(seen: Snapshot<'_>) -> Control {
    let mut next = seen.control.clone();
    next.halted = next.halted.filter(|halt| halt.until > seen.now);
    next.measures = measure::leases(seen);
    next.utilisation = next.utilisation.after(seen);
    next
}

/// The plan for a snapshot.
#[must_use]
pub fn plan(seen: Snapshot<'_>, template: &Template, pool: &str) -> Plan {
    let mut next = observed(seen);
    if next.template.version != template.version || asks_for_template(&next, seen.now) {
        next.template = KnownTemplate { version: template.version, seen_at: seen.now };
    }
    let looked = next.clone();
    let seen = Snapshot { control: &looked, ..seen };
    let need = need(seen);
    let mut why = vec![need.why.clone()];
    let (mut missing, for_stopped_tier) = match held_back(seen, &need) {
        Some(reason) => {
            why.push(reason);
            (0, 0)
        }
        None => (need.missing(), need.for_stopped_tier),
    };
    let starts = starts(seen, missing);
    missing -= starts.len() as u64;
    // What is launched is whole instances, whose further sessions come with them.
    let sessions = seen.policy.sessions_per_instance;
    let room = seen.room() / sessions;
    let (mut missing, mut for_stopped_tier) = (missing.div_ceil(sessions).min(room), for_stopped_tier);
    for_stopped_tier = for_stopped_tier.min(room - missing);
    if missing + for_stopped_tier > 0 {
        let (allowed, reason) = launches_allowed(seen, starts.len() as u64);
        why.extend(reason.filter(|_| allowed < missing + for_stopped_tier));
        missing = missing.min(allowed);
        for_stopped_tier = for_stopped_tier.min(allowed - missing);
    }
    let launches = markets::launches(seen, &mut next, [missing, for_stopped_tier], template, pool, &mut why);
    next.launch_budget = next.launch_budget.after_calls(launches.len() as u64, seen.now);
    if !launches.is_empty() || !starts.is_empty() {
        next.scaled_out_at = seen.now;
    }
    Plan { control: next, starts, launches, why: why.join(": ") }
}

/// Why nothing at all is started or launched, although something is missing.
fn held_back(seen: Snapshot<'_>, need: &Need) -> Option<String> {
    let (control, now) = (seen.control, seen.now);
    if need.missing() + need.for_stopped_tier == 0 {
        return None;
    }
    if let Some(order) = seen.stopped_by_operator() {
        return Some(order);
    }
    let overfull = seen.shards.iter().any(|shard| shard.room < 0);
    if overfull && now <= control.scaled_out_at + INTENT_STALE_AFTER_SECONDS {
        return Some("a shard has more than its share, so the last step must be over first".to_owned());
    }
    if seen.waiting() == 0 && now < control.scaled_out_at + seen.policy.scale_out_cooldown_seconds {
        return Some("cooling down since the last step".to_owned());
    }
    None
}

/// How many instances may be launched, and what stands against more.
fn launches_allowed(seen: Snapshot<'_>, starts: u64) -> (u64, Option<String>) {
    if let Some(halt) = seen.control.halted.as_ref().filter(|halt| halt.until > seen.now) {
        return (0, Some(format!("launching is halted until {}: {}", halt.until, halt.why)));
    }
    seen.control.breaker.allows(seen.on_the_way() + starts, seen.now)
}

/// The stopped instances to start for what is missing, those first that have been stopped for longest. They have booted
/// before, so boots that fail and launches that EC2 refuses are no reason to leave them.
fn starts(seen: Snapshot<'_>, missing: u64) -> Vec<PlannedStart> {
    let stopped_before = seen.now - FUNCTION_LIFE_SECONDS;
    let mut stopped: Vec<_> = seen.stopped().filter(|(_, _, since)| *since < stopped_before).collect();
    stopped.sort_by_key(|(_, _, since)| *since);
    let start = |instance: &InstanceId| Transition::Start { instance: instance.clone(), stopped_before, now: seen.now };
    let starts = stopped.into_iter().take(usize::try_from(missing).unwrap_or(usize::MAX));
    starts
        .map(|(shard, instance, _)| PlannedStart {
            shard: shard.number,
            instance: instance.clone(),
            transition: start(instance),
        })
        .collect()
}

/// Whether launching is stopped, and why, for `status`.
#[must_use]
pub fn stopped_because(seen: Snapshot<'_>) -> Option<String> {
    if let Some(order) = seen.stopped_by_operator() {
        return Some(order);
    }
    launches_allowed(seen, 0).1
}

/// A launch that is repeated, since its run died or did not learn what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repeat {
    /// Of which shard.
    pub shard: ShardNo,
    /// The launch's token.
    pub launch: LaunchToken,
    /// What was intended.
    pub intent: Intent,
    /// When the last call before this one was made that may still be under way.
    pub called_at: Timestamp,
}

impl Repeat {
    /// Whether no earlier call can arrive any more. Until then nobody can tell from a refusal of the repetition, nor from
    /// EC2's listing, that nothing will come.
    #[must_use]
    pub fn is_the_last_call(&self, now: Timestamp) -> bool {
        now.seconds_since(self.called_at) > CALL_ARRIVES_WITHIN_SECONDS
    }

    /// The control record after EC2 has refused the repetition: that call is over, and the earlier ones may still arrive.
    #[must_use]
    pub fn was_refused(&self, control: &Control) -> Control {
        let mut control = control.clone();
        if let Some(repeated) = control.repeated.get_mut(&self.launch) {
            *repeated = self.called_at;
        }
        control
    }
}

/// Intents whose run died: to be repeated, exactly as they are, as many as the launch budget allows; and the control
/// record to write before. One is repeated by one run at a time. They are repeated although the operator has paused
/// launching since: they may have launched already, and only their repetition tells what.
#[must_use]
pub fn repeats(shards: &[Shard], control: &Control, now: Timestamp) -> (Vec<Repeat>, Control) {
    let is_over = |since: Timestamp| now.seconds_since(since) > INTENT_STALE_AFTER_SECONDS;
    let stale = |token: &LaunchToken, intent: &Intent| {
        is_over(intent.since) && control.repeated.get(token).is_none_or(|since| is_over(*since))
    };
    let all = || {
        shards.iter().flat_map(|shard| shard.intents.iter().map(move |(token, intent)| (shard.number, token, intent)))
    };
    let mut stale: Vec<_> = all().filter(|(_, token, intent)| stale(token, intent)).collect();
    stale.sort_by_key(|(_, _, intent)| intent.since);
    stale.truncate(usize::try_from(control.launch_budget.calls(now)).unwrap_or(usize::MAX));
    let launch_budget = control.launch_budget.after_calls(stale.len() as u64, now);
    let mut repeated = control.repeated.clone();
    repeated.retain(|token, _| all().any(|(_, known, _)| known == token));
    repeated.extend(stale.iter().map(|(_, token, _)| ((*token).clone(), now)));
    let repeats = stale.into_iter().map(|(shard, token, intent)| {
        let called_at = control.repeated.get(token).copied().unwrap_or(intent.since);
        Repeat { shard, launch: token.clone(), intent: intent.clone(), called_at }
    });
    (repeats.collect(), Control { launch_budget, repeated, ..control.clone() })
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
