//! The bugs that are planted, and where each is found.

use crate::sim::planted::{Bug, Planted};

/// Holds on every shard: what is left of a guard that is missing.
const TRUE: &str = "attribute_exists(epoch_no)";
/// Holds on none.
const FALSE: &str = "attribute_not_exists(epoch_no)";

const fn rewritten(name: &'static str, [of, from, to]: [&'static str; 3], seed: u64) -> Planted {
    Planted { name, bug: Bug::Rewritten { of, from, to }, seed }
}

/// All of them.
pub const PLANTED: [Planted; 26] = [
    rewritten("no epoch check", ["lease_instance.#t = :i", "lease_epoch.#t = :e", TRUE], 0),
    rewritten("no owner check", ["lease_terms.#t.o = :o", "lease_terms.#t.o = :o", TRUE], 0),
    rewritten("a fencing token is used again", ["", ", epoch_no = epoch_no + :one", ", epoch_no = epoch_no"], 0),
    rewritten(
        "a grant takes the epoch as it is",
        ["lease_terms.#t = :m", "lease_epoch.#t = epoch_no + :one", "lease_epoch.#t = epoch_no"],
        0,
    ),
    Planted { name: "no ALL_OLD", bug: Bug::Without { field: "ReturnValuesOnConditionCheckFailure" }, seed: 2 },
    Planted { name: "no ALL_NEW", bug: Bug::Without { field: "ReturnValues" }, seed: 0 },
    rewritten("time to live is trusted", ["lease_terms.#t.x < :now", "lease_terms.#t.x < :now", FALSE], 0),
    rewritten("a renewed lease must still be claimed", ["lease_terms.#t.x = :x", "REMOVE claim_until.#t", ""], 0),
    rewritten(
        "a release frees what leaves",
        ["member_map.#i.n + :one", "attribute_not_exists(leaving_map.#i)", TRUE],
        0,
    ),
    rewritten("a released lease stays", ["lease_terms.#t.o = :o", "lease_instance.#t, lease_epoch.#t, ", ""], 0),
    rewritten("a fence leaves it free", ["size(free_ids) > :keep", "REMOVE free_ids[?]", ""], 0),
    rewritten("free beside those who wait", ["", "attribute_not_exists(wait_ids[0])", TRUE], 0),
    rewritten(
        "a replay gets another instance",
        ["lease_terms.#t = :m", "attribute_not_exists(lease_instance.#t)", TRUE],
        2,
    ),
    rewritten("a replay waits twice", ["wait_terms.#t = :m", "attribute_not_exists(wait_terms.#t)", TRUE], 0),
    rewritten("an intent without its number", ["sequence_no = :s AND room_left", "sequence_no = :s AND", ""], 1),
    rewritten(
        "a settled launch keeps its room",
        ["room_left + intent_map.#k.n", "room_left = room_left + intent_map.#k.n", "room_left = room_left"],
        0,
    ),
    rewritten(
        "what is gone is not remembered",
        ["", "tombstone_map.#i = :d, room_left = room_left + :one", "room_left = room_left + :one"],
        2,
    ),
    rewritten(
        "what is gone keeps its room",
        ["", "tombstone_map.#i = :d, room_left = room_left + :one", "tombstone_map.#i = :d"],
        0,
    ),
    rewritten(
        "a transfer is not remembered",
        ["size(member_map) < :limit", "tombstone_map.#x = :d, member_map.#i = :f", "member_map.#i = :f"],
        0,
    ),
    rewritten(
        "a taken transfer is cancelled",
        ["attribute_exists(epoch_no) AND", "attribute_not_exists(tombstone_map.#x)", TRUE],
        2,
    ),
    rewritten("a resize counts twice", ["layout_no < :g", "layout_no < :g AND cap_share = :from", TRUE], 1_008),
    rewritten("ready at any time", ["boot_epoch.#i = :be", "boot_epoch.#i = :be", TRUE], 0),
    Planted { name: "no client token", bug: Bug::Without { field: "ClientToken=" }, seed: 0 },
    Planted { name: "terminate before fence", bug: Bug::TerminatedBeforeFence, seed: 0 },
    Planted { name: "intent after launch", bug: Bug::IntentAfterLaunch, seed: 0 },
    Planted { name: "an orphan is not doomed", bug: Bug::OrphanNotDoomed, seed: 0 },
];
