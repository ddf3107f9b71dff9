//! Baselines that cost what the pool costs, so that only the waits are left to compare.

use pool_core::time::Timestamp;

use super::baseline::{Fixed, TargetTracking};
use super::policy_file::{Kind, Scenario};
use super::report::Report;
use super::run::simulate;
use super::trace::Trace;

/// Target utilisations that are tried, in percent.
const PERCENT: (f64, f64) = (5.0, 100.0);
/// Halvings of the range; more would change the target by less than a hundredth of a percent.
const HALVINGS: u32 = 12;

/// A fixed pool of the same mean size, rounded up.
#[must_use]
pub fn fixed(scenario: &Scenario, report: &Report) -> Scenario {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a pool has at most 10,000 instances")]
    let instances = report.mean_instances.ceil() as u64;
    Scenario { name: format!("fixed {instances}"), kind: Kind::Fixed(Fixed { instances }), ..scenario.clone() }
}

/// Target tracking whose target makes it run as many instance hours as the pool did, as nearly as can be and rather more
/// than fewer. `pace` says how fast it reacts.
#[must_use]
pub fn target_tracking(
    pace: TargetTracking,
    scenario: &Scenario,
    report: &Report,
    trace: &Trace,
    [start, seed]: [u64; 2],
) -> Scenario {
    let with = |percent: f64| {
        let kind = Kind::TargetTracking(TargetTracking { percent, ..pace });
        Scenario { name: format!("target {percent:.1} %"), kind, ..scenario.clone() }
    };
    let (mut low, mut high) = PERCENT;
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        // The lower the target, the larger the pool.
        if simulate(trace, &with(middle), Timestamp(start), seed).instance_hours >= report.instance_hours {
            low = middle;
        } else {
            high = middle;
        }
    }
    with(low)
}
