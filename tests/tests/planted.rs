//! The simulation bites: every planted bug is found by an ordinary run, and `docs/simulation.md` says by which check.

use pool_tests::request::root;
use pool_tests::sim::plan::ordinary_seeds;
use pool_tests::sim::planted::PLANTED;
use pool_tests::sim::{Plan, run};

/// Every fourth bug from this one on. The seed that found it when it was planted is tried first; a change of the product
/// can make it another one.
fn found(lane: usize) {
    for planted in PLANTED.iter().skip(lane).step_by(4) {
        let seeds = std::iter::once(planted.seed).chain(ordinary_seeds());
        let mut reports = seeds.map(|seed| run(&Plan { planted: Some(planted), ..Plan::of(seed) }));
        let Some(report) = reports.find(|report| report.verdict.is_some()) else {
            panic!("no ordinary run finds the bug: {}", planted.name);
        };
        let verdict = report.verdict.unwrap_or_default();
        let first_line = verdict.lines().next().unwrap_or_default();
        println!("{}: seed {}, {} steps: {first_line}", planted.name, report.plan.seed, report.steps);
    }
}

#[test]
fn planted_bugs_are_found_lane_0() {
    found(0);
}

#[test]
fn planted_bugs_are_found_lane_1() {
    found(1);
}

#[test]
fn planted_bugs_are_found_lane_2() {
    found(2);
}

#[test]
fn planted_bugs_are_found_lane_3() {
    found(3);
}

#[test]
fn every_planted_bug_is_in_the_documentation() {
    let table = std::fs::read_to_string(root().join("docs/simulation.md")).expect("the file is there");
    for planted in &PLANTED {
        assert!(table.contains(&format!("| {} |", planted.name)), "no row of docs/simulation.md has {}", planted.name);
    }
}
