//! What a run comes to, for people and programs.

use pool_core::shard::Market;
use serde::Serialize;

use super::generate::Demand;
use super::policy_file::{Kind, Scenario};
pub use super::tally::Sample;
use super::tally::Tally;
use super::trace::Trace;

const SECONDS_PER_HOUR: f64 = 3_600.0;
/// Points of the curve of waits.
const CURVE_POINTS: u64 = 100;

/// Several runs of one trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// The trace.
    pub trace: TraceLine,
    /// The runs, in the order in which they were asked for.
    pub reports: Vec<Report>,
}

/// The trace, in short.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TraceLine {
    /// The file it was read from, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What it was generated from, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generated: Option<Demand>,
    /// How many come.
    pub callers: u64,
    /// How long it lasts.
    pub hours: f64,
    /// Instances that a pool without limits would have leased, on average.
    pub mean_demand: f64,
    /// The same, at most.
    pub peak_demand: u64,
    /// The same over time, every minute.
    pub demand: Vec<u64>,
}

impl TraceLine {
    /// A trace, in short.
    #[must_use]
    pub fn of(trace: &Trace, file: Option<String>, generated: Option<Demand>) -> Self {
        let demand = trace.demand(60);
        Self {
            file,
            generated,
            callers: trace.arrivals.len() as u64,
            hours: number(trace.seconds) / SECONDS_PER_HOUR,
            mean_demand: number(demand.iter().sum()) / number(demand.len() as u64),
            peak_demand: demand.iter().copied().max().unwrap_or(0),
            demand,
        }
    }
}

/// What one policy made of a trace.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The policy's name.
    pub policy: String,
    /// What it was compared as: `pool`, `fixed` or `target-tracking`.
    pub kind: &'static str,
    /// Callers.
    pub callers: u64,
    /// Those who got nothing.
    pub refused: Refused,
    /// How long they waited.
    pub wait: Wait,
    /// Share of the paid instance time that was leased.
    pub utilisation_percent: f64,
    /// Paid instance time.
    pub instance_hours: f64,
    /// Instances that ran, on average.
    pub mean_instances: f64,
    /// The most instances there ever were, everything counted.
    pub most_instances: u64,
    /// How many there may be.
    pub cap: u64,
    /// Launches, starts of stopped ones, removals, and those EC2 took.
    pub churn: Churn,
    /// What it cost.
    pub cost: Cost,
    /// How the pool stood, every minute.
    pub samples: Vec<Sample>,
    /// The share of the callers who waited longer than so many seconds.
    pub waited_longer: Vec<WaitedLonger>,
}

/// Callers who got nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// All of them.
    pub total: u64,
    /// Since as many waited as may.
    pub queue_full: u64,
    /// They waited for as long as they were ready to.
    pub waited_in_vain: u64,
    /// They were not ready to wait.
    pub at_once: u64,
}

/// How long callers waited, in seconds. One who got nothing counts with all the time it was ready to wait.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it all")]
pub struct Wait {
    pub mean_seconds: f64,
    pub p50_seconds: u64,
    pub p95_seconds: u64,
    pub p99_seconds: u64,
    pub max_seconds: u64,
}

/// The share of the callers who waited longer than so.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WaitedLonger {
    /// So many seconds.
    pub seconds: u64,
    /// Their share.
    pub percent: f64,
}

/// What came and went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Churn {
    /// Launched.
    pub launches: u64,
    /// Started from the stopped tier.
    pub starts: u64,
    /// Removed by the policy.
    pub removals: u64,
    /// Removed without having served anybody.
    pub removed_unused: u64,
    /// Launched and removed unused within the cool-downs.
    pub flaps: u64,
    /// Spot instances that EC2 took.
    pub spot_interruptions: u64,
    /// Leases that ended by that.
    pub interrupted_leases: u64,
}

/// What the instances cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// In all.
    pub usd: f64,
    /// For a thousand callers who got one.
    pub usd_per_1000_leases: f64,
    /// By market and type.
    pub lines: Vec<CostLine>,
}

/// What instances of one type and market cost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CostLine {
    /// The market.
    pub market: Market,
    /// The type.
    pub instance_type: String,
    /// Paid instance time.
    pub hours: f64,
    /// What it cost.
    pub usd: f64,
}

impl Report {
    pub(super) fn of(scenario: &Scenario, trace: &Trace, tally: Tally) -> Self {
        let mut waits = tally.waits_seconds;
        waits.sort_unstable();
        let callers = waits.len() as u64;
        let quantile = |percent: usize| {
            let place = (waits.len() * percent).div_ceil(100).max(1) - 1;
            waits.get(place).copied().unwrap_or(0)
        };
        let seconds: u64 = tally.billed_seconds.values().sum();
        let refused = Refused {
            total: tally.queue_full + tally.waited_in_vain + tally.refused_at_once,
            queue_full: tally.queue_full,
            waited_in_vain: tally.waited_in_vain,
            at_once: tally.refused_at_once,
        };
        let lines = tally.billed_seconds.iter().map(|((market, instance_type), seconds)| {
            let hours = number(*seconds) / SECONDS_PER_HOUR;
            let usd = hours * scenario.model.usd_per_hour(*market, instance_type);
            CostLine { market: *market, instance_type: instance_type.clone(), hours, usd }
        });
        let lines: Vec<CostLine> = lines.collect();
        let usd = sum(lines.iter());
        Self {
            policy: scenario.name.clone(),
            kind: kind_name(&scenario.kind),
            callers,
            refused,
            wait: Wait {
                mean_seconds: number(waits.iter().sum()) / number(callers.max(1)),
                p50_seconds: quantile(50),
                p95_seconds: quantile(95),
                p99_seconds: quantile(99),
                max_seconds: waits.last().copied().unwrap_or(0),
            },
            utilisation_percent: 100.0 * number(tally.leased_seconds) / number(seconds.max(1)),
            instance_hours: number(seconds) / SECONDS_PER_HOUR,
            mean_instances: number(seconds) / number(trace.seconds.max(1)),
            most_instances: tally.most_instances,
            cap: scenario.policy.max_instances,
            churn: Churn {
                launches: tally.launches,
                starts: tally.starts,
                removals: tally.removals,
                removed_unused: tally.removed_unused,
                flaps: tally.flaps,
                spot_interruptions: tally.interruptions,
                interrupted_leases: tally.interrupted_leases,
            },
            cost: Cost { usd, usd_per_1000_leases: usd * 1_000.0 / number((callers - refused.total).max(1)), lines },
            waited_longer: waited_longer(&waits, scenario.wait_seconds),
            samples: tally.samples,
        }
    }

    /// What instances of a market cost.
    #[must_use]
    pub fn usd_of(&self, market: Market) -> f64 {
        sum(self.cost.lines.iter().filter(|line| line.market == market))
    }
}

/// The costs of some lines; the sum of none is a plain zero, which `Iterator::sum` writes as -0.
fn sum<'a>(lines: impl Iterator<Item = &'a CostLine>) -> f64 {
    lines.fold(0.0, |sum, line| sum + line.usd)
}

/// `waits` are in their order.
fn waited_longer(waits: &[u64], wait_seconds: u64) -> Vec<WaitedLonger> {
    let step = usize::try_from(wait_seconds / CURVE_POINTS).unwrap_or(1).max(1);
    let longer = |seconds: u64| waits.len() - waits.partition_point(|wait| *wait <= seconds);
    let share = |seconds: u64| 100.0 * number(longer(seconds) as u64) / number(waits.len().max(1) as u64);
    (0..=wait_seconds).step_by(step).map(|seconds| WaitedLonger { seconds, percent: share(seconds) }).collect()
}

fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Pool => "pool",
        Kind::Fixed(_) => "fixed",
        Kind::TargetTracking(_) => "target-tracking",
    }
}

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "no trace has 2^52 of anything")]
#[must_use]
pub fn number(count: u64) -> f64 {
    count as f64
}
