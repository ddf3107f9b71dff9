//! Terminate, stop and start: what each refusal means, and that one bad id spoils no other.

use ec2_sim::Faults;
use pool_core::offering::Meaning;
use pool_core::reap_idle::Ec2State;
use pool_core::shard::Market;

use crate::bench::{Bench, unknown_id};

#[tokio::test]
async fn an_unknown_id_does_not_keep_the_others_alive() {
    let bench = Bench::new("batch").await;
    let ids = bench.running(1, 2).await;
    let batch = [ids[0].clone(), unknown_id(), ids[1].clone()];
    let outcomes = bench.fleet.terminate(&batch).await;
    assert_eq!(outcomes.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>(), batch);
    assert_eq!((&outcomes[0].1, &outcomes[2].1), (&Ok(()), &Ok(())));
    let error = outcomes[1].1.as_ref().expect_err("EC2 does not know it");
    assert_eq!((error.code.as_str(), error.meaning), ("InvalidInstanceID.NotFound", Meaning::Unknown));
    for id in &ids {
        bench.wait_for(id, Ec2State::Terminated).await;
    }
}

#[tokio::test]
async fn terminating_twice_is_a_success_and_nothing_is_no_call() {
    let bench = Bench::new("twice").await;
    let ids = bench.running(1, 1).await;
    for _ in 0..2 {
        assert_eq!(bench.fleet.terminate(&ids).await, [(ids[0].clone(), Ok(()))]);
    }
    assert_eq!(bench.fleet.terminate(&[]).await, []);
}

#[tokio::test]
async fn a_throttled_batch_is_not_asked_one_by_one() {
    let bench = Bench::new("brake").await;
    let ids = bench.running(1, 2).await;
    if !bench.order(Faults { throttle_next: 1, ..Faults::default() }) {
        return;
    }
    for (_, outcome) in bench.fleet.terminate(&ids).await {
        assert_eq!(outcome.expect_err("the call was throttled").meaning, Meaning::Throttled);
    }
    for id in &ids {
        bench.wait_for(id, Ec2State::Running).await;
    }
}

#[tokio::test]
async fn failure_14_the_sdk_waits_out_a_short_throttling() {
    let bench = Bench::new("waits").await;
    let ids = bench.running(1, 1).await;
    if !bench.order(Faults { throttle_next: 2, ..Faults::default() }) {
        return;
    }
    assert_eq!(bench.fleet_that_retries(3).terminate(&ids).await, [(ids[0].clone(), Ok(()))]);
}

#[tokio::test]
async fn an_instance_stops_and_starts() {
    let bench = Bench::new("stop").await;
    let id = bench.running(1, 1).await.remove(0);
    bench.fleet.stop(&id).await.expect("it runs");
    bench.wait_for(&id, Ec2State::Stopped).await;
    bench.fleet.stop(&id).await.expect("it is stopped already");
    bench.fleet.start(&id).await.expect("it is stopped");
    bench.wait_for(&id, Ec2State::Running).await;
    bench.fleet.start(&id).await.expect("it runs already");
}

#[tokio::test]
async fn what_ends_can_neither_stop_nor_start() {
    let bench = Bench::new("ended").await;
    let ids = bench.running(1, 1).await;
    bench.fleet.terminate(&ids).await;
    bench.wait_for(&ids[0], Ec2State::Terminated).await;
    for outcome in [bench.fleet.stop(&ids[0]).await, bench.fleet.start(&ids[0]).await] {
        assert_eq!(outcome.expect_err("it is terminated").meaning, Meaning::WrongState);
    }
    for outcome in [bench.fleet.stop(&unknown_id()).await, bench.fleet.start(&unknown_id()).await] {
        assert_eq!(outcome.expect_err("EC2 does not know it").meaning, Meaning::Unknown);
    }
}

#[tokio::test]
async fn one_time_spot_cannot_be_stopped() {
    let bench = Bench::new("spot").await;
    let launched = bench.fleet.launch(0, &bench.token(1), &bench.intent(Market::Spot, 1)).await;
    let id = &launched.instances[0].instance;
    bench.wait_for(id, Ec2State::Running).await;
    let error = bench.fleet.stop(id).await.expect_err("it is Spot of a fleet");
    assert_eq!((error.code.as_str(), error.meaning), ("UnsupportedOperation", Meaning::WrongState));
}

#[tokio::test]
async fn a_start_needs_capacity() {
    let bench = Bench::new("start").await;
    let id = bench.running(1, 1).await.remove(0);
    bench.fleet.stop(&id).await.expect("it runs");
    bench.wait_for(&id, Ec2State::Stopped).await;
    if !bench.order(Faults { no_capacity: vec!["*".to_owned()], ..Faults::default() }) {
        return;
    }
    let error = bench.fleet.start(&id).await.expect_err("there is no place");
    assert_eq!(error.meaning, Meaning::NoCapacity);
    assert_eq!(bench.wait_for(&id, Ec2State::Stopped).await.instance, id);
}
