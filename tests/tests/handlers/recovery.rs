//! Crashes at every step and what is found afterwards: intents without a launch, launches without a record, instances
//! without an owner, members without an instance.

use aws_sdk_ec2::types::{InstanceType, LaunchTemplateSpecification, ResourceType, Tag, TagSpecification};
use ec2_sim::{ErrorNext, Faults};
use pool_core::ids::{InstanceId, LaunchToken, NodeKey};
use pool_core::shard::{Intent, Launch, Market, Member, Transition};
use pool_tests::Stage;
use pool_tests::stage::POOL;
use serde_json::json;

const ANN: &str = "AIDAANN";

/// Writes down a launch, as a run of `scale` that died right after it.
async fn intend(stage: &Stage, count: u64) -> (LaunchToken, Intent) {
    let token = LaunchToken::trusted(format!("{POOL}-0-by-hand"));
    let launch = Launch {
        template_id: stage.ec2_settings.launch_template_id.clone(),
        template_version: 1,
        market: Market::Spot,
        instance_types: vec!["t3.medium".to_owned()],
        subnets: stage.ec2_settings.subnets.clone(),
        except: Vec::new(),
        sessions: 1,
    };
    let intent = Intent { count, launch, since: stage.clock.now() };
    let sequence = stage.shard(0).await.sequence;
    let write = Transition::Intend { launch: token.clone(), intent: intent.clone(), sequence };
    stage.write(0, &write).await;
    (token, intent)
}

/// Starts an instance with the pool's tag past the pool, as a person could.
async fn run_by_hand(stage: &Stage) -> InstanceId {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let tags = TagSpecification::builder().resource_type(ResourceType::Instance).tags(tag("ec2-pool:pool", POOL));
    let template = LaunchTemplateSpecification::builder().launch_template_id(&stage.ec2_settings.launch_template_id);
    let request = stage.ec2_client.run_instances().min_count(1).max_count(1).instance_type(InstanceType::T3Medium);
    let request = request.launch_template(template.build()).tag_specifications(tags.build());
    let answer = request.subnet_id(&stage.ec2_settings.subnets[0]).send().await.expect("EC2 runs it");
    answer.instances()[0].instance_id().expect("an id").parse().expect("a sound id")
}

#[tokio::test]
async fn failure_01_an_intent_without_a_launch_is_carried_out_by_the_next_run() {
    let stage = Stage::new(&[("POOL_MAX", "4")]).await;
    stage.scale().await;
    let (token, _) = intend(&stage, 2).await;
    stage.clock.pass(60);
    stage.scale().await;
    assert!(stage.ec2.calls_of("CreateFleet").is_empty(), "whoever intended it may still be at it");
    stage.clock.pass(1);
    for _ in 0..3 {
        stage.scale().await;
        stage.clock.pass(61);
    }
    let calls = stage.ec2.calls_of("CreateFleet");
    assert_eq!(calls.len(), 1);
    assert!(calls[0].contains(&format!("ClientToken={token}")), "{calls:?}");
    let shard = stage.shard(0).await;
    assert_eq!((shard.members.len(), shard.intended()), (2, 0));
    assert_eq!(stage.ec2.alive().len(), 2);
}

#[tokio::test]
async fn failure_01_a_launch_that_was_not_recorded_is_adopted_once() {
    let stage = Stage::new(&[("POOL_MAX", "4")]).await;
    stage.scale().await;
    let (token, intent) = intend(&stage, 2).await;
    let launched = stage.fleet.launch(0, &token, &intent).await;
    let first = launched.instances[0].instance.clone();
    stage.ready(&first).await.is_problem(404, "not-found");
    for _ in 0..3 {
        stage.clock.pass(61);
        stage.scale().await;
        stage.reap_idle().await;
    }
    let members: Vec<InstanceId> = stage.shard(0).await.members.into_keys().collect();
    let mut expected: Vec<InstanceId> = launched.instances.into_iter().map(|one| one.instance).collect();
    expected.sort();
    assert_eq!(members, expected);
    assert_eq!(stage.ec2.alive().len(), 2, "the repetition launched nothing new");
    stage.ready(&first).await.is(204);
}

#[tokio::test]
async fn failure_01_what_a_first_call_brought_is_found_by_its_tag_when_ec2_refuses_the_repetition() {
    let stage = Stage::new(&[("POOL_MAX", "4")]).await;
    stage.scale().await;
    let (token, intent) = intend(&stage, 2).await;
    let launched = stage.fleet.launch(0, &token, &intent).await;
    stage.ec2.fail(refusing());
    stage.clock.pass(361);
    stage.scale().await;
    let shard = stage.shard(0).await;
    assert_eq!((shard.intended(), shard.members.len()), (0, 2), "EC2 has them under the launch's tag");
    assert!(launched.instances.iter().all(|one| shard.members.contains_key(&one.instance)), "{shard:?}");
}

#[tokio::test]
async fn a_launch_whose_only_call_ec2_refused_gives_its_place_back_at_once() {
    let stage = Stage::new(&[("POOL_MAX", "4"), ("POOL_MIN_AVAILABLE", "2")]).await;
    stage.ec2.fail(refusing());
    stage.scale().await;
    let shard = stage.shard(0).await;
    assert_eq!((shard.intended(), shard.members.len(), shard.room), (0, 0, 4));
}

#[tokio::test]
async fn failure_01_a_launch_keeps_its_place_while_an_earlier_call_may_still_arrive() {
    let stage = Stage::new(&[("POOL_MAX", "4")]).await;
    stage.scale().await;
    let (token, intent) = intend(&stage, 2).await;
    stage.ec2.fail(refusing());
    for _ in 0..4 {
        stage.clock.pass(61);
        stage.scale().await;
        assert_eq!(stage.shard(0).await.intended(), 2, "the call of the run that died may be under way");
    }
    stage.ec2.fail(Faults::default());
    let late = stage.fleet.launch(0, &token, &intent).await;
    stage.ec2.fail(refusing());
    stage.clock.pass(121);
    stage.scale().await;
    let shard = stage.shard(0).await;
    assert_eq!((shard.intended(), shard.members.len(), shard.room), (0, 2, 2), "it came, and had its place");
    assert!(late.instances.iter().all(|one| shard.members.contains_key(&one.instance)), "{shard:?}");
}

#[tokio::test]
async fn failure_01_a_launch_that_never_came_gives_its_place_back_when_no_call_can_arrive_any_more() {
    let stage = Stage::new(&[("POOL_MAX", "4")]).await;
    stage.scale().await;
    intend(&stage, 2).await;
    stage.ec2.fail(refusing());
    for _ in 0..7 {
        stage.clock.pass(61);
        stage.scale().await;
    }
    let shard = stage.shard(0).await;
    assert_eq!((shard.intended(), shard.members.len(), shard.room), (0, 0, 4));
}

/// EC2 refuses every launch.
fn refusing() -> Faults {
    let refused = ErrorNext::refused("CreateFleet", "UnauthorizedOperation", 99);
    Faults { error_next: vec![refused], ..Faults::default() }
}

#[tokio::test]
async fn failure_02_a_launch_is_repeated_with_its_own_parameters_though_the_policy_has_changed() {
    let mut stage = Stage::new(&[("POOL_MAX", "4")]).await;
    stage.scale().await;
    let (token, intent) = intend(&stage, 2).await;
    assert_eq!(stage.fleet.launch(0, &token, &intent).await.instances.len(), 2);
    stage.deploy(&[("POOL_MAX", "4"), ("POOL_INSTANCE_TYPES", "t3a.large"), ("POOL_SPOT_PERCENT", "0")]);
    stage.clock.pass(61);
    stage.scale().await;
    assert_eq!(stage.boot_all().await.len(), 2);
    assert_eq!(stage.ec2.alive().len(), 2);
}

#[tokio::test]
async fn failure_03_a_launch_whose_instances_are_terminated_before_it_is_recorded_leaves_nothing_behind() {
    let stage = Stage::new(&[("POOL_MAX", "4")]).await;
    stage.scale().await;
    let (token, intent) = intend(&stage, 2).await;
    for one in stage.fleet.launch(0, &token, &intent).await.instances {
        stage.ec2.with(|ec2, now_ms| assert!(ec2.kill(now_ms, one.instance.as_str())));
    }
    drop(stage.ec2.events());
    for _ in 0..4 {
        stage.clock.pass(61);
        stage.scale().await;
        stage.reap_idle().await;
    }
    let shard = stage.shard(0).await;
    assert_eq!((shard.members.len(), shard.intended(), shard.room), (0, 0, 4), "{shard:?}");
    assert!(stage.ec2.alive().is_empty());
}

#[tokio::test]
async fn failure_08_an_orphan_is_taken_in_after_its_grace_when_there_is_room() {
    let stage = Stage::new(&[("POOL_MAX", "2"), ("POOL_RECONCILE_GRACE_SECONDS", "120")]).await;
    stage.scale().await;
    let orphan = run_by_hand(&stage).await;
    stage.clock.pass(120);
    stage.reap_idle().await;
    assert!(stage.shard(0).await.members.is_empty(), "it may be a launch that is just being recorded");
    stage.clock.pass(1);
    stage.reap_idle().await;
    let shard = stage.shard(0).await;
    assert!(shard.booting.contains_key(&orphan), "{shard:?}");
    assert_eq!(shard.room, 1);
    stage.ready(&orphan).await.is(204);
    assert_eq!(stage.lease(ANN).await.text("instance_id"), orphan.as_str());
}

#[tokio::test]
async fn failure_08_an_orphan_is_terminated_when_there_is_no_room() {
    let stage = Stage::new(&[("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")]).await;
    let kept = stage.grow().await;
    let orphan = run_by_hand(&stage).await;
    stage.clock.pass(121);
    stage.all_beat().await;
    stage.reap_idle().await;
    assert_eq!(stage.ec2.alive(), [kept[0].to_string()]);
    let shard = stage.shard(0).await;
    assert!(shard.tombstones.contains_key(orphan.as_str()), "doomed before it was terminated: {shard:?}");
    assert!(!shard.members.contains_key(&orphan));
}

#[tokio::test]
async fn an_instance_of_another_pool_is_left_alone() {
    let stage = Stage::new(&[("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")]).await;
    stage.grow().await;
    let other = run_by_hand(&stage).await;
    retag(&stage, &other, "another").await;
    stage.clock.pass(600);
    stage.all_beat().await;
    stage.reap_idle().await;
    assert!(stage.ec2.alive().contains(&other.to_string()));
}

/// Makes an instance look like one of another pool.
async fn retag(stage: &Stage, instance: &InstanceId, pool: &str) {
    let tag = Tag::builder().key("ec2-pool:pool").value(pool).build();
    stage.ec2_client.create_tags().resources(instance.as_str()).tags(tag).send().await.expect("EC2 tags it");
}

#[tokio::test]
async fn failure_10_a_member_that_a_listing_lacks_is_kept_on_ec2s_explicit_word() {
    let stage = Stage::new(&[("POOL_MAX", "2"), ("POOL_MIN_AVAILABLE", "2")]).await;
    let members = stage.grow().await;
    let lease = stage.lease(ANN).await;
    for instance in &members {
        retag(&stage, instance, "renamed").await;
    }
    stage.clock.pass(300);
    stage.all_beat().await;
    stage.reap_idle().await;
    let shard = stage.shard(0).await;
    assert!(shard.members.keys().eq(members.iter()) && shard.leaving.is_empty(), "{shard:?}");
    stage.look(ANN, &lease.text("lease_id")).await.is(200);
}

#[tokio::test]
async fn failure_05_a_member_is_kept_for_as_long_as_ec2_cannot_be_asked() {
    let stage = Stage::new(&[("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")]).await;
    let instance = stage.grow().await.remove(0);
    stage.ec2.with(|ec2, now_ms| assert!(ec2.kill(now_ms, instance.as_str())));
    // No listing has it any more, so each run asks for it by its id.
    stage.clock.pass(3_700);
    stage.all_beat().await;
    let before = stage.items().await;
    for lost in ["Action=DescribeInstances", "Filter.1.Name=instance-id", "InstanceId.1="] {
        stage.ec2.lose(Some(lost));
        // Whether the run fails or goes on without the answer, it must not conclude anything.
        let _outcome = reap_idle::handle(&stage.background, &stage.fleet).await;
        assert_eq!(stage.items().await, before, "without an answer to {lost}");
    }
    stage.ec2.lose(None);
    stage.reap_idle().await;
    assert!(stage.shard(0).await.members.is_empty());
}

#[tokio::test]
async fn failure_10_a_member_that_ec2_denies_by_id_is_cleared() {
    let stage = Stage::new(&[("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")]).await;
    let instance = stage.grow().await.remove(0);
    stage.ec2.with(|ec2, now_ms| assert!(ec2.kill(now_ms, instance.as_str())));
    // EC2 forgets terminated instances after an hour; nothing told us in all that time.
    stage.clock.pass(3_700);
    drop(stage.ec2.events());
    stage.reap_idle().await;
    let shard = stage.shard(0).await;
    assert!(shard.members.is_empty(), "{shard:?}");
    assert_eq!(shard.room, 1);
    assert_eq!(stage.grow().await.len(), 1);
}

/// A booting member that EC2 does not know.
async fn adopt_unknown(stage: &Stage) -> InstanceId {
    let (launch, intent) = intend(stage, 1).await;
    let launched = stage.fleet.launch(0, &launch, &intent).await;
    let kind = launched.instances[0].kind.clone();
    let unknown: InstanceId = "i-0fedcba9876543210".parse().expect("a sound id");
    let (address, since) = (String::new(), stage.clock.now());
    let member = Member { address, key: NodeKey::default(), boot_id: 0, since, served: 0, kind };
    stage.write(0, &Transition::Adopt { launch, members: vec![(unknown.clone(), member)], short: 0 }).await;
    unknown
}

#[tokio::test]
async fn failure_05_a_young_member_that_ec2_does_not_know_yet_is_kept() {
    let stage = Stage::new(&[("POOL_MAX", "1")]).await;
    stage.scale().await;
    let unknown = adopt_unknown(&stage).await;
    stage.clock.pass(100);
    stage.reap_idle().await;
    assert!(stage.shard(0).await.booting.contains_key(&unknown), "EC2 may be slow to know its own instance");
    stage.clock.pass(30);
    stage.reap_idle().await;
    assert!(!stage.shard(0).await.members.contains_key(&unknown));
}

#[tokio::test]
async fn failure_05_a_young_instance_that_leaves_stays_in_the_count_while_ec2_does_not_know_it_yet() {
    let stage = Stage::new(&[("POOL_MAX", "1")]).await;
    stage.scale().await;
    let unknown = adopt_unknown(&stage).await;
    let mut event = pool_tests::request::event_file("on-instance-state-change-rebalance.json");
    event["detail"]["instance-id"] = unknown.as_str().into();
    stage.event(&event).await;
    stage.reap_idle().await;
    let shard = stage.shard(0).await;
    assert!(shard.leaving.contains_key(&unknown) && shard.room == 0, "{shard:?}");
    stage.clock.pass(130);
    stage.reap_idle().await;
    assert!(!stage.shard(0).await.members.contains_key(&unknown));
}

#[tokio::test]
async fn failure_16_a_run_that_is_repeated_changes_nothing() {
    let stage = Stage::new(&[("POOL_MAX", "4"), ("POOL_MIN_AVAILABLE", "2")]).await;
    stage.grow().await;
    stage.acquire(ANN, &json!({})).await.is(201);
    // Growth that nobody waits for has a cool-down.
    stage.clock.pass(31);
    stage.grow().await;
    let before = stage.items().await;
    for _ in 0..3 {
        stage.scale().await;
        stage.reap_idle().await;
    }
    assert_eq!(stage.items().await, before);
    assert_eq!(stage.ec2.alive().len(), 3);
}

#[tokio::test]
async fn invariant_09_five_minutes_after_faults_stop_ec2_and_the_shards_agree() {
    let stage =
        Stage::new(&[("POOL_MAX", "6"), ("POOL_MIN_AVAILABLE", "3"), ("POOL_REMOVAL_BUDGET_PERCENT", "100")]).await;
    let lost =
        ErrorNext { action: "CreateFleet".to_owned(), code: "InternalError".to_owned(), count: 1, after_effect: true };
    stage.ec2.fail(Faults { error_next: vec![lost], partial_fleet: Some(2), ..Faults::default() });
    stage.grow().await;
    run_by_hand(&stage).await;
    for _ in 0..2 {
        stage.clock.pass(61);
        stage.grow().await;
        let killed = stage.ec2.alive().remove(0);
        stage.ec2.with(|ec2, now_ms| assert!(ec2.kill(now_ms, &killed)));
        drop(stage.ec2.events());
    }
    stage.ec2.fail(Faults::default());
    for _ in 0..5 {
        stage.clock.pass(60);
        stage.grow().await;
        stage.all_beat().await;
        stage.reap_idle().await;
    }
    let shard = stage.shard(0).await;
    let mut alive = stage.ec2.alive();
    alive.sort();
    assert!(shard.members.keys().map(InstanceId::as_str).eq(alive.iter()), "{alive:?}, {shard:#?}");
    assert!(shard.intents.is_empty() && shard.leaving.is_empty(), "{shard:#?}");
    assert!(shard.free.len() >= 3, "{shard:#?}");
}

#[tokio::test]
async fn failure_07_what_ec2_ended_is_given_to_nobody_whatever_the_budget() {
    let variables = [("POOL_MAX", "10"), ("POOL_MIN_AVAILABLE", "10"), ("POOL_REMOVAL_BUDGET_PERCENT", "1")];
    let stage = Stage::new(&variables).await;
    for instance in stage.grow().await {
        stage.ec2.with(|ec2, now_ms| assert!(ec2.kill(now_ms, instance.as_str())));
    }
    drop(stage.ec2.events());
    stage.clock.pass(60);
    stage.reap_idle().await;
    stage.acquire(ANN, &json!({})).await.is_problem(503, "nothing-free");
}

#[tokio::test]
async fn failure_14_while_ec2_does_not_answer_leases_end_and_waiters_are_served() {
    let size = [("POOL_MAX", "4"), ("POOL_SHARD_SIZE", "2"), ("POOL_MIN_AVAILABLE", "4")];
    let stage = Stage::new(&size).await;
    stage.grow().await;
    for _ in 0..4 {
        stage.acquire(ANN, &json!({"ttl_seconds": 60})).await.is(201);
    }
    stage.clock.pass(63);
    stage.ec2.lose(Some("Action="));
    reap_idle::handle(&stage.background, &stage.fleet).await.expect_err("EC2 does not answer");
    let shards = stage.shards().await;
    assert!(shards.iter().all(|shard| shard.leases.is_empty() && shard.free.len() == 2), "{shards:?}");
}

#[tokio::test]
async fn failure_08_an_instance_that_some_shard_has_buried_is_not_taken_in_again() {
    let stage = Stage::new(&[("POOL_MAX", "2"), ("POOL_SHARD_SIZE", "1")]).await;
    stage.scale().await;
    let orphan = run_by_hand(&stage).await;
    let sequence = stage.shard(1).await.sequence;
    let (launch, now) = (LaunchToken::trusted("none"), stage.clock.now());
    stage.write(1, &Transition::Doom { instance: orphan.clone(), launch, sequence, now }).await;
    stage.clock.pass(121);
    stage.reap_idle().await;
    assert!(stage.ec2.alive().is_empty(), "it was doomed, and its termination was lost");
    assert!(stage.shards().await.iter().all(|shard| shard.members.is_empty()));
}
