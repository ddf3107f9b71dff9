//! Sound JSON made hostile: nodes replaced, taken away, doubled, renamed, nested and exchanged, numbers and texts driven to
//! their ends, and then the text itself cut and mended wrongly.

use serde_json::{Map, Value, json};

use crate::choices::Choices;

/// Changes of one input at most.
const CHANGES_MAX: usize = 6;

/// Texts that some reader somewhere takes for something else.
pub(crate) const TEXTS: [&str; 44] = [
    "",
    " ",
    "0",
    "-1",
    "1e400",
    "NaN",
    "Infinity",
    "null",
    "true",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "\0",
    "a\tb",
    "a\r\nset-cookie: x",
    "\u{7f}",
    "\u{1b}[2J",
    "\u{feff}",
    "\u{202e}abc",
    "é",
    "e\u{301}",
    "𝟘.𝔸",
    "\u{10ffff}",
    "../control",
    "..%2f",
    "%00",
    "shard#0",
    "shard#4294967296",
    "control",
    "wake",
    "instance#",
    ".",
    "..",
    "i-",
    "i-0123456789abcdef0",
    "i-0123456789ABCDEF0",
    "0.AbCdEfGhIjKl",
    "0.AbCdEfGhIjKl.1.i-0123456789abcdef0",
    "4294967295.AbCdEfGhIjKl",
    "'; DROP TABLE shards; --",
    "{\"a\":",
    "${jndi:ldap://x}",
    "AROALOCALNODEROLE0000",
    "EC2 Instance State-change Notification",
];

/// Pieces of JSON that no value can hold, put into the text itself.
const SPLICES: [&str; 16] = [
    "1e400",
    "-1e400",
    "NaN",
    "-0.0",
    "01",
    "0x1",
    "\\ud800",
    "\"\\u0000\"",
    "[[[[",
    "}",
    "\"",
    ",",
    ":null",
    "\u{feff}",
    "1.0",
    "99999999999999999999999999999999",
];

/// A text from anywhere.
pub(crate) fn text(choices: &mut Choices<'_>) -> String {
    match choices.below(8) {
        0..=3 => choices.pick(&TEXTS).to_owned(),
        4 => "x".repeat(1 << choices.below(16)),
        5 => choices.pick(&TEXTS).repeat(1 + choices.below(64)),
        6 => format!("{}{}", choices.pick(&TEXTS), choices.pick(&TEXTS)),
        _ => {
            let count = choices.below(24);
            String::from_utf8_lossy(choices.take(count)).into_owned()
        }
    }
}

/// A value from anywhere.
pub(crate) fn value(choices: &mut Choices<'_>) -> Value {
    match choices.below(16) {
        0 => Value::Null,
        1 => true.into(),
        2 => false.into(),
        3 | 4 => number(choices),
        5 => json!([]),
        6 => json!({}),
        7 => nested(choices.below(140), json!([])),
        8 => (0..choices.below(200)).map(Value::from).collect(),
        9 => json!({ choices.pick(&TEXTS): choices.pick(&TEXTS) }),
        _ => text(choices).into(),
    }
}

fn number(choices: &mut Choices<'_>) -> Value {
    match choices.below(12) {
        0 => 0.into(),
        1 => (-1).into(),
        2 => u64::MAX.into(),
        3 => i64::MIN.into(),
        4 => i64::MAX.into(),
        5 => json!(1e308),
        6 => json!(-1e-308),
        7 => json!(0.5),
        8 => json!(1.0),
        9 => (1_u64 << choices.below(64)).into(),
        10 => 9_007_199_254_740_993_u64.into(),
        _ => choices.byte().into(),
    }
}

fn nested(depth: usize, inner: Value) -> Value {
    (0..depth).fold(inner, |inner, level| if level % 2 == 0 { json!([inner]) } else { json!({ "a": inner }) })
}

/// Changes a document, at least once while there are choices.
pub(crate) fn change(document: &mut Value, choices: &mut Choices<'_>) {
    for _ in 0..CHANGES_MAX {
        if choices.are_over() {
            return;
        }
        change_once(document, choices);
        if choices.below(2) == 0 {
            return;
        }
    }
}

fn change_once(document: &mut Value, choices: &mut Choices<'_>) {
    let count = nodes(document);
    let other =
        if choices.below(8) == 0 { nth(&mut document.clone(), &mut choices.below(count)).cloned() } else { None };
    let Some(node) = nth(document, &mut choices.below(count)) else { return };
    if let Some(other) = other {
        *node = other;
        return;
    }
    match (choices.below(6), &mut *node) {
        (0, Value::Object(fields)) => drop(key_of(fields, choices).and_then(|key| fields.remove(&key))),
        (0, Value::Array(items)) if !items.is_empty() => drop(items.remove(choices.below(items.len()))),
        (1, Value::Object(fields)) => {
            if let Some(moved) = key_of(fields, choices).and_then(|key| fields.remove(&key)) {
                fields.insert(text(choices), moved);
            }
        }
        (1, Value::Array(items)) if !items.is_empty() => {
            let copy = items[choices.below(items.len())].clone();
            items.push(copy);
        }
        (2, Value::Object(fields)) => drop(fields.insert(text(choices), value(choices))),
        (2, Value::Array(items)) => items.push(value(choices)),
        (0..=2, Value::String(inner)) if inner.starts_with('{') => {
            if let Ok(mut document) = serde_json::from_str(inner) {
                change(&mut document, choices);
                *inner = document.to_string();
            }
        }
        (0..=2, Value::String(inner)) => edit(inner, choices),
        (3, node) => {
            let depth = 1 + choices.below(150);
            *node = nested(depth, node.take());
        }
        (_, node) => *node = value(choices),
    }
}

fn key_of(fields: &Map<String, Value>, choices: &mut Choices<'_>) -> Option<String> {
    fields.keys().nth(choices.below(fields.len())).cloned()
}

/// Changes a text a little.
pub(crate) fn edit(text: &mut String, choices: &mut Choices<'_>) {
    let length = text.chars().count();
    let at = text.char_indices().nth(choices.below(length + 1)).map_or(text.len(), |(at, _)| at);
    match choices.below(6) {
        0 => text.truncate(at),
        1 => text.insert_str(at, choices.pick(&TEXTS)),
        2 if at < text.len() => drop(text.remove(at)),
        3 => *text = text.to_uppercase(),
        4 => *text = text.repeat(1 + choices.below(8)),
        _ => text.insert(at, char::from(choices.byte())),
    }
}

/// The document as bytes, sometimes cut and mended wrongly.
pub(crate) fn bytes(document: &Value, choices: &mut Choices<'_>) -> Vec<u8> {
    let mut text = document.to_string().into_bytes();
    if choices.below(4) != 1 {
        return text;
    }
    for _ in 0..=choices.below(4) {
        let at = choices.below(text.len() + 1);
        match choices.below(5) {
            0 => drop(text.splice(at..at, choices.pick(&SPLICES).bytes())),
            1 if at < text.len() => text[at] = choices.byte(),
            2 => text.truncate(at),
            3 => {
                let end = (at + choices.below(64)).min(text.len());
                text.drain(at..end);
            }
            _ => {
                let end = (at + choices.below(64)).min(text.len());
                let copy = text[at..end].to_vec();
                text.splice(at..at, copy);
            }
        }
    }
    text
}

fn nodes(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(nodes).sum(),
        Value::Object(fields) => fields.values().map(nodes).sum(),
        _ => 0,
    }
}

/// The node of this number, from the outside to the inside.
fn nth<'a>(value: &'a mut Value, number: &mut usize) -> Option<&'a mut Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth(item, number)),
        Value::Object(fields) => fields.values_mut().find_map(|field| nth(field, number)),
        _ => None,
    }
}
