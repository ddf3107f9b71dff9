//! What must hold in every state of the whole model.

use std::collections::BTreeSet;

use pool_core::ids::InstanceId;
use pool_core::shard::{Place, Shard, Transfer};
use stateright::Property;

use super::Whole;
use super::world::{World, is_taken};

/// No two leases name the same instance, in one shard or in two.
pub const NOT_LEASED_TWICE: &str = "no instance is leased twice";
/// At most one shard may give an instance to callers or has given it to one.
pub const NOT_IN_TWO_SHARDS: &str = "no instance is free or leased in two shards";
/// An instance that is not under way is in one place of its shard.
pub const ONE_PLACE: &str = "an instance is in one place of its shard";
/// Every grant of an instance has a higher epoch than those before, in whichever shard.
pub const EPOCHS_GROW: &str = "the epochs that an instance sees only grow";
/// Counted over all shards, an instance under way where it counts.
pub const CAP: &str = "members, intents and room are the cap";
/// Cuts come before raises, so that no share is given away twice.
pub const SHARES: &str = "the shares never add up to more than the cap";
/// What a shard once had stays in the books until EC2 has ended it, and a member that does not leave is somewhere.
///
/// What no shard ever had is found by EC2's list for as long as it lives, so it cannot be lost.
pub const NOT_LOST: &str = "no instance is lost";
/// We terminate only what no shard has, or what leaves.
pub const NOT_TERMINATED_IN_USE: &str = "no instance is terminated that callers may be given";
/// We stop only what no caller has or may be given.
pub const NOT_STOPPED_IN_USE: &str = "no instance is stopped that callers may be given";

pub(super) fn all() -> Vec<Property<Whole>> {
    vec![
        Property::always(NOT_LEASED_TWICE, |_, world: &World| {
            let mut leased = BTreeSet::new();
            world.shards.iter().flat_map(|shard| shard.leases.values()).all(|instance| leased.insert(instance))
        }),
        Property::always(NOT_IN_TWO_SHARDS, |_, world: &World| {
            let [first, second] = world.shards.each_ref().map(served);
            first.is_disjoint(&second)
        }),
        Property::always(ONE_PLACE, |_, world: &World| world.shards.iter().all(is_in_one_place)),
        Property::always(EPOCHS_GROW, |_, world: &World| !world.broken.contains(EPOCHS_GROW)),
        Property::always(CAP, |_, world: &World| {
            let used: i64 = world.shards.iter().map(|shard| shard.room + counted(world, shard)).sum();
            let cap: i64 = world.shards.iter().map(|shard| shard.share).sum();
            used == cap
        }),
        Property::always(SHARES, |model: &Whole, world: &World| {
            let shares: i64 = world.shards.iter().map(|shard| shard.share).sum();
            shares <= model.scenario.cap_max(world.spent.layouts)
        }),
        Property::always(NOT_LOST, |_, world: &World| {
            let booked = |instance: &InstanceId| world.shards.iter().any(|shard| shard.members.contains_key(instance));
            world.booked.iter().filter(|instance| world.ec2.is_alive(instance)).all(booked)
                && world.shards.iter().all(knows_where_all_are)
        }),
        Property::always(NOT_TERMINATED_IN_USE, |_, world: &World| !world.broken.contains(NOT_TERMINATED_IN_USE)),
        Property::always(NOT_STOPPED_IN_USE, |_, world: &World| !world.broken.contains(NOT_STOPPED_IN_USE)),
    ]
}

fn served(shard: &Shard) -> BTreeSet<&InstanceId> {
    shard.free.iter().chain(shard.leases.values()).collect()
}

fn is_in_one_place(shard: &Shard) -> bool {
    let mut seen = BTreeSet::new();
    // The lease of an instance that is gone stays until its holder or its end drops it.
    let leased = shard.leases.values().filter(|instance| shard.members.contains_key(*instance));
    let apart = shard.booting.keys().chain(shard.stopped.keys()).chain(shard.resetting.keys());
    let mut all = shard.free.iter().chain(leased).chain(apart).chain(shard.transfers.keys());
    all.all(|instance| seen.insert(instance) && shard.members.contains_key(instance))
        && shard.free.iter().chain(shard.transfers.keys()).all(|instance| !shard.leaving.contains_key(instance))
}

/// Members and intents that count in this shard. One under way counts here until its target has taken it.
fn counted(world: &World, shard: &Shard) -> i64 {
    let taken = |entry: &Transfer| is_taken(&world.shards, entry);
    let members = shard.members.keys().filter(|instance| !shard.transfers.get(*instance).is_some_and(taken)).count();
    i64::try_from(members as u64 + shard.intended()).expect("a small number")
}

fn knows_where_all_are(shard: &Shard) -> bool {
    let mut members = shard.members.keys();
    members.all(|instance| shard.leaving.contains_key(instance) || shard.place_of(instance) != Some(Place::Leaving))
}
