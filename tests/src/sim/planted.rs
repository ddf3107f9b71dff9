//! Bugs planted on purpose, to see that the simulation finds them.
//!
//! They are planted on the wire: a request of the store or the fleet is changed on its way to the engine, as the bug would
//! have written it. So nothing of the product has a switch for them, and one build tries them all.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::Value;

use crate::sim::World;
use crate::sim::network::{Call, Engine};
use crate::sim::world::lock;

pub use crate::sim::catalogue::PLANTED;

/// A bug, and the ordinary run that finds it first.
#[derive(Debug, PartialEq, Eq)]
pub struct Planted {
    /// In a few words, as in the table of `docs/simulation.md`.
    pub name: &'static str,
    /// How it is made.
    pub bug: Bug,
    /// The first seed of the ordinary runs that finds it.
    pub seed: u64,
}

/// How a bug is made of a sound request.
#[derive(Debug, PartialEq, Eq)]
pub enum Bug {
    /// In the expressions of DynamoDB that contain `of`, `from` is replaced; `?` stands for a number.
    Rewritten {
        /// What tells the transition.
        of: &'static str,
        /// The guard or effect.
        from: &'static str,
        /// What the bug has instead.
        to: &'static str,
    },
    /// A field of the request's body is missing.
    Without {
        /// Its name; in a form, what the names of all such fields begin with.
        field: &'static str,
    },
    /// The instance is terminated, then fenced.
    TerminatedBeforeFence,
    /// EC2 is called, then the intent is written.
    IntentAfterLaunch,
    /// An orphan is terminated without a word in its shard.
    OrphanNotDoomed,
}

/// What a bug remembers between two requests: intents that are not written yet, by launch token.
pub type Postponed = Mutex<BTreeMap<String, Call>>;

/// Carries out a request as the bug would have written it.
pub fn carry_out(world: &World, bug: &Bug, call: &Call) -> (u16, String) {
    match bug {
        Bug::Rewritten { of, from, to } => world.carry_out(&rewritten(call, of, from, to)),
        Bug::Without { field } => world.carry_out(&without(call, field)),
        Bug::TerminatedBeforeFence => {
            if let Some(instance) = fenced(call) {
                let form = format!("Action=TerminateInstances&Version=2016-11-15&InstanceId.1={instance}");
                world.carry_out(&Call {
                    engine: Engine::Ec2,
                    operation: "TerminateInstances".to_owned(),
                    body: form.into(),
                    ..call.clone()
                });
            }
            world.carry_out(call)
        }
        Bug::IntentAfterLaunch => intent_after_launch(world, call),
        Bug::OrphanNotDoomed
            if expressions(call).contains("attribute_not_exists(intent_map.#k)")
                && expressions(call).contains("tombstone_map.#i = :d") =>
        {
            // The write changes nothing, and its sender believes that it did.
            world.carry_out(&changed(call, |body| {
                body["UpdateExpression"] = "SET epoch_no = epoch_no + :one".into();
            }))
        }
        Bug::OrphanNotDoomed => world.carry_out(call),
    }
}

/// Update and condition, or nothing when the call has none.
fn expressions(call: &Call) -> String {
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    format!("{} IF {}", text("UpdateExpression"), text("ConditionExpression"))
}

/// The same call with another body, without the names and values that it does not use any more.
fn changed(call: &Call, change: impl FnOnce(&mut Value)) -> Call {
    let Ok(mut body) = serde_json::from_slice::<Value>(&call.body) else { return call.clone() };
    change(&mut body);
    let used = format!("{} {}", body["UpdateExpression"], body["ConditionExpression"]);
    for field in ["ExpressionAttributeNames", "ExpressionAttributeValues"] {
        let Some(bound) = body.get_mut(field).and_then(Value::as_object_mut) else { continue };
        bound.retain(|name, _| mentions(&used, name));
        if bound.is_empty() {
            body.as_object_mut().map(|fields| fields.remove(field));
        }
    }
    Call { body: body.to_string().into_bytes(), ..call.clone() }
}

/// Whether an expression has this placeholder, and not only a longer one.
fn mentions(expression: &str, placeholder: &str) -> bool {
    expression.match_indices(placeholder).any(|(at, _)| {
        !expression[at + placeholder.len()..].starts_with(|next: char| next.is_ascii_alphanumeric() || next == '_')
    })
}

fn rewritten(call: &Call, of: &str, from: &str, to: &str) -> Call {
    if call.engine != Engine::Table || !expressions(call).contains(of) {
        return call.clone();
    }
    changed(call, |body| {
        for field in ["UpdateExpression", "ConditionExpression"] {
            if let Some(text) = body[field].as_str() {
                body[field] = replaced(text, from, to).into();
            }
        }
    })
}

/// `text` with `to` for `from`, in which `?` stands for a number.
fn replaced(text: &str, from: &str, to: &str) -> String {
    let Some((before, after)) = from.split_once('?') else { return text.replace(from, to) };
    for number in 0..64 {
        let from = format!("{before}{number}{after}");
        if text.contains(&from) {
            return text.replace(&from, &to.replace('?', &number.to_string()));
        }
    }
    text.to_owned()
}

fn without(call: &Call, field: &str) -> Call {
    if call.engine == Engine::Table {
        return changed(call, |body| {
            body.as_object_mut().map(|fields| fields.remove(field));
        });
    }
    let form = String::from_utf8_lossy(&call.body).into_owned();
    let kept: Vec<_> = form.split('&').filter(|pair| !pair.starts_with(field)).collect();
    Call { body: kept.join("&").into_bytes(), ..call.clone() }
}

/// The instance that a free one's fence is about.
fn fenced(call: &Call) -> Option<String> {
    let expressions = expressions(call);
    let fences = expressions.contains("leaving_map.#i = :l") && expressions.contains("size(free_ids) > :keep");
    let body: Value = serde_json::from_slice(&call.body).ok()?;
    fences.then(|| body["ExpressionAttributeNames"]["#i"].as_str().map(str::to_owned))?
}

/// The intent is written when EC2 has answered for the launch. Its sender believes that it was written before.
fn intent_after_launch(world: &World, call: &Call) -> (u16, String) {
    if expressions(call).contains("SET intent_map.#k = :m") {
        let answer = world.carry_out(&changed(call, |body| {
            body["UpdateExpression"] = "SET sequence_no = sequence_no + :one, epoch_no = epoch_no + :one".into();
        }));
        let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        if let (200, Some(token)) = (answer.0, body["ExpressionAttributeNames"]["#k"].as_str()) {
            lock(&world.postponed).insert(token.to_owned(), call.clone());
        }
        return answer;
    }
    let answer = world.carry_out(call);
    if call.operation == "CreateFleet" {
        let form = String::from_utf8_lossy(&call.body);
        let token = form.split('&').find_map(|pair| pair.strip_prefix("ClientToken=")).unwrap_or_default();
        let postponed = lock(&world.postponed).remove(token);
        if let Some(intend) = postponed {
            world.carry_out(&changed(&intend, |body| {
                body["UpdateExpression"] = "SET intent_map.#k = :m, room_left = room_left - :n".into();
                body["ConditionExpression"] = "attribute_exists(epoch_no)".into();
            }));
        }
    }
    answer
}
