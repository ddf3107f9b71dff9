//! Every file in `events/` drives its function, on an empty pool and on one in which its instance lives.

use std::collections::BTreeSet;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use pool_core::ids::{InstanceId, LaunchToken, NodeKey};
use pool_core::shard::{Intent, Kind, Launch, Market, Member, Transition};
use pool_function::settings::{Ec2Settings, Settings};
use pool_tests::request::{event_file, root};
use pool_tests::{Request, Route, Stage};
use serde_json::Value;

/// The instance of the files.
const INSTANCE: &str = "i-0123456789abcdef0";

/// Files with requests: the statuses on an empty pool and on one in which the instance is ready, in this order.
const REQUESTS: [(Route, u16, u16); 11] = [
    (Route::Ready, 404, 204),
    (Route::Heartbeat, 404, 200),
    (Route::Pool, 200, 200),
    (Route::Instance, 404, 200),
    (Route::Look, 404, 404),
    (Route::Renew, 404, 404),
    (Route::Release, 204, 204),
    (Route::Acquire, 202, 201),
    (Route::OrderPool, 200, 200),
    (Route::OrderInstance, 404, 200),
    (Route::ForceRelease, 204, 204),
];

const OTHERS: [&str; 6] = [
    "on-instance-state-change-rebalance.json",
    "on-instance-state-change-spot-warning.json",
    "on-instance-state-change-terminated.json",
    "reap-idle.json",
    "scale-schedule.json",
    "scale-stream.json",
];

/// Makes the instance of the files a booting member, without EC2.
async fn adopt(stage: &Stage) {
    let (launch, since) = (LaunchToken::trusted("events"), stage.clock.now());
    let parameters = Launch {
        template_id: stage.ec2_settings.launch_template_id.clone(),
        template_version: 1,
        market: Market::Spot,
        instance_types: vec!["t3.medium".to_owned()],
        subnets: stage.ec2_settings.subnets.clone(),
        except: Vec::new(),
        sessions: 1,
    };
    let intent = Intent { count: 1, launch: parameters, since };
    let sequence = stage.shard(0).await.sequence;
    stage.write(0, &Transition::Intend { launch: launch.clone(), intent, sequence }).await;
    let kind = Kind {
        instance_type: "t3.medium".to_owned(),
        zone: "us-east-1a".to_owned(),
        market: Market::Spot,
        template_version: 1,
    };
    let member = Member { address: "10.0.0.9".to_owned(), key: NodeKey::default(), boot_id: 0, since, served: 0, kind };
    stage.write(0, &Transition::Adopt { launch, members: vec![(instance(), member)], short: 0 }).await;
}

fn instance() -> InstanceId {
    INSTANCE.parse().expect("a sound id")
}

async fn send(stage: &Stage, route: Route) -> u16 {
    stage.call(Request { route, event: event_file(route.file()) }).await.status
}

#[tokio::test]
async fn requests_on_an_empty_pool() {
    let stage = Stage::new(&[("POOL_MAX", "1")]).await;
    stage.scale().await;
    for (route, status, _) in REQUESTS {
        assert_eq!(send(&stage, route).await, status, "{}", route.file());
    }
}

#[tokio::test]
async fn requests_on_a_pool_that_has_the_instance() {
    let stage = Stage::new(&[("POOL_MAX", "1")]).await;
    stage.scale().await;
    adopt(&stage).await;
    for (route, _, status) in REQUESTS {
        assert_eq!(send(&stage, route).await, status, "{}", route.file());
    }
    let shard = stage.shard(0).await;
    assert!(shard.leases.values().eq([&instance()]), "{shard:?}");
}

#[tokio::test]
async fn what_ec2_tells() {
    for (file, leaves, gone) in [
        ("on-instance-state-change-rebalance.json", true, false),
        ("on-instance-state-change-spot-warning.json", true, false),
        ("on-instance-state-change-terminated.json", false, true),
    ] {
        let stage = Stage::new(&[("POOL_MAX", "1")]).await;
        stage.scale().await;
        stage.event(&event_file(file)).await;
        adopt(&stage).await;
        send(&stage, Route::Ready).await;
        stage.event(&event_file(file)).await;
        let shard = stage.shard(0).await;
        assert_eq!(shard.leaving.contains_key(&instance()), leaves, "{file}: {shard:?}");
        assert_eq!(!shard.members.contains_key(&instance()), gone, "{file}: {shard:?}");
    }
}

#[tokio::test]
async fn what_runs_by_the_clock_and_by_the_stream() {
    // These two functions look at everything whatever their event says; the binaries read it as any JSON.
    let stage = Stage::new(&[("POOL_MAX", "1"), ("POOL_MIN_AVAILABLE", "1")]).await;
    for file in ["scale-schedule.json", "scale-stream.json"] {
        assert!(event_file(file).is_object(), "{file}");
        stage.scale().await;
    }
    assert!(event_file("reap-idle.json").is_object());
    stage.reap_idle().await;
    assert_eq!(stage.ec2.alive().len(), 1);
    let stream = event_file("scale-stream.json");
    assert_eq!(stream["Records"][0]["dynamodb"]["Keys"]["pk"]["S"], pool_store::names::WAKE, "as the filter wants it");
}

#[test]
fn the_variables_for_local_invocation_are_sound() {
    let file = event_file("local-env.json");
    let variables: Vec<(String, String)> = file["Parameters"]
        .as_object()
        .expect("variables of all functions")
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().expect("a variable is text").to_owned()))
        .collect();
    Settings::parse(&variables).expect("sound settings");
    Ec2Settings::parse(&variables).expect("sound settings for EC2");
}

#[test]
fn no_file_is_left_out() {
    let tested: BTreeSet<String> = REQUESTS
        .iter()
        .map(|(route, ..)| route.file())
        .chain(OTHERS)
        .chain(["local-env.json"])
        .map(str::to_owned)
        .collect();
    let entries = std::fs::read_dir(root().join("events")).expect("the folder is there");
    let files =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a plain name")).collect();
    assert_eq!(tested, files);
}

#[test]
fn requests_look_as_their_route_says() {
    for route in Route::ALL {
        let event: Value = event_file(route.file());
        assert_eq!(event["routeKey"], route.key(), "{}", route.file());
        let read: ApiGatewayV2httpRequest = serde_json::from_value(event).expect("a request");
        assert_eq!(read.request_context.route_key.as_deref(), Some(route.key()), "{}", route.file());
    }
}
