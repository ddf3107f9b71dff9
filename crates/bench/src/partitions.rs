//! The embedded DynamoDB as a table of partitions: DynamoDB divides a table by a hash of the key
//! (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.Partitions.html>), and a request waits for none of
//! another partition. One engine answers one request at a time.
//!
//! Rule: a request about one item goes to the engine that has it and to no other.

use dynoxide::actions::batch_get_item::{BatchGetItemRequest, BatchGetItemResponse};
use dynoxide::actions::get_item::GetItemRequest;
use dynoxide::actions::put_item::PutItemRequest;
use dynoxide::actions::update_item::UpdateItemRequest;
use dynoxide::{AttributeValue, Database, DynoxideError, Item};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The engines of one table, of which each has some of the items.
pub(crate) struct Partitions(Vec<Database>);

impl Partitions {
    /// So many, at least one, without a table.
    pub(crate) fn new(count: usize) -> Self {
        Self((0..count).map(|_| Database::memory().expect("a database in memory")).collect())
    }

    /// The answer to a request: its status and its body.
    pub(crate) fn carry_out(&self, operation: &str, request: &[u8]) -> (u16, String) {
        match operation {
            "CreateTable" => self.create_table(request),
            "UpdateItem" => answer(request, |request: UpdateItemRequest| self.of(&request.key).update_item(request)),
            "GetItem" => answer(request, |request: GetItemRequest| self.of(&request.key).get_item(request)),
            "PutItem" => answer(request, |request: PutItemRequest| self.of(&request.item).put_item(request)),
            "BatchGetItem" => self.batch_get_item(request),
            // Only tables of one partition are asked for it.
            "Query" => answer(request, |request| self.0[0].query(request)),
            other => (400, json!({"__type": "UnknownOperationException", "message": other}).to_string()),
        }
    }

    /// The engine of the item with this key, or of this item.
    fn of(&self, item: &Item) -> &Database {
        &self.0[self.place_of(item)]
    }

    fn place_of(&self, item: &Item) -> usize {
        let Some(AttributeValue::S(key)) = item.get("pk") else { return 0 };
        // FNV-1a: the same in every run.
        let hash = key
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let count = u64::try_from(self.0.len()).expect("they are few");
        usize::try_from(hash % count).expect("it is one of them")
    }

    /// The same table in each engine; what the last of them answers.
    fn create_table(&self, request: &[u8]) -> (u16, String) {
        let (last, others) = self.0.split_last().expect("there is one");
        let make = |engine: &Database| answer(request, |request| engine.create_table(request));
        for engine in others {
            make(engine);
        }
        make(last)
    }

    /// Each engine is asked for what it has.
    fn batch_get_item(&self, request: &[u8]) -> (u16, String) {
        answer(request, |whole: Value| {
            let mut found = BatchGetItemResponse::default();
            for (place, engine) in self.0.iter().enumerate() {
                let mut part: BatchGetItemRequest = serde_json::from_value(whole.clone())
                    .map_err(|error| DynoxideError::SerializationException(error.to_string()))?;
                for wanted in part.request_items.values_mut() {
                    wanted.keys.retain(|key| self.place_of(key) == place);
                }
                part.request_items.retain(|_, wanted| !wanted.keys.is_empty());
                if part.request_items.is_empty() {
                    continue;
                }
                let answered = engine.batch_get_item(part)?;
                for (table, items) in answered.responses {
                    found.responses.entry(table).or_default().extend(items);
                }
                found.unprocessed_keys.extend(answered.unprocessed_keys);
                found.consumed_capacity.get_or_insert_default().extend(answered.consumed_capacity.unwrap_or_default());
            }
            Ok(found)
        })
    }
}

fn answer<Q: DeserializeOwned, A: Serialize>(
    request: &[u8],
    act: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> (u16, String) {
    let refused = |error: &serde_json::Error| json!({"__type": "SerializationException", "Message": error.to_string()});
    let request = match serde_json::from_slice(request) {
        Ok(request) => request,
        Err(error) => return (400, refused(&error).to_string()),
    };
    match act(request) {
        Ok(answer) => (200, serde_json::to_string(&answer).unwrap_or_default()),
        Err(error) => (error.status_code(), error.to_json()),
    }
}
