//! Leases and waiting.

use aws_sdk_dynamodb::types::AttributeValue;
use pool_core::ids::{Owner, Token};
use pool_core::shard::{AfterEnd, EndedBy, LeaseRef, Next, Terms, Transition};
use pool_core::time::Timestamp;

use super::{DROP, Draft, FREE, LEFT, MINE, NEW, NONE_FREE, OWN, STAY};
use crate::codec::{leaving, number, terms, text, time};

/// Writes a lease transition; false when it is not one.
pub(super) fn write(draft: &mut Draft, transition: &Transition) -> bool {
    match transition {
        Transition::Grant { token, terms, layout } => grant(draft, token, terms, *layout),
        Transition::Enqueue { token, terms, layout, queue_max } => enqueue(draft, token, terms, *layout, *queue_max),
        Transition::Confirm { lease, owner, until, hard_end } => confirm(draft, lease, owner, *until, *hard_end),
        Transition::Renew { lease, owner, now, until } => renew(draft, lease, owner, *now, *until),
        Transition::End { lease, by, after, now } => end(draft, lease, by, after, *now),
        Transition::Requeue { lease } => requeue(draft, lease),
        Transition::Swap { lease, claim_until } => swap(draft, lease, *claim_until),
        Transition::GiveUp { token, position, until } => give_up(draft, token, *position, *until),
        Transition::DropPast { first, second, now } => drop_past(draft, first, second, *now),
        _ => return false,
    }
    true
}

fn grant(draft: &mut Draft, token: &Token, wanted: &Terms, layout: u64) {
    draft
        .set("lease_instance.#t = free_ids[0], lease_epoch.#t = epoch_no + :one, lease_terms.#t = :m")
        .remove("free_ids[0]")
        .only_if(FREE)
        .only_if(NEW)
        .only_if("layout_no <= :g")
        .value(":g", number(layout))
        .name("#t", token.as_str())
        .value(":m", terms(wanted));
}

fn enqueue(draft: &mut Draft, token: &Token, wanted: &Terms, layout: u64, queue_max: u64) {
    draft
        .set("wait_ids = list_append(wait_ids, :tl), wait_terms.#t = :m")
        .only_if(NONE_FREE)
        .only_if(NEW)
        .only_if("layout_no <= :g")
        .value(":g", number(layout))
        .only_if("size(wait_ids) < :max")
        .name("#t", token.as_str())
        .value(":tl", AttributeValue::L(vec![text(token.as_str())]))
        .value(":m", terms(wanted))
        .value(":max", number(queue_max));
}

fn confirm(draft: &mut Draft, lease: &LeaseRef, owner: &Owner, until: Timestamp, hard_end: Timestamp) {
    own(draft, lease, owner);
    draft
        .set("lease_terms.#t.x = :x, lease_terms.#t.h = :h")
        .remove("claim_until.#t")
        .only_if("attribute_exists(claim_until.#t) AND lease_terms.#t.h >= :h")
        .only_if(STAY)
        .name("#i", lease.instance.as_str())
        .value(":x", time(until))
        .value(":h", time(hard_end));
}

fn renew(draft: &mut Draft, lease: &LeaseRef, owner: &Owner, now: Timestamp, until: Timestamp) {
    own(draft, lease, owner);
    draft
        .set("lease_terms.#t.x = :x")
        .remove("claim_until.#t")
        // DynamoDB refuses a BETWEEN whose bounds are constants in the wrong order, as an error of the request.
        .only_if("lease_terms.#t.x >= :now AND lease_terms.#t.x <= :x AND lease_terms.#t.h >= :x")
        .only_if("attribute_exists(member_map.#i)")
        .only_if("(attribute_not_exists(leaving_map.#i) OR leaving_map.#i.d >= :x)")
        .name("#i", lease.instance.as_str())
        .value(":now", time(now))
        .value(":x", time(until));
}

fn end(draft: &mut Draft, lease: &LeaseRef, by: &EndedBy, after: &AfterEnd, now: Timestamp) {
    match by {
        EndedBy::Owner(owner) => own(draft, lease, owner),
        EndedBy::Expiry => mine(draft, lease)
            .only_if("lease_terms.#t.x < :now AND attribute_not_exists(claim_until.#t)")
            .value(":now", time(now)),
        EndedBy::Unclaimed => mine(draft, lease).only_if("claim_until.#t < :now").value(":now", time(now)),
    };
    draft.name("#i", lease.instance.as_str()).only_if(if *after == AfterEnd::Left { LEFT } else { STAY });
    match after {
        AfterEnd::Reuse(next) => served(draft).place(&lease.instance, next, now),
        AfterEnd::Reset => {
            served(draft).set("reset_epoch.#i = lease_epoch.#t, member_map.#i.s = :now").value(":now", time(now))
        }
        AfterEnd::Recycle(cause) => draft.set("leaving_map.#i = :l").value(":l", leaving(cause)),
        AfterEnd::Left => draft,
    };
    if !hands_to_itself(lease, after) {
        draft.remove(DROP);
    }
}

/// HEAD refuses a holder as the waiter. DynamoDB would complain of overlapping paths before it looks at the condition.
fn hands_to_itself(lease: &LeaseRef, after: &AfterEnd) -> bool {
    matches!(after, AfterEnd::Reuse(Next::HandOver { waiter, .. }) if *waiter == lease.token)
}

fn served(draft: &mut Draft) -> &mut Draft {
    draft.set("member_map.#i.n = member_map.#i.n + :one")
}

fn requeue(draft: &mut Draft, lease: &LeaseRef) {
    mine(draft, lease)
        .set("wait_ids = list_append(:tl, wait_ids), wait_terms.#t = lease_terms.#t")
        .remove(DROP)
        .only_if("attribute_exists(claim_until.#t)")
        .only_if(LEFT)
        .only_if(NONE_FREE)
        .name("#i", lease.instance.as_str())
        .value(":tl", AttributeValue::L(vec![text(lease.token.as_str())]));
}

fn swap(draft: &mut Draft, lease: &LeaseRef, claim_until: Timestamp) {
    mine(draft, lease)
        .set("lease_instance.#t = free_ids[0], lease_epoch.#t = epoch_no + :one, claim_until.#t = :c")
        .remove("free_ids[0]")
        .only_if("attribute_exists(claim_until.#t)")
        .only_if(LEFT)
        .only_if(FREE)
        .name("#i", lease.instance.as_str())
        .value(":c", time(claim_until));
}

fn give_up(draft: &mut Draft, token: &Token, position: u64, until: Timestamp) {
    draft
        .remove(format!("wait_ids[{position}], wait_terms.#t"))
        .only_if(format!("wait_ids[{position}] = :t AND wait_terms.#t.x = :x"))
        .name("#t", token.as_str())
        .value(":t", text(token.as_str()))
        .value(":x", time(until));
}

fn drop_past(draft: &mut Draft, first: &Token, second: &Token, now: Timestamp) {
    draft
        // The higher index first: DynamoDB removes both as they were, but some emulators one after the other.
        .remove("wait_ids[1], wait_ids[0], wait_terms.#u")
        .only_if("wait_ids[0] = :u AND wait_ids[1] = :t AND wait_terms.#u.x < :now AND wait_terms.#t.x < :now")
        .name("#u", first.as_str())
        .name("#t", second.as_str())
        .value(":u", text(first.as_str()))
        .value(":t", text(second.as_str()))
        .value(":now", time(now));
    // One token is never twice in the queue, so this is refused; but overlapping paths would be an error instead.
    if first != second {
        draft.remove("wait_terms.#t");
    }
}

fn mine<'a>(draft: &'a mut Draft, lease: &LeaseRef) -> &'a mut Draft {
    draft
        .only_if(MINE)
        .name("#t", lease.token.as_str())
        .value(":i", text(lease.instance.as_str()))
        .value(":e", number(lease.epoch))
}

fn own<'a>(draft: &'a mut Draft, lease: &LeaseRef, owner: &Owner) -> &'a mut Draft {
    mine(draft, lease).only_if(OWN).value(":o", text(owner.as_str()))
}
