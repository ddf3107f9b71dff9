//! Who must not: each route against nobody, another caller, an expired lease, a replay and a forged instance.
//!
//! Each situation has a row for each route, and no item of the table may differ afterwards. Where a route does not refuse
//! by design (a replay is answered like the first time, everybody may look at the pool) the row says so, and the rule that
//! nothing changes holds all the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use pool_core::ids::InstanceId;
use pool_tests::request::NODE_ROLE_ID;
use pool_tests::{Request, Route, Stage, nodes};
use serde_json::{Value, json};

const ANN: &str = "AIDAANN";
const BOB: &str = "AIDABOB";

/// What a row says of the answer.
#[derive(Debug, Clone, Copy)]
enum Outcome {
    /// It is this error.
    Refused(u16, &'static str),
    /// It is this status, by design, and harmless since nothing changes.
    Harmless(u16),
}

use Outcome::{Harmless, Refused};

/// A request that must not have an effect.
struct Row {
    what: &'static str,
    request: Request,
    outcome: Outcome,
}

fn row(what: &'static str, request: Request, outcome: Outcome) -> Row {
    Row { what, request, outcome }
}

/// Every item but the one whose only use is to wake `scale`, which a request in vain does, too.
async fn stored(stage: &Stage) -> BTreeMap<String, HashMap<String, AttributeValue>> {
    let mut all = stage.table.all_items().await;
    all.remove("wake");
    all
}

/// Sends every row; there is one for each route.
async fn try_all(stage: &Stage, rows: Vec<Row>) {
    let tried: BTreeSet<Route> = rows.iter().map(|row| row.request.route).collect();
    assert!(tried.iter().eq(&BTreeSet::from(Route::ALL)), "only {tried:?} have a row");
    let before = stored(stage).await;
    for Row { what, request, outcome } in rows {
        let at = format!("{} {what}", request.route.key());
        let answer = stage.call(request).await;
        println!("{at}: {}", answer.status);
        match outcome {
            Refused(status, kind) => {
                assert_eq!(answer.status, status, "{at}: {answer:?}");
                answer.is_problem(status, kind);
            }
            Harmless(status) => assert_eq!(answer.status, status, "{at}: {answer:?}"),
        }
        assert_eq!(stored(stage).await, before, "{at} changed something");
    }
}

/// A pool of two instances: Ann holds one under the key `job`, the other one is held too, and Ann waits for a third.
struct Scene {
    stage: Stage,
    /// Ann's lease.
    lease: String,
    /// The same in its short form.
    short: String,
    /// Her place in the queue.
    waiting: String,
    /// The instance under her lease.
    instance: InstanceId,
    /// The other one.
    other: InstanceId,
}

impl Scene {
    async fn new() -> Self {
        let stage = Stage::new(&[("POOL_MAX", "2"), ("POOL_MIN_AVAILABLE", "2"), ("POOL_QUEUE_MAX", "1")]).await;
        stage.grow().await;
        let lease = stage.acquire_keyed(ANN, "job", &json!({"ttl_seconds": 60})).await;
        lease.is(201);
        let instance = InstanceId::trusted(lease.text("instance_id"));
        let other = InstanceId::trusted(stage.lease("AIDACARL").await.text("instance_id"));
        let waiting = stage.acquire(ANN, &json!({"wait_seconds": 300})).await;
        waiting.is(202);
        // Every node has beaten, so that a replayed heartbeat finds its record as it leaves it.
        stage.all_beat().await;
        let lease = lease.text("lease_id");
        let short = lease.split('.').take(2).collect::<Vec<_>>().join(".");
        Self { stage, lease, short, waiting: waiting.text("lease_id"), instance, other }
    }

    /// The request that the rightful one would send.
    fn rightful(&self, route: Route) -> Request {
        let request = Request::new(route).by(ANN);
        let word = json!({"boot_id": 99, "key": "f".repeat(32), "cleaned_epoch": 1_000});
        match route {
            Route::Acquire => request.header("idempotency-key", "job").json(&json!({"wait_seconds": 10})),
            Route::Look | Route::Release | Route::ForceRelease => request.about(&self.lease),
            Route::Renew => request.about(&self.lease).json(&json!({"ttl_seconds": 900})),
            Route::Ready => request.by_node(self.instance.as_str()).json(&word),
            Route::Heartbeat => request.by_node(self.instance.as_str()).json(&beat(77)),
            Route::Pool => request,
            Route::Instance => request.about(self.instance.as_str()),
            Route::OrderPool => request.json(&json!({"paused": true, "reason": "the image does not boot"})),
            Route::OrderInstance => {
                request.about(self.instance.as_str()).json(&json!({"order": "drain", "reason": "it is slow"}))
            }
        }
    }
}

/// A heartbeat that would show in the record.
fn beat(sessions: u64) -> Value {
    json!({"healthy": false, "cpu_percent": 99, "memory_percent": 99, "sessions": sessions})
}

/// Ways to be nobody.
fn nobodies(request: &Request) -> Vec<(&'static str, Request)> {
    let with = |change: fn(&mut Value)| {
        let mut request = request.clone();
        change(&mut request.event["requestContext"]["authorizer"]);
        request
    };
    vec![
        ("not signed", request.clone().unsigned()),
        ("without an authorizer's word", with(|authorizer| *authorizer = json!({}))),
        ("by a token of another authorizer", with(|authorizer| *authorizer = json!({"jwt": {"claims": {"sub": ANN}}}))),
        ("by an account without a user", with(|authorizer| authorizer["iam"]["userId"] = Value::Null)),
        ("by an empty user id", with(|authorizer| authorizer["iam"]["userId"] = "".into())),
        ("by a session of no role", with(|authorizer| authorizer["iam"]["userId"] = format!(":{ANN}").into())),
    ]
}

#[tokio::test]
async fn invariant_10_nobody_is_refused_on_every_route() {
    let scene = Scene::new().await;
    let rows = Route::ALL.into_iter().flat_map(|route| {
        let ways = nobodies(&scene.rightful(route)).into_iter();
        ways.map(|(what, request)| row(what, request, Refused(403, "forbidden")))
    });
    try_all(&scene.stage, rows.collect()).await;
}

#[tokio::test]
async fn invariant_10_another_owner_is_refused_on_every_route() {
    let scene = Scene::new().await;
    // None of them is Ann, whatever they call their sessions or themselves.
    let strangers = [
        ("by another user", BOB),
        ("by a role whose session is called like the owner", "AROAMALLORY:AIDAANN"),
        ("by a user whose id begins like the owner's", "AIDAANNA"),
        ("by a user whose id is the beginning of the owner's", "AIDAAN"),
        ("by a user whose id is the owner's in small letters", "aidaann"),
        ("by a user whose id ends with a space", "AIDAANN "),
        ("by a user whose id ends with a zero byte", "AIDAANN\0"),
        ("by a user whose id has a letter of another alphabet", "AID\u{410}ANN"),
        ("by a node", "AROALOCALNODEROLE0000:i-0123456789abcdef0"),
    ];
    let mut rows = Vec::new();
    for (what, who) in strangers {
        for id in [&scene.lease, &scene.short, &scene.waiting] {
            for route in [Route::Look, Route::Renew, Route::Release] {
                rows.push(row(what, scene.rightful(route).by(who).about(id), Refused(403, "forbidden")));
            }
        }
        // Somebody else's key is another request, and for that there is nothing: neither an instance nor a place to wait.
        rows.push(row(what, scene.rightful(Route::Acquire).by(who), Refused(503, "queue-full")));
        for route in [Route::Ready, Route::Heartbeat] {
            rows.push(row(what, scene.rightful(route).by(who), Refused(403, "forbidden")));
        }
        // The status is for everybody whom IAM lets in. It shows no lease id, no owner, no key.
        for route in [Route::Pool, Route::Instance] {
            rows.push(row(what, scene.rightful(route).by(who), Harmless(200)));
        }
    }
    // Orders are for everybody to whom IAM gives them; an instance gives none.
    for route in Route::ALL.into_iter().filter(|route| route.is_of_operators()) {
        let node = "AROALOCALNODEROLE0000:i-0123456789abcdef0";
        rows.push(row("by a node", scene.rightful(route).by(node), Refused(403, "forbidden")));
    }
    try_all(&scene.stage, rows).await;
    for route in [Route::Pool, Route::Instance] {
        let shown = scene.stage.call(scene.rightful(route).by(BOB)).await.of_status(200).to_string();
        let token = scene.short.trim_start_matches("0.");
        for secret in [token, &scene.lease, ANN, &nodes::key(&scene.instance)] {
            assert!(!shown.contains(secret), "{} shows {secret}: {shown}", route.key());
        }
    }
}

#[tokio::test]
async fn an_expired_lease_is_refused_on_every_route() {
    let scene = Scene::new().await;
    // A second later than its last.
    scene.stage.clock.pass(61);
    let mut rows = Vec::new();
    for id in [&scene.lease, &scene.short] {
        rows.push(row("expired", scene.rightful(Route::Look).about(id), Refused(404, "not-found")));
        rows.push(row("expired", scene.rightful(Route::Renew).about(id), Refused(404, "not-found")));
    }
    try_expired(&scene, rows).await;

    // All that anybody held or waited for is over and was taken away.
    scene.stage.clock.pass(700);
    scene.stage.reap_idle().await;
    assert!(scene.stage.shard(0).await.leases.is_empty());
    let rows = [
        (Route::Look, Refused(404, "not-found")),
        (Route::Renew, Refused(404, "not-found")),
        (Route::Release, Harmless(204)),
    ];
    let ids = [&scene.lease, &scene.short, &scene.waiting];
    let rows = ids.into_iter().flat_map(|id| {
        rows.map(|(route, outcome)| row("expired and taken away", scene.rightful(route).about(id), outcome))
    });
    try_expired(&scene, rows.collect()).await;
}

/// Orders about what is not there, or that are in force already.
fn orders_in_vain(scene: &Scene) -> Vec<Row> {
    let resume = json!({"paused": false, "reason": "it boots again"});
    vec![
        row("that is in force", scene.rightful(Route::OrderPool).json(&resume), Harmless(200)),
        row(
            "about no instance",
            scene.rightful(Route::OrderInstance).about("i-0fedcba9876543210"),
            Refused(404, "not-found"),
        ),
        row("about no lease", scene.rightful(Route::ForceRelease).about("0.AbCdEfGhIjKl"), Harmless(204)),
    ]
}

/// The rows of an expired lease, and one for each route that knows no leases.
async fn try_expired(scene: &Scene, mut rows: Vec<Row>) {
    let gone = "i-0fedcba9876543210";
    let word = json!({"boot_id": 1, "key": "f".repeat(32)});
    rows.push(row(
        "without an instance any more",
        Request::new(Route::Ready).by_node(gone).json(&word),
        Refused(404, "not-found"),
    ));
    rows.push(row(
        "without an instance any more",
        Request::new(Route::Heartbeat).by_node(gone).json(&beat(1)),
        Refused(404, "not-found"),
    ));
    rows.push(row(
        "without an instance any more",
        Request::new(Route::Instance).by(ANN).about(gone),
        Refused(404, "not-found"),
    ));
    rows.push(row("after an expiry", scene.rightful(Route::Pool), Harmless(200)));
    rows.extend(orders_in_vain(scene));
    if !rows.iter().any(|row| row.request.route == Route::Release) {
        rows.push(row(
            "of a lease that never was",
            scene.rightful(Route::Release).about("0.AbCdEfGhIjKl"),
            Harmless(204),
        ));
    }
    // An acquire names no lease; with a body that is refused it is one more row.
    rows.push(row(
        "for longer than may be",
        scene.rightful(Route::Acquire).json(&json!({"ttl_seconds": 28_801})),
        Refused(400, "bad-request"),
    ));
    try_all(&scene.stage, rows).await;
}

#[tokio::test]
async fn failure_20_a_replay_is_refused_or_changes_nothing_on_every_route() {
    let scene = Scene::new().await;
    let Scene { stage, lease: first, waiting, instance, .. } = &scene;
    stage.release(ANN, waiting).await.is(204);
    stage.release(ANN, first).await.is(204);
    let second = stage.acquire_keyed(ANN, "job", &json!({})).await;
    second.is(201);
    assert_ne!(&second.text("lease_id"), first);
    let held = second.text("instance_id").parse().expect("an instance id");
    // The node starts again with another key; what its earlier start said comes late.
    stage.ready_with(&held, &json!({"boot_id": 7, "key": "e".repeat(32)})).await.is(204);
    stage.all_beat().await;
    let stale = |route| scene.rightful(route).about(first);
    let ready = |body: Value| Request::new(Route::Ready).by_node(held.as_str()).json(&body);
    let rows = vec![
        row("with the id of an earlier grant", stale(Route::Renew), Refused(409, "other-epoch")),
        row("with the id of an earlier grant", stale(Route::Release), Refused(409, "other-epoch")),
        // It is told the present id.
        row("with the id of an earlier grant", stale(Route::Look), Harmless(200)),
        row("of a place that was given up", scene.rightful(Route::Release).about(waiting), Harmless(204)),
        row("of a place that was given up", scene.rightful(Route::Look).about(waiting), Refused(404, "not-found")),
        row("of a place that was given up", scene.rightful(Route::Renew).about(waiting), Refused(404, "not-found")),
        row("with the same key", scene.rightful(Route::Acquire), Harmless(201)),
        row("of the same start", ready(json!({"boot_id": 7, "key": "e".repeat(32)})), Harmless(204)),
        row("of the same start with another key", ready(json!({"boot_id": 7, "key": "d".repeat(32)})), Harmless(204)),
        row("of an earlier start", ready(json!({"boot_id": 1, "key": nodes::key(&held)})), Harmless(204)),
        row("of the same start, cleaned", ready(json!({"boot_id": 7, "cleaned_epoch": 9_999})), Harmless(204)),
        row("again", Request::new(Route::Heartbeat).by_node(held.as_str()).json(&nodes::healthy()), Harmless(200)),
        row("again", scene.rightful(Route::Pool), Harmless(200)),
        row("again", scene.rightful(Route::Instance).about(instance.as_str()), Harmless(200)),
    ];
    try_all(stage, rows.into_iter().chain(orders_in_vain(&scene)).collect()).await;
    assert_eq!(stage.look(ANN, first).await.text("lease_id"), second.text("lease_id"));
}

/// Ways to pose as the instance `victim`.
fn forgeries(request: &Request, victim: &InstanceId, other: &InstanceId) -> Vec<(&'static str, Request)> {
    let id = victim.as_str();
    let by = |user: &str| request.clone().by(user);
    vec![
        ("by another node", by(&format!("{NODE_ROLE_ID}:{other}"))),
        ("by the node role of another account", by(&format!("{NODE_ROLE_ID}:{id}")).from_account("111111111111")),
        ("by a role of another account", by(&format!("AROAMALLORY:{id}")).from_account("111111111111")),
        ("by a role whose session is called like the instance", by(&format!("AROAMALLORY:{id}"))),
        ("by a user called like the instance", by(id)),
        ("by the holder of the lease", by(ANN)),
        ("by the node role without a session", by(NODE_ROLE_ID)),
        ("by the node role with an empty session", by(&format!("{NODE_ROLE_ID}:"))),
        ("by a session that begins like the instance", by(&format!("{NODE_ROLE_ID}:{id}0"))),
        ("by a session that is the beginning of the instance", by(&format!("{NODE_ROLE_ID}:{}", &id[..id.len() - 1]))),
        ("by a session that ends with a space", by(&format!("{NODE_ROLE_ID}:{id} "))),
        ("by a session that ends with a zero byte", by(&format!("{NODE_ROLE_ID}:{id}\0"))),
        ("by a session in capital letters", by(&format!("{NODE_ROLE_ID}:{}", id.to_uppercase()))),
        ("by two sessions", by(&format!("{NODE_ROLE_ID}:{id}:{id}"))),
        ("by a role whose id begins like the node role's", by(&format!("{NODE_ROLE_ID}0:{id}"))),
        ("by the node role in small letters", by(&format!("{}:{id}", NODE_ROLE_ID.to_lowercase()))),
        ("by a colon and the instance", by(&format!(":{id}"))),
    ]
}

#[tokio::test]
async fn invariant_10_a_forged_instance_is_refused_on_every_route() {
    let scene = Scene::new().await;
    let mut rows = Vec::new();
    for route in [Route::Ready, Route::Heartbeat] {
        for (what, request) in forgeries(&scene.rightful(route), &scene.instance, &scene.other) {
            rows.push(row(what, request, Refused(403, "forbidden")));
        }
        // The node itself, but about the other one.
        let about = scene.rightful(route).about(scene.other.as_str());
        rows.push(row("about another instance", about, Refused(403, "forbidden")));
    }
    // An instance gives no orders.
    for route in Route::ALL.into_iter().filter(|route| route.is_of_operators()) {
        let node = format!("{NODE_ROLE_ID}:{}", scene.instance);
        rows.push(row("by a node", scene.rightful(route).by(&node), Refused(403, "forbidden")));
    }
    // To be a node, true or forged, opens no lease: not even the one on its own instance.
    for (what, request) in forgeries(&scene.rightful(Route::Look), &scene.instance, &scene.other) {
        let user = request.event["requestContext"]["authorizer"]["iam"]["userId"].as_str().unwrap_or_default();
        if user == ANN {
            continue;
        }
        for route in [Route::Look, Route::Renew, Route::Release] {
            rows.push(row(what, scene.rightful(route).by(user), Refused(403, "forbidden")));
        }
        let outcome = if user.starts_with(':') { Refused(403, "forbidden") } else { Refused(503, "queue-full") };
        rows.push(row(what, scene.rightful(Route::Acquire).by(user), outcome));
        let outcome = if user.starts_with(':') { Refused(403, "forbidden") } else { Harmless(200) };
        rows.push(row(what, scene.rightful(Route::Pool).by(user), outcome));
        rows.push(row(what, scene.rightful(Route::Instance).by(user), outcome));
    }
    try_all(&scene.stage, rows).await;
}
