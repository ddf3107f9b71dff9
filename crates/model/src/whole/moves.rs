//! Moves between the shards: who began one goes on with what it was told, and anybody else may settle it meanwhile.

use pool_core::shard::{Fate, Transition};
use pool_core::transfer;

use super::Whole;
use super::variant::Variant;
use super::world::{World, Write};

pub(super) fn decide(model: &Whole, world: &World, writes: &mut Vec<Write>) {
    let (policy, now) = (model.policy(), world.now());
    let mut push = |number: u32, transition| {
        writes.push(Write::Table { shard: usize::try_from(number).expect("a shard's number"), transition });
    };
    for to in [0, 1] {
        // An instance may be wanted elsewhere at any time.
        if let Some((from, give)) = transfer::give(&world.shards, to, policy, now) {
            push(from, give);
        }
    }
    for moved in &world.movers {
        let target = world.shards.iter().find(|shard| shard.number == moved.to).expect("one of two");
        if transfer::fate(target, &moved.id).is_none() {
            push(moved.to, transfer::take(moved, target, policy, now));
        }
    }
    for source in &world.shards {
        for moved in source.transfers.keys().filter_map(|instance| transfer::recorded(source, instance)) {
            let target = world.shards.iter().find(|shard| shard.number == moved.to).expect("one of two");
            let Some(fate) = transfer::fate(target, &moved.id) else {
                push(moved.to, Transition::Cancel { transfer: moved.id.clone(), now });
                continue;
            };
            let fates = match model.variant {
                Variant::FateBlurred => vec![Fate::Taken, Fate::Cancelled],
                _ => vec![fate],
            };
            for fate in fates {
                push(moved.from, transfer::settle(&moved, source, fate, policy, now));
            }
        }
    }
}
