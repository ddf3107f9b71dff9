//! Runs of the simulation: each seed is another pool with another history of faults. The same seed gives the same run.

use std::collections::BTreeMap;

use pool_tests::sim::plan::{self, Rates};
use pool_tests::sim::{Plan, Report, run};

/// Carries out the runs of one lane and answers their sums.
fn lane(lane: u64) {
    let (mut steps, mut requests, mut faults) = (0, 0, BTreeMap::new());
    for seed in plan::lane(lane) {
        let report = run(&Plan::of(seed));
        report.expect_sound();
        steps += report.steps;
        requests += report.requests;
        for (kind, count) in report.faults {
            *faults.entry(kind).or_insert(0) += count;
        }
    }
    let sum: u64 = faults.values().sum();
    // The four lanes together: a million steps, a hundred thousand requests and as many faults.
    assert!(
        steps >= 250_000 && requests >= 25_000 && sum >= 25_000,
        "{steps} steps, {requests} requests, {sum} faults"
    );
    println!("seeds from {}: {steps} steps, {requests} requests, {sum} faults: {faults:?}", lane * 1_000);
}

#[test]
fn every_fault_lane_0() {
    lane(0);
}

#[test]
fn every_fault_lane_1() {
    lane(1);
}

#[test]
fn every_fault_lane_2() {
    lane(2);
}

#[test]
fn every_fault_lane_3() {
    lane(3);
}

/// Runs at the same time in one process, as `cargo test` has them, must not touch each other either.
#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in [7, 8] {
        let [first, second, other] = std::thread::scope(|scope| {
            let runs = [seed, seed, seed + 100].map(|seed| scope.spawn(move || run(&Plan::of(seed))));
            runs.map(|run| run.join().expect("the run does not panic"))
        });
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!((first.steps, first.requests), (second.steps, second.requests));
        assert_ne!(first.hash, other.hash);
    }
}

#[test]
fn without_faults_nothing_is_found() {
    for seed in 0..3 {
        let report = run(&Plan::calm(seed));
        report.expect_sound();
        assert!(report.faults.is_empty(), "{:?}", report.faults);
        assert!(report.requests > 500, "{} requests", report.requests);
    }
}

/// The run of `POOL_SIM_SEED`, with only the faults of `POOL_SIM_FAULTS` if that is set; nothing without a seed.
#[test]
#[expect(clippy::disallowed_methods, reason = "a failure says by which variables it is seen again")]
fn replay() {
    let Some(seed) = std::env::var("POOL_SIM_SEED").ok().and_then(|seed| seed.parse().ok()) else { return };
    let mut plan = Plan::of(seed);
    if let Ok(only) = std::env::var("POOL_SIM_FAULTS") {
        for (name, rate) in Rates::kinds() {
            if !only.split(',').any(|kind| kind == name) {
                *rate(&mut plan.rates) = 0;
            }
        }
    }
    let report: Report = run(&plan);
    println!("{}", report.tail);
    report.expect_sound();
    println!(
        "seed {seed} is sound: {} steps, {} requests, hash {:016x}, {:?}",
        report.steps, report.requests, report.hash, report.faults
    );
}
