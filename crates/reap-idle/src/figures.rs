//! The figures of the pool as this run leaves it, for the dashboard and the alarms.

use pool_core::control::Control;
use pool_core::snapshot::Snapshot;
use pool_core::{price, scale, status};
use pool_function::metrics::{Metric, measure, measure_whole};

use crate::pool::Pool;

/// Tells them.
pub(crate) fn tell(pool: &Pool<'_>, control: &Control) {
    let (policy, now) = (&pool.environment.settings.policy, pool.environment.now());
    let seen = Snapshot { shards: &pool.shards, control, records: &[], policy, now };
    let totals = status::totals(&pool.shards);
    for (metric, value) in [
        (Metric::Free, totals.free),
        (Metric::Leased, totals.leased),
        (Metric::Booting, totals.booting),
        (Metric::Leaving, totals.leaving),
        (Metric::Stopped, totals.stopped),
        (Metric::Waiting, totals.waiting),
        (Metric::BeyondCap, scale::need(seen).beyond_cap),
        (Metric::BootFailuresInARow, control.breaker.failed.len() as u64),
    ] {
        measure_whole(metric, value);
    }
    measure(Metric::CostPerHour, price::pool_usd_per_hour(&pool.shards));
    for instance_type in price::unlisted(&pool.shards) {
        tracing::info!(instance_type, cause = "prices.csv does not list it", "what it costs is a guess");
    }
}
