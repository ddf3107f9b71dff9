//! Secrets are in no log line: a whole life of a lease and of a node, with every kind of failure, at the level at which the
//! functions say most, and each secret a text that can be looked for.
//!
//! The secrets are the keys of nodes, access tokens, AWS credentials and `Authorization` headers. An idempotency key is the
//! caller's own text and may have anything in it, so it counts as one, too; the token that is made from it is part of every
//! lease id and is logged.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_dynamodb::config::Credentials;
use pool_function::boot;
use pool_tests::bench::Bench;
use pool_tests::{Answer, Request, Route, nodes};
use serde_json::json;
use tokio::runtime::Builder;
use tracing_subscriber::layer::SubscriberExt;

use crate::bed::event_about;

/// The node's key after its second start.
const NODE_KEY: &str = "cafe0123456789abcdefcafe0123456789abcdef";
const ACCESS_KEY_SECRET: &str = "CanarySecretAccessKey/0123456789abcdef";
const SESSION_TOKEN: &str = "CanarySessionToken0123456789abcdef";
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIACANARY/20261123/us-east-1/execute-api/aws4_request, \
                             SignedHeaders=host, Signature=CanarySignature0123456789abcdef";
const SIGNATURE: &str = "CanarySignature0123456789abcdef";
const SECURITY_TOKEN: &str = "CanarySecurityToken0123456789abcdef";
const IDEMPOTENCY_KEY: &str = "canary-idempotency-key-0123456789abcdef";

/// The lines of a log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn read(&self) -> Vec<String> {
        let bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is to be in no line: the fixed secrets, and those that came up.
#[derive(Debug, Default)]
struct Secrets(Vec<String>);

impl Secrets {
    fn fixed() -> Self {
        let fixed = [NODE_KEY, ACCESS_KEY_SECRET, SESSION_TOKEN, SIGNATURE, SECURITY_TOKEN, IDEMPOTENCY_KEY];
        Self(fixed.map(str::to_owned).into())
    }

    /// An access token in an answer; its signature alone must not be told either.
    fn learn(&mut self, answer: &Answer) {
        let Some(token) = answer.body.as_ref().and_then(|body| body["access_token"].as_str()) else { return };
        let (_, signature) = token.rsplit_once('.').expect("a token ends with its signature");
        self.0.push(signature.to_owned());
    }

    fn found_in<'a>(&'a self, lines: &'a [String]) -> impl Iterator<Item = (&'a String, &'a String)> {
        let pairs = lines.iter().flat_map(move |line| self.0.iter().map(move |secret| (secret, line)));
        pairs.filter(|(secret, line)| line.contains(secret.as_str()))
    }
}

/// A request with everything secret that API Gateway passes on.
fn signed(request: Request) -> Request {
    let request = request.header("authorization", AUTHORIZATION).header("x-amz-security-token", SECURITY_TOKEN);
    if request.route == Route::Acquire { request.header("idempotency-key", IDEMPOTENCY_KEY) } else { request }
}

/// One life, from growth to ruin.
async fn live(bench: &Bench, secrets: &mut Secrets) {
    let call = async |request: Request| bench.call(signed(request)).await;
    for instance in bench.members() {
        secrets.0.push(nodes::key(&instance));
    }
    let lease = call(Request::new(Route::Acquire).by("AIDAANN").json(&json!({"ttl_seconds": 60}))).await;
    lease.is(201);
    secrets.learn(&lease);
    let (id, instance) = (lease.text("lease_id"), lease.text("instance_id"));
    let node = |route| Request::new(route).by_node(&instance);
    call(node(Route::Ready).json(&json!({"boot_id": 9, "key": NODE_KEY}))).await.is(204);
    call(node(Route::Heartbeat).json(&nodes::healthy())).await.is(200);
    bench.pass(5);
    for request in [Request::new(Route::Renew).json(&json!({"ttl_seconds": 120})), Request::new(Route::Look)] {
        let answer = call(request.by("AIDAANN").about(&id)).await;
        answer.is(200);
        secrets.learn(&answer);
    }
    // Every kind of refusal, with secrets where they do not belong.
    let wrong = json!({ "boot_id": NODE_KEY, "key": format!("{NODE_KEY}x") });
    call(node(Route::Ready).json(&wrong)).await.is(400);
    call(node(Route::Ready).json(&json!({"boot_id": 10, "key": format!("{NODE_KEY}x")}))).await.is(400);
    call(node(Route::Ready).json(&json!({"boot_id": 10, NODE_KEY: 1}))).await.is(400);
    call(node(Route::Ready).by("AIDABOB").json(&json!({"boot_id": 10, "key": NODE_KEY}))).await.is(403);
    call(node(Route::Ready).text(&format!("{{\"key\": \"{NODE_KEY}\", \"x\": \"{}\"}}", "x".repeat(9_000))))
        .await
        .is(413);
    call(Request::new(Route::Acquire).by("AIDAANN").header("idempotency-key", "x").json(&json!({IDEMPOTENCY_KEY: 1})))
        .await
        .is(400);
    call(Request::new(Route::Look).by("AIDABOB").about(&id)).await.is(403);
    call(Request::new(Route::Look).by("AIDAANN").about(lease.text("access_token").as_str())).await.is(400);
    call(Request::new(Route::Pool).by("AIDABOB")).await.is(200);
    call(Request::new(Route::Instance).by("AIDABOB").about(&instance)).await.is(200);
    call(Request::new(Route::Release).unsigned().about(&id)).await.is(403);
    background(bench, &instance).await;
    // Neither engine answers; whoever refuses repeats what it was sent.
    for status in [400, 403, 500, 503] {
        bench.refuse_table(Some(status));
        for route in Route::ALL {
            let request = if route.is_of_nodes() { node(route) } else { Request::new(route).by("AIDAANN").about(&id) };
            let request = match route {
                Route::Ready => request.json(&json!({"boot_id": 11, "key": NODE_KEY})),
                Route::Heartbeat => request.json(&nodes::healthy()),
                Route::Instance | Route::OrderInstance => request.about(&instance),
                _ => request,
            };
            call(request).await;
        }
        background(bench, &instance).await;
        bench.refuse_table(None);
        bench.refuse_ec2(Some(status));
        background(bench, &instance).await;
        bench.refuse_ec2(None);
    }
    // A shard that is damaged beside its keys.
    for (key, mut item) in bench.items().into_iter().filter(|(key, _)| key.starts_with("shard#")) {
        item["member_map"]["M"][instance.as_str()]["M"]["b"] = json!({ "S": NODE_KEY });
        assert!(bench.put(&item), "{key} can be damaged");
    }
    call(Request::new(Route::Look).by("AIDAANN").about(&id)).await.is(503);
    call(node(Route::Ready).json(&json!({"boot_id": 12, "key": NODE_KEY}))).await.is(503);
    call(Request::new(Route::Pool).by("AIDAANN")).await.is(503);
    background(bench, &instance).await;
    bench.restore();
    call(Request::new(Route::Release).by("AIDAANN").about(&id)).await.is(204);
}

/// Everything that runs without a caller.
async fn background(bench: &Bench, instance: &str) {
    let Bench { environment, fleet, ec2_settings, .. } = bench;
    for result in [
        scale::woken(environment, fleet, ec2_settings).await,
        reap_idle::handle(environment, fleet).await,
        on_instance_state_change::handle(environment, fleet, ec2_event("rebalance", instance)).await,
        on_instance_state_change::handle(environment, fleet, ec2_event("running", instance)).await,
    ] {
        // What the runtime would log of a failed invocation.
        if let Err(error) = result {
            tracing::error!(target: "lambda_runtime", "{error:?}");
            tracing::error!(target: "lambda_runtime", "{error}");
        }
    }
}

fn ec2_event(what: &str, instance: &str) -> aws_lambda_events::eventbridge::EventBridgeEvent {
    let mut event = event_about("on-instance-state-change-terminated.json", instance);
    if what == "rebalance" {
        event["detail-type"] = "EC2 Instance Rebalance Recommendation".into();
    } else {
        event["detail"]["state"] = what.into();
    }
    serde_json::from_value(event).expect("an event")
}

/// A life with a log; its lines, and the secrets.
fn life_with<S>(log: impl FnOnce(Lines) -> S) -> (Vec<String>, Secrets)
where
    S: tracing::Subscriber + Send + Sync,
{
    let lines = Lines::default();
    let mut secrets = Secrets::fixed();
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    tracing::subscriber::with_default(log(lines.clone()), || {
        runtime.block_on(async {
            let credentials =
                Credentials::new("AKIACANARY", ACCESS_KEY_SECRET, Some(SESSION_TOKEN.into()), None, "test");
            let variables = [("POOL_MAX", "2"), ("POOL_MIN_AVAILABLE", "2")];
            let bench = Box::pin(Bench::new(&variables, credentials)).await;
            live(&bench, &mut secrets).await;
        });
    });
    (lines.read(), secrets)
}

#[test]
fn no_secret_is_in_any_log_line_at_any_level() {
    for level in ["trace", "debug", "info"] {
        let (lines, secrets) = life_with(|lines| boot::log_lines(level, move || lines.clone()));
        if let Some((secret, line)) = secrets.found_in(&lines).next() {
            panic!("{secret} is logged at {level}: {line}");
        }
        let said = |text: &str| lines.iter().any(|line| line.contains(text));
        // It is the log of a life with its failures.
        for text in
            ["\"level\":\"INFO\"", "\"level\":\"WARN\"", "\"level\":\"ERROR\"", "is damaged", "\"cause\":\"release\""]
        {
            assert!(said(text), "nothing says {text} at {level}");
        }
        assert_eq!(said("\"level\":\"DEBUG\""), level != "info", "{level} was not the level");
    }
}

#[test]
fn the_secrets_are_where_a_log_of_everything_would_show_them() {
    let everything = |lines: Lines| {
        let lines = tracing_subscriber::fmt::layer().json().with_writer(move || lines.clone());
        tracing_subscriber::registry().with(tracing_subscriber::filter::LevelFilter::TRACE).with(lines)
    };
    let (lines, secrets) = life_with(everything);
    let found: Vec<&String> = secrets.found_in(&lines).map(|(secret, _)| secret).collect();
    assert!(found.iter().any(|secret| *secret == NODE_KEY), "the test would not see a node key");
    assert!(found.iter().any(|secret| *secret == SESSION_TOKEN), "the test would not see credentials");
}
