//! What the targets lie on: benches with a pool in a known state, and what is asked of every answer.

use std::collections::{BTreeMap, BTreeSet};

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use pool_function::environment::Environment;
use pool_tests::bench::Bench;
use pool_tests::contract::Contract;
use pool_tests::request::{ACCOUNT_ID, NODE_ROLE_ID};
use pool_tests::{Answer, Request, Route, invariants, nodes};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

/// The caller who holds and waits.
pub(crate) const ANN: &str = "AIDAANN";

/// A pool of four instances in two shards.
const POOL: [(&str, &str); 3] = [("POOL_MAX", "4"), ("POOL_MIN_AVAILABLE", "4"), ("POOL_SHARD_SIZE", "2")];

/// A pool, and what callers know of it.
pub(crate) struct Bed {
    /// Where futures run; time passes only when they sleep.
    pub(crate) runtime: Runtime,
    /// The pool.
    pub(crate) bench: Bench,
    /// The API's description.
    pub(crate) contract: Contract,
    /// A lease of Ann's under the key `job`.
    pub(crate) lease: String,
    /// Her place in the queue, if there is a queue.
    pub(crate) waiting: Option<String>,
    /// The instance under her lease.
    pub(crate) instance: String,
    /// Routes and the statuses that are documented for them.
    pub(crate) documented: BTreeSet<(String, u16)>,
}

impl Bed {
    /// One lease is held and the rest is free; or all are held, and Ann waits.
    pub(crate) fn new(full: bool) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let contract = Contract::read();
        let (bench, lease, waiting) = runtime.block_on(async {
            let bench = Box::pin(Bench::new(&POOL, Bench::any_credentials())).await;
            let keyed = Request::new(Route::Acquire).by(ANN).header("idempotency-key", "job");
            let lease = bench.call(keyed.json(&json!({}))).await;
            lease.is(201);
            let mut waiting = None;
            while full && waiting.is_none() {
                let request = Request::new(Route::Acquire).by(ANN).json(&json!({"wait_seconds": 60}));
                let answer = bench.call(request).await;
                waiting = (answer.status == 202).then(|| answer.text("lease_id"));
            }
            bench.save();
            (bench, lease, waiting)
        });
        let (lease, instance) = (lease.text("lease_id"), lease.text("instance_id"));
        let documented = contract.documented();
        Self { runtime, bench, contract, lease, waiting, instance, documented }
    }

    /// Puts everything back. Within the runtime, whose time is not that of the machine.
    pub(crate) fn restore(&self) {
        let _inside = self.runtime.enter();
        self.bench.restore();
    }

    /// A request that would be accepted.
    pub(crate) fn sound(&self, route: Route) -> Request {
        let request = Request::new(route).by(ANN);
        match route {
            Route::Acquire => {
                let body = json!({"ttl_seconds": 60, "wait_seconds": 10});
                request.header("idempotency-key", "fuzz").header("prefer", "wait=1").json(&body)
            }
            Route::Look => request.about(self.waiting.as_ref().unwrap_or(&self.lease)).header("prefer", "wait=1"),
            Route::Release => request.about(self.waiting.as_ref().unwrap_or(&self.lease)),
            Route::Renew => request.about(&self.lease).json(&json!({"ttl_seconds": 900})),
            Route::Ready => {
                let word =
                    json!({"boot_id": 9, "key": "f".repeat(32), "tls_sha256": "0".repeat(64), "cleaned_epoch": 9});
                request.by_node(&self.instance).json(&word)
            }
            Route::Heartbeat => request.by_node(&self.instance).json(&nodes::healthy()),
            Route::Pool => request,
            Route::Instance => request.about(&self.instance),
            Route::OrderPool => request.json(&json!({"paused": true, "max_instances": 5, "reason": "a broken image"})),
            Route::OrderInstance => {
                request.about(&self.instance).json(&json!({"order": "cordon", "reason": "it is slow"}))
            }
            Route::ForceRelease => request.about(&self.lease),
        }
    }

    /// What the function of `route` does with an event that is this text, held against what is documented; then everything
    /// is put back. An event that the function cannot read is an error of the invocation, as Lambda would say.
    pub(crate) fn send(&self, environment: &Environment, route: Route, text: &[u8]) -> Option<Answer> {
        let event: ApiGatewayV2httpRequest = serde_json::from_slice(text).ok()?;
        let key = event.route_key.clone();
        let asked =
            Route::ALL.into_iter().find(|one| Some(one.key()) == key.as_deref() && serves(*one) == serves(route));
        let signer = signer(&event);
        let about = event.path_parameters.get("id").cloned().unwrap_or_default();
        let answer = self.runtime.block_on(self.bench.answer(environment, route, event));
        let Some(route) = asked else {
            assert_eq!(answer.status, 404, "a route that this function does not have: {answer:?}");
            return Some(answer);
        };
        let event = serde_json::from_slice(text).unwrap_or_default();
        self.contract.check(&Request { route, event }, &answer);
        Self::check_signer(route, &signer, &about, &answer);
        self.check_written(&format!("{} {}", route.key(), String::from_utf8_lossy(text)), &answer);
        Some(answer)
    }

    fn check_signer(route: Route, signer: &(String, String), about: &str, answer: &Answer) {
        if answer.status >= 300 {
            return;
        }
        let (account, user) = signer;
        assert!(!user.split(':').next().unwrap_or_default().is_empty(), "somebody unknown was answered {answer:?}");
        if route.is_of_nodes() {
            assert_eq!(account, ACCOUNT_ID, "another account's node was believed");
            assert_eq!(user, &format!("{NODE_ROLE_ID}:{about}"), "somebody else was taken for the node");
        }
        if matches!(route, Route::Look | Route::Renew) {
            assert_eq!(user.split(':').next(), Some(ANN), "somebody else was told of Ann's lease");
        }
    }

    /// An error of the caller's changed nothing but, perhaps, the item that wakes `scale`; and what was changed is sound.
    fn check_written(&self, sent: &str, answer: &Answer) {
        let mut written = self.bench.written();
        written.retain(|key| key != "wake");
        if (400..500).contains(&answer.status) {
            assert!(written.is_empty(), "{written:?} were written, and the answer is {answer:?} to {sent}");
        }
        if written.iter().any(|key| key.starts_with("shard#")) {
            self.check_shards();
        }
    }

    /// The shards are as they must be.
    pub(crate) fn check_shards(&self) {
        let shards = self.bench.shards();
        invariants::check(&shards, &mut BTreeMap::new()).unwrap_or_else(|broken| panic!("{broken}"));
    }
}

/// The function of a route.
fn serves(route: Route) -> &'static str {
    match route {
        Route::Acquire | Route::Look | Route::Renew => "acquire",
        Route::Release => "release",
        Route::Ready | Route::Heartbeat => "register",
        Route::Pool | Route::Instance => "status",
        Route::OrderPool | Route::OrderInstance | Route::ForceRelease => "operate",
    }
}

/// Account and user id of whoever signed.
fn signer(event: &ApiGatewayV2httpRequest) -> (String, String) {
    let iam = event.request_context.authorizer.as_ref().and_then(|authorizer| authorizer.iam.as_ref());
    let text = |value: Option<&String>| value.cloned().unwrap_or_default();
    (text(iam.and_then(|iam| iam.account_id.as_ref())), text(iam.and_then(|iam| iam.user_id.as_ref())))
}

/// The event of EC2 in a file, about an instance.
pub(crate) fn event_about(file: &str, instance: &str) -> Value {
    let text = pool_tests::request::event_file(file).to_string().replace("i-0123456789abcdef0", instance);
    serde_json::from_str(&text).expect("it was JSON before")
}
