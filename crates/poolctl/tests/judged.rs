//! What the policy engine is judged by: at equal cost its callers wait less than those of a fixed pool and of target
//! tracking, the cap holds, and nothing is launched in vain.

use std::path::Path;

use pool_core::time::Timestamp;
use poolctl::whatif::baseline::TargetTracking;
use poolctl::whatif::generate::{Demand, Shape, generate};
use poolctl::whatif::policy_file::Scenario;
use poolctl::whatif::report::{Report, Sample};
use poolctl::whatif::trace::Trace;
use poolctl::whatif::{equal_cost, simulate};

/// 2026-01-05T00:00:00Z, a Monday.
const START: u64 = 1_767_571_200;
const SEEDS: [u64; 3] = [1, 2, 3];
const SHAPES: [Shape; 4] = [Shape::Steady, Shape::Bursty, Shape::Diurnal, Shape::FlashCrowd];

/// Kept so lean that somebody waits under every demand; a pool that keeps more free has no waits to compare.
const LEAN: &str = include_str!("../policies/lean.toml");

fn scenario(text: &str) -> Scenario {
    Scenario::parse(Path::new("policy.toml"), text).expect("a valid policy")
}

fn day(shape: Shape, seed: u64) -> Trace {
    let (rate_per_hour, mean_duration_seconds, hours) = (120.0, 300.0, 24.0);
    generate(&Demand { shape, rate_per_hour, mean_duration_seconds, hours, seed })
}

fn run(trace: &Trace, scenario: &Scenario, seed: u64) -> Report {
    simulate(trace, scenario, Timestamp(START), seed)
}

#[test]
fn callers_wait_less_than_with_a_fixed_pool_of_the_same_mean_size() {
    let ours = scenario(LEAN);
    for (shape, seed) in SHAPES.into_iter().flat_map(|shape| SEEDS.map(|seed| (shape, seed))) {
        let trace = day(shape, seed);
        let ours_report = run(&trace, &ours, seed);
        let fixed = run(&trace, &equal_cost::fixed(&ours, &ours_report), seed);
        assert!(fixed.instance_hours >= ours_report.instance_hours, "{shape:?} {seed}: the comparison favours us");
        check(shape, seed, &ours_report, &fixed);
    }
}

#[test]
fn callers_wait_less_than_with_target_tracking_at_the_same_cost() {
    let ours = scenario(LEAN);
    // The pace of EC2 Auto Scaling, and one that reacts to a single minute.
    let eager = TargetTracking { scale_out_after_minutes: 1, scale_in_after_minutes: 5, ..TargetTracking::default() };
    for pace in [TargetTracking::default(), eager] {
        for (shape, seed) in SHAPES.into_iter().flat_map(|shape| SEEDS.map(|seed| (shape, seed))) {
            let trace = day(shape, seed);
            let ours_report = run(&trace, &ours, seed);
            let tuned = equal_cost::target_tracking(pace, &ours, &ours_report, &trace, [START, seed]);
            let tracking = run(&trace, &tuned, seed);
            let ratio = tracking.instance_hours / ours_report.instance_hours;
            assert!((1.0..=1.03).contains(&ratio), "{shape:?} {seed}: its hours are {ratio} of ours");
            check(shape, seed, &ours_report, &tracking);
        }
    }
}

fn check(shape: Shape, seed: u64, ours: &Report, other: &Report) {
    let what = |report: &Report| format!("{}: {:?}, {} refused", report.policy, report.wait, report.refused.total);
    let said = format!("{shape:?}, seed {seed}: {} | {}", what(ours), what(other));
    assert_eq!(ours.callers, other.callers, "{said}");
    assert!(ours.wait.p95_seconds < other.wait.p95_seconds, "{said}");
    assert!(ours.wait.mean_seconds < other.wait.mean_seconds, "{said}");
    assert!(ours.refused.total <= other.refused.total, "{said}");
}

#[test]
fn a_flash_crowd_neither_breaks_the_cap_nor_makes_the_pool_flap() {
    for seed in 1..=10 {
        let trace = day(Shape::FlashCrowd, seed);
        for max in [1, 7, 40, 200] {
            for rest in
                ["", "min_available = 0\n", "stopped_size = 1\nspot_percent = 50\n", "after_release = \"recycle\"\n"]
            {
                let report = run(&trace, &scenario(&format!("max_instances = {max}\n{rest}")), seed);
                assert!(report.most_instances <= max, "seed {seed}, {rest:?}: {} of {max}", report.most_instances);
                assert!(report.samples.iter().all(|sample| sample.instances <= max));
                let idle_while_waiting = |sample: &&Sample| sample.waiting > 0 && sample.free > 0;
                assert_eq!(report.samples.iter().find(idle_while_waiting), None, "seed {seed}, cap {max}, {rest:?}");
                assert_eq!(report.churn.flaps, 0, "seed {seed}, cap {max}, {rest:?}: {:?}", report.churn);
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_report_and_another_seed_another() {
    let policy = scenario(
        "max_instances = 60\nstopped_size = 4\nspot_percent = 60\n[model]\nspot_interruptions_per_hour = 0.2\n",
    );
    let report = |seed| run(&day(Shape::Bursty, seed), &policy, seed);
    assert_eq!(report(5), report(5));
    assert_ne!(report(5), report(6));
}
