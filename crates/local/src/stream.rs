//! The table's stream: brings `wake` items to `scale`, as Lambda's event source mapping does.
//!
//! Rule: records are read in order and one batch at a time. Only those whose key is `wake` are passed on, which is the filter of the
//! event source in `template.yaml`. A batch that fails is tried again a few times; then the schedule of `scale` has to do.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::{Value, json};

use crate::{
    dynamodb::{DynamoDb, DynamoDbError},
    functions::{Failure, Function, Functions},
    logs::Logs,
    stop::Stop,
    variables::REGION,
};

/// Lambda polls four times a second; here a waiter may as well be served sooner.
const POLL_PERIOD: Duration = Duration::from_millis(100);
/// Shards come and go every few hours.
const POLLS_BETWEEN_DESCRIPTIONS: u32 = 100;
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
const TRIES_MAX: u32 = 3;
/// The key that wakes.
const WAKE: &str = "wake";

/// Where a stream is being read.
#[derive(Debug)]
pub struct Reader {
    dynamodb: DynamoDb,
    arn: String,
    /// Iterators by shard; a shard that has ended has none.
    iterators: BTreeMap<String, Option<String>>,
}

impl Reader {
    /// Starts at the end of the stream: what was written before is none of this run's business.
    ///
    /// # Errors
    /// When the stream cannot be described.
    pub async fn at_end(dynamodb: DynamoDb, arn: String) -> Result<Self, DynamoDbError> {
        let mut reader = Self { dynamodb, arn, iterators: BTreeMap::new() };
        reader.find_shards("LATEST").await?;
        Ok(reader)
    }

    /// Adds the shards that are new, to be read from `position`, and forgets those that are no more.
    async fn find_shards(&mut self, position: &str) -> Result<(), DynamoDbError> {
        let description =
            self.dynamodb.call("DynamoDBStreams_20120810.DescribeStream", &json!({ "StreamArn": self.arn })).await?;
        let shards = description["StreamDescription"]["Shards"].as_array().cloned().unwrap_or_default();
        let ids: Vec<&str> = shards.iter().filter_map(|shard| shard["ShardId"].as_str()).collect();
        self.iterators.retain(|shard, _| ids.contains(&shard.as_str()));
        for shard in ids {
            if !self.iterators.contains_key(shard) {
                let input = json!({"StreamArn": self.arn, "ShardId": shard, "ShardIteratorType": position});
                let answer = self.dynamodb.call("DynamoDBStreams_20120810.GetShardIterator", &input).await?;
                self.iterators.insert(shard.to_owned(), answer["ShardIterator"].as_str().map(str::to_owned));
            }
        }
        Ok(())
    }

    /// Adds the records written since the last call, in the order of each shard.
    ///
    /// # Errors
    /// When the engine does not answer; the position is kept. When it no longer knows an iterator, that shard is begun
    /// again at its end. What was read before the error has been added, and its shard's position moved on.
    pub async fn read_into(&mut self, records: &mut Vec<Value>) -> Result<(), DynamoDbError> {
        let shards: Vec<String> = self.iterators.keys().cloned().collect();
        for shard in shards {
            let Some(Some(iterator)) = self.iterators.get(&shard) else { continue };
            let answer =
                self.dynamodb.call("DynamoDBStreams_20120810.GetRecords", &json!({ "ShardIterator": iterator })).await;
            let mut answer = match answer {
                Err(error @ DynamoDbError::Refused { .. }) => {
                    self.iterators.remove(&shard);
                    self.find_shards("LATEST").await?;
                    return Err(error);
                }
                answer => answer?,
            };
            self.iterators.insert(shard, answer["NextShardIterator"].as_str().map(str::to_owned));
            if let Value::Array(found) = answer["Records"].take() {
                records.extend(found);
            }
        }
        Ok(())
    }
}

/// Reads until told to stop and invokes `scale` with each batch that wakes.
pub async fn follow(mut reader: Reader, functions: Arc<Functions>, logs: Arc<Logs>, stop: Stop) {
    tokio::select! {
        () = stop.wanted() => {}
        () = read_on(&mut reader, &functions, &logs) => {}
    }
}

async fn read_on(reader: &mut Reader, functions: &Functions, logs: &Logs) {
    let mut polls: u32 = 0;
    let mut is_broken = false;
    loop {
        tokio::time::sleep(if is_broken { PAUSE_AFTER_ERROR } else { POLL_PERIOD }).await;
        polls = polls.wrapping_add(1);
        let mut records = Vec::new();
        let mut read = Ok(());
        if polls.is_multiple_of(POLLS_BETWEEN_DESCRIPTIONS) {
            read = reader.find_shards("TRIM_HORIZON").await;
        }
        if read.is_ok() {
            read = reader.read_into(&mut records).await;
        }
        if let Some(event) = event(records, &reader.arn) {
            wake(functions, &event).await;
        }
        if let Err(error) = &read
            && !is_broken
        {
            // Said once for each outage, not each second of it.
            logs.warn("stream", &error.to_string());
        }
        is_broken = read.is_err();
    }
}

async fn wake(functions: &Functions, event: &Value) {
    for _ in 0..TRIES_MAX {
        match functions.send(Function::Scale, event).await {
            Ok(_) | Err(Failure::Stopped) => return,
            Err(_) => tokio::time::sleep(PAUSE_AFTER_ERROR).await,
        }
    }
}

/// The event that Lambda makes of the records that pass the filter, if any does.
fn event(records: Vec<Value>, stream_arn: &str) -> Option<Value> {
    let mut records: Vec<Value> =
        records.into_iter().filter(|record| record["dynamodb"]["Keys"]["pk"]["S"] == WAKE).collect();
    for record in &mut records {
        record["eventSource"] = "aws:dynamodb".into();
        record["awsRegion"] = REGION.into();
        record["eventSourceARN"] = stream_arn.into();
    }
    (!records.is_empty()).then(|| json!({ "Records": records }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_wakes_pass() {
        let record =
            |key: &str| json!({"eventID": key, "eventName": "MODIFY", "dynamodb": {"Keys": {"pk": {"S": key}}}});
        assert_eq!(event(vec![record("shard#0"), record("control")], "arn"), None);
        let event = event(vec![record("shard#0"), record("wake")], "arn").expect("one passes");
        assert_eq!(event["Records"].as_array().map(Vec::len), Some(1));
        assert_eq!(event["Records"][0]["eventSourceARN"], "arn");
    }
}
