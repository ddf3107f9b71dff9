//! What is assumed of the world around the pool: how long boots take, what instances cost, how often Spot is taken back.

use std::collections::BTreeMap;

use pool_core::price;
use pool_core::shard::Market;
use serde::{Deserialize, Serialize};

/// The section `[model]` of a policy file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Model {
    /// From a launch to `ready`, on average.
    pub boot_seconds: u64,
    /// Boots take up to so much less or more, evenly spread.
    pub boot_spread_seconds: u64,
    /// From the start of a stopped instance to `ready`.
    pub start_seconds: u64,
    /// From `StopInstances` to stopped.
    pub stop_seconds: u64,
    /// From `TerminateInstances` to terminated.
    pub terminate_seconds: u64,
    /// What a node takes to clean up after a lease, where the policy says `after_release = "reset"`.
    pub reset_seconds: u64,
    /// How often EC2 takes a Spot instance back, per instance and hour.
    pub spot_interruptions_per_hour: f64,
    /// The Spot price, as a share of the on-demand price.
    pub spot_price_percent: f64,
    /// On-demand price by instance type.
    pub on_demand_usd_per_hour: BTreeMap<String, f64>,
    /// The price of a type that is not in that list.
    pub other_types_usd_per_hour: f64,
    /// Availability zones, which launches go to in turn.
    pub zones: u64,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            boot_seconds: 60,
            boot_spread_seconds: 15,
            start_seconds: 25,
            stop_seconds: 30,
            terminate_seconds: 30,
            reset_seconds: 5,
            spot_interruptions_per_hour: 0.0,
            spot_price_percent: price::SPOT_PERCENT,
            on_demand_usd_per_hour: price::list().map(|(name, price)| (name.to_owned(), price)).collect(),
            other_types_usd_per_hour: price::OTHER_USD_PER_HOUR,
            zones: 3,
        }
    }
}

impl Model {
    /// What an hour of such an instance costs.
    #[must_use]
    pub fn usd_per_hour(&self, market: Market, instance_type: &str) -> f64 {
        let listed = self.on_demand_usd_per_hour.get(instance_type);
        let on_demand = listed.copied().unwrap_or(self.other_types_usd_per_hour);
        price::in_market(on_demand, market, self.spot_price_percent)
    }

    /// What is out of its range: the key and what is wrong with it.
    pub(super) fn problems(&self) -> Vec<(&'static str, String)> {
        const DAY_SECONDS: u64 = 86_400;
        let mut problems = Vec::new();
        for (key, seconds) in [
            ("boot_seconds", self.boot_seconds),
            ("boot_spread_seconds", self.boot_spread_seconds),
            ("start_seconds", self.start_seconds),
            ("stop_seconds", self.stop_seconds),
            ("terminate_seconds", self.terminate_seconds),
            ("reset_seconds", self.reset_seconds),
        ] {
            if seconds > DAY_SECONDS {
                problems.push((key, format!("{seconds} is more than {DAY_SECONDS}")));
            }
        }
        if self.boot_spread_seconds > self.boot_seconds {
            problems.push(("boot_spread_seconds", "is more than boot_seconds".to_owned()));
        }
        if !(1..=10).contains(&self.zones) {
            problems.push(("zones", format!("{} is not from 1 to 10", self.zones)));
        }
        let prices = self.on_demand_usd_per_hour.values().map(|price| ("on_demand_usd_per_hour", *price));
        let others = [
            ("spot_interruptions_per_hour", self.spot_interruptions_per_hour),
            ("spot_price_percent", self.spot_price_percent),
            ("other_types_usd_per_hour", self.other_types_usd_per_hour),
        ];
        for (key, value) in prices.chain(others) {
            if !(0.0..=1_000.0).contains(&value) {
                problems.push((key, format!("{value} is not from 0 to 1000")));
            }
        }
        problems
    }
}
