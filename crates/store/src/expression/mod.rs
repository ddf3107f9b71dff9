//! The transitions in DynamoDB's language: update expression, condition, names and values of one `UpdateItem`.
//!
//! The only place that has them. Each is composed of the named fragments of the protocol (`NEW`, `MINE`, `OWN`, `DROP`,
//! `STAY`, `LEFT`, `HEAD`, TO), and each guard is there because a history failed without it. Attribute names are written
//! as they are; `#` placeholders stand for map keys that are ids, `:` placeholders for values:
//!
//! | placeholder | stands for |
//! |---|---|
//! | `#t` `:t` | the token that the transition is about |
//! | `#w` `:w` | the waiter that an instance is handed to |
//! | `#i` `:i` | the instance |
//! | `#k` | a launch |
//! | `#x` `:x` | a transfer or other tombstone; `:x` also the new end of a lease |
//! | `:now` `:one` | the caller's time; 1 |

mod instance;
mod lease;
mod moves;

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use pool_core::ids::{InstanceId, Token};
use pool_core::shard::{Next, Transition};
use pool_core::time::Timestamp;

use crate::codec::{number, text, time};

/// The item is there. Needed where no other guard fails on a missing item: a SET below a missing map is an error of the
/// request, not a refusal.
const MADE: &str = "attribute_exists(epoch_no)";
/// Something is free.
const FREE: &str = "attribute_exists(free_ids[0])";
/// Nothing is free.
const NONE_FREE: &str = "attribute_not_exists(free_ids[0])";
/// Nobody waits.
const NOBODY_WAITS: &str = "attribute_not_exists(wait_ids[0])";
/// The token neither holds nor waits.
const NEW: &str = "attribute_not_exists(lease_instance.#t) AND attribute_not_exists(wait_terms.#t)";
/// The lease is the very grant that the caller means.
const MINE: &str = "lease_instance.#t = :i AND lease_epoch.#t = :e";
/// And it is the caller's; always together with `MINE`.
const OWN: &str = "lease_terms.#t.o = :o";
/// All that a lease is.
const DROP: &str = "lease_instance.#t, lease_epoch.#t, lease_terms.#t, claim_until.#t";
/// The instance is a member and does not leave.
const STAY: &str = "attribute_exists(member_map.#i) AND attribute_not_exists(leaving_map.#i)";
/// It leaves or is no member.
const LEFT: &str = "(attribute_exists(leaving_map.#i) OR attribute_not_exists(member_map.#i))";
/// The waiter is first, still waits, and holds nothing.
const HEAD: &str = "wait_ids[0] = :w AND wait_terms.#w.x >= :now AND attribute_not_exists(lease_instance.#w)";

/// One `UpdateItem`, but for its key.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    /// `UpdateExpression`.
    pub update: String,
    /// `ConditionExpression`.
    pub condition: String,
    /// `ExpressionAttributeNames`; DynamoDB refuses the request when they are there and empty.
    pub names: HashMap<String, String>,
    /// `ExpressionAttributeValues`, never empty.
    pub values: HashMap<String, AttributeValue>,
}

/// The expression of a transition.
#[must_use]
pub fn of(transition: &Transition) -> Expression {
    let mut draft = Draft::new();
    let known = lease::write(&mut draft, transition)
        || instance::write(&mut draft, transition)
        || moves::write(&mut draft, transition);
    debug_assert!(known, "{} has no expression", transition.name());
    draft.finish()
}

/// An expression while it is composed. Names and values are bound only by who uses them: DynamoDB refuses unused ones.
struct Draft {
    sets: Vec<String>,
    removes: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
    epoch: &'static str,
}

impl Draft {
    fn new() -> Self {
        Self {
            sets: Vec::new(),
            removes: Vec::new(),
            conditions: Vec::new(),
            names: HashMap::new(),
            values: HashMap::new(),
            epoch: "epoch_no + :one",
        }
    }

    fn set(&mut self, clause: impl Into<String>) -> &mut Self {
        self.sets.push(clause.into());
        self
    }

    fn remove(&mut self, paths: impl Into<String>) -> &mut Self {
        self.removes.push(paths.into());
        self
    }

    fn only_if(&mut self, condition: impl Into<String>) -> &mut Self {
        self.conditions.push(condition.into());
        self
    }

    fn name(&mut self, placeholder: impl Into<String>, id: &str) -> &mut Self {
        self.names.insert(placeholder.into(), id.to_owned());
        self
    }

    fn value(&mut self, placeholder: impl Into<String>, value: AttributeValue) -> &mut Self {
        self.values.insert(placeholder.into(), value);
        self
    }

    /// Where an instance that serves again goes: `MEMBER` is kept up to date, `free_ids` or the first waiter gets it.
    fn place(&mut self, instance: &InstanceId, next: &Next, now: Timestamp) -> &mut Self {
        self.set("member_map.#i.s = :now").value(":now", time(now)).name("#i", instance.as_str());
        self.hand_on(instance, next, now)
    }

    /// The same, where the member is written whole or need not change.
    fn hand_on(&mut self, instance: &InstanceId, next: &Next, now: Timestamp) -> &mut Self {
        match next {
            Next::Free => self
                .set("free_ids = list_append(:il, free_ids)")
                .value(":il", AttributeValue::L(vec![text(instance.as_str())]))
                .only_if(NOBODY_WAITS),
            Next::HandOver { waiter, claim_until } => self.hand_to(instance, waiter, *claim_until, now),
        }
    }

    /// The protocol's TO and HEAD: the waiter becomes the holder, without the instance passing through `free_ids`.
    fn hand_to(&mut self, instance: &InstanceId, waiter: &Token, claim_until: Timestamp, now: Timestamp) -> &mut Self {
        let epoch = self.epoch;
        self.set("lease_instance.#w = :i")
            .set(format!("lease_epoch.#w = {epoch}"))
            .set("lease_terms.#w = wait_terms.#w, claim_until.#w = :c")
            .remove("wait_ids[0], wait_terms.#w")
            .only_if(HEAD)
            .name("#w", waiter.as_str())
            .value(":w", text(waiter.as_str()))
            .value(":i", text(instance.as_str()))
            .value(":c", time(claim_until))
            .value(":now", time(now))
    }

    fn finish(mut self) -> Expression {
        let epoch = self.epoch;
        self.set(format!("epoch_no = {epoch}"));
        let mut update = format!("SET {}", self.sets.join(", "));
        if !self.removes.is_empty() {
            update.push_str(" REMOVE ");
            update.push_str(&self.removes.join(", "));
        }
        if update.contains(":one") {
            self.value(":one", number(1));
        }
        Expression { update, condition: self.conditions.join(" AND "), names: self.names, values: self.values }
    }
}
