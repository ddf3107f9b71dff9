//! The policy engine seen at work from outside: the real binaries, the simulated EC2 with its machines, `poolctl`, and time
//! that passes sixty times as fast. Each test is named by the part of the policy that it shows.

mod starts;
mod system;

use reqwest::Method;
use serde_json::{Value, json};

use system::{System, TIME_SCALE, those, total};

#[tokio::test]
async fn scale_out_for_waiters_and_busy_nodes_and_scale_in_when_all_is_quiet() {
    let policy = [("POOL_MAX", "8"), ("POOL_IDLE_THRESHOLD_MINUTES", "3"), ("POOL_SCALE_IN_COOLDOWN_SECONDS", "120")];
    let system = System::start(&policy).await;
    system.until("one instance is kept free", |pool| total(pool, "free") == 1).await;
    let users = ["ann", "bob", "cid"];
    let asked = [system.acquire(users[0]).await, system.acquire(users[1]).await, system.acquire(users[2]).await];
    assert_eq!((asked[0].status, asked[2].status), (201, 202));
    assert!(asked[2].body["eta_seconds"].as_u64() > Some(0), "a waiter is told when to expect an instance: {asked:?}");
    let leases = system.until_active(&[(users[0], &asked[0]), (users[1], &asked[1]), (users[2], &asked[2])]).await;
    for lease in &leases {
        let guest = format!("instances/{}/guest", lease.text("instance_id"));
        system.ec2_put(&guest, json!({"busy_percent": 95})).await;
    }
    let busy = system.until("a step is taken for busy nodes", |pool| {
        pool["measures"]["kept_for_busy_nodes"].as_u64() >= Some(1) && total(pool, "free") >= 2
    });
    let busy = busy.await;
    let why = busy["growth"]["why"].as_str().unwrap_or_default();
    assert!(why.contains("3 leased + 0 waiting + 1 kept free") && why.contains("busy"), "{why}");
    assert!(system.alive().await.len() <= 8);

    for (user, lease) in users.iter().zip(&leases) {
        system.release(user, lease.text("lease_id")).await;
    }
    let everyone = those(&system.pool().await, "state", "free").iter().map(ToString::to_string).collect::<Vec<_>>();
    let quiet = system.until("the pool is small again", |pool| {
        total(pool, "free") == 1 && pool["instances"].as_array().is_some_and(|all| all.len() == 1)
    });
    let quiet = quiet.await;
    let gone = everyone.iter().find(|one| quiet["instances"][0]["instance_id"] != one.as_str()).expect("some went");
    let fenced = system.until_happened(gone, "fence").await;
    assert!(fenced["why"].as_str().is_some_and(|why| why.contains("minutes and not needed")), "{fenced}");
}

/// Unix seconds of the system's clock, as far as the pool's own records tell.
fn unix_seconds(entry: &Value) -> u64 {
    entry["at"].as_u64().expect("a time")
}

#[expect(clippy::disallowed_methods, reason = "the system's time begins with the wall's")]
fn wall_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs()
}

#[tokio::test]
async fn a_window_of_the_schedule_is_filled_before_it_opens_and_emptied_after() {
    // Time passes sixty times as fast from now on, so this is some eight seconds away, whatever the start takes.
    let opens = (wall_seconds() / 60 + 8) * 60;
    let cron = format!("{} {} * * *", opens / 60 % 60, opens / 3_600 % 24);
    let window = json!([{"cron": cron, "timezone": "UTC", "duration_minutes": 10, "min_available": 4}]).to_string();
    let policy = [
        ("POOL_SCHEDULE", window.as_str()),
        ("POOL_IDLE_THRESHOLD_MINUTES", "2"),
        ("POOL_SCALE_IN_COOLDOWN_SECONDS", "60"),
        ("POOL_REMOVAL_BUDGET_PERCENT", "100"),
    ];
    let system = System::start(&policy).await;
    system.until("one instance is kept free", |pool| total(pool, "free") == 1).await;
    system.until("a boot was measured", |pool| pool["measures"]["boot_seconds"].is_u64()).await;
    let open = system.until("the window is filled", |pool| total(pool, "free") == 4).await;
    for instance in those(&open, "state", "free") {
        let launched = system.until_happened(instance, "launched").await;
        assert!(unix_seconds(&launched) < opens, "{instance} was launched at {launched}, the window opens at {opens}");
    }
    system.until("the window is over", |pool| total(pool, "free") == 1 && total(pool, "leaving") == 0).await;
}

#[tokio::test]
async fn an_offering_without_capacity_cools_down_and_comes_back() {
    let policy = [("POOL_MIN_AVAILABLE", "0"), ("POOL_OFFERING_COOLDOWN_SECONDS", "120")];
    let system = System::start(&policy).await;
    system.ec2_put("faults", json!({"no_capacity": ["*/*/spot"]})).await;
    let first = system.lease("ann").await;
    let pool = system.pool().await;
    assert_eq!(those(&pool, "market", "on-demand"), [first.text("instance_id")], "{pool:#}");
    let cooling = pool["offerings"].as_array().expect("a list");
    assert!(cooling.iter().any(|one| one["cause"] == "InsufficientInstanceCapacity"), "{pool:#}");
    assert!(cooling.iter().all(|one| one["offering"].as_str().is_some_and(|name| name.ends_with("/spot"))), "{pool:#}");

    system.ec2_put("faults", json!({})).await;
    // Whoever comes while Spot cools down gets on-demand, and Spot is tried again when the time is over.
    let mut spot = None;
    for number in 0..30 {
        let user = format!("user-{number}");
        let lease = system.lease(&user).await;
        let pool = system.pool().await;
        spot = those(&pool, "market", "spot").first().map(ToString::to_string);
        system.release(&user, lease.text("lease_id")).await;
        if spot.is_some() {
            break;
        }
        let drain = json!({"order": "drain", "reason": "so that the next caller needs a new one"});
        let instance = format!("/v1/operator/instances/{}", lease.text("instance_id"));
        assert_eq!(system.call("olga", Method::POST, &instance, Some(drain)).await.status, 200);
    }
    assert!(spot.is_some(), "Spot never came back: {:#}", system.pool().await);
}

#[tokio::test]
async fn one_id_follows_a_request_to_the_run_that_it_causes() {
    let system = System::start(&[("POOL_MIN_AVAILABLE", "0")]).await;
    let waits = system.acquire("ann").await;
    assert_eq!(waits.status, 202, "nothing is there: {waits:?}");
    let asked = |line: &Value| line["route"] == "POST /v1/leases" && line["status"] == "202" && line["caller"] == "ann";
    let trace_id = system.until_logged("api", "the request", asked).await["trace_id"].clone();
    assert!(trace_id.as_str().is_some_and(|id| !id.is_empty()), "{trace_id}");
    let has_it = |line: &Value| line["span"]["trace_id"] == trace_id;
    system.until_logged("acquire", "that function's line", |line| has_it(line) && line["cause"] == "enqueue").await;
    system
        .until_logged("acquire", "that function's metrics", |line| line["Waits"] == 1 && line["trace_id"] == trace_id)
        .await;
    // The minute's run may have launched for it already, so not that it grows.
    let woken = |line: &Value| has_it(line) && line["cause"] == "a request woke it";
    system.until_logged("scale", "the run that it woke", woken).await;
    system.until_active(&[("ann", &waits)]).await;
}

#[tokio::test]
async fn what_only_a_person_can_mend_stops_launching_and_says_so() {
    let system = System::start(&[("POOL_MIN_AVAILABLE", "0"), ("POOL_OFFERING_COOLDOWN_SECONDS", "300")]).await;
    let refusal = json!({"action": "CreateFleet", "code": "UnauthorizedOperation", "count": 1_000});
    system.ec2_put("faults", json!({"error_next": [refusal]})).await;
    let waits = system.acquire("ann").await;
    let halted = system.until("launching is halted", |pool| {
        pool["growth"]["launching_stopped"].as_str().is_some_and(|why| why.contains("UnauthorizedOperation"))
    });
    halted.await;
    let refused: Vec<Value> =
        system.log("scale").into_iter().filter(|line| line["message"] == "launch failed").collect();
    assert!(refused.len() < 5, "a refusal is no reason to storm EC2: {refused:#?}");
    assert_eq!((&refused[0]["meaning"], &refused[0]["cause"]), (&json!("NotAllowed"), &json!("UnauthorizedOperation")));
    system.until_logged("scale", "the refusal as a metric", |line| line["LaunchesRefused"] == 1).await;
    system.until_logged("scale", "EC2's code as its dimension", |line| line["Code"] == "UnauthorizedOperation").await;
    system.ec2_put("faults", json!({})).await;
    system.until_active(&[("ann", &waits)]).await;
    assert_eq!(system.pool().await["growth"]["launching_stopped"], Value::Null);
}

#[tokio::test]
async fn an_interrupted_holder_is_told_and_a_replacement_comes() {
    let system = System::start(&[("POOL_MAX", "6")]).await;
    let lease = system.lease("ann").await;
    let (id, instance) = (lease.text("lease_id"), lease.text("instance_id"));
    system.until("one is kept free beside it", |pool| total(pool, "free") == 1).await;
    system.ec2_happens(instance, "warn").await;
    let told = system.until_lease("ann", id, |lease| lease.text("state") == "interrupted").await;
    assert!(told.body["deadline"].is_string(), "{told:?}");
    let replaced =
        system.until("a replacement is there", |pool| total(pool, "free") + total(pool, "booting") >= 2).await;
    assert!(
        those(&replaced, "state", "leased").contains(&instance)
            || !those(&replaced, "state", "free").contains(&instance)
    );
    system.release("ann", id).await;

    // Gone without a word.
    let lease = system.lease("bob").await;
    system.ec2_happens(lease.text("instance_id"), "kill").await;
    system.until_lease("bob", lease.text("lease_id"), |lease| lease.text("state") == "interrupted").await;
    system.release("bob", lease.text("lease_id")).await;

    // A recommendation: a free one is replaced.
    let pool = system.until("one is free", |pool| total(pool, "free") >= 1 && total(pool, "booting") == 0).await;
    let free = those(&pool, "state", "free")[0].to_owned();
    system.ec2_happens(&free, "rebalance").await;
    system.until_happened(&free, "gone").await;
    system.until("another is free", |pool| total(pool, "free") >= 1).await;
}

#[tokio::test]
async fn the_stopped_tier_is_filled_and_started_when_somebody_needs_it() {
    let policy = [("POOL_MAX", "6"), ("POOL_STOPPED_SIZE", "1"), ("POOL_IDLE_THRESHOLD_MINUTES", "600")];
    let system = System::start(&policy).await;
    let pool = system.until("one is stopped", |pool| those(pool, "state", "stopped").len() == 1).await;
    let stopped = those(&pool, "state", "stopped")[0].to_owned();
    assert_eq!(those(&pool, "market", "on-demand"), [stopped.as_str()], "never Spot: {pool:#}");
    let in_ec2 = system.ec2_instances().await.into_iter().find(|one| one["id"] == stopped.as_str());
    assert_eq!(in_ec2.expect("EC2 has it")["state"], "stopped");
    // It is not started before a function that may still be about to stop it must be over: a quarter of an hour.
    tokio::time::sleep(std::time::Duration::from_secs(910 / TIME_SCALE + 1)).await;
    let first = system.lease("ann").await;
    let waits = system.acquire("bob").await;
    system.until_happened(&stopped, "start").await;
    let second = system.until_active(&[("bob", &waits)]).await.remove(0);
    assert_ne!(first.text("instance_id"), second.text("instance_id"));
    system.until("the tier is filled again", |pool| those(pool, "state", "stopped").len() == 1).await;
}

#[tokio::test]
async fn instances_are_recycled_after_a_lease_and_when_the_template_is_newer() {
    let system =
        System::start(&[("POOL_MAX", "6"), ("POOL_MIN_AVAILABLE", "2"), ("POOL_AFTER_RELEASE", "recycle")]).await;
    let lease = system.lease("ann").await;
    let used = lease.text("instance_id").to_owned();
    system.release("ann", lease.text("lease_id")).await;
    system.until_happened(&used, "gone").await;
    assert!(!system.alive().await.contains(&used));

    let kept = system.lease("bob").await;
    let two_free = |pool: &Value| total(pool, "free") == 2 && total(pool, "booting") == 0;
    system.until("two are free", two_free).await;
    let old: Vec<String> = those(&system.pool().await, "state", "free").iter().map(ToString::to_string).collect();
    let version = "Action=CreateLaunchTemplateVersion&Version=2016-11-15&LaunchTemplateName=ec2-pool&SourceVersion=1\
                   &LaunchTemplateData.ImageId=ami-00000000000000002";
    system.ec2_call(version).await;
    let rolled_out =
        |pool: &Value| two_free(pool) && those(pool, "state", "free").iter().all(|one| !old.iter().any(|it| it == one));
    let pool = system.until("both are of the new version", rolled_out).await;
    assert!(those(&pool, "state", "leased").contains(&kept.text("instance_id")), "{pool:#}");
    let held = system.call("bob", Method::GET, &format!("/v1/leases/{}", kept.text("lease_id")), None).await;
    assert_eq!(held.text("state"), "active", "no lease is lost: {held:?}");
}

#[tokio::test]
async fn the_operator_pauses_cordons_releases_caps_and_drains_with_poolctl() {
    let system = System::start(&[("POOL_MAX", "4")]).await;
    system.until("one is free", |pool| total(pool, "free") == 1).await;
    let why = ["--reason", "a rehearsal"];
    let order = async |verb: &[&str]| system.poolctl(&[verb, &why].concat()).await;

    order(&["pause"]).await;
    let first = system.lease("ann").await;
    let waits = system.acquire("bob").await;
    let paused = system.until("nothing is launched", |pool| total(pool, "waiting") == 1).await;
    assert_eq!(paused["operator"]["paused"]["why"], "a rehearsal");
    assert_eq!(system.alive().await.len(), 1, "nothing is launched while it is paused");
    system.poolctl(&["resume"]).await;
    let second = system.until_active(&[("bob", &waits)]).await.remove(0);

    system.poolctl(&["force-release", first.text("lease_id")]).await;
    let gone = system.call("ann", Method::GET, &format!("/v1/leases/{}", first.text("lease_id")), None).await;
    assert_eq!(gone.status, 404, "{gone:?}");
    system.until_happened(first.text("instance_id"), "force-release").await;

    order(&["cordon", first.text("instance_id")]).await;
    let told = system.until_happened(first.text("instance_id"), "cordon").await;
    assert_eq!(told["why"], "the operator olga: a rehearsal");
    order(&["cap", "2"]).await;
    system.until("the cap is two", |pool| total(pool, "capacity") == 2).await;
    assert!(system.alive().await.contains(&first.text("instance_id").to_owned()), "a cordoned one keeps running");
    order(&["drain", "--wait", "--instance", first.text("instance_id")]).await;
    system.until_happened(first.text("instance_id"), "gone").await;

    system.release("bob", second.text("lease_id")).await;
    order(&["drain", "--wait"]).await;
    assert!(system.alive().await.is_empty(), "nothing is left: {:?}", system.ec2_instances().await);
    system.poolctl(&["cap", "default"]).await;
    system.poolctl(&["undrain"]).await;
    system.until("it serves again", |pool| total(pool, "free") == 1 && total(pool, "capacity") == 4).await;
    let table = String::from_utf8(system.poolctl(&["status"]).await.stdout).expect("text");
    assert!(table.contains("free"), "{table}");
}

#[tokio::test]
async fn silent_and_unhealthy_nodes_are_replaced_and_boots_that_fail_stop_launching() {
    let policy = [
        ("POOL_MAX", "9"),
        ("POOL_MIN_AVAILABLE", "2"),
        ("POOL_HEARTBEAT_MISSES", "6"),
        ("POOL_BOOT_DEADLINE_SECONDS", "120"),
        ("POOL_OFFERING_COOLDOWN_SECONDS", "240"),
        ("POOL_REMOVAL_BUDGET_PERCENT", "100"),
    ];
    let system = System::start(&policy).await;
    for (guest, why) in [
        (json!({"heartbeats": false}), "its heartbeats stopped"),
        (json!({"healthy": false}), "its health check fails"),
    ] {
        let pool = system.until("two are free", |pool| total(pool, "free") == 2 && total(pool, "booting") == 0).await;
        let ill = those(&pool, "state", "free")[0].to_owned();
        system.ec2_put(&format!("instances/{ill}/guest"), guest).await;
        let fenced = system.until_happened(&ill, "fence").await;
        assert_eq!(fenced["why"], why);
        system.until_happened(&ill, "gone").await;
    }

    system.until("two are free", |pool| total(pool, "free") == 2 && total(pool, "booting") == 0).await;
    system.ec2_put("faults", json!({"guest": {"boots": false}})).await;
    let mut waiting = Vec::new();
    for number in 0..5 {
        let user = format!("user-{number}");
        waiting.push((user.clone(), system.acquire(&user).await));
    }
    let stopped = system.until("the breaker is open", |pool| {
        pool["growth"]["launching_stopped"].as_str().is_some_and(|why| why.contains("boots failed in a row"))
    });
    let stopped = stopped.await;
    assert!(stopped["growth"]["boot_failures"].as_u64() >= Some(3), "{stopped:#}");
    system.ec2_put("faults", json!({})).await;
    let waiting: Vec<_> = waiting.iter().map(|(user, lease)| (user.as_str(), lease)).collect();
    system.until_active(&waiting).await;
    system.until("the breaker is closed", |pool| pool["growth"]["launching_stopped"].is_null()).await;
}
