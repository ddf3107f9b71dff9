//! What instances cost, by the list in `prices.csv`: for the figures of a pool and for the what-if.
//!
//! It is an estimate. Spot prices move, and what they are is known to AWS alone; a type that is not in the list counts as
//! one of the default types, and [`unlisted`] names it, so that whoever tells the cost can say that it is a guess.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crate::shard::{Kind, Market, Member, Shard, StopPhase};

/// Instance types and their on-demand prices.
const LIST: &str = include_str!("../prices.csv");

/// The list, read once: a pool of thousands asks for each of its instances.
static ON_DEMAND_USD_PER_HOUR: LazyLock<BTreeMap<&str, f64>> = LazyLock::new(|| list().collect());

/// What Spot costs, in percent of the on-demand price. AWS speaks of savings of up to 90 %
/// (<https://aws.amazon.com/ec2/spot/pricing/>); small types of recent generations cost about a third most of the time.
pub const SPOT_PERCENT: f64 = 35.0;

/// The price of a type that is not in the list, in USD an hour: about that of the default types.
pub const OTHER_USD_PER_HOUR: f64 = 0.05;

/// What 20 GB of gp3 storage cost, in USD an hour, at 0.08 USD per GB and month of 730 hours
/// (<https://aws.amazon.com/ebs/pricing/>). All that a stopped instance costs.
pub const STORAGE_USD_PER_HOUR: f64 = 20.0 * 0.08 / 730.0;

/// The list: each type and its on-demand price in USD an hour.
pub fn list() -> impl Iterator<Item = (&'static str, f64)> {
    let rows = LIST.lines().filter(|line| !line.starts_with('#')).skip(1);
    rows.filter_map(|row| {
        let (instance_type, price) = row.split_once(',')?;
        Some((instance_type, price.parse().ok()?))
    })
}

/// What a running instance costs, in USD an hour, without its storage.
#[must_use]
pub fn usd_per_hour(kind: &Kind) -> f64 {
    let listed = ON_DEMAND_USD_PER_HOUR.get(kind.instance_type.as_str());
    in_market(listed.copied().unwrap_or(OTHER_USD_PER_HOUR), kind.market, SPOT_PERCENT)
}

/// What a market asks for what costs so much on demand, when Spot costs `spot_percent` of that.
#[must_use]
pub fn in_market(on_demand: f64, market: Market, spot_percent: f64) -> f64 {
    match market {
        Market::OnDemand => on_demand,
        Market::Spot => on_demand * spot_percent / 100.0,
    }
}

/// What the instances of a pool cost now, in USD an hour, with their storage. One that stops is paid until it is stopped.
#[must_use]
pub fn pool_usd_per_hour(shards: &[Shard]) -> f64 {
    let of = |shard: &Shard| -> f64 {
        let is_stopped =
            |instance| shard.stopped.get(instance).is_some_and(|stopped| stopped.phase == StopPhase::Stopped);
        let running = |(instance, member): (_, &Member)| {
            if is_stopped(instance) { 0.0 } else { usd_per_hour(&member.kind) }
        };
        // However many sessions an instance serves, it is paid once.
        let instances = shard.members.iter().filter(|(instance, _)| instance.is_first_slot());
        instances.map(|member| running(member) + STORAGE_USD_PER_HOUR).sum()
    };
    shards.iter().map(of).sum()
}

/// The types of a pool's instances that are not in the list, so that their cost is a guess.
#[must_use]
pub fn unlisted(shards: &[Shard]) -> BTreeSet<&str> {
    let members = shards.iter().flat_map(|shard| shard.members.values());
    let mut types: BTreeSet<&str> = members.map(|member| member.kind.instance_type.as_str()).collect();
    types.retain(|instance_type| !ON_DEMAND_USD_PER_HOUR.contains_key(instance_type));
    types
}
