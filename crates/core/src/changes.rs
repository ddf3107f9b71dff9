//! What happened between two pictures of a pool (`GET /v1/pool`), in words for whoever watches it.
//!
//! Rule: pictures are compared as they were answered, so that those of an older pool can be, too; what one of them does not say has not
//! changed.

use std::collections::BTreeMap;

use serde_json::Value;

/// Tells what happened between a part of a picture and the same part later.
type Tell = fn(&Value, &Value, &mut Vec<String>);

/// The parts of a picture that tell something, in the order in which they are told.
const PARTS: [(&str, Tell); 4] =
    [("instances", instances), ("totals", waiters), ("growth", growth), ("operator", orders)];

/// What happened, a line each: to instances, to those who wait, to what is wanted, and what operators ordered.
#[must_use]
pub fn between(before: &Value, after: &Value) -> Vec<String> {
    let mut told = Vec::new();
    for (part, tell) in PARTS {
        if !before[part].is_null() && !after[part].is_null() {
            tell(&before[part], &after[part], &mut told);
        }
    }
    told
}

fn by_id(instances: &Value) -> BTreeMap<String, &Value> {
    let lines = instances.as_array().map_or(&[][..], Vec::as_slice);
    lines.iter().map(|line| (text(&line["instance_id"]), line)).collect()
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn instances(before: &Value, after: &Value, told: &mut Vec<String>) {
    let (before, after) = (by_id(before), by_id(after));
    for (id, line) in &after {
        let Some(was) = before.get(id) else {
            let [kind, market, zone] = ["instance_type", "market", "zone"].map(|part| text(&line[part]));
            // EC2 tells the zone a moment later.
            let place = if zone.is_empty() { zone } else { format!(" in {zone}") };
            told.push(format!("{id} is new: {}, {kind} {market}{place}", text(&line["state"])));
            continue;
        };
        if was["state"] != line["state"] {
            told.push(format!("{id}: {} -> {}", text(&was["state"]), text(&line["state"])));
        } else if was["leases_served"] != line["leases_served"] {
            told.push(format!("{id}: the next lease, {} before it", text(&was["leases_served"])));
        }
        for (field, word) in [("leaving", "leaves"), ("retiring", "retires"), ("cordoned", "is cordoned")] {
            if was[field].is_null() && !line[field].is_null() {
                told.push(format!("{id} {word}: {}", text(&line[field])));
            }
        }
    }
    told.extend(before.keys().filter(|id| !after.contains_key(*id)).map(|id| format!("{id} is gone")));
}

fn waiters(before: &Value, after: &Value, told: &mut Vec<String>) {
    let (was, is) = (&before["waiting"], &after["waiting"]);
    if let (Some(was), Some(is)) = (was.as_u64(), is.as_u64())
        && was != is
    {
        told.push(format!("{is} waiting, {was} before"));
    }
}

fn growth(before: &Value, after: &Value, told: &mut Vec<String>) {
    if before["target"] != after["target"] && !after["target"].is_null() {
        told.push(text(&after["why"]));
    }
    match (&before["launching_stopped"], &after["launching_stopped"]) {
        (was, is) if was == is => {}
        (_, Value::Null) => told.push("instances are launched again".to_owned()),
        (_, why) => told.push(format!("nothing is launched: {}", text(why))),
    }
}

fn orders(before: &Value, after: &Value, told: &mut Vec<String>) {
    for (order, given, taken_back) in
        [("paused", "paused", "the pause is over"), ("drained", "the pool is emptied", "the pool is filled again")]
    {
        match (&before[order], &after[order]) {
            (was, is) if was == is => {}
            (_, Value::Null) => told.push(taken_back.to_owned()),
            (_, is) => told.push(format!("{given}: {}", text(&is["why"]))),
        }
    }
    match (&before["max_instances"], &after["max_instances"]) {
        (was, is) if was == is => {}
        (_, Value::Null) => told.push("the cap is the deployed one again".to_owned()),
        (_, is) => told.push(format!("the cap is {is} by order")),
    }
}
