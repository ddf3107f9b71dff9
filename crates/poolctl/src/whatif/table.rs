//! A comparison as a table for a terminal: one column a policy.

use clap::ValueEnum;
use comfy_table::{Cell, CellAlignment, Table, TableComponent, presets};
use pool_core::shard::Market;

use super::report::{Comparison, Report};

type Line = (&'static str, fn(&Report) -> String);

const LINES: &[Line] = &[
    ("wait p50", |r| format!("{} s", r.wait.p50_seconds)),
    ("wait p95", |r| format!("{} s", r.wait.p95_seconds)),
    ("wait p99", |r| format!("{} s", r.wait.p99_seconds)),
    ("wait mean", |r| format!("{:.2} s", r.wait.mean_seconds)),
    ("wait max", |r| format!("{} s", r.wait.max_seconds)),
    ("refused", |r| format!("{} ({:.2} %)", r.refused.total, share(r.refused.total, r.callers))),
    ("  queue full / waited in vain / at once", |r| {
        format!("{} / {} / {}", r.refused.queue_full, r.refused.waited_in_vain, r.refused.at_once)
    }),
    ("utilisation", |r| format!("{:.1} %", r.utilisation_percent)),
    ("instances mean / most / cap", |r| format!("{:.1} / {} / {}", r.mean_instances, r.most_instances, r.cap)),
    ("instance hours", |r| format!("{:.1}", r.instance_hours)),
    ("cost", |r| format!("${:.2}", r.cost.usd)),
    ("  Spot", |r| format!("${:.2}", r.usd_of(Market::Spot))),
    ("  on-demand", |r| format!("${:.2}", r.usd_of(Market::OnDemand))),
    ("  for 1000 leases", |r| format!("${:.3}", r.cost.usd_per_1000_leases)),
    ("launched / started / removed", |r| format!("{} / {} / {}", r.churn.launches, r.churn.starts, r.churn.removals)),
    ("removed unused / within cool-downs", |r| format!("{} / {}", r.churn.removed_unused, r.churn.flaps)),
    ("Spot warnings / leases they ended", |r| {
        format!("{} / {}", r.churn.spot_interruptions, r.churn.interrupted_leases)
    }),
];

/// The comparison as text.
#[must_use]
pub fn text(comparison: &Comparison) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    let names = comparison.reports.iter().map(|report| Cell::new(&report.policy).set_alignment(CellAlignment::Right));
    table.remove_style(TableComponent::HorizontalLines).remove_style(TableComponent::MiddleIntersections);
    table.remove_style(TableComponent::LeftBorderIntersections).remove_style(TableComponent::RightBorderIntersections);
    table.set_header(std::iter::once(Cell::new("")).chain(names));
    for row in rows(comparison) {
        let mut cells = row.into_iter();
        let label = cells.next().map(Cell::new);
        let values = cells.map(|value| Cell::new(value).set_alignment(CellAlignment::Right));
        table.add_row(label.into_iter().chain(values));
    }
    format!("{}\n{table}", headline(comparison))
}

/// The trace in a sentence.
#[must_use]
pub fn headline(comparison: &Comparison) -> String {
    let trace = &comparison.trace;
    let source = match (&trace.file, &trace.generated) {
        (Some(file), _) => file.clone(),
        (None, Some(demand)) => {
            let shape = demand.shape.to_possible_value().map_or_else(String::new, |shape| shape.get_name().to_owned());
            format!("{shape}, seed {}", demand.seed)
        }
        (None, None) => "trace".to_owned(),
    };
    format!(
        "{source}: {} callers in {:.1} hours; demand {:.1} instances on average, {} at most",
        trace.callers, trace.hours, trace.mean_demand, trace.peak_demand
    )
}

/// The table's rows: a label and a value for each policy.
#[must_use]
pub fn rows(comparison: &Comparison) -> Vec<Vec<String>> {
    let row = |(label, value): &Line| {
        std::iter::once((*label).to_owned()).chain(comparison.reports.iter().map(value)).collect()
    };
    LINES.iter().map(row).collect()
}

fn share(part: u64, of: u64) -> f64 {
    100.0 * super::report::number(part) / super::report::number(of.max(1))
}
