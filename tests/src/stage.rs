//! The stage itself: functions in the environments they would have, and what tests do with them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_sdk_dynamodb::types::AttributeValue;
use pool_core::ids::{Epoch, ShardNo, Token};
use pool_core::shard::{Shard, Transition};
use pool_fleet::Fleet;
use pool_function::environment::Environment;
use pool_function::settings::{Ec2Settings, Settings};
use pool_store::{Store, Written};
use serde_json::{Value, json};

use crate::clock::Clock;
use crate::contract::Contract;
use crate::invariants;
use crate::random::Random;
use crate::request::{ACCOUNT_ID, NODE_ROLE_ID};
use crate::simulator::{Place, Simulator};
use crate::table::{TABLE, Table};
use crate::{Answer, Request, Route};

/// The pool's name, and the value of its tag in EC2.
pub const POOL: &str = "test";

/// A whole pool, deployed.
pub struct Stage {
    /// In which `acquire`, `release`, `register` and `status` run.
    pub environment: Environment,
    /// In which `scale`, `reap-idle` and `on-instance-state-change` run.
    pub background: Environment,
    /// The settings of those.
    pub ec2_settings: Ec2Settings,
    /// The pool's instances.
    pub fleet: Fleet,
    /// EC2.
    pub ec2: Simulator,
    /// A client of EC2, for what a person would do by hand.
    pub ec2_client: aws_sdk_ec2::Client,
    /// The table.
    pub table: Table,
    /// The time.
    pub clock: Clock,
    /// What every answer is held against.
    pub contract: Contract,
    place: Vec<(String, String)>,
    epochs: Mutex<BTreeMap<ShardNo, Epoch>>,
}

impl Stage {
    /// An empty table and an empty EC2. The policy is the default one with nothing kept free, so that only demand makes
    /// the pool grow, and with these variables.
    pub async fn new(variables: &[(&str, &str)]) -> Self {
        let clock = Clock::default();
        let table = Table::start().await;
        let (ec2, Place { client, launch_template_id, subnets }) = Simulator::start(clock.clone()).await;
        let place =
            vec![("POOL_LAUNCH_TEMPLATE_ID".to_owned(), launch_template_id), ("POOL_SUBNETS".to_owned(), subnets)];
        let all = with_defaults(&place, variables);
        let ec2_settings = Ec2Settings::parse(&all).expect("the stage's variables are sound");
        let environment = environment(&table, &clock, &all, 1);
        let background = self::environment(&table, &clock, &all, 2);
        let policy = &environment.settings.policy;
        let fleet = Fleet::new(client.clone(), POOL, policy.endpoint_address);
        let (contract, epochs) = (Contract::read(), Mutex::default());
        Self {
            environment,
            background,
            ec2_settings,
            fleet,
            ec2,
            ec2_client: client,
            table,
            clock,
            contract,
            place,
            epochs,
        }
    }

    /// Deploys another policy over the same table and EC2. Every function starts anew; the environment that the API's
    /// functions had until now is answered, as one may go on for a while.
    pub fn deploy(&mut self, variables: &[(&str, &str)]) -> Environment {
        let all = with_defaults(&self.place, variables);
        self.background = environment(&self.table, &self.clock, &all, 3);
        std::mem::replace(&mut self.environment, environment(&self.table, &self.clock, &all, 4))
    }

    /// One request.
    pub async fn call(&self, request: Request) -> Answer {
        self.call_in(&self.environment, request).await
    }

    /// One request, answered in a given environment.
    pub async fn call_in(&self, environment: &Environment, request: Request) -> Answer {
        // By way of text, as it comes from Lambda.
        let text = request.event.to_string();
        let event: ApiGatewayV2httpRequest =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("the function cannot read {text}: {error}"));
        let response = match request.route {
            Route::Acquire | Route::Look | Route::Renew => acquire::handle(environment, event).await,
            Route::Release => release::handle(environment, event).await,
            Route::Ready | Route::Heartbeat => register::handle(environment, event).await,
            Route::Pool | Route::Instance => status::handle(environment, event).await,
            Route::OrderPool | Route::OrderInstance | Route::ForceRelease => operate::handle(environment, event).await,
        };
        let answer = Answer::of(response);
        self.contract.check(&request, &answer);
        self.check().await;
        answer
    }

    /// `owner` asks for a lease.
    pub async fn acquire(&self, owner: &str, body: &Value) -> Answer {
        self.call(Request::new(Route::Acquire).by(owner).json(body)).await
    }

    /// The same with an idempotency key.
    pub async fn acquire_keyed(&self, owner: &str, key: &str, body: &Value) -> Answer {
        self.call(Request::new(Route::Acquire).by(owner).header("idempotency-key", key).json(body)).await
    }

    /// `owner` is granted a lease at once.
    pub async fn lease(&self, owner: &str) -> Answer {
        let answer = self.acquire(owner, &json!({})).await;
        answer.is(201);
        answer
    }

    /// `owner` looks at a lease.
    pub async fn look(&self, owner: &str, id: &str) -> Answer {
        self.call(Request::new(Route::Look).by(owner).about(id)).await
    }

    /// `owner` renews a lease.
    pub async fn renew(&self, owner: &str, id: &str, body: &Value) -> Answer {
        self.call(Request::new(Route::Renew).by(owner).about(id).json(body)).await
    }

    /// `owner` gives a lease back.
    pub async fn release(&self, owner: &str, id: &str) -> Answer {
        self.call(Request::new(Route::Release).by(owner).about(id)).await
    }

    /// Somebody looks at the pool.
    pub async fn pool(&self) -> Value {
        self.call(Request::new(Route::Pool)).await.of_status(200)
    }

    /// One run of `scale`.
    pub async fn scale(&self) {
        scale::handle(&self.background, &self.fleet, &self.ec2_settings).await.expect("scale runs");
        self.check().await;
    }

    /// The run of `scale` that a wake-up causes.
    pub async fn woken(&self) {
        scale::woken(&self.background, &self.fleet, &self.ec2_settings).await.expect("scale runs");
        self.check().await;
    }

    /// One run of `reap-idle`.
    pub async fn reap_idle(&self) {
        reap_idle::handle(&self.background, &self.fleet).await.expect("reap-idle runs");
        self.check().await;
    }

    /// EventBridge brings an event.
    pub async fn event(&self, event: &Value) {
        let read = serde_json::from_value(event.clone()).expect("an event");
        on_instance_state_change::handle(&self.background, &self.fleet, read).await.expect("the event is taken");
        self.check().await;
    }

    /// EventBridge brings everything that EC2 has told since the last time.
    pub async fn all_events(&self) {
        for event in self.ec2.events() {
            self.event(&event).await;
        }
    }

    /// Every shard that was made.
    pub async fn shards(&self) -> Vec<Shard> {
        let store = Store::new(self.table.unrecorded.clone(), TABLE);
        let made = store.control().await.expect("the table answers").map_or(0, |control| control.layout.shards_made);
        store.read_all(made, true).await.expect("the table answers")
    }

    /// One shard.
    pub async fn shard(&self, number: ShardNo) -> Shard {
        let found = self.shards().await.into_iter().find(|shard| shard.number == number);
        found.unwrap_or_else(|| panic!("there is no shard {number}"))
    }

    /// A transition by hand, as a run that died would have left it. It must be accepted.
    pub async fn write(&self, shard: ShardNo, transition: &Transition) -> Shard {
        match self.background.store.apply(shard, transition).await.expect("the table answers") {
            Written::Applied(shard) => shard,
            other => panic!("{transition:?} was not accepted: {other:?}"),
        }
    }

    /// All shards' items, whole.
    pub async fn items(&self) -> BTreeMap<String, HashMap<String, AttributeValue>> {
        self.table.shard_items().await
    }

    /// An environment whose table is not there, as when DynamoDB cannot be reached.
    #[must_use]
    pub fn without_table(&self) -> Environment {
        let all = with_defaults(&self.place, &[("POOL_TABLE", "missing")]);
        environment(&self.table, &self.clock, &all, 5)
    }

    async fn check(&self) {
        let shards = self.shards().await;
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        invariants::check(&shards, &mut epochs).unwrap_or_else(|broken| panic!("{broken}"));
    }
}

fn with_defaults(place: &[(String, String)], variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let fixed = [
        ("POOL_TABLE", TABLE),
        ("POOL_NAME", POOL),
        ("POOL_ACCOUNT_ID", ACCOUNT_ID),
        ("POOL_NODE_ROLE_ID", NODE_ROLE_ID),
        ("POOL_MIN_AVAILABLE", "0"),
    ];
    let mut all: BTreeMap<String, String> = place.iter().cloned().collect();
    all.extend(fixed.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    all.into_iter().collect()
}

/// An environment that has seen nothing yet, with randomness of its own.
fn environment(table: &Table, clock: &Clock, variables: &[(String, String)], seed: u64) -> Environment {
    let settings = Settings::parse(variables).expect("the stage's variables are sound");
    let store = Store::new(table.recorded.clone(), &settings.table);
    let (clock, drawn) = (clock.clone(), AtomicU64::new(seed << 32));
    let random = move || {
        let mut bytes = [0; Token::BYTES];
        let drawn = Random::new(drawn.fetch_add(1, Ordering::SeqCst)).bytes(Token::BYTES);
        bytes.copy_from_slice(&drawn);
        bytes
    };
    Environment::new(settings, store, Arc::new(move || clock.now()), Arc::new(random))
}
