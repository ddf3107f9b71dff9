//! What the pool measures of itself: every metric's name, unit and meaning, and how they reach CloudWatch.
//!
//! Functions count and measure while they work. After each invocation what has come together is written to the log as a
//! line in the embedded metric format, of which CloudWatch makes metrics in the namespace `ec2-pool/<pool>`
//! (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>).
//! It costs no request, and nobody waits for it.
//!
//! Rule: names stand here alone. The dashboard and the alarms of `template.yaml` use them, which a test holds together.

use std::io::Write;
use std::sync::OnceLock;

use lambda_runtime::Error;
use metrics::Unit;
use metrics_cloudwatch_embedded::{Builder, Collector};
use pool_core::policy::Policy;
use pool_core::shard::{EndedBy, Shard, Transition};
use pool_core::time::Timestamp;

/// Something that is counted or measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Time until `POST /v1/leases` has its first answer, without the time for which `Prefer: wait` holds it.
    AcquireLatency,
    /// Leases granted, at once or to one who waited.
    Grants,
    /// Requests that began to wait.
    Waits,
    /// How long one who waited did so before it was given an instance.
    WaitTime,
    /// Requests that were refused since nothing was free, or the queue was full.
    Empty,
    /// Writes that had to be made anew, since another request was first.
    Conflicts,
    /// Leases that ended because nobody renewed or released them.
    Expiries,
    /// Instances ready to be leased.
    Free,
    /// Instances under a lease.
    Leased,
    /// Instances booting, being cleaned, or still to be launched.
    Booting,
    /// Instances on their way out.
    Leaving,
    /// Instances in the stopped tier.
    Stopped,
    /// Requests that wait.
    Waiting,
    /// Instances that are wanted and that the cap forbids.
    BeyondCap,
    /// Boots that failed in a row; as many as `BootFailureLimit` stop the launching.
    BootFailuresInARow,
    /// What the instances cost, by the list of prices; Spot is estimated.
    CostPerHour,
    /// Instances launched.
    Launches,
    /// Errors in EC2's answers to launch calls, by EC2's code and in all; an instance may have come all the same.
    LaunchErrors,
    /// Launch calls that EC2 refused for a reason that no retry mends.
    LaunchesRefused,
    /// Time from the launch of an instance until its node was ready.
    BootTime,
    /// Instances removed since they were free for too long.
    IdleKills,
    /// Instances that EC2 announced to take away, or took.
    Interruptions,
    /// Instances with the pool's tag that no shard knew.
    OrphansFound,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::AcquireLatency,
        Self::Grants,
        Self::Waits,
        Self::WaitTime,
        Self::Empty,
        Self::Conflicts,
        Self::Expiries,
        Self::Free,
        Self::Leased,
        Self::Booting,
        Self::Leaving,
        Self::Stopped,
        Self::Waiting,
        Self::BeyondCap,
        Self::BootFailuresInARow,
        Self::CostPerHour,
        Self::Launches,
        Self::LaunchErrors,
        Self::LaunchesRefused,
        Self::BootTime,
        Self::IdleKills,
        Self::Interruptions,
        Self::OrphansFound,
    ];

    /// Its name in CloudWatch.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AcquireLatency => "AcquireLatency",
            Self::Grants => "Grants",
            Self::Waits => "Waits",
            Self::WaitTime => "WaitTime",
            Self::Empty => "Empty",
            Self::Conflicts => "Conflicts",
            Self::Expiries => "Expiries",
            Self::Free => "Free",
            Self::Leased => "Leased",
            Self::Booting => "Booting",
            Self::Leaving => "Leaving",
            Self::Stopped => "Stopped",
            Self::Waiting => "Waiting",
            Self::BeyondCap => "BeyondCap",
            Self::BootFailuresInARow => "BootFailuresInARow",
            Self::CostPerHour => "CostPerHour",
            Self::Launches => "Launches",
            Self::LaunchErrors => "LaunchErrors",
            Self::LaunchesRefused => "LaunchesRefused",
            Self::BootTime => "BootTime",
            Self::IdleKills => "IdleKills",
            Self::Interruptions => "Interruptions",
            Self::OrphansFound => "OrphansFound",
        }
    }

    /// Its unit in CloudWatch; dollars have none there.
    #[must_use]
    pub const fn unit(self) -> Option<Unit> {
        match self {
            Self::AcquireLatency => Some(Unit::Milliseconds),
            Self::WaitTime | Self::BootTime => Some(Unit::Seconds),
            Self::CostPerHour => None,
            _ => Some(Unit::Count),
        }
    }

    /// The dimension that it has, if it is told apart by something.
    #[must_use]
    pub const fn dimension(self) -> Option<&'static str> {
        match self {
            Self::LaunchErrors => Some("Code"),
            _ => None,
        }
    }
}

static COLLECTOR: OnceLock<&'static Collector> = OnceLock::new();

/// Begins to collect for a pool. Before, and in a second call, nothing happens.
///
/// # Errors
/// When the process collects metrics in another way already.
pub fn start(pool: &str) -> Result<(), Error> {
    if COLLECTOR.get().is_some() {
        return Ok(());
    }
    let collector = Builder::new().cloudwatch_namespace(format!("ec2-pool/{pool}")).init()?;
    for metric in Metric::ALL {
        if let Some(unit) = metric.unit() {
            // The collector keeps units by name, whatever kind a metric is of.
            metrics::describe_counter!(metric.name(), unit, "");
        }
    }
    COLLECTOR.get_or_init(|| collector);
    Ok(())
}

/// Writes what came together since the last time, with the ids of the invocation. A failure to write is no reason to
/// fail the invocation.
pub fn flush(out: impl Write, request_id: &str, trace_id: Option<&str>) {
    let Some(collector) = COLLECTOR.get() else { return };
    collector.set_property("request_id", request_id);
    match trace_id {
        Some(trace_id) => collector.set_property("trace_id", trace_id),
        None => collector.remove_property("trace_id"),
    };
    if let Err(error) = collector.flush(out) {
        tracing::warn!(%error, cause = "the log cannot be written", "metrics are lost");
    }
}

/// Counts.
pub fn count(metric: Metric, by: u64) {
    metrics::counter!(metric.name()).increment(by);
}

/// Counts one of those that are told apart by `value` in the metric's dimension: by it, and in all, since an alarm cannot
/// add up over a dimension.
pub fn count_one_of(metric: Metric, value: &str) {
    count(metric, 1);
    if let Some(dimension) = metric.dimension() {
        metrics::counter!(metric.name(), dimension => value.to_owned()).increment(1);
    }
}

/// Measures, in the metric's unit.
pub fn measure(metric: Metric, value: f64) {
    metrics::histogram!(metric.name()).record(value);
}

/// Measures a count or a time in whole units.
pub fn measure_whole(metric: Metric, value: u64) {
    // What is counted here is far below the 2^32 from which on this would be wrong.
    measure(metric, f64::from(u32::try_from(value).unwrap_or(u32::MAX)));
}

/// Counts what an accepted write did; `shard` is as the write left it.
pub fn of_write(write: &Transition, shard: &Shard, policy: &Policy, now: Timestamp) {
    match write {
        Transition::Grant { .. } => count(Metric::Grants, 1),
        Transition::Enqueue { .. } => count(Metric::Waits, 1),
        Transition::End { by: EndedBy::Expiry, .. } => count(Metric::Expiries, 1),
        Transition::Adopt { members, .. } => count(Metric::Launches, members.len() as u64),
        Transition::AdoptOrphan { .. } | Transition::Doom { .. } => count(Metric::OrphansFound, 1),
        _ => {}
    }
    if let Some(terms) = write.handed_over_to().and_then(|waiter| shard.lease_terms.get(waiter)) {
        count(Metric::Grants, 1);
        measure_whole(Metric::WaitTime, now.seconds_since(policy.waiting_since(terms)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_that_of_its_variant_and_stands_once() {
        let mut names: Vec<&str> = Metric::ALL.into_iter().map(Metric::name).collect();
        for metric in Metric::ALL {
            assert_eq!(format!("{metric:?}"), metric.name());
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Metric::ALL.len());
    }
}
