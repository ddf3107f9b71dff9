//! Of which market the missing instances are, and through which offerings they are tried.

use crate::control::Control;
use crate::ids::InstanceId;
use crate::offering::{self, Offerings};
use crate::policy::Policy;
use crate::scale::spread::Spread;
use crate::scale::{PlannedLaunch, Template};
use crate::shard::{Intent, Launch, Market, Shard};
use crate::snapshot::Snapshot;

/// Plans the launches of the missing instances, then of those for the stopped tier, which are on-demand. What is tried
/// although it failed before is remembered in `next`, so that no other run tries it as well.
pub(super) fn launches(
    seen: Snapshot<'_>,
    next: &mut Control,
    [missing, for_stopped_tier]: [u64; 2],
    template: &Template,
    pool: &str,
    why: &mut Vec<String>,
) -> Vec<PlannedLaunch> {
    let mut plan = Tries { seen, next, template, spread: Spread::new(seen, pool), why };
    for (market, wanted) in mix(seen.shards, seen.policy, missing) {
        let left = plan.launch(market, wanted);
        // Spot has nothing to sell at all: callers are not kept waiting for it.
        let left = if market == Market::Spot && left > 0 { plan.launch(Market::OnDemand, left) } else { left };
        if left > 0 && plan.spread.calls > 0 {
            plan.why.push("every offering is cooling down".to_owned());
        }
    }
    if for_stopped_tier > 0 {
        let before = plan.spread.launched();
        plan.launch(Market::OnDemand, for_stopped_tier);
        let launched = plan.spread.launched() - before;
        if launched > 0 {
            plan.why.push(format!("{launched} for the stopped tier"));
        }
    }
    if plan.spread.calls == 0 && missing + for_stopped_tier > 0 {
        plan.why.push("the launch budget is used up".to_owned());
    }
    plan.spread.launches
}

/// A plan in the making.
struct Tries<'a> {
    seen: Snapshot<'a>,
    next: &'a mut Control,
    template: &'a Template,
    spread: Spread<'a>,
    why: &'a mut Vec<String>,
}

impl Tries<'_> {
    /// Launches so many of a market, and answers how many have no offering. One of several goes to the offerings in doubt,
    /// if there are any: their cool-down is over, and nobody knows whether they work again. A single one goes there only
    /// when nothing else is left, for somebody may wait for it.
    fn launch(&mut self, market: Market, wanted: u64) -> u64 {
        let Offerings { open, in_doubt } =
            offering::offerings(self.seen.policy, &self.template.subnets, self.next, market, self.seen.now);
        let mut left = wanted;
        let spared = u64::from(open.is_some());
        if let (Some(probe), true) = (in_doubt, left > spared) {
            let probe = self.of(market, probe);
            let placed = self.spread.launch(1, &probe);
            if placed > 0 {
                offering::probing(self.next, &probe, self.seen.now);
            }
            left -= placed;
        }
        match open {
            Some(open) => {
                self.spread.launch(left, &self.of(market, open));
                0
            }
            None => left,
        }
    }

    fn of(&self, market: Market, choice: offering::Choice) -> Launch {
        let offering::Choice { instance_types, subnets, except } = choice;
        let (template_id, template_version) = (self.template.id.clone(), self.template.version);
        let sessions = self.seen.policy.sessions_per_instance;
        Launch { template_id, template_version, market, instance_types, subnets, except, sessions }
    }
}

/// How many instances of each market make up the missing ones, on-demand first. What is stopped or leaves is no part of the mix.
fn mix(shards: &[Shard], policy: &Policy, missing: u64) -> Vec<(Market, u64)> {
    let count = |market: Market| {
        let members = |shard: &Shard| {
            let stays =
                |instance: &InstanceId| !shard.stopped.contains_key(instance) && !shard.leaving.contains_key(instance);
            let serving = shard.members.iter().filter(|(instance, _)| stays(instance));
            let instances = serving.filter(|(instance, _)| instance.is_first_slot());
            instances.filter(|(_, member)| member.kind.market == market).count() as u64
        };
        let instances = |intent: &Intent| intent.count / intent.launch.sessions.max(1);
        let intents = |s: &Shard| s.intents.values().filter(|i| i.launch.market == market).map(instances).sum::<u64>();
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
