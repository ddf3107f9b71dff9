//! The table, in an embedded DynamoDB that lives as long as its stage, and a record of the requests made to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_dynamodb::config::{BehaviorVersion, Config, ConfigBag, Credentials, Intercept, Region, RuntimeComponents};
use aws_sdk_dynamodb::error::BoxError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
    StreamSpecification, StreamViewType,
};
use dynoxide::Database;
use serde_json::Value;

/// The table's name on every stage.
pub const TABLE: &str = "ec2-pool";

/// One request on the wire; the SDK's repetitions are requests of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRequest {
    /// Such as `UpdateItem`.
    pub operation: String,
    /// The items that it is about.
    pub keys: Vec<String>,
    /// It reads, and wants the newest.
    pub is_consistent: bool,
}

/// Requests on the wire, as they went.
#[derive(Debug, Clone, Default)]
pub struct Requests(Arc<Mutex<Vec<TableRequest>>>);

impl Requests {
    /// Requests since the last call of this.
    #[must_use]
    pub fn take(&self) -> Vec<TableRequest> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Those about shards, such as `UpdateItem shard#0`.
    #[must_use]
    pub fn of_shards(&self) -> Vec<String> {
        let all = self.take().into_iter().filter(|request| request.keys.iter().any(|key| key.starts_with("shard#")));
        all.map(|TableRequest { operation, keys, .. }| format!("{operation} {}", keys.join(","))).collect()
    }
}

impl Intercept for Requests {
    fn name(&self) -> &'static str {
        "record of requests"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let target = context.request().headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default();
        let body: Value = serde_json::from_slice(context.request().body().bytes().unwrap_or_default())?;
        let one = body["Key"]["pk"]["S"].as_str().or(body["Item"]["pk"]["S"].as_str());
        let batch = &body["RequestItems"][TABLE];
        let several = batch["Keys"].as_array().into_iter().flatten().filter_map(|key| key["pk"]["S"].as_str());
        let keys = one.into_iter().chain(several).map(str::to_owned).collect();
        let is_consistent = body["ConsistentRead"] == true || batch["ConsistentRead"] == true;
        let request = TableRequest { operation: operation.to_owned(), keys, is_consistent };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(request);
        Ok(())
    }
}

/// The table of a stage.
#[derive(Debug, Clone)]
pub struct Table {
    /// For the functions: its requests are recorded.
    pub recorded: Client,
    /// For the stage itself.
    pub unrecorded: Client,
    /// The record.
    pub requests: Requests,
}

impl Table {
    /// A new engine with the table in it, made as `template.yaml` makes it.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
        let database = Database::memory().expect("a database in memory");
        tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
        let config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(endpoint)
            .build();
        let requests = Requests::default();
        let recorded = Client::from_conf(config.to_builder().interceptor(requests.clone()).build());
        let unrecorded = Client::from_conf(config);
        create(&unrecorded).await;
        Self { recorded, unrecorded, requests }
    }

    /// The shards' items, whole, by key.
    pub async fn shard_items(&self) -> BTreeMap<String, HashMap<String, AttributeValue>> {
        let all = self.all_items().await;
        all.into_iter().filter(|(key, _)| key.starts_with("shard#")).collect()
    }

    /// Every item, whole, by key.
    pub async fn all_items(&self) -> BTreeMap<String, HashMap<String, AttributeValue>> {
        let scanned = self.unrecorded.scan().table_name(TABLE).consistent_read(true).send().await.expect("a scan");
        let keyed = scanned.items.unwrap_or_default().into_iter().filter_map(|item| {
            let key = item.get("pk").and_then(|key| key.as_s().ok()).cloned()?;
            Some((key, item))
        });
        keyed.collect()
    }
}

async fn create(client: &Client) {
    let key = AttributeDefinition::builder().attribute_name("pk").attribute_type(ScalarAttributeType::S).build();
    let schema = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build();
    let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::KeysOnly).build();
    client
        .create_table()
        .table_name(TABLE)
        .attribute_definitions(key.expect("name and type are set"))
        .key_schema(schema.expect("name and type are set"))
        .billing_mode(BillingMode::PayPerRequest)
        .stream_specification(stream.expect("it is said to be enabled"))
        .send()
        .await
        .expect("the table is created");
}
