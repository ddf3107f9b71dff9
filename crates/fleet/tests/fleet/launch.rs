//! Launching: tokens, partial fleets, refused offerings, lost answers.

use std::collections::BTreeSet;

use aws_sdk_ec2::config::retry::RetryConfig;
use ec2_sim::{Config, ErrorNext, Faults, Refusal};
use pool_core::ids::InstanceId;
use pool_core::offering::Meaning;
use pool_core::policy::EndpointAddress;
use pool_core::shard::Market;
use pool_fleet::{Fleet, Launched, Outcome, tags};

use crate::bench::{Bench, client};

fn ids(launched: &Launched) -> BTreeSet<InstanceId> {
    launched.instances.iter().map(|one| one.instance.clone()).collect()
}

#[tokio::test]
async fn a_launch_brings_what_the_intent_says() {
    let bench = Bench::new("whole").await;
    for (number, market) in [(1, Market::Spot), (2, Market::OnDemand)] {
        let intent = bench.intent(market, 3);
        let launched = bench.fleet.launch(7, &bench.token(number), &intent).await;
        assert_eq!(launched.failures, []);
        assert_eq!(launched.outcome, Outcome::Answered);
        assert_eq!(ids(&launched).len(), 3);
        let words = bench.fleet.describe(&ids(&launched).into_iter().collect::<Vec<_>>()).await.expect("EC2 describes");
        for one in &launched.instances {
            assert!(intent.launch.instance_types.contains(&one.kind.instance_type), "{one:?}");
            assert!(intent.launch.subnets.contains(&one.subnet), "{one:?}");
            assert_eq!((one.kind.market, one.kind.template_version), (market, 1));
            let shown = words[&one.instance].clone().expect("EC2 knows it");
            assert_eq!((shown.shard, shown.launch), (Some(7), Some(bench.token(number))));
            assert_eq!(shown.kind, one.kind);
            assert_eq!(shown.address, one.address);
            assert!(!one.address.is_empty());
        }
    }
}

#[tokio::test]
async fn every_instance_bears_the_five_tags() {
    let bench = Bench::new("tags").await;
    let launched = bench.fleet.launch(3, &bench.token(1), &bench.intent(Market::Spot, 1)).await;
    let id = launched.instances[0].instance.as_str();
    let answer = bench.client.describe_instances().instance_ids(id).send().await.expect("EC2 describes");
    let tags: Vec<_> = answer.reservations()[0].instances()[0]
        .tags()
        .iter()
        .filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned())))
        .collect();
    let pool = tags.iter().find(|(key, _)| key == tags::POOL).expect("the pool's tag").1.clone();
    for expected in [
        (tags::SHARD, "3".to_owned()),
        (tags::LAUNCH, bench.token(1).to_string()),
        ("Name", format!("ec2-pool {pool}")),
        ("Service", "ec2-pool".to_owned()),
    ] {
        assert!(tags.contains(&(expected.0.to_owned(), expected.1.clone())), "{expected:?} is not in {tags:?}");
    }
}

#[tokio::test]
async fn the_public_address_is_given_where_callers_are_outside() {
    let bench = Bench::new("public").await;
    if bench.simulator().is_none() {
        return;
    }
    let launched = bench.public_fleet().launch(0, &bench.token(1), &bench.intent(Market::Spot, 1)).await;
    let ec2 = bench.simulator().expect("seen above");
    let public_ip = ec2.instances().next().and_then(|instance| instance.public_ip).expect("it has one");
    assert_eq!(launched.instances[0].address, public_ip.to_string());
}

#[tokio::test]
async fn an_instance_that_ec2_does_not_show_yet_comes_without_an_address() {
    let bench = Bench::with("lag", Config { describe_lag_ms: 3_600_000, ..Config::default() }).await;
    if bench.simulator().is_none() {
        return;
    }
    let launched = bench.fleet.launch(0, &bench.token(1), &bench.intent(Market::Spot, 2)).await;
    assert_eq!(ids(&launched).len(), 2);
    assert!(launched.instances.iter().all(|one| one.address.is_empty()));
}

#[tokio::test]
async fn failure_01_repeating_a_launch_launches_nothing_new() {
    let bench = Bench::new("repeat").await;
    let intent = bench.intent(Market::Spot, 2);
    let first = bench.fleet.launch(0, &bench.token(1), &intent).await;
    let second = bench.fleet.launch(0, &bench.token(1), &intent).await;
    assert_eq!(ids(&first), ids(&second));
    assert_eq!(bench.fleet.list().await.expect("EC2 lists").len(), 2);
}

#[tokio::test]
async fn failure_02_a_token_with_other_parameters_is_spent() {
    let bench = Bench::new("mismatch").await;
    let first = bench.fleet.launch(0, &bench.token(1), &bench.intent(Market::Spot, 1)).await;
    assert_eq!(first.instances.len(), 1);
    let other = bench.fleet.launch(0, &bench.token(1), &bench.intent(Market::Spot, 2)).await;
    assert_eq!((other.instances.len(), other.failures.len()), (0, 1));
    assert_eq!(other.failures[0].code, "IdempotentParameterMismatch");
    assert_eq!(other.failures[0].meaning, Meaning::TokenSpent);
    assert_eq!(other.outcome, Outcome::Spent);
}

#[tokio::test]
async fn failure_12_a_partial_fleet_names_what_started_and_what_did_not() {
    let bench = Bench::new("partial").await;
    if !bench.order(Faults { partial_fleet: Some(2), ..Faults::default() }) {
        return;
    }
    let launched = bench.fleet.launch(0, &bench.token(1), &bench.intent(Market::Spot, 5)).await;
    assert_eq!(launched.instances.len(), 2);
    assert!(!launched.failures.is_empty());
    assert!(launched.failures.iter().all(|failure| failure.meaning == Meaning::NoCapacity));
    assert_eq!(launched.outcome, Outcome::Answered);
    let listed = bench.fleet.list().await.expect("EC2 lists");
    assert_eq!(ids(&launched), listed.into_keys().collect());
}

#[tokio::test]
async fn failure_13_a_refused_offering_is_named_and_the_next_one_is_used() {
    let bench = Bench::new("capacity").await;
    if !bench.order(Faults { no_capacity: vec!["t3.medium/us-east-1a".to_owned()], ..Faults::default() }) {
        return;
    }
    let mut intent = bench.intent(Market::Spot, 2);
    intent.launch.subnets.truncate(1);
    let launched = bench.fleet.launch(0, &bench.token(1), &intent).await;
    assert_eq!(launched.instances.len(), 2);
    assert!(launched.instances.iter().all(|one| one.kind.instance_type == "t3a.medium"));
    let [failure] = &launched.failures[..] else { panic!("one failure was expected: {:?}", launched.failures) };
    assert_eq!((failure.code.as_str(), failure.meaning), ("InsufficientInstanceCapacity", Meaning::NoCapacity));
    assert_eq!(failure.offering, Some(("t3.medium".to_owned(), intent.launch.subnets[0].clone())));
}

#[tokio::test]
async fn failure_13_codes_of_refused_offerings() {
    let bench = Bench::new("refusals").await;
    for (number, code, meaning) in [
        (1, "MaxSpotInstanceCountExceeded", Meaning::Quota),
        (2, "VcpuLimitExceeded", Meaning::Quota),
        (3, "Unsupported", Meaning::NoCapacity),
        (4, "InsufficientFreeAddressesInSubnet", Meaning::NoCapacity),
        (5, "UnauthorizedOperation", Meaning::NotAllowed),
    ] {
        let refusal = Refusal { offering: "*".to_owned(), code: code.to_owned() };
        if !bench.order(Faults { refuse: vec![refusal], ..Faults::default() }) {
            return;
        }
        let launched = bench.fleet.launch(0, &bench.token(number), &bench.intent(Market::Spot, 1)).await;
        assert_eq!(launched.instances, [], "{code}");
        assert_eq!(launched.failures.len(), 6, "one for each type in each subnet: {code}");
        for failure in &launched.failures {
            assert_eq!((failure.code.as_str(), failure.meaning), (code, meaning));
            assert!(failure.offering.is_some(), "{code}");
        }
        assert_eq!(launched.outcome, Outcome::Answered, "EC2 answered: {code}");
    }
}

#[tokio::test]
async fn a_template_that_is_not_there_is_the_callers_mistake() {
    let bench = Bench::new("template").await;
    let mut intent = bench.intent(Market::Spot, 1);
    intent.launch.template_version = 99;
    let launched = bench.fleet.launch(0, &bench.token(1), &intent).await;
    assert_eq!(launched.instances, []);
    assert_eq!(launched.failures[0].meaning, Meaning::Invalid, "{:?}", launched.failures);
    assert_eq!(launched.failures[0].offering, None);
    assert_eq!(launched.outcome, Outcome::Refused, "it was sent once");
}

#[tokio::test]
async fn failure_01_a_lost_answer_is_unclear_and_the_repetition_brings_the_instances() {
    let bench = Bench::new("lost").await;
    if !bench.order_error("CreateFleet", "InternalError", true) {
        return;
    }
    let intent = bench.intent(Market::Spot, 2);
    let lost = bench.fleet.launch(0, &bench.token(1), &intent).await;
    assert_eq!(lost.instances, []);
    assert_eq!(lost.outcome, Outcome::Unclear);
    let repeated = bench.fleet.launch(0, &bench.token(1), &intent).await;
    assert_eq!(repeated.instances.len(), 2);
    assert_eq!(ids(&repeated), bench.fleet.list().await.expect("EC2 lists").into_keys().collect());
}

#[tokio::test]
async fn failure_04_the_sdks_own_retry_of_a_lost_answer_launches_nothing_new() {
    let bench = Bench::new("retry").await;
    if !bench.order_error("CreateFleet", "InternalError", true) {
        return;
    }
    let launched = bench.fleet_that_retries(3).launch(0, &bench.token(1), &bench.intent(Market::Spot, 2)).await;
    assert_eq!((launched.instances.len(), launched.failures.len()), (2, 0));
    assert_eq!(bench.fleet.list().await.expect("EC2 lists").len(), 2);
}

#[tokio::test]
async fn failure_04_a_refusal_of_the_sdks_own_retry_does_not_say_that_nothing_came() {
    let bench = Bench::new("retry-refused").await;
    let lost = ErrorNext { after_effect: true, ..ErrorNext::refused("CreateFleet", "InternalError", 1) };
    let refused = ErrorNext::refused("CreateFleet", "UnauthorizedOperation", 1);
    if !bench.order(Faults { error_next: vec![lost, refused], ..Faults::default() }) {
        return;
    }
    let launched = bench.fleet_that_retries(3).launch(0, &bench.token(1), &bench.intent(Market::Spot, 2)).await;
    assert_eq!((launched.failures[0].meaning, launched.outcome), (Meaning::NotAllowed, Outcome::Unclear));
    assert_eq!(bench.fleet.list().await.expect("EC2 lists").len(), 2, "the first attempt launched");
}

#[tokio::test]
async fn failure_14_a_throttled_launch_is_unclear_and_may_be_repeated() {
    let bench = Bench::new("throttled").await;
    if !bench.order(Faults { throttle_next: 1, ..Faults::default() }) {
        return;
    }
    let intent = bench.intent(Market::Spot, 1);
    let throttled = bench.fleet.launch(0, &bench.token(1), &intent).await;
    assert_eq!(throttled.failures[0].meaning, Meaning::Throttled);
    assert_eq!(throttled.outcome, Outcome::Unclear);
    assert_eq!(bench.fleet.launch(0, &bench.token(1), &intent).await.instances.len(), 1);
}

#[tokio::test]
async fn nobody_at_the_other_end_is_unclear() {
    // A socket that holds its port and does not listen: every connection is refused.
    let deaf = tokio::net::TcpSocket::new_v4().expect("a socket");
    deaf.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
    let endpoint = format!("http://{}", deaf.local_addr().expect("a bound socket has an address"));
    let fleet = Fleet::new(client(&endpoint, RetryConfig::disabled()), "nobody", EndpointAddress::Private);
    let error = fleet.list().await.expect_err("nobody answers");
    assert_eq!((error.code.as_str(), error.meaning), ("NoAnswer", Meaning::Unclear));
    let bench = Bench::new("nobody").await;
    let launched = fleet.launch(0, &bench.token(1), &bench.intent(Market::Spot, 1)).await;
    assert_eq!(launched.outcome, Outcome::Unclear);
}
