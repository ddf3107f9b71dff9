//! A pool on the engine: shards full of ready instances, and the processes of the functions that lease them.
//!
//! Rule: the handlers are the real ones, with the events that API Gateway would bring. Only clock and randomness are
//! ours, so that the same seed counts the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use pool_core::control::{Control, Layout};
use pool_core::ids::{InstanceId, NodeKey, ShardNo, Token};
use pool_core::shard::{Kind, Market, Member, Shard};
use pool_core::time::Timestamp;
use pool_function::environment::Environment;
use pool_function::settings::Settings;
use pool_store::{Client, Store, codec};
use serde_json::{Value, json};

use crate::engine::{Engine, TABLE, Way, lock};

/// The moment at which everything begins, in Unix seconds.
pub const NOW: Timestamp = Timestamp(1_795_435_200);

/// A pool.
#[derive(Debug)]
pub struct Pool {
    /// Its table.
    pub engine: Arc<Engine>,
    settings: Settings,
    now: Arc<AtomicU64>,
}

/// A process of a function, with its way to the table.
pub struct Process {
    /// Its way.
    pub way: Way,
    environment: Environment,
}

/// What a caller was answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A lease.
    Lease(String),
    /// Anything else.
    Status(u16),
}

impl Pool {
    /// A pool of so many shards, each with so many free instances.
    pub async fn ready(engine: Arc<Engine>, shards: u32, size: u32) -> Self {
        Self::with(engine, (0..shards).map(|number| shard(number, size)).collect(), size).await
    }

    /// A pool of these shards.
    pub async fn with(engine: Arc<Engine>, shards: Vec<Shard>, size: u32) -> Self {
        let settings = put(&engine.way().client, shards, size).await;
        Self { engine, settings, now: Arc::new(AtomicU64::new(NOW.0)) }
    }

    /// Moves time on by a second.
    pub fn pass_a_second(&self) {
        self.now.fetch_add(1, Ordering::Relaxed);
    }

    /// Every shard as it is.
    ///
    /// # Panics
    /// When the engine fails.
    pub async fn shards(&self) -> Vec<Shard> {
        let store = Store::new(self.engine.way().client, TABLE);
        store.read_all(self.settings.policy.shards(), true).await.expect("the engine answers")
    }

    /// A process that has started and read the layout, which is not counted.
    pub async fn process(&self, seed: u64) -> Process {
        let way = self.engine.way();
        let environment = self.environment(way.client.clone(), seed).await;
        let _ = way.take();
        Process { way, environment }
    }

    /// What a function's process works with once it has started.
    ///
    /// # Panics
    /// When the engine fails.
    pub async fn environment(&self, client: Client, seed: u64) -> Environment {
        let store = Store::new(client, TABLE);
        let random = Mutex::new(fastrand::Rng::with_seed(seed));
        let draw = move || {
            let mut bytes = [0; Token::BYTES];
            lock(&random).fill(&mut bytes);
            bytes
        };
        let now = Arc::clone(&self.now);
        let clock = Arc::new(move || Timestamp(now.load(Ordering::Relaxed)));
        let environment = Environment::new(self.settings.clone(), store, clock, Arc::new(draw));
        environment.reload_control().await.expect("the engine answers");
        environment
    }
}

impl Process {
    /// `POST /v1/leases` by one that does not wait.
    ///
    /// # Panics
    /// When the answer is no lease and no refusal.
    pub async fn acquire(&self, key: Option<&str>) -> Answer {
        let response = acquire::handle(&self.environment, read(acquire_event(key))).await;
        match (response.status_code, body(&response)["lease_id"].as_str()) {
            (201, Some(id)) => Answer::Lease(id.to_owned()),
            (status, _) => Answer::Status(u16::try_from(status).expect("an HTTP status")),
        }
    }

    /// `POST /v1/leases/{id}/renew`.
    pub async fn renew(&self, lease: &str) -> i64 {
        let mut event = about(&EVENTS.renew, lease);
        event["body"] = json!({"ttl_seconds": 601}).to_string().into();
        acquire::handle(&self.environment, read(event)).await.status_code
    }

    /// `GET /v1/pool`, the page that begins with this shard: the status and the body.
    ///
    /// # Panics
    /// When the function answers no text.
    pub async fn page(&self, from_shard: u64) -> (i64, String) {
        let mut event = EVENTS.pool.clone();
        event["queryStringParameters"] = json!({"from_shard": from_shard.to_string()});
        let response = status::handle(&self.environment, read(event)).await;
        let Some(Body::Text(text)) = response.body else { panic!("{response:?} is no text") };
        (response.status_code, text)
    }

    /// `DELETE /v1/leases/{id}`.
    pub async fn release(&self, lease: &str) -> i64 {
        release::handle(&self.environment, read(release_event(lease))).await.status_code
    }
}

struct Events {
    acquire: Value,
    renew: Value,
    release: Value,
    pool: Value,
}

/// The requests of `events/`.
static EVENTS: LazyLock<Events> = LazyLock::new(|| {
    let event = |text: &str| serde_json::from_str(text).expect("the files of events/ are JSON");
    Events {
        acquire: event(include_str!("../../../events/acquire.json")),
        renew: event(include_str!("../../../events/acquire-renew.json")),
        release: event(include_str!("../../../events/release.json")),
        pool: event(include_str!("../../../events/status-pool.json")),
    }
});

/// A request for a lease by one who does not wait.
#[must_use]
pub fn acquire_event(key: Option<&str>) -> Value {
    let mut event = EVENTS.acquire.clone();
    event["body"] = json!({"ttl_seconds": 600}).to_string().into();
    if let Some(headers) = event["headers"].as_object_mut() {
        headers.remove("idempotency-key");
        headers.extend(key.map(|key| ("idempotency-key".to_owned(), key.into())));
    }
    event
}

/// A lease given back.
#[must_use]
pub fn release_event(lease: &str) -> Value {
    about(&EVENTS.release, lease)
}

fn about(event: &Value, lease: &str) -> Value {
    let mut event = event.clone();
    event["pathParameters"] = json!({"id": lease});
    event
}

fn read(event: Value) -> ApiGatewayV2httpRequest {
    serde_json::from_value(event).expect("the function can read it")
}

fn body(response: &ApiGatewayV2httpResponse) -> Value {
    match &response.body {
        Some(Body::Text(text)) => serde_json::from_str(text).unwrap_or_default(),
        _ => Value::Null,
    }
}

fn settings(instances: &str, shard_size: &str) -> Settings {
    let variables = [
        ("POOL_TABLE", TABLE),
        ("POOL_ACCOUNT_ID", "000000000000"),
        ("POOL_NODE_ROLE_ID", "AROABENCHNODEROLE0000"),
        ("POOL_MAX", instances),
        ("POOL_SHARD_SIZE", shard_size),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Settings::parse(&variables).expect("the bench's variables are sound")
}

/// Puts a pool of these shards into the table; answers the settings of its functions.
///
/// # Panics
/// When the engine fails.
pub async fn put(client: &Client, mut shards: Vec<Shard>, size: u32) -> Settings {
    let members: usize = shards.iter().map(|shard| shard.members.len()).sum();
    let settings = settings(&members.to_string(), &size.to_string());
    let layout = Layout::default().changed_by(&settings.policy, NOW).expect("a first layout");
    assert_eq!(layout.shards as usize, shards.len(), "the policy asks for as many shards");
    let store = Store::new(client.clone(), TABLE);
    let control = Control { layout: layout.clone(), ..Control::default() };
    assert!(store.put_control(&control).await.expect("the engine answers"), "it is the first");
    for shard in &mut shards {
        shard.layout = layout.number;
        shard.share = layout.share_of(shard.number);
        put_shard(client, shard).await;
    }
    settings
}

/// Puts a shard into the table in place of what was there.
pub(crate) async fn put_shard(client: &Client, shard: &Shard) {
    let put = client.put_item().table_name(TABLE).set_item(Some(codec::encode(shard)));
    put.send().await.expect("the engine takes a shard");
}

/// A shard of so many free instances.
#[must_use]
pub fn shard(number: ShardNo, size: u32) -> Shard {
    shard_of(number, (0..size).map(|n| instance(number, n)).collect())
}

/// A shard of these instances, all of them free.
#[must_use]
pub fn shard_of(number: ShardNo, ids: Vec<InstanceId>) -> Shard {
    let members = ids.iter().enumerate().map(|(n, id)| (id.clone(), member(n)));
    let members = members.collect();
    Shard { members, free: ids, epoch: 100_000, ..Shard::new(number) }
}

/// An instance with an id as EC2 makes them.
#[must_use]
pub fn instance(shard: ShardNo, n: u32) -> InstanceId {
    InstanceId::trusted(format!(
        "i-0{:016x}",
        (u64::from(shard) << 32 | u64::from(n)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    ))
}

/// What is known of an instance that has served for a while.
fn member(n: usize) -> Member {
    Member {
        address: format!("10.77.101.{n}"),
        key: NodeKey::told(&"0123456789abcdef".repeat(2), Some(&"0123456789abcdef".repeat(4))).expect("a key"),
        boot_id: NOW.0 - 3_600,
        since: NOW - 60,
        served: 40,
        kind: Kind {
            instance_type: "t3.medium".to_owned(),
            zone: "us-east-1a".to_owned(),
            market: Market::Spot,
            template_version: 1,
        },
    }
}
