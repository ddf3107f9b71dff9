//! Listing, and the explicit word on single instances.

use aws_sdk_ec2::types::{InstanceType, RequestLaunchTemplateData};
use ec2_sim::{Config, Faults};
use pool_core::ids::InstanceId;
use pool_core::offering::Meaning;
use pool_core::reap_idle::Ec2State;
use pool_core::shard::Market;

use crate::bench::{Bench, unknown_id};

#[tokio::test]
async fn a_list_has_every_page() {
    let bench = Bench::new("pages").await;
    // A page has a thousand instances at most; an emulator of a real size would take minutes for as many.
    if bench.simulator().is_none() {
        return;
    }
    for number in [1, 2] {
        let launched = bench.fleet.launch(number, &bench.token(number), &bench.intent(Market::Spot, 600)).await;
        assert_eq!(launched.instances.len(), 600);
        assert!(launched.instances.iter().all(|one| !one.address.is_empty()), "each of three filters found its part");
    }
    assert_eq!(bench.fleet.list().await.expect("EC2 lists").len(), 1_200);
}

#[tokio::test]
async fn a_list_has_its_own_pool_only_and_every_state() {
    let bench = Bench::new("states").await;
    let ids = bench.running(1, 3).await;
    let stranger = bench.client.run_instances().min_count(1).max_count(1).image_id("ami-12c6146b");
    stranger.instance_type(InstanceType::T3Micro).send().await.expect("a stranger starts");
    bench.fleet.stop(&ids[0]).await.expect("it runs");
    bench.wait_for(&ids[0], Ec2State::Stopped).await;
    assert!(bench.fleet.terminate(&ids[1..2]).await.iter().all(|(_, outcome)| outcome.is_ok()));
    bench.wait_for(&ids[1], Ec2State::Terminated).await;
    let listed = bench.fleet.list().await.expect("EC2 lists");
    let states: Vec<_> = ids.iter().map(|id| listed[id].state).collect();
    assert_eq!(states, [Ec2State::Stopped, Ec2State::Terminated, Ec2State::Running]);
    assert_eq!(listed.len(), 3);
}

#[tokio::test]
async fn failure_05_an_unknown_id_gets_an_explicit_word_and_hides_no_other() {
    let bench = Bench::new("explicit").await;
    let ids = bench.running(1, 2).await;
    let asked = [ids[0].clone(), unknown_id(), ids[1].clone()];
    let words = bench.fleet.describe(&asked).await.expect("EC2 describes");
    assert_eq!(words.len(), 3);
    assert_eq!(words[&unknown_id()], None);
    for id in &ids {
        assert_eq!(words[id].as_ref().map(|found| &found.instance), Some(id));
    }
}

#[tokio::test]
async fn failure_05_an_instance_that_ec2_does_not_show_yet_is_unknown() {
    let bench = Bench::with("young", Config { describe_lag_ms: 3_600_000, ..Config::default() }).await;
    if bench.simulator().is_none() {
        return;
    }
    let launched = bench.fleet.launch(0, &bench.token(1), &bench.intent(Market::Spot, 1)).await;
    let id = launched.instances[0].instance.clone();
    let words = bench.fleet.describe(std::slice::from_ref(&id)).await.expect("EC2 describes");
    assert_eq!(words[&id], None);
    assert!(bench.fleet.list().await.expect("EC2 lists").is_empty());
    let (_, outcome) = bench.fleet.terminate(&[id]).await.remove(0);
    assert_eq!(outcome.expect_err("EC2 does not know it yet").meaning, Meaning::Unknown);
}

#[tokio::test]
async fn where_the_question_fails_there_is_no_word() {
    let bench = Bench::new("wordless").await;
    let asked = [unknown_id()];
    if !bench.order(Faults { throttle_next: 1, ..Faults::default() }) {
        return;
    }
    assert_eq!(bench.fleet.describe(&asked).await.expect_err("the filter is throttled").meaning, Meaning::Throttled);
    // An id that EC2 calls malformed is neither known nor unknown.
    let malformed = InstanceId::trusted("i-x");
    assert!(bench.fleet.describe(&[malformed]).await.expect("the filter finds nothing").is_empty());
    assert!(bench.fleet.describe(&[]).await.expect("nothing is asked").is_empty());
}

#[tokio::test]
async fn the_newest_version_of_a_template_is_a_number() {
    let bench = Bench::new("versions").await;
    assert_eq!(bench.fleet.template_version(&bench.template_id).await, Ok(1));
    let data = RequestLaunchTemplateData::builder().image_id("ami-12c6146b").build();
    let next = bench.client.create_launch_template_version().launch_template_id(&bench.template_id);
    next.launch_template_data(data).send().await.expect("the version is sound");
    assert_eq!(bench.fleet.template_version(&bench.template_id).await, Ok(2));
    let error = bench.fleet.template_version("lt-0fedcba9876543210").await.expect_err("there is no such template");
    assert_eq!(error.meaning, Meaning::Invalid, "{error}");
}
