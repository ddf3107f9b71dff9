//! The calls on shards.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes, ReturnValue, ReturnValuesOnConditionCheckFailure};
use pool_core::ids::ShardNo;
use pool_core::shard::{Shard, Transition};

use crate::codec::{self, Item, text};
use crate::error::{StoreError, is_refusal};
use crate::expression::{self, Expression};
use crate::names;

/// Keys of one `BatchGetItem`, DynamoDB's limit.
const BATCH_KEYS_MAX: usize = 100;
/// Requests for the keys that DynamoDB left unread, before this gives up: about 6 seconds in all.
const BATCH_ATTEMPTS_MAX: u32 = 8;
/// The first pause before asking again; each next one is twice as long.
const BATCH_PAUSE: Duration = Duration::from_millis(50);

/// The pool's table.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) client: Client,
    pub(crate) table: String,
}

/// What became of a transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Written {
    /// It was made; the shard after it.
    Applied(Shard),
    /// Its condition did not hold; the shard as it is. When the client repeated a request whose answer was lost, this
    /// can be the caller's own write: the shard shows it, and the caller decides.
    Refused(Shard),
    /// There is no such shard.
    Missing,
}

impl Store {
    /// A store on this table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// Carries out a transition: one `UpdateItem`, whatever its outcome.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB refuses the request or does not answer, or the item is damaged.
    pub async fn apply(&self, shard: ShardNo, transition: &Transition) -> Result<Written, StoreError> {
        let key = names::shard_key(shard);
        let Expression { update, condition, names, values } = expression::of(transition);
        let answer = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(names::KEY, text(&key))
            .update_expression(update)
            .condition_expression(condition)
            .set_expression_attribute_names(if names.is_empty() { None } else { Some(names) })
            .set_expression_attribute_values(Some(values))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match answer {
            Ok(written) => Ok(Written::Applied(decode(&key, &written.attributes.unwrap_or_default())?)),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => match refused.item() {
                    Some(item) if !item.is_empty() => Ok(Written::Refused(decode(&key, item)?)),
                    _ => Ok(Written::Missing),
                },
                _ => Err(StoreError::of("UpdateItem", &error)),
            },
        }
    }

    /// A shard as it is now (a strongly consistent read); `None` when there is no such shard.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB refuses the request or does not answer, or the item is damaged.
    pub async fn read(&self, shard: ShardNo) -> Result<Option<Shard>, StoreError> {
        let key = names::shard_key(shard);
        let item = self.get(&key).await?;
        item.map(|item| decode(&key, &item)).transpose()
    }

    /// The shards 0 to `shards` - 1, in order of number; those that do not exist are left out. Inconsistent reads cost
    /// half, and may be a second old.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB refuses a request, does not answer, or keeps leaving items unread, or when an item
    /// is damaged.
    pub async fn read_all(&self, shards: u32, consistent: bool) -> Result<Vec<Shard>, StoreError> {
        let items = self.get_batch((0..shards).map(names::shard_key).collect(), consistent).await?;
        let read = items.iter().map(|(key, item)| decode(key, item));
        let mut shards = read.collect::<Result<Vec<_>, _>>()?;
        shards.sort_unstable_by_key(|shard| shard.number);
        Ok(shards)
    }

    /// Makes an empty shard, whole, unless it exists.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB refuses the request or does not answer.
    pub async fn create_shard(&self, shard: ShardNo) -> Result<(), StoreError> {
        let made = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(codec::encode(&Shard::new(shard))))
            .condition_expression("attribute_not_exists(epoch_no)")
            .send()
            .await;
        match made {
            Ok(_) => Ok(()),
            Err(error) if is_refusal(&error) => Ok(()),
            Err(error) => Err(StoreError::of("PutItem", &error)),
        }
    }

    /// One item, strongly consistent.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Item>, StoreError> {
        let request = self.client.get_item().table_name(&self.table).key(names::KEY, text(key)).consistent_read(true);
        let answer = request.send().await.map_err(|error| StoreError::of("GetItem", &error))?;
        Ok(answer.item)
    }

    /// Items by key, those that exist. Keys must be distinct.
    pub(crate) async fn get_batch(
        &self,
        keys: Vec<String>,
        consistent: bool,
    ) -> Result<HashMap<String, Item>, StoreError> {
        let mut items = HashMap::new();
        for page in keys.chunks(BATCH_KEYS_MAX) {
            let keys = page.iter().map(|key| Item::from([(names::KEY.to_owned(), text(key))])).collect();
            self.get_page(keys, consistent, &mut items).await?;
        }
        Ok(items)
    }

    /// One page of a batch, asked again for what DynamoDB left unread.
    async fn get_page(
        &self,
        mut keys: Vec<Item>,
        consistent: bool,
        items: &mut HashMap<String, Item>,
    ) -> Result<(), StoreError> {
        let mut pause = BATCH_PAUSE;
        for attempt in 1..=BATCH_ATTEMPTS_MAX {
            let wanted = KeysAndAttributes::builder()
                .set_keys(Some(keys))
                .consistent_read(consistent)
                .build()
                .expect("the keys, the only thing it needs, are set");
            let answer = self.client.batch_get_item().request_items(&self.table, wanted).send().await;
            let answer = answer.map_err(|error| StoreError::of("BatchGetItem", &error))?;
            for item in answer.responses.into_iter().flat_map(HashMap::into_values).flatten() {
                if let Some(AttributeValue::S(key)) = item.get(names::KEY) {
                    items.insert(key.clone(), item);
                }
            }
            let unread = answer.unprocessed_keys.unwrap_or_default();
            keys = unread.into_values().flat_map(|page| page.keys).collect();
            if keys.is_empty() {
                return Ok(());
            }
            tracing::debug!(attempt, unread = keys.len(), "a batch was not read whole");
            if attempt < BATCH_ATTEMPTS_MAX {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
        }
        Err(StoreError::Unread { keys: keys.len(), attempts: BATCH_ATTEMPTS_MAX })
    }
}

fn decode(key: &str, item: &Item) -> Result<Shard, StoreError> {
    codec::decode(item).map_err(|damage| StoreError::Damaged { key: key.to_owned(), what: damage.to_string() })
}
