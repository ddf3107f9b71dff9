//! The embedded DynamoDB in this process, the ways to it, and what each request cost.
//!
//! Rules:
//! - The real SDK client is at one end of a way and the engine at the other; only the HTTP connection between them is
//!   replaced, so that one request of a handler is one request here.
//! - Units are those that the engine answers to `ReturnConsumedCapacity`. Of a refused write it answers none, while
//!   DynamoDB bills it by the item as it is
//!   (<https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Expressions.ConditionExpressions.html>), so that
//!   is counted from the item that comes with the refusal.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};

use crate::item;
use crate::partitions::Partitions;

/// The table's name.
pub const TABLE: &str = "ec2-pool";

/// A client of an engine at this address.
#[must_use]
pub fn client_of(url: &str) -> Client {
    let http = aws_smithy_http_client::Builder::new().build_http();
    Client::from_conf(config().http_client(http).endpoint_url(url).build())
}

fn config() -> aws_sdk_dynamodb::config::Builder {
    aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"))
        .timeout_config(pool_function::boot::table_timeouts())
        .retry_config(pool_function::boot::table_retries())
}

/// What requests cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Spent {
    /// Requests on the wire; the SDK's repetitions are requests of their own.
    pub requests: f64,
    /// Write units, those of refused writes included.
    pub write_units: f64,
    /// Read units.
    pub read_units: f64,
    /// Bytes of the requests' and of the answers' bodies.
    pub bytes: f64,
}

impl Spent {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            requests: self.requests + other.requests,
            write_units: self.write_units + other.write_units,
            read_units: self.read_units + other.read_units,
            bytes: self.bytes + other.bytes,
        }
    }

    /// Its requests, where nothing was averaged.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they are few, and counted one by one")]
    pub fn whole_requests(self) -> u32 {
        self.requests as u32
    }

    /// The share of each of `parts`.
    #[must_use]
    pub fn over(self, parts: f64) -> Self {
        Self {
            requests: self.requests / parts,
            write_units: self.write_units / parts,
            read_units: self.read_units / parts,
            bytes: self.bytes / parts,
        }
    }
}

/// The engine.
pub struct Engine {
    table: Partitions,
    /// How many requests it has answered: its own order of things.
    answered: AtomicU64,
    /// Draws how long requests and answers are on the way, in microseconds; none are when it is absent.
    latency_us: Option<Mutex<fastrand::Rng>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// One caller's way to the engine.
#[derive(Clone)]
pub struct Way {
    /// The SDK client on it.
    pub client: Client,
    ledger: Arc<Ledger>,
}

impl Way {
    /// What was spent on it since the last call of this.
    #[must_use]
    pub fn take(&self) -> Spent {
        std::mem::take(&mut *lock(&self.ledger.spent))
    }

    /// Which of all requests to the engine the last one on this way was; 0 before the first.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.ledger.last.load(Ordering::SeqCst)
    }
}

impl Engine {
    /// An engine in memory with an empty table in it, to which a request takes no time.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::with(1, None, &json!([])))
    }

    /// The same, whose table has so many partitions.
    #[must_use]
    pub fn divided(partitions: usize) -> Arc<Self> {
        Arc::new(Self::with(partitions, None, &json!([])))
    }

    /// The same, to which each request, and each answer back, is under way for 0.5 to 2.5 ms drawn from `seed`. Its table
    /// also has these global secondary indexes.
    #[must_use]
    pub fn far(seed: u64, indexes: &Value) -> Arc<Self> {
        Arc::new(Self::with(1, Some(Mutex::new(fastrand::Rng::with_seed(seed))), indexes))
    }

    fn with(partitions: usize, latency_us: Option<Mutex<fastrand::Rng>>, indexes: &Value) -> Self {
        let engine = Self { table: Partitions::new(partitions), answered: AtomicU64::new(0), latency_us };
        let mut table = json!({
            "TableName": TABLE,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "pk", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}],
        });
        for index in indexes.as_array().into_iter().flatten() {
            let name = &index["KeySchema"][0]["AttributeName"];
            let mut defined = table["AttributeDefinitions"].take();
            if let Some(list) = defined.as_array_mut() {
                list.push(json!({"AttributeName": name, "AttributeType": "S"}));
            }
            table["AttributeDefinitions"] = defined;
            table["GlobalSecondaryIndexes"] = indexes.clone();
        }
        let (status, body) = engine.table.carry_out("CreateTable", table.to_string().as_bytes());
        assert_eq!(status, 200, "{body}");
        engine
    }

    /// A way of its own for one caller.
    #[must_use]
    pub fn way(self: &Arc<Self>) -> Way {
        let ledger = Arc::new(Ledger::default());
        Way { client: self.client(Some(Arc::clone(&ledger))), ledger }
    }

    /// A client whose requests are not counted, since that takes time.
    #[must_use]
    pub fn uncounted(self: &Arc<Self>) -> Client {
        self.client(None)
    }

    fn client(self: &Arc<Self>, ledger: Option<Arc<Ledger>>) -> Client {
        let connector = Connector { engine: Arc::clone(self), ledger };
        Client::from_conf(config().http_client(connector).endpoint_url("http://table.bench").build())
    }

    async fn on_the_way(&self) {
        if let Some(random) = &self.latency_us {
            let us = lock(random).u64(500..2_500);
            tokio::time::sleep(Duration::from_micros(us)).await;
        }
    }
}

/// In the place of an HTTP connection.
#[derive(Clone)]
struct Connector {
    engine: Arc<Engine>,
    ledger: Option<Arc<Ledger>>,
}

/// What was spent on a way.
#[derive(Default)]
struct Ledger {
    spent: Mutex<Spent>,
    last: AtomicU64,
}

impl Ledger {
    fn note(&self, number: u64, operation: &str, bytes: usize, answer: &str) {
        self.last.store(number, Ordering::SeqCst);
        let (write_units, read_units) = units(operation, &serde_json::from_str(answer).unwrap_or_default());
        let bytes = f64::from(u32::try_from(bytes).unwrap_or(u32::MAX));
        let mut spent = lock(&self.spent);
        *spent = spent.plus(Spent { requests: 1.0, write_units, read_units, bytes });
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.clone();
        HttpConnectorFuture::new(async move {
            connector.engine.on_the_way().await;
            let response = connector.carry(&request);
            connector.engine.on_the_way().await;
            response
        })
    }
}

impl Connector {
    fn carry(&self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let operation = target.rsplit('.').next().unwrap_or_default();
        let body = request.body().bytes().unwrap_or_default();
        let (status, text) = match &self.ledger {
            None => self.engine.table.carry_out(operation, body),
            Some(ledger) => {
                let asked = [b"{\"ReturnConsumedCapacity\":\"TOTAL\",", body.get(1..).unwrap_or_default()].concat();
                let (status, text) = self.engine.table.carry_out(operation, &asked);
                let number = self.engine.answered.fetch_add(1, Ordering::SeqCst) + 1;
                ledger.note(number, operation, body.len() + text.len(), &text);
                (status, text)
            }
        };
        let status = status.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
        Ok(HttpResponse::new(status, SdkBody::from(text)))
    }
}

/// Write and read units of one answer.
fn units(operation: &str, answer: &Value) -> (f64, f64) {
    let capacity = &answer["ConsumedCapacity"];
    let total = |one: &Value| one["CapacityUnits"].as_f64().unwrap_or(0.0);
    let told = total(capacity) + capacity.as_array().into_iter().flatten().map(total).sum::<f64>();
    match operation {
        "UpdateItem" | "PutItem" if answer["__type"].is_string() => {
            let standing = item::of_json(&answer["Item"]);
            (item::write_units(item::size_bytes(&standing)), 0.0)
        }
        "UpdateItem" | "PutItem" => (told, 0.0),
        _ => (0.0, told),
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
