//! What most pools do instead: an item for each instance, and a sparse index of those that are free. Written here to be
//! measured beside the shard, on the same engine.
//!
//! Rule: it is treated as well as can be. The embedded engine's index is never behind its table, as DynamoDB's is
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html>), so it never sees "none" too early for
//! that reason here.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Value, json};

use crate::engine::TABLE;

/// Free instances that one look brings.
const PAGE: i32 = 25;

/// Times that a caller tries before it is told that nothing is free.
const TRIES_MAX: u32 = 10;

/// Which of the instances that a look brought is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The first of the list.
    First,
    /// One by chance.
    Random,
}

/// The index, for [`crate::engine::Engine::far`].
#[must_use]
pub fn indexes() -> Value {
    json!([{
        "IndexName": "free",
        "KeySchema": [{"AttributeName": "is_free", "KeyType": "HASH"}],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }])
}

/// Puts so many free instances into the table.
///
/// # Panics
/// When the engine fails.
pub async fn fill(client: &Client, instances: u32) {
    for n in 0..instances {
        let item = [
            ("pk", text(format!("instance#i-0{n:016x}"))),
            ("is_free", text("yes")),
            ("address", text(format!("10.77.101.{n}"))),
            ("node_key", text("0123456789abcdefghijkl")),
            ("kind", text("1/s/us-east-1a/t3.medium")),
            ("since", AttributeValue::N("1795435140".to_owned())),
        ];
        let item: HashMap<_, _> = item.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        client.put_item().table_name(TABLE).set_item(Some(item)).send().await.expect("the engine takes an item");
    }
}

/// Looks for a free instance and takes it, until that works, nothing is free, or the tries are over. Answers what it got.
///
/// # Panics
/// When the engine fails.
pub async fn acquire(client: &Client, choice: Choice, random: &mut fastrand::Rng) -> Option<String> {
    for _ in 0..TRIES_MAX {
        let found = client
            .query()
            .table_name(TABLE)
            .index_name("free")
            .key_condition_expression("is_free = :yes")
            .expression_attribute_values(":yes", text("yes"))
            .limit(PAGE)
            .send()
            .await
            .expect("the engine answers");
        let found: Vec<_> = found.items().iter().filter_map(|item| item.get("pk").cloned()).collect();
        let chosen = match choice {
            Choice::First => found.first(),
            Choice::Random => random.choice(&found),
        };
        let key = chosen?.clone();
        let taken = client
            .update_item()
            .table_name(TABLE)
            .key("pk", key.clone())
            .update_expression("SET lease_token = :token, lease_owner = :owner, lease_until = :until REMOVE is_free")
            .condition_expression("attribute_exists(is_free)")
            .expression_attribute_values(":token", text("AbCdEfGhIjKl"))
            .expression_attribute_values(":owner", text("0123456789abcdefghijkl"))
            .expression_attribute_values(":until", AttributeValue::N("1795435800".to_owned()))
            .send()
            .await;
        match taken {
            Ok(_) => return key.as_s().ok().cloned(),
            Err(error) => {
                let refused =
                    error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception);
                assert!(refused, "{error:?}");
            }
        }
    }
    None
}

fn text(value: impl Into<String>) -> AttributeValue {
    AttributeValue::S(value.into())
}
