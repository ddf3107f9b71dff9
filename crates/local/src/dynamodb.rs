//! `DynamoDB`: the embedded engine, and the few calls that the machine room makes of whichever engine is used.
//!
//! Rule: the table is created and its stream read over `DynamoDB`'s own HTTP API, so that both work alike on the embedded engine and on
//! another one that `AWS_ENDPOINT_URL_DYNAMODB` names.

use std::{path::Path, time::Duration};

use dynoxide::Database;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{identity, stop::Stop};

const SWEEP_PERIOD: Duration = Duration::from_mins(1);
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// A call of `DynamoDB` that failed.
#[derive(Debug, thiserror::Error)]
pub enum DynamoDbError {
    /// No answer, or none that is JSON.
    #[error("no answer from DynamoDB at {url}: {source}")]
    Unreachable {
        /// Where it was looked for.
        url: String,
        /// What went wrong.
        source: reqwest::Error,
    },
    /// It said no.
    #[error("DynamoDB refused {operation}: {kind}: {message}")]
    Refused {
        /// What it was asked to do.
        operation: &'static str,
        /// The name of the exception.
        kind: String,
        /// Its text.
        message: String,
    },
}

/// Opens the embedded engine, with a file in `directory` or in memory.
///
/// # Errors
/// A sentence, when the directory or the file cannot be opened.
pub fn open(directory: Option<&Path>) -> Result<Database, String> {
    let Some(directory) = directory else { return Database::memory().map_err(|error| error.to_string()) };
    std::fs::create_dir_all(directory).map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
    let file = directory.join("dynamodb.sqlite");
    let path = file.to_str().ok_or_else(|| format!("{} is no UTF-8 path", file.display()))?;
    Database::new(path).map_err(|error| format!("cannot open {path}: {error}"))
}

/// Serves the embedded engine until told to stop.
///
/// # Errors
/// A sentence, when the listener fails.
pub async fn serve(listener: TcpListener, database: Database, stop: Stop) -> Result<(), String> {
    dynoxide::server::serve_with_shutdown(listener, database, stop.wanted()).await
}

/// Deletes expired items each minute until told to stop; the engine does not do so by itself.
pub async fn sweep_expired(database: Database, stop: Stop) {
    let mut timer = tokio::time::interval(SWEEP_PERIOD);
    loop {
        tokio::select! {
            () = stop.clone().wanted() => return,
            _ = timer.tick() => {}
        }
        let database = database.clone();
        // The next sweep takes what this one could not.
        let _ = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
    }
}

/// A client of an engine.
#[derive(Debug, Clone)]
pub struct DynamoDb {
    http: reqwest::Client,
    url: String,
}

impl DynamoDb {
    /// The engine at `url`.
    #[must_use]
    pub fn new(http: reqwest::Client, url: String) -> Self {
        Self { http, url }
    }

    /// One call of an operation, such as `DynamoDB_20120810.CreateTable`.
    ///
    /// # Errors
    /// When there is no answer or it is a refusal.
    pub async fn call(&self, operation: &'static str, input: &Value) -> Result<Value, DynamoDbError> {
        let unreachable = |source| DynamoDbError::Unreachable { url: self.url.clone(), source };
        let request = self
            .http
            .post(&self.url)
            .timeout(REQUEST_LIMIT)
            .header("x-amz-target", operation)
            .header("x-amz-date", "20260101T000000Z")
            .header("authorization", identity::unverified_header("local").replace("execute-api", "dynamodb"))
            .header(CONTENT_TYPE, "application/x-amz-json-1.0")
            .body(input.to_string());
        let response = request.send().await.map_err(unreachable)?;
        let accepted = response.status().is_success();
        let answer: Value = response.json().await.map_err(unreachable)?;
        if accepted {
            return Ok(answer);
        }
        let kind = answer["__type"].as_str().unwrap_or("an error without a type");
        let message = answer["message"].as_str().or(answer["Message"].as_str()).unwrap_or_default();
        Err(DynamoDbError::Refused {
            operation,
            kind: kind.rsplit('#').next().unwrap_or(kind).to_owned(),
            message: message.to_owned(),
        })
    }

    /// Creates the pool's table as `template.yaml` does, unless it is there.
    ///
    /// # Errors
    /// As [`DynamoDb::call`].
    pub async fn create_table(&self, table: &str) -> Result<(), DynamoDbError> {
        let input = json!({
            "TableName": table,
            "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"},
        });
        match self.call("DynamoDB_20120810.CreateTable", &input).await {
            Ok(_) => {}
            Err(DynamoDbError::Refused { kind, .. }) if kind == "ResourceInUseException" => return Ok(()),
            Err(error) => return Err(error),
        }
        let ttl = json!({"TableName": table, "TimeToLiveSpecification": {"AttributeName": "ttl", "Enabled": true}});
        self.call("DynamoDB_20120810.UpdateTimeToLive", &ttl).await?;
        Ok(())
    }

    /// The ARN of the table's stream.
    ///
    /// # Errors
    /// As [`DynamoDb::call`]; also when the table has no stream.
    pub async fn stream_arn(&self, table: &str) -> Result<String, DynamoDbError> {
        let operation = "DynamoDB_20120810.DescribeTable";
        let description = self.call(operation, &json!({ "TableName": table })).await?;
        let arn = description["Table"]["LatestStreamArn"].as_str().map(str::to_owned);
        arn.ok_or_else(|| DynamoDbError::Refused {
            operation,
            kind: "NoStream".to_owned(),
            message: format!("table {table} was made without a stream; delete it, so that it is created again"),
        })
    }
}
