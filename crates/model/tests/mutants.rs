//! The whole protocol without one of its guards: each time a property is broken, and which one says what the guard is for.

use pool_model::check;
use pool_model::whole::{self, Scenario, Variant, Whole, scenarios};

fn breaks(variant: Variant, scenario: Scenario, property: &'static str) {
    let found = check::until_broken(&format!("{variant:?}"), Whole::of(scenario, variant), property);
    assert!(found.broken.contains_key(property), "{variant:?} does not break: {property}");
}

#[test]
fn a_source_that_forgets_a_move_loses_the_instance() {
    breaks(Variant::MoveForgotten, scenarios::judged_while_moved(), whole::NOT_LOST);
}

#[test]
fn a_source_that_forgets_a_move_takes_the_instance_in_again_as_an_orphan() {
    breaks(Variant::MoveForgotten, scenarios::judged_while_moved(), whole::NOT_IN_TWO_SHARDS);
}

#[test]
fn a_take_that_does_not_lift_the_epoch_grants_under_an_old_one() {
    breaks(Variant::EpochNotLifted, scenarios::moves(), whole::EPOCHS_GROW);
}

#[test]
fn a_fate_that_is_blurred_leaves_an_instance_in_two_shards() {
    breaks(Variant::FateBlurred, scenarios::moves(), whole::NOT_IN_TWO_SHARDS);
}

#[test]
fn a_fate_that_is_blurred_loses_an_instance() {
    breaks(Variant::FateBlurred, scenarios::moves(), whole::NOT_LOST);
}

#[test]
fn a_fate_that_is_blurred_leases_an_instance_twice() {
    breaks(Variant::FateBlurred, scenarios::moves(), whole::NOT_LEASED_TWICE);
}

#[test]
fn a_source_that_forgets_a_move_breaks_the_count() {
    breaks(Variant::MoveForgotten, scenarios::moves(), whole::CAP);
}

#[test]
fn a_late_give_without_a_number_loses_an_instance() {
    breaks(Variant::NoSequence, scenarios::moves(), whole::NOT_LOST);
}

#[test]
fn a_late_intend_without_a_number_takes_in_an_instance_that_was_given_away() {
    breaks(Variant::NoSequence, scenarios::launched_and_moved(), whole::NOT_IN_TWO_SHARDS);
}

#[test]
fn a_tombstone_pruned_by_age_leaves_an_instance_in_two_shards() {
    breaks(Variant::PrunedByAge, scenarios::moves(), whole::NOT_IN_TWO_SHARDS);
}

#[test]
fn an_orphan_terminated_without_doom_may_be_in_use() {
    breaks(Variant::NoDoom, scenarios::orphan(), whole::NOT_TERMINATED_IN_USE);
}

#[test]
fn a_number_read_late_dooms_an_instance_that_was_taken_in_and_given_away() {
    breaks(Variant::NumberReadLate, scenarios::orphan(), whole::NOT_TERMINATED_IN_USE);
}
