//! The items beside the shards: `control`, `wake`, and the record of each instance.

use std::collections::HashSet;

use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use pool_core::control::Control;
use pool_core::ids::{InstanceId, ShardNo};
use pool_core::node::{Heartbeat, HistoryEntry, InstanceRecord};
use pool_core::time::Timestamp;

use crate::codec::{self, Damage, Entry, Item, as_number, number, text, time};
use crate::error::{StoreError, is_refusal};
use crate::names;
use crate::store::Store;

/// How long the record of an instance is kept after the last word of it.
const RECORD_LIFE_SECONDS: u64 = 7 * 24 * 3_600;
/// Entries of a history; an instance that lives a day has a few dozen.
const HISTORY_MAX: u32 = 100;

/// What came of an attempt to wake `scale`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// It is woken.
    Now,
    /// It was woken at this time, too short a while ago for another one.
    Before(Timestamp),
}

/// A wake-up of `scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wake {
    /// When.
    pub at: Timestamp,
    /// For which request, if that is known.
    pub trace_id: Option<String>,
}

impl Wake {
    fn read(item: &Item) -> Option<Self> {
        let at = Timestamp(as_number(item.get(names::WOKEN_AT)?)?);
        Some(Self { at, trace_id: item.get(names::WOKEN_BY).and_then(|id| id.as_s().ok().cloned()) })
    }
}

impl Store {
    /// The control item (a strongly consistent read); `None` before its first write.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB refuses the request or does not answer, or the item is damaged.
    pub async fn control(&self) -> Result<Option<Control>, StoreError> {
        let Some(item) = self.get(names::CONTROL).await? else { return Ok(None) };
        read_control(&item).map(Some).map_err(|damage| damaged(names::CONTROL, &damage))
    }

    /// Writes the control item under its next version, if the version in the table is still that of `control` (0: the
    /// item does not exist). False when it is not: another run was faster.
    ///
    /// When the client repeated a request whose answer was lost, false may be about this very write. That is the safe
    /// side: two runs can write the same content, so the content cannot tell whose write it was.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB refuses the request or does not answer.
    pub async fn put_control(&self, control: &Control) -> Result<bool, StoreError> {
        let json = serde_json::to_string(control)
            .map_err(|error| damaged(names::CONTROL, &Damage(format!("no JSON can say it: {error}"))))?;
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .item(names::KEY, text(names::CONTROL))
            .item(names::CONTROL_JSON, text(json))
            .item(names::VERSION, number(control.version.saturating_add(1)));
        let put = match control.version {
            0 => put.condition_expression("attribute_not_exists(version_no)"),
            seen => put.condition_expression("version_no = :seen").expression_attribute_values(":seen", number(seen)),
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_refusal(&error) => Ok(false),
            Err(error) => Err(StoreError::of("PutItem", &error)),
        }
    }

    /// Wakes `scale` through the table's stream, at most once in `every_seconds`; `trace_id` is that of the request that wants it. When
    /// somebody else just did, the answer is when.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB refuses the request or does not answer.
    pub async fn wake(&self, now: Timestamp, every_seconds: u64, trace_id: Option<&str>) -> Result<Woken, StoreError> {
        let woken = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(names::KEY, text(names::WAKE))
            .update_expression("SET woken_at = :now, trace_id = :trace_id")
            .condition_expression("attribute_not_exists(woken_at) OR woken_at <= :long_ago")
            .expression_attribute_values(":now", time(now))
            .expression_attribute_values(":long_ago", time(now - every_seconds))
            .expression_attribute_values(":trace_id", trace_id.map_or(AttributeValue::Null(true), text))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        match woken {
            Ok(_) => Ok(Woken::Now),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(refused)) => {
                    let last = refused.item().and_then(Wake::read);
                    Ok(Woken::Before(last.map_or(now, |last| last.at)))
                }
                _ => Err(StoreError::of("UpdateItem", &error)),
            },
        }
    }

    /// The last wake-up of `scale`; `None` when there was none, or nobody can read when.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB refuses the request or does not answer.
    pub async fn last_wake(&self) -> Result<Option<Wake>, StoreError> {
        Ok(self.get(names::WAKE).await?.as_ref().and_then(Wake::read))
    }

    /// Records a heartbeat and answers the instance's record with it. The first one after a boot also tells how long that
    /// took, in seconds.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB refuses the request or does not answer, or the record is damaged.
    pub async fn heartbeat(
        &self,
        instance: &InstanceId,
        beat: &Heartbeat,
        boot_seconds: Option<u64>,
        now: Timestamp,
    ) -> Result<InstanceRecord, StoreError> {
        let key = names::instance_key(instance);
        let mut update = "SET is_healthy = :healthy, cpu_percent = :cpu, memory_percent = :memory, \
                          session_count = :sessions, beat_at = :now, #ttl = :ttl"
            .to_owned();
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(names::KEY, text(&key))
            .expression_attribute_names("#ttl", names::TTL)
            .expression_attribute_values(":healthy", AttributeValue::Bool(beat.healthy))
            .expression_attribute_values(":cpu", number(beat.cpu_percent))
            .expression_attribute_values(":memory", number(beat.memory_percent))
            .expression_attribute_values(":sessions", number(beat.sessions))
            .expression_attribute_values(":now", time(now))
            .expression_attribute_values(":ttl", time(now + RECORD_LIFE_SECONDS))
            .return_values(ReturnValue::AllNew);
        if let Some(boot_seconds) = boot_seconds {
            update.push_str(", ready_at = :now, boot_seconds = :boot");
            request = request.expression_attribute_values(":boot", number(boot_seconds));
        }
        let written = request.update_expression(update).send().await;
        let written = written.map_err(|error| StoreError::of("UpdateItem", &error))?;
        record(instance, &written.attributes.unwrap_or_default())
    }

    /// Adds a line to the history of an instance, and its shard if known. A history that is full takes no more.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB refuses the request or does not answer.
    pub async fn note(
        &self,
        instance: &InstanceId,
        shard: Option<ShardNo>,
        what: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let line = codec::entry([("at", time(now)), ("what", text(what)), ("why", text(why))]);
        let mut update =
            "SET history_list = list_append(if_not_exists(history_list, :none), :line), #ttl = :ttl".to_owned();
        let mut request = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(names::KEY, text(names::instance_key(instance)))
            .condition_expression("attribute_not_exists(history_list) OR size(history_list) < :max")
            .expression_attribute_names("#ttl", names::TTL)
            .expression_attribute_values(":none", AttributeValue::L(Vec::new()))
            .expression_attribute_values(":line", AttributeValue::L(vec![line]))
            .expression_attribute_values(":max", number(HISTORY_MAX))
            .expression_attribute_values(":ttl", time(now + RECORD_LIFE_SECONDS));
        if let Some(shard) = shard {
            update.push_str(", shard_no = :shard");
            request = request.expression_attribute_values(":shard", number(shard));
        }
        match request.update_expression(update).send().await {
            Ok(_) => Ok(()),
            Err(error) if is_refusal(&error) => Ok(()),
            Err(error) => Err(StoreError::of("UpdateItem", &error)),
        }
    }

    /// The record of an instance; `None` when nothing was ever heard of it, or not for a week.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB refuses the request or does not answer, or the record is damaged.
    pub async fn instance(&self, instance: &InstanceId) -> Result<Option<InstanceRecord>, StoreError> {
        let item = self.get(&names::instance_key(instance)).await?;
        item.map(|item| record(instance, &item)).transpose()
    }

    /// The records of these instances, in their order, as of about now (reads at half the price); those without one are
    /// left out.
    ///
    /// # Errors
    /// [`StoreError`] when DynamoDB refuses a request, does not answer, or keeps leaving items unread, or when a record
    /// is damaged.
    pub async fn instances(&self, ids: &[InstanceId]) -> Result<Vec<InstanceRecord>, StoreError> {
        let distinct: HashSet<String> = ids.iter().map(names::instance_key).collect();
        let items = self.get_batch(distinct.into_iter().collect(), false).await?;
        ids.iter().filter_map(|id| items.get(&names::instance_key(id)).map(|item| record(id, item))).collect()
    }
}

fn read_control(item: &Item) -> Result<Control, Damage> {
    let entry = Entry { at: names::CONTROL, id: None, attributes: item };
    let version = entry.number(names::VERSION)?;
    let content: Control = serde_json::from_str(entry.text(names::CONTROL_JSON)?)
        .map_err(|error| Damage(format!("{}: {error}", names::CONTROL_JSON)))?;
    Ok(Control { version, ..content })
}

/// A record without a heartbeat, or without a history, is a whole one: either may come first.
fn record(instance: &InstanceId, item: &Item) -> Result<InstanceRecord, StoreError> {
    let key = names::instance_key(instance);
    read_record(instance, &Entry { at: "the record", id: None, attributes: item })
        .map_err(|damage| damaged(&key, &damage))
}

fn read_record(instance: &InstanceId, entry: &Entry<'_>) -> Result<InstanceRecord, Damage> {
    Ok(InstanceRecord {
        instance: instance.clone(),
        shard: entry.optional(names::INSTANCE_SHARD, as_number)?,
        healthy: entry.optional(names::HEALTHY, |value| value.as_bool().ok().copied())?.unwrap_or(true),
        cpu_percent: entry.optional(names::CPU_PERCENT, as_number)?.unwrap_or(0.0),
        memory_percent: entry.optional(names::MEMORY_PERCENT, as_number)?.unwrap_or(0.0),
        sessions: entry.optional(names::SESSIONS, as_number)?.unwrap_or(0),
        beat_at: entry.optional(names::BEAT_AT, as_number)?.map(Timestamp),
        ready_at: entry.optional(names::READY_AT, as_number)?.map(Timestamp),
        boot_seconds: entry.optional(names::BOOT_SECONDS, as_number)?,
        history: entry.optional(names::HISTORY, read_history)?.unwrap_or_default(),
    })
}

fn read_history(value: &AttributeValue) -> Option<Vec<HistoryEntry>> {
    value.as_l().ok()?.iter().map(read_line).collect()
}

fn read_line(value: &AttributeValue) -> Option<HistoryEntry> {
    let line = Entry { at: names::HISTORY, id: None, attributes: value.as_m().ok()? };
    Some(HistoryEntry {
        at: line.time("at").ok()?,
        what: line.text("what").ok()?.to_owned(),
        why: line.text("why").ok()?.to_owned(),
    })
}

fn damaged(key: &str, damage: &Damage) -> StoreError {
    StoreError::Damaged { key: key.to_owned(), what: damage.to_string() }
}
