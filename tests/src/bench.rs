//! A bench for very many requests: the real handlers on the two engines in one process, with no network between them, and
//! put back to how it was after each request.
//!
//! Rules:
//! - Nothing of the project is replaced but the HTTP connector below the SDK clients, the clock and the random source.
//! - Time stands still but for what a handler itself sleeps, so the runtime's time must be paused.
//! - Every write that the table accepts is noted, so that a test can say which keys were written.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use dynoxide::Database;
use ec2_sim::{Config, Ec2};
use pool_core::ids::{InstanceId, Token};
use pool_core::shard::Shard;
use pool_core::time::Timestamp;
use pool_fleet::Fleet;
use pool_function::environment::Environment;
use pool_function::settings::{Ec2Settings, Settings};
use pool_store::Store;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::random::Random;
use crate::request::{ACCOUNT_ID, NODE_ROLE_ID};
use crate::sim::engines;
use crate::stage::POOL;
use crate::table::TABLE;
use crate::{Answer, Request, Route, nodes};

/// The moment at which every request on a bench comes, in Unix seconds.
pub const START_SECONDS: u64 = 1_795_435_200;

/// Items in DynamoDB's JSON, by key.
pub type Items = BTreeMap<String, Value>;

/// What stands behind the clients.
struct Engines {
    database: Database,
    ec2: Mutex<Ec2>,
    /// Keys that were written, in the order of the writes.
    written: Mutex<Vec<String>>,
    /// A status that every request is answered with instead of being carried out; 0 is none.
    refuses_table: AtomicU16,
    refuses_ec2: AtomicU16,
    begun: Mutex<(Instant, u64)>,
    drawn: AtomicU64,
}

/// A bench.
pub struct Bench {
    engines: Arc<Engines>,
    settings: Settings,
    store: Store,
    saved: Mutex<Items>,
    /// In which handlers run.
    pub environment: Environment,
    /// EC2, as the functions know it.
    pub fleet: Fleet,
    /// Settings of the functions that call EC2.
    pub ec2_settings: Ec2Settings,
}

impl Bench {
    /// A pool with these variables, whose clients sign with these credentials. There are as many instances, ready, as
    /// `POOL_MIN_AVAILABLE` says.
    pub async fn new(variables: &[(&str, &str)], credentials: Credentials) -> Self {
        let config = Config { pending_ms: 0, shutting_down_ms: 0, describe_lag_ms: 0, ..Config::default() };
        let subnets = config.subnets.iter().map(|subnet| subnet.id.as_str()).collect::<Vec<_>>().join(",");
        let mut ec2 = Ec2::new(config);
        let template = engines::launch_template(&mut ec2, START_SECONDS * 1_000);
        let engines = Arc::new(Engines {
            database: engines::database(),
            ec2: Mutex::new(ec2),
            written: Mutex::default(),
            refuses_table: AtomicU16::new(0),
            refuses_ec2: AtomicU16::new(0),
            begun: Mutex::new((Instant::now(), START_SECONDS)),
            drawn: AtomicU64::new(0),
        });
        let fixed = [
            ("POOL_TABLE", TABLE),
            ("POOL_NAME", POOL),
            ("POOL_ACCOUNT_ID", ACCOUNT_ID),
            ("POOL_NODE_ROLE_ID", NODE_ROLE_ID),
            ("POOL_LAUNCH_TEMPLATE_ID", &template),
            ("POOL_SUBNETS", &subnets),
        ];
        let all: Vec<(String, String)> =
            fixed.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let settings = Settings::parse(&all).expect("the bench's variables are sound");
        let ec2_settings = Ec2Settings::parse(&all).expect("the bench's variables are sound");
        let store = Store::new(table_client(&engines, credentials.clone()), TABLE);
        let fleet = Fleet::new(ec2_client(&engines, credentials), POOL, settings.policy.endpoint_address);
        let environment = environment(&engines, &settings, &store);
        let saved = Mutex::default();
        let bench = Self { engines, settings, store, saved, environment, fleet, ec2_settings };
        scale::handle(&bench.environment, &bench.fleet, &bench.ec2_settings).await.expect("scale runs");
        for instance in bench.shards().into_iter().flat_map(|shard| shard.booting.into_keys().collect::<Vec<_>>()) {
            let word = json!({"boot_id": nodes::FIRST_BOOT, "key": nodes::key(&instance)});
            bench.call(Request::new(Route::Ready).by_node(instance.as_str()).json(&word)).await.is(204);
        }
        bench.save();
        bench
    }

    /// Credentials that mean nothing.
    #[must_use]
    pub fn any_credentials() -> Credentials {
        Credentials::new("test", "test", None, None, "test")
    }

    /// Takes the table as it is for what [`Bench::restore`] brings back.
    pub fn save(&self) {
        *lock(&self.saved) = self.items();
        lock(&self.engines.written).clear();
    }

    /// Puts the table back to how it was when it was saved, and time to the beginning.
    pub fn restore(&self) {
        let mut written = std::mem::take(&mut *lock(&self.engines.written));
        written.sort_unstable();
        written.dedup();
        for key in written {
            match lock(&self.saved).get(&key) {
                Some(item) => assert!(self.put(item), "a saved item can be put back"),
                None => self.delete(&key),
            }
        }
        lock(&self.engines.written).clear();
        *lock(&self.engines.begun) = (Instant::now(), START_SECONDS);
    }

    /// A function's process that has seen nothing yet.
    #[must_use]
    pub fn fresh_environment(&self) -> Environment {
        environment(&self.engines, &self.settings, &self.store)
    }

    /// Moves time on until the next [`Bench::restore`].
    pub fn pass(&self, seconds: u64) {
        lock(&self.engines.begun).1 += seconds;
    }

    /// Answers every request to the table with this HTTP status; `None` carries requests out again.
    pub fn refuse_table(&self, status: Option<u16>) {
        self.engines.refuses_table.store(status.unwrap_or(0), Ordering::SeqCst);
    }

    /// The same for EC2.
    pub fn refuse_ec2(&self, status: Option<u16>) {
        self.engines.refuses_ec2.store(status.unwrap_or(0), Ordering::SeqCst);
    }

    /// Does something to EC2.
    pub fn ec2<T>(&self, act: impl FnOnce(&mut Ec2, u64) -> T) -> T {
        let now_ms = self.engines.now().0 * 1_000;
        act(&mut lock(&self.engines.ec2), now_ms)
    }

    /// Keys written since the last [`Bench::restore`].
    #[must_use]
    pub fn written(&self) -> Vec<String> {
        lock(&self.engines.written).clone()
    }

    /// Every item.
    #[must_use]
    pub fn items(&self) -> Items {
        let request = serde_json::from_value(json!({"TableName": TABLE})).expect("a request");
        let answer = self.engines.database.scan(request).expect("the engine answers");
        let answer = serde_json::to_value(answer).expect("an answer is JSON");
        let items = answer["Items"].as_array().cloned().unwrap_or_default();
        items.into_iter().map(|item| (item["pk"]["S"].as_str().unwrap_or_default().to_owned(), item)).collect()
    }

    /// One item, as the functions read it.
    #[must_use]
    pub fn item(&self, key: &str) -> Option<pool_store::codec::Item> {
        engines::item(&self.engines.database, key)
    }

    /// Puts an item, in DynamoDB's JSON, as it is; false when the engine refuses it.
    #[must_use]
    pub fn put(&self, item: &Value) -> bool {
        let request = json!({"TableName": TABLE, "Item": item}).to_string();
        let (status, _) = self.engines.dynamodb("PutItem", request.as_bytes());
        status == 200
    }

    /// Takes an item away.
    pub fn delete(&self, key: &str) {
        let request = json!({"TableName": TABLE, "Key": {"pk": {"S": key}}});
        let request = serde_json::from_value(request).expect("a request");
        self.engines.database.delete_item(request).expect("the engine answers");
        lock(&self.engines.written).push(key.to_owned());
    }

    /// Every shard that can be read.
    #[must_use]
    pub fn shards(&self) -> Vec<Shard> {
        let keys = self.items().into_keys().filter(|key| key.starts_with("shard#"));
        let items = keys.filter_map(|key| engines::item(&self.engines.database, &key));
        items.filter_map(|item| pool_store::codec::decode(&item).ok()).collect()
    }

    /// Instances that are members of a shard.
    #[must_use]
    pub fn members(&self) -> Vec<InstanceId> {
        self.shards().into_iter().flat_map(|shard| shard.members.into_keys().collect::<Vec<_>>()).collect()
    }

    /// One request of the bench's own making.
    pub async fn call(&self, request: Request) -> Answer {
        let event = serde_json::from_value(request.event).expect("a request that can be read");
        self.answer(&self.environment, request.route, event).await
    }

    /// What the function of a route answers to an event.
    pub async fn answer(&self, environment: &Environment, route: Route, event: ApiGatewayV2httpRequest) -> Answer {
        Answer::of(match route {
            Route::Acquire | Route::Look | Route::Renew => acquire::handle(environment, event).await,
            Route::Release => release::handle(environment, event).await,
            Route::Ready | Route::Heartbeat => register::handle(environment, event).await,
            Route::Pool | Route::Instance => status::handle(environment, event).await,
            Route::OrderPool | Route::OrderInstance | Route::ForceRelease => operate::handle(environment, event).await,
        })
    }
}

impl Engines {
    fn now(&self) -> Timestamp {
        let (begun, seconds) = *lock(&self.begun);
        Timestamp(seconds + begun.elapsed().as_secs())
    }

    fn dynamodb(&self, operation: &str, body: &[u8]) -> (u16, String) {
        let (status, answer) = engines::dynamodb(&self.database, operation, body);
        if status == 200 && matches!(operation, "PutItem" | "UpdateItem") {
            let request: Value = serde_json::from_slice(body).unwrap_or_default();
            let key = request["Key"]["pk"]["S"].as_str().or(request["Item"]["pk"]["S"].as_str());
            lock(&self.written).push(key.unwrap_or_default().to_owned());
        }
        (status, answer)
    }
}

fn environment(engines: &Arc<Engines>, settings: &Settings, store: &Store) -> Environment {
    let (of_clock, of_random) = (Arc::clone(engines), Arc::clone(engines));
    let random = move || {
        let mut bytes = [0; Token::BYTES];
        let drawn = of_random.drawn.fetch_add(1, Ordering::Relaxed);
        bytes.copy_from_slice(&Random::new(drawn).bytes(Token::BYTES));
        bytes
    };
    Environment::new(settings.clone(), store.clone(), Arc::new(move || of_clock.now()), Arc::new(random))
}

/// The way from a client to one engine, with nothing on it.
#[derive(Clone)]
struct Way {
    engines: Arc<Engines>,
    to_table: bool,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Way").field("to_table", &self.to_table).finish_non_exhaustive()
    }
}

impl HttpClient for Way {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Way {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(self.carry(&request))
    }
}

impl Way {
    fn carry(&self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let body = request.body().bytes().unwrap_or_default();
        let refuses = if self.to_table { &self.engines.refuses_table } else { &self.engines.refuses_ec2 };
        let (status, answer) = match (refuses.load(Ordering::SeqCst), self.to_table) {
            (0, true) => {
                let target = request.headers().get("x-amz-target").unwrap_or_default();
                self.engines.dynamodb(target.rsplit('.').next().unwrap_or_default(), body)
            }
            (0, false) => {
                let form = String::from_utf8_lossy(body).into_owned();
                let now_ms = self.engines.now().0 * 1_000;
                let answer = lock(&self.engines.ec2).call(now_ms, &form);
                (answer.status, answer.body)
            }
            (status, to_table) => (status, refusal(request, status, to_table)),
        };
        let status = status.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
        Ok(HttpResponse::new(status, SdkBody::from(answer)))
    }
}

/// How an engine words that it does not accept a request. Like AWS it repeats the request with its session token when the
/// signature is not accepted; with other statuses it is something between that repeats all it was sent.
fn refusal(request: &HttpRequest, status: u16, by_table: bool) -> String {
    const WORDS: &str = "The request signature we calculated does not match the signature you provided.";
    let header = |name| request.headers().get(name).unwrap_or_default();
    let sent = format!("x-amz-security-token:{} {}", header("x-amz-security-token"), header("authorization"));
    match (status, by_table) {
        (403, true) => {
            let message = format!("{WORDS}\n\nThe Canonical String for this request should have been\n'POST\n{sent}'");
            json!({"__type": "com.amazon.coral.service#InvalidSignatureException", "message": message}).to_string()
        }
        (403, false) => format!(
            "<Response><Errors><Error><Code>SignatureDoesNotMatch</Code><Message>{WORDS}\n\n{sent}</Message></Error>\
             </Errors><RequestID>0</RequestID></Response>"
        ),
        _ => format!("{sent} {}", String::from_utf8_lossy(request.body().bytes().unwrap_or_default())),
    }
}

fn table_client(engines: &Arc<Engines>, credentials: Credentials) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials)
        .timeout_config(pool_function::boot::table_timeouts())
        .retry_config(pool_function::boot::table_retries())
        .http_client(Way { engines: Arc::clone(engines), to_table: true })
        .endpoint_url("http://table.bench");
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

fn ec2_client(engines: &Arc<Engines>, credentials: Credentials) -> aws_sdk_ec2::Client {
    let config = aws_sdk_ec2::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials)
        .timeout_config(pool_function::boot::timeouts())
        .http_client(Way { engines: Arc::clone(engines), to_table: false })
        .endpoint_url("http://ec2.bench");
    aws_sdk_ec2::Client::from_conf(config.build())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
