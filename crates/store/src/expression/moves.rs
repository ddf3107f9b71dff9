//! What happens among shards: moves of free instances, tombstones, shares of the cap.

use aws_sdk_dynamodb::types::AttributeValue;
use pool_core::ids::{Epoch, InstanceId, TransferId};
use pool_core::shard::{Fate, Lift, Member, Next, Tombstone, Transfer, Transition};
use pool_core::time::Timestamp;

use super::{Draft, MADE, NOBODY_WAITS};
use crate::codec;
use crate::codec::{number, text, time};

/// Writes a transition among shards; false when it is not one.
pub(super) fn write(draft: &mut Draft, transition: &Transition) -> bool {
    match transition {
        Transition::Give { instance, position, to, transfer, sequence, now } => {
            let entry = Transfer { to: *to, id: transfer.clone(), since: *now };
            give(draft, instance, *position, &entry, *sequence);
        }
        Transition::Take { instance, transfer, member, source_epoch, limit, now, next, lift } => {
            lift_epoch(draft, *lift, *source_epoch);
            take(draft, instance, transfer, member, *limit, *now).hand_on(instance, next, *now);
        }
        Transition::Done { instance, transfer } => {
            under_way(draft, instance, transfer).remove("transfer_map.#i, member_map.#i");
        }
        Transition::Cancel { transfer, now } => {
            draft
                .set("tombstone_map.#x = :d")
                .only_if(MADE)
                .only_if("attribute_not_exists(tombstone_map.#x)")
                .name("#x", transfer.as_str())
                .value(":d", codec::tombstone(&Tombstone { written: *now, fate: Fate::Cancelled }));
        }
        Transition::Back { instance, transfer, now, next } => back(draft, instance, transfer, *now, next),
        Transition::Prune { name, written_before } => {
            draft
                .remove("tombstone_map.#x")
                .only_if("tombstone_map.#x.w < :old")
                .name("#x", name)
                .value(":old", time(*written_before));
        }
        Transition::Resize { from, delta, layout } => {
            draft
                .set("room_left = room_left + :d, cap_share = cap_share + :d, layout_no = :g")
                .only_if("layout_no < :g AND cap_share = :from")
                .value(":from", number(from))
                .value(":d", number(delta))
                .value(":g", number(layout));
        }
        _ => return false,
    }
    true
}

fn give(draft: &mut Draft, instance: &InstanceId, position: u64, entry: &Transfer, sequence: u64) {
    draft
        .set("transfer_map.#i = :m, sequence_no = sequence_no + :one")
        .remove(format!("free_ids[{position}]"))
        .only_if(format!("free_ids[{position}] = :i AND sequence_no = :s"))
        .only_if(NOBODY_WAITS)
        .name("#i", instance.as_str())
        .value(":i", text(instance.as_str()))
        .value(":m", codec::transfer(entry))
        .value(":s", number(sequence));
}

/// The epoch rises above that of the source, so that the instance never sees its epochs go back. An expression cannot
/// choose the larger of two numbers, hence two variants, of which one is refused.
fn lift_epoch(draft: &mut Draft, lift: Lift, source_epoch: Epoch) {
    match lift {
        Lift::None => {
            draft.only_if("epoch_no >= :src").value(":src", number(source_epoch));
        }
        Lift::ToSource => {
            draft.epoch = ":lifted";
            draft
                .only_if("epoch_no < :src")
                .value(":src", number(source_epoch))
                .value(":lifted", number(source_epoch.saturating_add(1)));
        }
    }
}

fn take<'a>(
    draft: &'a mut Draft,
    instance: &InstanceId,
    transfer: &TransferId,
    member: &Member,
    limit: u64,
    now: Timestamp,
) -> &'a mut Draft {
    // The member is written whole, so its `s` cannot be a SET of its own.
    let member = Member { since: now, ..member.clone() };
    draft
        .set("tombstone_map.#x = :d, member_map.#i = :f")
        .only_if("attribute_not_exists(tombstone_map.#x) AND attribute_not_exists(tombstone_map.#i)")
        .only_if("attribute_not_exists(member_map.#i) AND size(member_map) < :limit")
        .name("#x", transfer.as_str())
        .name("#i", instance.as_str())
        .value(":d", codec::tombstone(&Tombstone { written: now, fate: Fate::Taken }))
        .value(":f", codec::member(&member))
        .value(":limit", number(limit))
}

fn back(draft: &mut Draft, instance: &InstanceId, transfer: &TransferId, now: Timestamp, next: &Next) {
    under_way(draft, instance, transfer).remove("transfer_map.#i");
    match next {
        // At the end: it was the oldest when it was given away.
        Next::Free => draft
            .set("free_ids = list_append(free_ids, :il)")
            .value(":il", AttributeValue::L(vec![text(instance.as_str())]))
            .only_if(NOBODY_WAITS),
        Next::HandOver { .. } => draft.place(instance, next, now),
    };
}

fn under_way<'a>(draft: &'a mut Draft, instance: &InstanceId, transfer: &TransferId) -> &'a mut Draft {
    draft.only_if("transfer_map.#i.x = :x").name("#i", instance.as_str()).value(":x", text(transfer.as_str()))
}
