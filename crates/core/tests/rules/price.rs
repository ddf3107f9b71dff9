//! What instances cost.

use pool_core::price::{self, OTHER_USD_PER_HOUR, STORAGE_USD_PER_HOUR, pool_usd_per_hour, unlisted, usd_per_hour};
use pool_core::shard::{Kind, Market, Shard, StopPhase};

use crate::given::{Given, shard};

fn kind(instance_type: &str, market: Market) -> Kind {
    Kind { instance_type: instance_type.to_owned(), zone: "us-east-1a".to_owned(), market, template_version: 1 }
}

/// Sums of decimal fractions are only nearly equal.
fn assert_about(seen: f64, expected: f64) {
    assert!((seen - expected).abs() < 1e-9, "{seen} is not {expected}");
}

#[test]
fn every_row_of_the_list_is_a_type_and_its_price() {
    let rows = include_str!("../../prices.csv").lines().filter(|line| !line.starts_with('#')).count() - 1;
    let mut names: Vec<&str> = price::list().map(|(name, _)| name).collect();
    assert_eq!(names.len(), rows, "a row is not read");
    assert!(price::list().all(|(name, price)| name.contains('.') && (0.01..10.0).contains(&price)));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rows, "a type stands there twice");
}

#[test]
fn spot_costs_a_share_and_an_unknown_type_as_much_as_most() {
    assert_about(usd_per_hour(&kind("t2.medium", Market::OnDemand)), 0.0464);
    assert_about(usd_per_hour(&kind("t2.medium", Market::Spot)), 0.0464 * 0.35);
    assert_about(usd_per_hour(&kind("x9.huge", Market::OnDemand)), OTHER_USD_PER_HOUR);
}

#[test]
fn a_pool_costs_what_runs_and_all_storage() {
    let on_demand = usd_per_hour(&kind("t3.medium", Market::OnDemand));
    let spot = usd_per_hour(&kind("t3.medium", Market::Spot));
    let first = shard(7).free(1).on_demand(1).booting(2).held(3, 3);
    let stopped = |phase| shard(8).stopped_as(9, phase).on_demand(9);
    let storage = 4.0 * STORAGE_USD_PER_HOUR;
    let cost = |phase| pool_usd_per_hour(&[first.clone(), stopped(phase)]);
    assert_about(cost(StopPhase::Stopped), on_demand + 2.0 * spot + storage);
    assert_about(cost(StopPhase::Stopping), 2.0 * on_demand + 2.0 * spot + storage);
    assert_about(pool_usd_per_hour(&[]), 0.0);
}

#[test]
fn types_that_are_not_in_the_list_are_named_once() {
    let typed = |instance_type: &'static str| {
        move |shard: &mut Shard| {
            for member in shard.members.values_mut() {
                member.kind = kind(instance_type, Market::Spot);
            }
        }
    };
    let shards = [
        shard(7).free(1).free(2).with(typed("x9.huge")),
        shard(8).held(3, 3).with(typed("x9.huge")),
        shard(9).stopped(4).with(typed("t3.medium")),
    ];
    assert_eq!(unlisted(&shards).into_iter().collect::<Vec<_>>(), ["x9.huge"]);
    assert!(unlisted(&shards[2..]).is_empty());
}
