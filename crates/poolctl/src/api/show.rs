//! Answers of the API as tables for people.
//!
//! What is absent in an answer is left out, so that an older pool is shown as well.

use comfy_table::{Cell, CellAlignment, Table, presets};
use pool_core::time::Timestamp;
use serde_json::Value;

/// The counts of a shard and of the pool.
pub(crate) const COUNTS: [&str; 7] = ["capacity", "free", "leased", "booting", "leaving", "stopped", "waiting"];

/// A value as people read it; empty when there is none.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Names and values, one a line; those without a value are left out.
fn facts(facts: &[(&str, String)]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
        table.add_row([*name, value]);
    }
    table.trim_fmt()
}

/// Rows of values under a header; numbers stand to the right.
fn listed(header: &[&str], rows: impl Iterator<Item = Vec<Value>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|value| {
            let side = if value.is_number() { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(text(value)).set_alignment(side)
        }));
    }
    table.trim_fmt()
}

fn seconds(value: &Value) -> String {
    value.as_u64().map_or_else(String::new, |seconds| format!("{seconds} s"))
}

/// About so many US dollars.
pub(crate) fn usd(value: &Value) -> String {
    value.as_f64().map_or_else(String::new, |usd| format!("about ${usd:.3}"))
}

/// A lease. Its access token is a secret and shown only on demand.
pub(super) fn lease(lease: &Value, show_token: bool) -> String {
    let expires = match (&lease["expires_at"], lease["expires_in_seconds"].as_u64()) {
        (Value::String(at), Some(seconds)) => format!("{at} (in {seconds} s)"),
        _ => String::new(),
    };
    facts(&[
        ("endpoint", text(&lease["endpoint"])),
        ("lease", text(&lease["lease_id"])),
        ("state", text(&lease["state"])),
        ("instance", text(&lease["instance_id"])),
        ("epoch", text(&lease["epoch"])),
        ("expires", expires),
        ("leaves at", text(&lease["deadline"])),
        ("place", text(&lease["position"])),
        ("to go", seconds(&lease["eta_seconds"])),
        ("token", if show_token { text(&lease["access_token"]) } else { String::new() }),
    ])
}

/// The pool as one picture.
pub(super) fn status(pool: &Value) -> String {
    let counts = |line: &Value| COUNTS.map(|name| line[name].clone()).to_vec();
    let mut parts = vec![text(&pool["pool"]), listed(&COUNTS, std::iter::once(counts(&pool["totals"])))];
    let growth = &pool["growth"];
    parts.push(facts(&[
        ("wanted", text(&growth["target"])),
        ("present", text(&growth["present"])),
        ("why", text(&growth["why"])),
        ("launching stopped", text(&growth["launching_stopped"])),
        ("oldest wait", seconds(&growth["oldest_wait_seconds"])),
        (
            "boot failures",
            growth["boot_failures"].as_u64().filter(|n| *n > 0).map_or_else(String::new, |n| n.to_string()),
        ),
        ("last step", text(&growth["last_step_at"])),
        ("boots take", seconds(&pool["measures"]["boot_seconds"])),
        ("leases last", seconds(&pool["measures"]["lease_age_seconds"])),
        ("cost an hour", usd(&pool["measures"]["usd_per_hour"])),
    ]));
    parts.push(operator(&pool["operator"], ""));
    let shards = pool["shards"].as_array().map_or(&[][..], Vec::as_slice);
    if shards.len() > 1 {
        let header = ["shard", "room"].into_iter().chain(COUNTS).collect::<Vec<_>>();
        let rows =
            shards.iter().map(|shard| [vec![shard["shard"].clone(), shard["room"].clone()], counts(shard)].concat());
        parts.push(listed(&header, rows));
    }
    let offerings = pool["offerings"].as_array().map_or(&[][..], Vec::as_slice);
    if !offerings.is_empty() {
        parts.push(columns(&["offering", "cooling_until", "failures", "cause"], offerings));
    }
    parts.retain(|part| !part.trim().is_empty());
    parts.join("\n\n")
}

/// What an operator has ordered, or `nothing`.
pub(super) fn operator(orders: &Value, nothing: &str) -> String {
    let order = |name: &str| match &orders[name] {
        Value::Object(order) => {
            let part = |key: &str| order.get(key).map(text).unwrap_or_default();
            format!("since {}: {}", part("at"), part("why"))
        }
        other => text(other),
    };
    let said = facts(&[
        ("paused", order("paused")),
        ("drained", order("drained")),
        ("cap by order", text(&orders["max_instances"])),
    ]);
    if said.is_empty() { nothing.to_owned() } else { said }
}

/// Chosen fields of objects, as columns.
fn columns(fields: &[&str], objects: &[Value]) -> String {
    let header: Vec<String> = fields.iter().map(|field| field.replace('_', " ")).collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    listed(&header, objects.iter().map(|object| fields.iter().map(|field| object[*field].clone()).collect()))
}

/// Why an instance is not as the others; empty for most.
pub(crate) fn note(line: &Value) -> &str {
    ["leaving", "retiring", "cordoned"].into_iter().find_map(|name| line[name].as_str()).unwrap_or_default()
}

/// Every instance.
pub(super) fn instances(instances: &Value) -> String {
    let lines = instances.as_array().map_or(&[][..], Vec::as_slice);
    if lines.is_empty() {
        return "no instances".to_owned();
    }
    let rows = lines.iter().map(|line| {
        let fields = ["instance_id", "state", "since", "leases_served", "instance_type", "zone", "market", "shard"];
        let row = fields.into_iter().map(|field| line[field].clone());
        row.chain(std::iter::once(note(line).into())).collect()
    });
    let header = ["instance", "state", "since", "leases", "type", "zone", "market", "shard", "note"];
    listed(&header, rows)
}

/// One line of that.
pub(super) fn one_instance(line: &Value) -> String {
    instances(&Value::Array(vec![line.clone()]))
}

/// One instance with its last heartbeat.
pub(super) fn instance(story: &Value) -> String {
    let now = &story["now"];
    let gone = if now.is_null() { "gone".to_owned() } else { text(&now["state"]) };
    let percent = |name: &str| story[name].as_f64().map_or_else(String::new, |percent| format!("{percent:.0} %"));
    facts(&[
        ("instance", text(&story["instance"])),
        ("state", gone),
        ("since", text(&now["since"])),
        ("leaving", text(&now["leaving"])),
        ("retiring", text(&now["retiring"])),
        ("cordoned", text(&now["cordoned"])),
        ("type", text(&now["instance_type"])),
        ("zone", text(&now["zone"])),
        ("market", text(&now["market"])),
        ("shard", text(&story["shard"])),
        ("leases served", text(&now["leases_served"])),
        ("healthy", text(&story["healthy"])),
        ("last heartbeat", moment(&story["beat_at"])),
        ("CPU", percent("cpu_percent")),
        ("memory", percent("memory_percent")),
        ("sessions", text(&story["sessions"])),
        ("ready", moment(&story["ready_at"])),
        ("boot took", seconds(&story["boot_seconds"])),
    ])
}

/// What happened to an instance.
pub(super) fn history(history: &Value) -> String {
    let entries = history.as_array().map_or(&[][..], Vec::as_slice);
    if entries.is_empty() {
        return "nothing is remembered of it".to_owned();
    }
    let row = |entry: &Value| vec![Value::from(moment(&entry["at"])), entry["what"].clone(), entry["why"].clone()];
    listed(&["when", "what", "why"], entries.iter().map(row))
}

/// Seconds since 1970 as date and time.
fn moment(value: &Value) -> String {
    value.as_u64().map_or_else(|| text(value), |seconds| Timestamp(seconds).to_string())
}
