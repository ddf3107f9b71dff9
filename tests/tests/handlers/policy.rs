//! The policy engine through the real handlers: busy nodes, boots that fail, offerings in doubt, the stopped tier, windows,
//! replacement of what is outdated.

use aws_sdk_ec2::types::RequestLaunchTemplateData;
use ec2_sim::{ErrorNext, Faults};
use pool_core::ids::InstanceId;
use pool_core::shard::{Market, StopPhase};
use pool_tests::{Request, Route, Stage};
use serde_json::{Value, json};

const ANN: &str = "AIDAANN";

async fn beats(stage: &Stage, instance: &str, cpu_percent: u64) {
    let beat = json!({"healthy": true, "cpu_percent": cpu_percent, "memory_percent": 20, "sessions": 1});
    stage.call(Request::new(Route::Heartbeat).by_node(instance).json(&beat)).await.is(200);
}

#[tokio::test]
async fn busy_leased_nodes_add_a_step_and_quiet_ones_take_it_back() {
    let stage = Stage::new(&[("POOL_MAX", "8"), ("POOL_MIN_AVAILABLE", "1")]).await;
    stage.grow().await;
    let lease = stage.lease(ANN).await;
    stage.clock.pass(60);
    assert_eq!(stage.grow().await.len(), 1);
    for busy in [true, false] {
        for _ in 0..3 {
            stage.all_beat().await;
            beats(&stage, &lease.text("instance_id"), if busy { 95 } else { 10 }).await;
            stage.scale().await;
            stage.clock.pass(60);
        }
        let pool = stage.pool().await;
        assert_eq!(pool["measures"]["kept_for_busy_nodes"], 1, "taken after two minutes, kept for five: {pool}");
        assert_eq!(pool["totals"]["booting"], 1, "{pool}");
    }
    stage.clock.pass(300);
    stage.scale().await;
    assert_eq!(stage.pool().await["measures"]["kept_for_busy_nodes"], 0);
}

/// Every boot that is under way takes too long.
async fn nobody_boots(stage: &Stage) {
    stage.clock.pass(601);
    stage.reap_idle().await;
}

#[tokio::test]
async fn failure_11_boots_that_fail_in_a_row_stop_launching_until_one_instance_boots() {
    let variables = [("POOL_MAX", "9"), ("POOL_MIN_AVAILABLE", "3"), ("POOL_BOOT_FAILURE_LIMIT", "3")];
    let stage = Stage::new(&[&variables[..], &[("POOL_REMOVAL_BUDGET_PERCENT", "100")]].concat()).await;
    stage.scale().await;
    nobody_boots(&stage).await;
    stage.scale().await;
    assert!(stage.ec2.alive().is_empty(), "three boots failed, so nothing is launched");
    let told = stage.pool().await["growth"]["launching_stopped"].to_string();
    assert!(told.contains("3 boots failed in a row"), "{told}");
    stage.clock.pass(180);
    stage.scale().await;
    stage.scale().await;
    assert_eq!(stage.ec2.alive().len(), 1, "one instance is tried");
    nobody_boots(&stage).await;
    stage.clock.pass(300);
    stage.scale().await;
    assert!(stage.ec2.alive().is_empty(), "it failed, so the second pause is longer");
    stage.clock.pass(120);
    stage.grow().await;
    stage.clock.pass(30);
    stage.all_beat().await;
    stage.reap_idle().await;
    stage.clock.pass(60);
    stage.scale().await;
    assert_eq!(stage.ec2.alive().len(), 3, "it booted, so the others follow");
    assert_eq!(stage.pool().await["growth"]["launching_stopped"], Value::Null);
}

#[tokio::test]
async fn failure_13_an_offering_whose_cool_down_is_over_is_tried_with_one_instance() {
    let stage = Stage::new(&[("POOL_MAX", "9"), ("POOL_MIN_AVAILABLE", "4")]).await;
    stage.ec2.fail(Faults { no_capacity: vec!["*/*/spot".to_owned()], ..Faults::default() });
    stage.scale().await;
    assert!(stage.ec2.alive().is_empty());
    stage.clock.pass(200);
    stage.scale().await;
    let members = stage.shard(0).await.members;
    assert_eq!(members.len(), 3, "one Spot instance was tried in vain, the others came on demand");
    assert!(members.values().all(|member| member.kind.market == Market::OnDemand));
    stage.ec2.fail(Faults::default());
    stage.clock.pass(400);
    stage.scale().await;
    let spot = stage.shard(0).await.members.values().filter(|member| member.kind.market == Market::Spot).count();
    assert_eq!(spot, 1, "and it works again");
    let offerings = stage.pool().await["offerings"].as_array().expect("a list").len();
    assert_eq!(offerings, 8, "the one that worked is forgiven");
}

#[tokio::test]
async fn failure_14_ec2s_refusals_empty_the_launch_budget_for_all_runs() {
    let stage = Stage::new(&[("POOL_MAX", "40"), ("POOL_MIN_AVAILABLE", "40"), ("POOL_SHARD_SIZE", "4")]).await;
    stage.scale().await;
    assert_eq!(stage.ec2.calls_of("CreateFleet").len(), 5, "as many calls at once as EC2 takes");
    let throttled = ErrorNext::refused("CreateFleet", "RequestLimitExceeded", 99);
    stage.ec2.fail(Faults { error_next: vec![throttled], ..Faults::default() });
    stage.clock.pass(60);
    stage.scale().await;
    assert_eq!(stage.pool().await["growth"]["launch_calls_left"], 0);
    let calls = stage.ec2.calls_of("CreateFleet").len();
    stage.scale().await;
    assert_eq!(stage.ec2.calls_of("CreateFleet").len(), calls, "no run calls while the bucket is empty");
    stage.ec2.fail(Faults::default());
    for _ in 0..12 {
        stage.clock.pass(61);
        stage.scale().await;
    }
    assert_eq!(stage.ec2.alive().len(), 40);
}

#[tokio::test]
async fn the_stopped_tier_is_filled_after_a_boot_and_started_before_anything_is_launched() {
    let stage = Stage::new(&[("POOL_MAX", "6"), ("POOL_MIN_AVAILABLE", "1"), ("POOL_STOPPED_SIZE", "1")]).await;
    assert_eq!(stage.grow().await.len(), 2);
    stage.reap_idle().await;
    let shard = stage.shard(0).await;
    let (tiered, how) = shard.stopped.iter().next().expect("one is stopped after its first boot");
    assert_eq!((shard.stopped.len(), how.phase), (1, StopPhase::Stopping));
    assert_eq!(shard.members[tiered].kind.market, Market::OnDemand, "a stopped Spot instance may be taken");
    assert_eq!(shard.free.len(), 1);
    stage.clock.pass(120);
    stage.all_beat().await;
    stage.reap_idle().await;
    assert_eq!(stage.shard(0).await.stopped[tiered].phase, StopPhase::Stopped);
    stage.clock.pass(901);
    stage.all_beat().await;
    let launches = stage.ec2.calls_of("CreateFleet").len();
    stage.lease(ANN).await;
    stage.acquire(ANN, &json!({"wait_seconds": 300})).await.is(202);
    stage.scale().await;
    let shard = stage.shard(0).await;
    assert!(shard.booting.contains_key(tiered), "{shard:?}");
    assert_eq!(stage.ec2.calls_of("StartInstances").len(), 1);
    assert_eq!((stage.ec2.calls_of("CreateFleet").len() - launches, shard.booting.len()), (1, 2), "one is kept free");
    stage.clock.pass(31);
    stage.scale().await;
    assert_eq!(stage.shard(0).await.booting.len(), 3, "the tier is filled again in the background");
    // A public address may be another one after a start; EC2 tells it before the node is believed.
    stage.clock.pass(60);
    stage.scale().await;
    stage.boot_all().await;
    let shard = stage.shard(0).await;
    assert!(shard.queue.is_empty() && shard.booting.is_empty(), "{shard:?}");
}

#[tokio::test]
async fn a_start_that_never_reached_ec2_is_repeated() {
    let stage = Stage::new(&[("POOL_MAX", "3"), ("POOL_STOPPED_SIZE", "1")]).await;
    stage.grow().await;
    stage.reap_idle().await;
    stage.clock.pass(60);
    stage.reap_idle().await;
    stage.clock.pass(901);
    stage.acquire(ANN, &json!({"wait_seconds": 300})).await.is(202);
    let lost = ErrorNext::refused("StartInstances", "InsufficientInstanceCapacity", 1);
    stage.ec2.fail(Faults { error_next: vec![lost], ..Faults::default() });
    stage.scale().await;
    assert_eq!(
        stage.shard(0).await.booting.len() as u64,
        1 + stage.pool().await["totals"]["stopped"].as_u64().expect("a count")
    );
    stage.clock.pass(20);
    stage.scale().await;
    assert_eq!(stage.ec2.calls_of("StartInstances").len(), 2);
}

#[tokio::test]
async fn a_window_is_ready_when_it_opens() {
    let stage = Stage::new(&[("POOL_MAX", "6"), ("POOL_MIN_AVAILABLE", "1")]).await;
    stage.scale().await;
    stage.clock.pass(50);
    stage.boot_all().await;
    stage.reap_idle().await;
    assert_eq!(stage.pool().await["measures"]["boot_seconds"], 50);
    let opens = stage.clock.now() + 600;
    let opens = pool_core::time::Timestamp(opens.0 - opens.0 % 60);
    let minute = opens.0 / 60 % 60;
    let hour = opens.0 / 3_600 % 24;
    let schedule =
        format!(r#"[{{"cron":"{minute} {hour} * * *","timezone":"UTC","duration_minutes":30,"min_available":4}}]"#);
    let mut stage = stage;
    stage.deploy(&[("POOL_MAX", "6"), ("POOL_MIN_AVAILABLE", "1"), ("POOL_SCHEDULE", &schedule)]);
    stage.clock.pass(opens.0 - stage.clock.now().0 - 111);
    stage.all_beat().await;
    stage.scale().await;
    assert_eq!(stage.ec2.alive().len(), 1);
    stage.clock.pass(1);
    stage.scale().await;
    assert_eq!(stage.ec2.alive().len(), 4, "launched one boot before it opens, and a minute for the next run");
}

/// A new version of the launch template, as a new image brings it.
async fn new_template_version(stage: &Stage) {
    let data = RequestLaunchTemplateData::builder().image_id("ami-0fedcba9876543210").build();
    let made = stage
        .ec2_client
        .create_launch_template_version()
        .launch_template_id(&stage.ec2_settings.launch_template_id)
        .source_version("1")
        .launch_template_data(data);
    made.send().await.expect("EC2 makes a version");
}

#[tokio::test]
async fn a_new_image_rolls_out_without_a_lease_lost_and_without_less_free() {
    let stage = Stage::new(&[("POOL_MAX", "8"), ("POOL_MIN_AVAILABLE", "3")]).await;
    let old: Vec<InstanceId> = stage.grow().await;
    let lease = stage.lease(ANN).await;
    stage.clock.pass(60);
    stage.grow().await;
    new_template_version(&stage).await;
    let id = lease.text("lease_id");
    for _ in 0..12 {
        stage.clock.pass(61);
        stage.all_beat().await;
        stage.renew(ANN, &id, &json!({"ttl_seconds": 600})).await.is(200);
        stage.grow().await;
        stage.reap_idle().await;
        let shard = stage.shard(0).await;
        assert!(shard.free.len() >= 3, "{shard:?}");
        assert_eq!(stage.look(ANN, &id).await.text("state"), "active");
    }
    let shard = stage.shard(0).await;
    let version = |one: &InstanceId| shard.members[one].kind.template_version;
    assert!(shard.free.iter().all(|free| version(free) == 2), "{shard:?}");
    let held: InstanceId = lease.text("instance_id").parse().expect("an id");
    assert!(old.contains(&held) && shard.leaving.contains_key(&held), "it leaves after its lease");
    stage.release(ANN, &id).await.is(204);
    stage.reap_idle().await;
    assert!(!stage.ec2.alive().contains(&held.to_string()));
}

#[tokio::test]
async fn failure_11_a_broken_image_replaces_nothing_that_works() {
    let variables = [("POOL_MAX", "12"), ("POOL_MIN_AVAILABLE", "8"), ("POOL_REMOVAL_BUDGET_PERCENT", "25")];
    let stage = Stage::new(&variables).await;
    let old = stage.grow().await;
    stage.clock.pass(60);
    new_template_version(&stage).await;
    for _ in 0..60 {
        stage.clock.pass(61);
        // Only those of the old image ever say a word.
        for one in &old {
            let _gone = stage.heartbeat(one).await;
        }
        stage.scale().await;
        stage.reap_idle().await;
    }
    let free = stage.shard(0).await.free.len();
    assert_eq!(free, 8, "an image that does not boot took {} of those that work", 8 - free);
    let launched = stage.ec2.calls_of("CreateFleet").len();
    assert!(launched < 15, "{launched} launches within an hour");
}

#[tokio::test]
async fn an_instance_that_has_served_its_leases_is_replaced() {
    let variables = [("POOL_MAX", "4"), ("POOL_MIN_AVAILABLE", "1"), ("POOL_MAX_LEASES_PER_INSTANCE", "2")];
    let stage = Stage::new(&variables).await;
    let worn = stage.grow().await.remove(0);
    for _ in 0..2 {
        let lease = stage.lease(ANN).await;
        stage.release(ANN, &lease.text("lease_id")).await.is(204);
    }
    stage.reap_idle().await;
    let pool = stage.pool().await;
    assert_eq!(pool["instances"][0]["retiring"], "it served 2 leases", "{pool}");
    assert_eq!(pool["instances"][0]["state"], "free", "nothing is ready in its place yet");
    stage.clock.pass(60);
    stage.grow().await;
    stage.all_beat().await;
    stage.reap_idle().await;
    let shard = stage.shard(0).await;
    assert!(shard.free.len() == 1 && !shard.free.contains(&worn), "{shard:?}");
}
