//! Bad input: whatever a caller sends, it is refused with a reason, nothing panics, and no shard changes.

use pool_core::ids::InstanceId;
use pool_tests::random::Random;
use pool_tests::{Request, Route, Stage, nodes};
use serde_json::{Value, json};

const REQUESTS: usize = 1_500;
const ANN: &str = "AIDAANN";

/// What the good parts of bad requests name: a lease of Ann's and the instance under it.
struct Targets {
    lease: String,
    instance: InstanceId,
}

/// A request that would be accepted.
fn good(route: Route, targets: &Targets) -> Request {
    let request = Request::new(route).by(ANN);
    match route {
        Route::Acquire => request.json(&json!({"wait_seconds": 10})),
        Route::Look | Route::Release | Route::ForceRelease => request.about(&targets.lease),
        Route::Renew => request.about(&targets.lease).json(&json!({"ttl_seconds": 700})),
        Route::Ready => request.by_node(targets.instance.as_str()).json(&json!({"boot_id": 9, "cleaned_epoch": 999})),
        Route::Heartbeat => request.by_node(targets.instance.as_str()).json(&nodes::healthy()),
        Route::Pool => request,
        Route::Instance => request.about(targets.instance.as_str()),
        Route::OrderPool => request.json(&json!({"paused": false, "reason": "it boots again"})),
        Route::OrderInstance => {
            request.about(targets.instance.as_str()).json(&json!({"order": "drain", "reason": "it is slow"}))
        }
    }
}

/// Makes a good request a bad one; what was done to it, and the statuses it may have for it.
fn spoil(request: Request, random: &mut Random) -> (&'static str, Request, &'static [u16]) {
    let route = request.route;
    loop {
        match random.below(5) {
            0 => return ("signer", bad_signer(request, random), &[403]),
            1 if route.key().contains("{id}") => return ("id", bad_id(request, random), &[400, 403]),
            2 | 3 if route.takes_body() => return ("body", bad_body(request, random), &[400, 413]),
            4 if route == Route::Acquire => return ("key", bad_key(request, random), &[400]),
            4 if route == Route::Pool => return ("page", bad_page(request, random), &[400]),
            _ => {}
        }
    }
}

fn bad_page(request: Request, random: &mut Random) -> Request {
    const PAGES: [&str; 8] = ["", "-1", "+1", "1.0", "0x1", "4294967296", "first", "1,2"];
    request.query("from_shard", PAGES[random.below(PAGES.len())])
}

fn bad_signer(mut request: Request, random: &mut Random) -> Request {
    let authorizer = &mut request.event["requestContext"]["authorizer"];
    match random.below(6) {
        0 => *authorizer = Value::Null,
        1 => *authorizer = json!({}),
        2 => authorizer["iam"] = Value::Null,
        3 => authorizer["iam"]["userId"] = Value::Null,
        4 => authorizer["iam"]["userId"] = "".into(),
        _ => authorizer["iam"]["userId"] = ":i-0123456789abcdef0".into(),
    }
    request
}

fn bad_id(mut request: Request, random: &mut Random) -> Request {
    const IDS: [&str; 26] = [
        "",
        " ",
        ".",
        "..",
        "../control",
        "..%2Fcontrol",
        "%00",
        "\0",
        "control",
        "shard#0",
        "0",
        "0.",
        "-1.AbCdEfGhIjKl",
        "00.AbCdEfGhIjKl",
        "99999999999999999999.AbCdEfGhIjKl",
        "0.AbCdEfGhIjK",
        "0.AbCdEfGhIjKé",
        "0.AbCdEfGhIjKl.1",
        "0.AbCdEfGhIjKl.x.i-0123456789abcdef0",
        "0.AbCdEfGhIjKl.18446744073709551616.i-0123456789abcdef0",
        "0.AbCdEfGhIjKl.1.i-0123456789abcdef0.more",
        "i-",
        "i-0123456789ABCDEF0",
        "i-0123456789abcdef0 ",
        "𝟘.𝔸𝕓ℂ",
        "'; DROP TABLE shards; --",
    ];
    let id = match random.below(4) {
        0 => String::from_utf8_lossy(&random.bytes(40)).into_owned(),
        1 => "9".repeat(1 + random.below(9_000)),
        2 => {
            let mut request = request;
            request.event["pathParameters"] = if random.below(2) == 0 { Value::Null } else { json!({}) };
            return request;
        }
        _ => random.pick(&IDS).to_owned(),
    };
    request = request.about(&id);
    request
}

fn bad_key(request: Request, random: &mut Random) -> Request {
    let key = match random.below(5) {
        0 => String::new(),
        1 => " ".repeat(1 + random.below(20)),
        2 => "k".repeat(256 + random.below(5_000)),
        3 => "clé".to_owned(),
        _ => "a\tb".to_owned(),
    };
    request.header("idempotency-key", &key)
}

fn bad_body(request: Request, random: &mut Random) -> Request {
    const NUMBERS: [&str; 15] = [
        "-1",
        "-0.5",
        "0.5",
        "1e400",
        "-1e400",
        "1e30",
        "18446744073709551616",
        "100000000000000000000000000000000000000000",
        "NaN",
        "Infinity",
        "0x10",
        "01",
        "\"5\"",
        "[5]",
        "{}",
    ];
    let field = random.pick(fields(request.route));
    match random.below(11) {
        0 => request.bytes(&[&[0xff, 0xfe][..], &random.bytes(60)].concat()),
        1 => request.text(random.pick(&[
            "[]",
            "null",
            "1",
            "\"{}\"",
            "{",
            "}",
            "{]",
            "nonsense",
            "{\"a\"",
            "\u{feff}{}",
        ])),
        2 => request.text(&format!("{{\"{field}\": {}}}", random.pick(&NUMBERS))),
        3 => request.text(&format!("{{\"unknown\": {}}}", random.pick(&["1", "null", "{}"]))),
        4 => request.text(&format!("{{\"{field}\": {}", "[".repeat(1 + random.below(4_000)))),
        5 => request.text(&format!("{{\"unknown\": {}1{}}}", "[".repeat(3_000), "]".repeat(3_000))),
        6 => request.text(&format!("{{\"{field}\": \"{}\"}}", "x".repeat(8_200 + random.below(60_000)))),
        7 => request.text(&format!("{{\"{field}\": 1, \"{field}\": 1}}")),
        8 => {
            let mut request = request.text("not base64!");
            request.event["isBase64Encoded"] = true.into();
            request
        }
        9 => request.text(&String::from_utf8_lossy(&random.bytes(200))),
        _ => request
            .text(&format!("{{\"{field}\": {}}}", random.pick(&["false", "\"\\ud800\"", "\"\\u0000\"", "\"é\""]))),
    }
}

/// The fields of a body. Only numbers, so that neither `false` nor text is ever right.
fn fields(route: Route) -> &'static [&'static str] {
    match route {
        Route::Acquire => &["ttl_seconds", "wait_seconds"],
        Route::Renew => &["ttl_seconds"],
        Route::Ready => &["boot_id", "cleaned_epoch"],
        _ => &["cpu_percent", "memory_percent", "sessions"],
    }
}

#[tokio::test]
async fn invariant_10_malformed_requests_are_refused_and_change_nothing() {
    let stage = Stage::new(&[("POOL_MAX", "2"), ("POOL_MIN_AVAILABLE", "2"), ("POOL_AFTER_RELEASE", "reset")]).await;
    stage.grow().await;
    let lease = stage.lease(ANN).await;
    let instance = lease.text("instance_id").parse().expect("an instance id");
    let targets = Targets { lease: lease.text("lease_id"), instance };
    let before = stage.items().await;
    let mut random = Random::seeded();
    for number in 0..REQUESTS {
        let route = random.pick(&Route::ALL);
        let (spoiled, request, statuses) = spoil(good(route, &targets), &mut random);
        let sent = format!("request {number}, bad {spoiled}: {}", request.event);
        let answer = stage.call(request).await;
        assert!(statuses.contains(&answer.status), "{sent}\n{answer:?}");
        assert!(stage.items().await == before, "a shard was changed by {sent}\n{answer:?}");
    }
}

#[tokio::test]
async fn numbers_out_of_range_are_named_with_their_range() {
    let stage = Stage::new(&[("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")]).await;
    let instance = stage.grow().await.remove(0);
    let before = stage.items().await;
    for (route, body, range) in [
        (Route::Acquire, json!({"ttl_seconds": 0}), "from 1 to 28800"),
        (Route::Acquire, json!({"ttl_seconds": 28_801}), "from 1 to 28800"),
        (Route::Acquire, json!({"wait_seconds": 301}), "from 0 to 300"),
        (Route::Renew, json!({"ttl_seconds": 0}), "from 1 to 28800"),
        (Route::Ready, json!({"boot_id": 0}), "from 1 to 9007199254740991"),
        (Route::Ready, json!({"boot_id": 9_007_199_254_740_992_u64}), "from 1 to 9007199254740991"),
        (Route::Ready, json!({"boot_id": 1, "key": "abc"}), "32 to 64"),
        (Route::Ready, json!({"boot_id": 1, "key": "g".repeat(32)}), "hexadecimal"),
        (Route::Ready, json!({"boot_id": 1, "tls_sha256": "0"}), "64 lower-case hexadecimal"),
        (Route::Heartbeat, beat("cpu_percent", 100.1), "from 0 to 100"),
        (Route::Heartbeat, beat("memory_percent", -0.1), "from 0 to 100"),
        (Route::Heartbeat, beat("sessions", 1_000_001), "from 0 to 1000000"),
    ] {
        let request = Request::new(route).by(ANN).json(&body);
        let request = match route {
            Route::Renew => request.about("0.AbCdEfGhIjKl"),
            Route::Acquire => request,
            _ => request.by_node(instance.as_str()),
        };
        let answer = stage.call(request).await;
        answer.is_problem(400, "bad-request");
        assert!(answer.text("detail").contains(range), "{body}: {answer:?}");
    }
    assert_eq!(stage.items().await, before);
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_told_in_words_of_the_api() {
    let stage = Stage::new(&[("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")]).await;
    let instance = stage.grow().await.remove(0);
    for (route, body, said) in [
        (
            Route::Acquire,
            r#"{"ttl_seconds": "secret"}"#,
            "ttl_seconds is not as it should be: a whole number, 0 or more.",
        ),
        (Route::Acquire, r#"{"wait_seconds": -1}"#, "wait_seconds is not as it should be: a whole number, 0 or more."),
        (
            Route::Acquire,
            r#"{"wait": "secret"}"#,
            "\"wait\" is no field of this request. Its fields are ttl_seconds, wait_seconds.",
        ),
        (Route::Acquire, r#"{"wait_seconds": 1, "wait_seconds": 2}"#, "The body has a field twice."),
        (Route::Acquire, "{\n \"wait_seconds\": 1,}", "The body is not valid JSON; see line 2, column 20."),
        (Route::Renew, r#"{"ttl_seconds": [60]}"#, "ttl_seconds is not as it should be: a whole number, 0 or more."),
        (Route::Ready, r#"{"key": "00112233445566778899aabbccddeeff"}"#, "boot_id is missing."),
        (Route::Ready, r#"{"boot_id": 1, "key": 5}"#, "key is not as it should be: a text."),
        (Route::Heartbeat, r#"{"healthy": "yes"}"#, "healthy is not as it should be: true or false."),
        (Route::Heartbeat, r#"{"healthy": true, "cpu_percent": "1"}"#, "cpu_percent is not as it should be: a number."),
        (Route::Heartbeat, r#"{"healthy": null}"#, "healthy is missing."),
    ] {
        let request = Request::new(route).by(ANN).text(body);
        let request = match route {
            Route::Renew => request.about("0.AbCdEfGhIjKl"),
            Route::Acquire => request,
            _ => request.by_node(instance.as_str()),
        };
        let answer = stage.call(request).await;
        answer.is_problem(400, "bad-request");
        assert_eq!(answer.text("detail"), said);
    }
}

#[tokio::test]
async fn a_field_that_may_be_left_out_may_be_null_and_a_whole_number_may_have_a_fraction_of_zero() {
    let stage = Stage::new(&[("POOL_MAX", "2"), ("POOL_MIN_AVAILABLE", "2")]).await;
    stage.grow().await;
    let lease = stage.acquire(ANN, &json!({"ttl_seconds": null, "wait_seconds": null})).await;
    assert_eq!((lease.status, lease.number("expires_in_seconds")), (201, 600));
    let id = lease.text("lease_id");
    stage.renew(ANN, &id, &json!({"ttl_seconds": null})).await.is(200);
    let renewed = stage.call(Request::new(Route::Renew).by(ANN).about(&id).text(r#"{"ttl_seconds": 7e2}"#)).await;
    assert_eq!((renewed.status, renewed.number("expires_in_seconds")), (200, 700));
    let lease = stage.acquire(ANN, &json!({"ttl_seconds": 60.0, "wait_seconds": 0.0})).await;
    assert_eq!((lease.status, lease.number("expires_in_seconds")), (201, 60));
}

/// A heartbeat with one field changed.
fn beat(field: &str, value: impl Into<Value>) -> Value {
    let mut body = nodes::healthy();
    body[field] = value.into();
    body
}

#[tokio::test]
async fn unknown_preferences_are_ignored() {
    let stage = Stage::new(&[("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")]).await;
    stage.grow().await;
    let id = stage.lease(ANN).await.text("lease_id");
    for preference in ["", "wait", "wait=", "wait=-1", "wait=1e9", "wait=18446744073709551616", "größe=3", ";;,,=="] {
        stage.call(Request::new(Route::Look).by(ANN).about(&id).header("prefer", preference)).await.is(200);
    }
}
