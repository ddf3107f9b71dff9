//! The whole protocol, right: nothing is broken in any history of any scenario.
//!
//! Each row says which transitions the scenario is there for, beside its name: a scenario in which one of them never
//! happens would hold for nothing.

use std::collections::BTreeSet;

use pool_model::check;
use pool_model::whole::{Scenario, Whole, scenarios};

/// Transitions of the protocol.
const TRANSITIONS: usize = 33;

const SHARES: Row = ("shares", scenarios::shares, &["resize", "intend", "adopt", "ready"]);

type Row = (&'static str, fn() -> Scenario, &'static [&'static str]);

const LAUNCH: Row = (
    "launch",
    scenarios::launch,
    &["intend", "adopt", "settle", "adopt an orphan", "doom an orphan", "ready", "grant", "fence", "mark", "gone"],
);
const LEASES: Row = (
    "leases",
    scenarios::leases,
    &["grant", "enqueue", "confirm", "renew", "release", "expire", "un-confirm", "give up waiting"],
);
const BETWEEN_LEASES: Row = (
    "between_leases",
    scenarios::between_leases,
    &["release", "expire", "un-confirm", "reset done", "re-queue", "fence", "mark", "gone"],
);
const REPLACED: Row = ("replaced", scenarios::replaced, &["swap", "re-queue", "drop the past", "mark", "gone"]);
const STOPPED: Row = (
    "stopped",
    scenarios::stopped,
    &["stop", "stopped", "start", "locate", "ready", "ready again", "fence", "gone", "grant"],
);
const MOVES: Row = ("moves", scenarios::moves, &["give", "take", "done", "cancel", "back", "prune", "grant"]);
const MOVED_TO_A_WAITER: Row = (
    "moved_to_a_waiter",
    scenarios::moved_to_a_waiter,
    &["give", "take", "done", "cancel", "back", "enqueue", "confirm", "un-confirm", "mark", "gone", "prune"],
);
const LAUNCHED_AND_MOVED: Row = (
    "launched_and_moved",
    scenarios::launched_and_moved,
    &["intend", "adopt", "settle", "ready", "give", "take", "done", "cancel", "back", "grant"],
);
const LAUNCHED_MOVED_AND_JUDGED: Row = (
    "launched_moved_and_judged",
    scenarios::launched_moved_and_judged,
    &["intend", "adopt", "settle", "adopt an orphan", "doom an orphan", "ready", "give", "take", "done"],
);
const ORPHAN: Row = (
    "orphan",
    scenarios::orphan,
    &["adopt an orphan", "doom an orphan", "resize", "ready", "grant", "give", "take", "done", "gone", "prune"],
);
const JUDGED_WHILE_MOVED: Row =
    ("judged_while_moved", scenarios::judged_while_moved, &["give", "take", "done", "cancel", "back", "grant"]);
const CAP: Row =
    ("cap", scenarios::cap, &["resize", "intend", "adopt", "settle", "ready", "give", "take", "done", "fence", "gone"]);
const CAP_AND_MOVE: Row =
    ("cap_and_move", scenarios::cap_and_move, &["resize", "give", "take", "done", "back", "fence", "gone", "prune"]);

fn holds((name, scenario, meant): Row) {
    let model = Whole::right(scenario());
    let accepted = model.accepted.clone();
    let found = check::all(name, model);
    assert!(found.broken.is_empty(), "broken: {:?}", found.broken);
    let accepted = accepted.names();
    let missing: Vec<_> = meant.iter().filter(|transition| !accepted.contains(*transition)).collect();
    assert!(missing.is_empty(), "never accepted: {missing:?}");
}

#[test]
fn between_them_the_scenarios_have_every_transition() {
    let rows = [
        LAUNCH,
        LEASES,
        BETWEEN_LEASES,
        REPLACED,
        STOPPED,
        MOVES,
        MOVED_TO_A_WAITER,
        LAUNCHED_AND_MOVED,
        LAUNCHED_MOVED_AND_JUDGED,
        ORPHAN,
        JUDGED_WHILE_MOVED,
        CAP,
        CAP_AND_MOVE,
        SHARES,
    ];
    let names: BTreeSet<&str> = rows.iter().flat_map(|(_, _, meant)| meant.iter().copied()).collect();
    assert_eq!(names.len(), TRANSITIONS, "{names:?}");
}

#[test]
fn launch() {
    holds(LAUNCH);
}

#[test]
fn leases() {
    holds(LEASES);
}

#[test]
fn between_leases() {
    holds(BETWEEN_LEASES);
}

#[test]
fn replaced() {
    holds(REPLACED);
}

#[test]
fn stopped() {
    holds(STOPPED);
}

#[test]
fn moves() {
    holds(MOVES);
}

#[test]
fn moved_to_a_waiter() {
    holds(MOVED_TO_A_WAITER);
}

#[test]
fn launched_and_moved() {
    holds(LAUNCHED_AND_MOVED);
}

#[test]
fn launched_moved_and_judged() {
    holds(LAUNCHED_MOVED_AND_JUDGED);
}

#[test]
fn orphan() {
    holds(ORPHAN);
}

#[test]
fn judged_while_moved() {
    holds(JUDGED_WHILE_MOVED);
}

#[test]
fn cap() {
    holds(CAP);
}

#[test]
fn cap_and_move() {
    holds(CAP_AND_MOVE);
}

#[test]
fn shares() {
    holds(SHARES);
}
