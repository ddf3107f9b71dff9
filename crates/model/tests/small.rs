//! The small model: one shard under every history of a network that loses, repeats and delays.

use pool_model::check;
use pool_model::small::{self, Small, Table};

#[test]
fn leases_hold_in_every_history() {
    let found = check::all("small, fenced", Small::of(Table::Fenced));
    assert!(found.broken.is_empty(), "broken: {:?}", found.broken);
}

#[test]
fn a_table_without_epochs_lets_a_late_release_end_another_lease() {
    let property = small::STALE_CHANGES_NOTHING;
    let found = check::until_broken("small, unfenced", Small::of(Table::Unfenced), property);
    assert!(found.broken.contains_key(property), "not broken: {property}");
}

#[test]
fn a_table_without_epochs_leases_an_instance_twice() {
    let property = small::ONE_LEASE_AN_INSTANCE;
    let found = check::until_broken("small, unfenced", Small::of(Table::Unfenced), property);
    assert!(found.broken.contains_key(property), "not broken: {property}");
}
