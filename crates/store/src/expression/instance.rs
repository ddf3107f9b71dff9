//! Instances, from the intent to launch them until EC2 says they are gone.

use std::collections::BTreeMap;

use pool_core::ids::{InstanceId, LaunchToken, NodeKey};
use pool_core::shard::{Apart, Fate, Intent, Leaving, Member, StopPhase, Stopped, Tombstone, Transition};
use pool_core::time::Timestamp;

use super::{Draft, STAY};
use crate::codec;
use crate::codec::{node_key, number, text, time};

/// Writes an instance transition; false when it is not one.
pub(super) fn write(draft: &mut Draft, transition: &Transition) -> bool {
    launches(draft, transition) || nodes(draft, transition) || withdrawals(draft, transition)
}

/// From an intent to members, and the judging of instances that no shard knows.
fn launches(draft: &mut Draft, transition: &Transition) -> bool {
    match transition {
        Transition::Intend { launch, intent, sequence } => intend(draft, launch, intent, *sequence),
        Transition::Adopt { launch, members, short } => adopt(draft, launch, members, *short),
        Transition::Settle { launch } => {
            draft
                .set("room_left = room_left + intent_map.#k.n")
                .remove("intent_map.#k")
                .only_if("attribute_exists(intent_map.#k)")
                .name("#k", launch.as_str());
        }
        Transition::AdoptOrphan { instance, member, launch, sequence } => {
            draft
                .set("boot_epoch.#i = epoch_no + :one, member_map.#i = :f, room_left = room_left - :one")
                .only_if("attribute_not_exists(member_map.#i) AND attribute_not_exists(tombstone_map.#i)")
                .only_if("attribute_not_exists(intent_map.#k) AND room_left >= :one AND sequence_no = :s")
                .value(":s", number(sequence))
                .name("#i", instance.as_str())
                .name("#k", launch.as_str())
                .value(":f", codec::member(member));
        }
        Transition::Doom { instance, launch, sequence, now } => {
            entomb(draft, Fate::Doomed, *now)
                .only_if("sequence_no = :s")
                .value(":s", number(sequence))
                .only_if("attribute_not_exists(member_map.#i) AND attribute_not_exists(intent_map.#k)")
                .name("#i", instance.as_str())
                .name("#k", launch.as_str());
        }
        _ => return false,
    }
    true
}

fn intend(draft: &mut Draft, launch: &LaunchToken, intent: &Intent, sequence: u64) {
    draft
        .set("intent_map.#k = :m, room_left = room_left - :n, sequence_no = sequence_no + :one")
        .only_if("sequence_no = :s AND room_left >= :n")
        .name("#k", launch.as_str())
        .value(":m", codec::intent(intent))
        .value(":n", number(intent.count))
        .value(":s", number(sequence));
}

fn adopt(draft: &mut Draft, launch: &LaunchToken, members: &[(InstanceId, Member)], short: i64) {
    draft
        .set("room_left = room_left + :short")
        .remove("intent_map.#k")
        .only_if("attribute_exists(intent_map.#k)")
        .name("#k", launch.as_str())
        .value(":short", number(short));
    // Each instance once, since DynamoDB refuses an update that names a path twice.
    let members: BTreeMap<_, _> = members.iter().map(|(instance, member)| (instance, member)).collect();
    for (n, (instance, member)) in members.into_iter().enumerate() {
        draft
            .set(format!("boot_epoch.#i{n} = epoch_no + :one, member_map.#i{n} = :f{n}"))
            .only_if(format!("attribute_not_exists(member_map.#i{n}) AND attribute_not_exists(tombstone_map.#i{n})"))
            .name(format!("#i{n}"), instance.as_str())
            .value(format!(":f{n}"), codec::member(member));
    }
}

/// What an instance's node and EC2 tell of it while it serves or is about to.
fn nodes(draft: &mut Draft, transition: &Transition) -> bool {
    match transition {
        Transition::Locate { instance, address, kind } => {
            draft
                .set("member_map.#i.a = :a, member_map.#i.w = :w")
                .only_if("attribute_exists(member_map.#i)")
                .name("#i", instance.as_str())
                .value(":a", text(address))
                .value(":w", codec::kind(kind));
        }
        Transition::Ready { instance, boot_epoch, key, boot_id, now, next } => {
            know_node(draft, instance, key, *boot_id)
                .remove("boot_epoch.#i")
                .only_if("boot_epoch.#i = :be")
                .only_if(STAY)
                .value(":be", number(boot_epoch))
                .place(instance, next, *now);
        }
        Transition::ReadyAgain { instance, key, boot_id } => {
            know_node(draft, instance, key, *boot_id)
                .only_if("member_map.#i.b < :b AND attribute_not_exists(boot_epoch.#i)")
                // The target copies the member as it was given away: a key written here would be lost.
                .only_if("attribute_not_exists(transfer_map.#i)");
        }
        Transition::ResetDone { instance, cleaned_epoch, now, next } => {
            draft
                .remove("reset_epoch.#i")
                .only_if("reset_epoch.#i <= :clean")
                .only_if(STAY)
                .value(":clean", number(cleaned_epoch))
                .place(instance, next, *now);
        }
        _ => return false,
    }
    true
}

fn know_node<'a>(draft: &'a mut Draft, instance: &InstanceId, key: &NodeKey, boot_id: u64) -> &'a mut Draft {
    draft
        .set("member_map.#i.k = :k, member_map.#i.b = :b")
        .name("#i", instance.as_str())
        .value(":k", node_key(key))
        .value(":b", number(boot_id))
}

/// Out of service, and back from the stopped tier.
fn withdrawals(draft: &mut Draft, transition: &Transition) -> bool {
    match transition {
        Transition::Fence { instance, position, keep, leaving } => {
            leave(draft, instance, leaving);
            from_free(draft, instance, *position, *keep);
        }
        Transition::FenceApart { instance, place, leaving } => {
            let path = match place {
                Apart::Booting => "boot_epoch.#i",
                Apart::Stopped => "stop_phase.#i",
                Apart::Resetting => "reset_epoch.#i",
            };
            leave(draft, instance, leaving).remove(path).only_if(format!("attribute_exists({path})"));
        }
        Transition::Mark { instance, leaving } => {
            leave(draft, instance, leaving)
                .only_if("attribute_exists(member_map.#i)")
                .only_if("(attribute_not_exists(leaving_map.#i) OR leaving_map.#i.d > :d)")
                .only_if("NOT contains(free_ids, :i) AND attribute_not_exists(transfer_map.#i)")
                .value(":d", time(leaving.deadline))
                .value(":i", text(instance.as_str()));
        }
        Transition::Stop { instance, position, keep, now } => {
            stopping(draft, instance, StopPhase::Stopping, *now);
            from_free(draft, instance, *position, *keep);
        }
        Transition::Stopped { instance, now } => {
            stopping(draft, instance, StopPhase::Stopped, *now)
                .only_if("stop_phase.#i.p = :stopping")
                .value(":stopping", codec::phase(StopPhase::Stopping));
        }
        Transition::Start { instance, now, stopped_before } => start(draft, instance, *now, *stopped_before),
        Transition::Gone { instance, now } => {
            entomb(draft, Fate::Gone, *now)
                .set("room_left = room_left + :one")
                .remove("leaving_map.#i, member_map.#i, boot_epoch.#i, stop_phase.#i, reset_epoch.#i")
                .only_if("attribute_exists(leaving_map.#i) AND attribute_exists(member_map.#i)")
                .only_if("attribute_not_exists(transfer_map.#i)")
                .name("#i", instance.as_str());
        }
        _ => return false,
    }
    true
}

fn leave<'a>(draft: &'a mut Draft, instance: &InstanceId, leaving: &Leaving) -> &'a mut Draft {
    draft.set("leaving_map.#i = :l").name("#i", instance.as_str()).value(":l", codec::leaving(leaving))
}

fn from_free(draft: &mut Draft, instance: &InstanceId, position: u64, keep: u64) {
    draft
        .remove(format!("free_ids[{position}]"))
        .only_if(format!("free_ids[{position}] = :i AND size(free_ids) > :keep"))
        .value(":i", text(instance.as_str()))
        .value(":keep", number(keep));
}

fn stopping<'a>(draft: &'a mut Draft, instance: &InstanceId, phase: StopPhase, now: Timestamp) -> &'a mut Draft {
    draft
        .set("stop_phase.#i = :phase")
        .name("#i", instance.as_str())
        .value(":phase", codec::stopped(&Stopped { phase, since: now }))
}

fn start(draft: &mut Draft, instance: &InstanceId, now: Timestamp, stopped_before: Timestamp) {
    draft
        // A public address changes with every start; EC2 tells the new one.
        .set("boot_epoch.#i = epoch_no + :one, member_map.#i.s = :now, member_map.#i.a = :nowhere")
        .remove("stop_phase.#i")
        .only_if("stop_phase.#i.p = :stopped AND stop_phase.#i.s < :old")
        .only_if(STAY)
        .name("#i", instance.as_str())
        .value(":now", time(now))
        .value(":nowhere", text(""))
        .value(":stopped", codec::phase(StopPhase::Stopped))
        .value(":old", time(stopped_before));
}

fn entomb(draft: &mut Draft, fate: Fate, now: Timestamp) -> &mut Draft {
    draft.set("tombstone_map.#i = :d").value(":d", codec::tombstone(&Tombstone { written: now, fate }))
}
