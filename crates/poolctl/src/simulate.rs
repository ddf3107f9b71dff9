//! The commands `simulate` and `trace`: files in, reports out.

use std::io;
use std::path::Path;

use pool_core::time::Timestamp;

use crate::args;
use crate::whatif::baseline::TargetTracking;
use crate::whatif::generate::generate;
use crate::whatif::policy_file::Scenario;
use crate::whatif::report::{Comparison, TraceLine};
use crate::whatif::trace::Trace;
use crate::whatif::{self, BadFile, equal_cost, html, table};

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file of the user's is wrong.
    #[error(transparent)]
    Bad(#[from] BadFile),
    /// The answer cannot be written.
    #[error("{}: {error}", file.display())]
    Unwritten {
        /// Where to.
        file: std::path::PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A chart cannot be drawn.
    #[error("the report cannot be drawn: {0}")]
    Undrawn(String),
    /// The answer cannot be printed.
    #[error(transparent)]
    Unprinted(#[from] io::Error),
    /// The answer cannot be made JSON.
    #[error(transparent)]
    NotJson(#[from] serde_json::Error),
}

/// Replays a trace, prints what comes of it, and writes the report.
///
/// # Errors
/// What is wrong with the files, or where the answer could not be written.
pub fn simulate(options: &args::Simulate, json: bool, out: &mut impl io::Write) -> Result<(), Failure> {
    let demand = options.generate.map(|shape| options.demand.of(shape));
    let trace = match (&options.trace, &demand) {
        (Some(path), _) => Trace::read(path)?,
        (None, Some(demand)) => generate(demand),
        (None, None) => Trace::new(Vec::new(), 0),
    };
    let file = options.trace.as_ref().map(|path| path.display().to_string());
    let start = Timestamp(u64::try_from(options.start.timestamp()).unwrap_or(0));
    let comparison =
        Comparison { trace: TraceLine::of(&trace, file, demand), reports: reports(options, &trace, start)? };
    if json {
        serde_json::to_writer_pretty(&mut *out, &comparison)?;
        writeln!(out)?;
    } else {
        writeln!(out, "{}", table::text(&comparison))?;
    }
    if let Some(path) = &options.html {
        let page = html::page(&comparison).map_err(|error| Failure::Undrawn(error.to_string()))?;
        std::fs::write(path, page).map_err(|error| Failure::Unwritten { file: path.clone(), error })?;
    }
    Ok(())
}

fn reports(options: &args::Simulate, trace: &Trace, start: Timestamp) -> Result<Vec<whatif::report::Report>, BadFile> {
    let first = options.policy.as_deref().map_or_else(Scenario::by_default, Scenario::read)?;
    let others: Result<Vec<Scenario>, BadFile> = options.compare.iter().map(|path: &_| read(path)).collect();
    let mut scenarios = vec![first];
    scenarios.extend(others?);
    let seed = options.demand.seed;
    let mut reports = whatif::compare(trace, &scenarios, start, seed);
    if options.baselines {
        let (first, report) = (&scenarios[0], &reports[0]);
        let tracking = equal_cost::target_tracking(TargetTracking::default(), first, report, trace, [start.0, seed]);
        let baselines = [equal_cost::fixed(first, report), tracking];
        reports.extend(whatif::compare(trace, &baselines, start, seed));
    }
    Ok(reports)
}

fn read(path: &Path) -> Result<Scenario, BadFile> {
    Scenario::read(path)
}

/// Prints a generated trace.
///
/// # Errors
/// Where it could not be printed.
pub fn trace(options: &args::Trace, out: &mut impl io::Write) -> Result<(), Failure> {
    Ok(generate(&options.demand.of(options.generate)).write(out)?)
}
