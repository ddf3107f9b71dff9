//! The commands that speak to a pool, against a server that answers as its API does.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

const PENDING: &str = "0.AAAAAAAAAAAA";
const ACTIVE: &str = "0.AAAAAAAAAAAA.7.i-0123456789abcdef0";

/// What the server was asked, and how often someone looked.
#[derive(Default)]
struct Asked {
    looks: AtomicU32,
    lines: std::sync::Mutex<Vec<String>>,
}

fn answer(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).expect("a status"), axum::Json(body)).into_response()
}

fn instance(state: &str) -> Value {
    json!({"instance_id": "i-0123456789abcdef0", "shard": 0, "state": state, "since": "2026-01-05T00:00:00Z",
           "leases_served": 3, "instance_type": "t3.medium", "zone": "a", "market": "spot", "template_version": 1})
}

/// The orders in force: the pool is drained, unless the reason says that somebody takes that back.
fn orders(asked: &Asked) -> Value {
    let taken_back = asked.lines.lock().expect("nobody panicked").iter().any(|line| line.contains("taken back"));
    if taken_back { json!({}) } else { json!({"drained": {"at": "2026-01-05T00:00:00Z", "why": "maintenance"}}) }
}

async fn pool(State(asked): State<Arc<Asked>>, method: Method, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
    let signed = header("authorization").split(',').next().unwrap_or_default().to_owned();
    asked.lines.lock().expect("nobody panicked").push(format!("{method} {} {body} {signed}", uri.path()));
    match (method.as_str(), uri.path()) {
        ("POST", "/v1/leases") if body.contains("\"wait_seconds\":0") => answer(
            503,
            json!({"type": "urn:ec2-pool:nothing-free", "title": "Nothing free", "status": 503, "detail": "Ask again.",
                   "retry_after_seconds": 5}),
        ),
        ("POST", "/v1/leases") => {
            answer(202, json!({"lease_id": PENDING, "state": "pending", "position": 2, "eta_seconds": 40}))
        }
        ("GET", path) if path == format!("/v1/leases/{PENDING}") => match asked.looks.fetch_add(1, Ordering::SeqCst) {
            0 => answer(200, json!({"lease_id": PENDING, "state": "pending", "position": 1})),
            _ => answer(
                200,
                json!({"lease_id": ACTIVE, "state": "active", "instance_id": "i-0123456789abcdef0", "epoch": 7,
                       "endpoint": "http://10.0.0.1:3000", "access_token": "v1.7.1.secret",
                       "expires_at": "2026-01-05T00:10:00Z", "expires_in_seconds": 600}),
            ),
        },
        ("DELETE", _) => StatusCode::NO_CONTENT.into_response(),
        ("POST", "/v1/operator/pool") => {
            answer(200, json!({"drained": {"at": "2026-01-05T00:00:00Z", "why": "maintenance"}}))
        }
        ("GET", "/v1/pool") if uri.query() == Some("from_shard=1") => {
            answer(200, json!({"totals": {"leased": 1}, "shards": [{"shard": 1}], "instances": [instance("free")]}))
        }
        ("GET", "/v1/pool") => match asked.looks.fetch_add(1, Ordering::SeqCst) {
            0 => answer(
                200,
                json!({"totals": {"leased": 1}, "shards": [{"shard": 0}], "instances": [instance("leased")],
                       "next_shard": 1, "operator": orders(&asked)}),
            ),
            // A launch was decided before the order, and is over a little later.
            1 => answer(200, json!({"totals": {"booting": 1}, "instances": [], "operator": orders(&asked)})),
            _ => answer(200, json!({"totals": {"booting": 0}, "instances": [], "operator": orders(&asked)})),
        },
        _ => answer(
            404,
            json!({"type": "urn:ec2-pool:not-found", "title": "Not there", "status": 404, "detail": "Never seen."}),
        ),
    }
}

/// Runs the command against a new server; signed when `credentials` are given.
async fn run(arguments: &'static [&'static str], credentials: bool) -> (Output, Vec<String>) {
    let asked = Arc::new(Asked::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let router = Router::new().fallback(pool).with_state(Arc::clone(&asked));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let output = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poolctl"));
        // Nothing of whoever runs the tests.
        for name in ["AWS_PROFILE", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"] {
            command.env_remove(name);
        }
        let nowhere = concat!(env!("CARGO_TARGET_TMPDIR"), "/no-such-file");
        command.env("AWS_CONFIG_FILE", nowhere).env("AWS_SHARED_CREDENTIALS_FILE", nowhere);
        if credentials {
            command.env("AWS_ACCESS_KEY_ID", "caller-a").env("AWS_SECRET_ACCESS_KEY", "secret");
        }
        command.args(arguments).env("POOLCTL_ENDPOINT", endpoint).output().expect("poolctl runs")
    });
    let output = output.await.expect("poolctl ends");
    server.abort();
    let lines = asked.lines.lock().expect("nobody panicked").clone();
    (output, lines)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn waiting_for_a_lease_tells_its_progress_and_keeps_the_token_to_itself() {
    let (output, lines) = run(&["acquire", "--wait", "60", "--ttl", "600"], true).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    let (printed, told) = (text(&output.stdout), text(&output.stderr));
    assert!(printed.contains("http://10.0.0.1:3000") && printed.contains(ACTIVE), "{printed}");
    assert!(!printed.contains("secret"), "{printed}");
    assert!(told.contains("place 2 in the queue, about 40 s to go"), "{told}");
    assert!(told.contains("place 1 in the queue, nothing is in sight yet"), "{told}");
    let signature = "AWS4-HMAC-SHA256 Credential=caller-a/";
    assert!(lines.iter().all(|line| line.contains(signature) && line.contains("/us-east-1/execute-api/")), "{lines:?}");
    assert!(lines[0].starts_with("POST /v1/leases {\"ttl_seconds\":600,\"wait_seconds\":60}"), "{lines:?}");
}

#[tokio::test]
async fn without_credentials_a_pool_on_this_machine_is_asked_unsigned() {
    let (output, lines) = run(&["release", ACTIVE, "--json"], false).await;
    assert!(output.status.success() && output.stdout.is_empty(), "{}", text(&output.stderr));
    assert_eq!(lines, [format!("DELETE /v1/leases/{ACTIVE}  -")]);
}

#[tokio::test]
async fn problems_are_told_and_end_with_their_status() {
    let (output, _) = run(&["acquire"], false).await;
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stderr), "poolctl: Nothing free: Ask again.\n");
    let (output, _) = run(&["history", "i-0123456789abcdef0"], false).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "poolctl: Not there: Never seen.\n");
    let (output, _) = run(&["status", "--endpoint", "http://127.0.0.1:1"], false).await;
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    let (output, _) = run(&["status", "--endpoint", "pool"], false).await;
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

#[tokio::test]
async fn draining_waits_until_nothing_is_left() {
    let (output, lines) = run(&["drain", "--wait", "--reason", "maintenance"], false).await;
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "nothing is left\n");
    assert_eq!(text(&output.stderr), "1 left, 1 of them leased\n1 launches are not over yet\n");
    assert!(lines[0].starts_with("POST /v1/operator/pool {\"drained\":true,\"reason\":\"maintenance\"}"), "{lines:?}");
}

#[tokio::test]
async fn draining_ends_when_somebody_takes_the_order_back() {
    let (output, _) = run(&["drain", "--wait", "--reason", "taken back"], false).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("somebody took the order back"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn instances_are_a_table_for_people_and_json_for_programs() {
    let (output, _) = run(&["instances"], false).await;
    let printed = text(&output.stdout);
    assert!(printed.contains("INSTANCE") && printed.contains("i-0123456789abcdef0  leased"), "{printed}");
    let (output, _) = run(&["instances", "--json"], false).await;
    let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(printed, json!([instance("leased"), instance("free")]), "those of both pages");
    let (output, _) = run(&["status", "--json"], false).await;
    let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(printed["shards"], json!([{"shard": 0}, {"shard": 1}]));
    assert_eq!(printed["next_shard"], Value::Null);
}
