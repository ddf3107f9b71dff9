//! Items in DynamoDB's JSON, and their size as DynamoDB counts and bills it
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>).

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use data_encoding::BASE64;
use pool_store::codec::Item;
use serde_json::Value;

/// An item out of DynamoDB's JSON.
#[must_use]
pub fn of_json(item: &Value) -> Item {
    let attributes = item.as_object().into_iter().flatten();
    attributes.map(|(name, value)| (name.clone(), attribute(value))).collect()
}

/// The size of an item, in bytes.
///
/// # Panics
/// When it is more than 4 GB, which no item is.
#[must_use]
pub fn size_bytes(item: &Item) -> u32 {
    let bytes: usize = item.iter().map(|(name, value)| name.len() + of_value(value)).sum();
    u32::try_from(bytes).expect("an item has at most 400 KB")
}

/// Units of a write of an item of so many bytes: one for each KB, begun ones counted whole
/// (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>).
#[must_use]
pub fn write_units(bytes: u32) -> f64 {
    f64::from(bytes.div_ceil(1_024).max(1))
}

/// Units of a reading of it: one for each 4 KB, half of one where it may be old.
#[must_use]
pub fn read_units(bytes: u32, is_consistent: bool) -> f64 {
    f64::from(bytes.div_ceil(4_096).max(1)) * if is_consistent { 1.0 } else { 0.5 }
}

/// The size of a value, in bytes.
///
/// # Panics
/// For kinds of value that the pool's table does not have.
#[must_use]
pub fn of_value(value: &AttributeValue) -> usize {
    match value {
        AttributeValue::S(text) => text.len(),
        AttributeValue::B(bytes) => bytes.as_ref().len(),
        AttributeValue::N(number) => {
            let digits: String = number.chars().filter(char::is_ascii_digit).collect();
            digits.trim_matches('0').len().div_ceil(2) + 1
        }
        AttributeValue::Bool(_) | AttributeValue::Null(_) => 1,
        AttributeValue::L(values) => 3 + values.iter().map(|value| 1 + of_value(value)).sum::<usize>(),
        AttributeValue::M(entries) => {
            3 + entries.iter().map(|(name, value)| 1 + name.len() + of_value(value)).sum::<usize>()
        }
        other => panic!("the table has no {other:?}"),
    }
}

/// A value of DynamoDB's JSON.
fn attribute(value: &Value) -> AttributeValue {
    let Some((kind, value)) = value.as_object().and_then(|object| object.iter().next()) else {
        return AttributeValue::Null(true);
    };
    let text = || value.as_str().unwrap_or_default().to_owned();
    match kind.as_str() {
        "S" => AttributeValue::S(text()),
        "N" => AttributeValue::N(text()),
        "B" => AttributeValue::B(Blob::new(BASE64.decode(text().as_bytes()).unwrap_or_default())),
        "BOOL" => AttributeValue::Bool(value.as_bool().unwrap_or_default()),
        "L" => AttributeValue::L(value.as_array().into_iter().flatten().map(attribute).collect()),
        "M" => {
            let entries = value.as_object().into_iter().flatten();
            AttributeValue::M(entries.map(|(name, value)| (name.clone(), attribute(value))).collect())
        }
        _ => AttributeValue::Null(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn sizes_and_units_are_counted_as_dynamodb_counts_them() {
        let number = |digits: &str| of_value(&AttributeValue::N(digits.to_owned()));
        assert_eq!(["0", "7", "600", "1795435201", "-0.05", "12.5"].map(number), [1, 2, 2, 6, 2, 3]);
        let list = AttributeValue::L(vec![AttributeValue::S("four".to_owned()), AttributeValue::Bool(true)]);
        assert_eq!(of_value(&list), 3 + (1 + 4) + (1 + 1));
        let map = AttributeValue::M(HashMap::from([("ab".to_owned(), list)]));
        assert_eq!(size_bytes(&HashMap::from([("pk".to_owned(), map)])), 2 + 3 + (1 + 2 + 10));
        let json = serde_json::json!({"pk": {"M": {"ab": {"L": [{"S": "four"}, {"BOOL": true}]}}}});
        assert_eq!(size_bytes(&of_json(&json)), 18);
        let bytes = serde_json::json!({"pk": {"B": "AQID"}, "none": {"B": ""}});
        assert_eq!(size_bytes(&of_json(&bytes)), 2 + 3 + 4);
        assert_eq!((read_units(4_097, true), read_units(0, false)), (2.0, 0.5));
        assert_eq!((write_units(1_024), write_units(1_025)), (1.0, 2.0));
    }
}
