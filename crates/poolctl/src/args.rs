//! The command line.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use clap::{Args, Parser, Subcommand};

use crate::whatif::generate::{Demand, Shape};

const EXIT_STATUS: &str = "Exit status:
  0  done
  1  the pool refused, or answered what cannot be understood
  2  the command line, a file or the endpoint is wrong
  3  nothing is free now, or nothing came in time: try again later
  4  the pool could not be reached, or there are no credentials";

/// Looks after a pool of EC2 instances from a terminal.
///
/// Requests are signed with the credentials that the AWS CLI would take. A pool on this machine (`cargo local`) takes them
/// without.
#[derive(Debug, Parser)]
#[command(name = "poolctl", version, about, after_help = EXIT_STATUS)]
pub struct Cli {
    /// Print JSON for programs instead of tables for people.
    #[arg(long, global = true)]
    pub json: bool,
    /// Where the pool is.
    #[command(flatten)]
    pub connection: Connection,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where the pool is, and who asks.
#[derive(Debug, Args)]
pub struct Connection {
    /// The pool's API, as the stack's output names it.
    #[arg(long, global = true, value_name = "URL", env = "POOLCTL_ENDPOINT", default_value = "http://127.0.0.1:8080")]
    pub endpoint: String,
    /// The profile of the AWS CLI to sign with.
    #[arg(long, global = true)]
    pub profile: Option<String>,
    /// The API's region; by default what the endpoint's name, the environment or the profile says.
    #[arg(long, global = true)]
    pub region: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Replay a demand trace through the plans of the pool, and say what callers would wait and instances cost.
    Simulate(Simulate),
    /// Print a generated demand trace as CSV.
    Trace(Trace),
    /// Commands that speak to a pool.
    #[command(flatten)]
    Ask(Ask),
}

/// Commands that speak to a pool.
#[derive(Debug, Subcommand)]
pub enum Ask {
    /// Lease an instance.
    Acquire(Acquire),
    /// Keep a lease for longer.
    Renew {
        /// The lease's id.
        lease: String,
        /// Its life from now on, in seconds; what it was granted for when not given.
        #[arg(long, value_name = "SECONDS")]
        ttl: Option<u64>,
        /// Show the access token in the table, too.
        #[arg(long)]
        show_token: bool,
    },
    /// Give a lease back, or give up waiting.
    Release {
        /// The lease's id.
        lease: String,
    },
    /// Open a port of this machine behind which is the leased browser, for Playwright, Puppeteer and the like; the lease is kept until
    /// Ctrl-C and given back then.
    Connect(Connect),
    /// Look at a lease.
    Lease {
        /// Its id.
        lease: String,
        /// Show the access token in the table, too.
        #[arg(long)]
        show_token: bool,
    },
    /// The pool as one picture.
    Status,
    /// Watch the pool in this terminal, as it changes.
    Top {
        /// Time between two looks, each of which is a request.
        #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600))]
        every: u64,
    },
    /// Every instance of the pool.
    Instances,
    /// One instance.
    Instance {
        /// Its id.
        instance: String,
    },
    /// What happened to an instance, oldest first.
    History {
        /// Its id.
        instance: String,
    },
    /// Launch and start nothing until `resume`.
    Pause(Reason),
    /// Launch again.
    Resume(TakeBack),
    /// Empty the pool, or take one instance out of service; leased instances leave after their lease.
    Drain(Drain),
    /// Fill the pool again.
    Undrain(TakeBack),
    /// Set the cap, in place of the deployed one.
    Cap {
        /// Instances at most, or `default` for the deployed cap.
        #[arg(value_parser = cap)]
        max: Cap,
        /// Why, for whoever looks at the pool; `default` needs none.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Take an instance out of service and keep it running.
    Cordon {
        /// Its id.
        instance: String,
        /// Why, for whoever looks at the pool.
        #[command(flatten)]
        reason: Reason,
    },
    /// End anybody's lease.
    ForceRelease {
        /// The lease's id.
        lease: String,
    },
}

/// Options of `connect`.
#[derive(Debug, Args)]
pub struct Connect {
    /// The lease's id; without one an instance is leased first.
    pub lease: Option<String>,
    /// Port of this machine; 0 for any that is free.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
}

/// Options of `acquire`.
#[derive(Debug, Args)]
pub struct Acquire {
    /// The lease's life without renewal, in seconds; the pool's own when not given.
    #[arg(long, value_name = "SECONDS")]
    pub ttl: Option<u64>,
    /// Wait for so long when nothing is free.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub wait: u64,
    /// Makes repeating safe: the same key finds the same lease.
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Show the access token in the table, too.
    #[arg(long)]
    pub show_token: bool,
}

/// Options of `drain`.
#[derive(Debug, Args)]
pub struct Drain {
    /// Only this instance.
    #[arg(long, value_name = "ID")]
    pub instance: Option<String>,
    /// Wait until it is gone, or no instance is left.
    #[arg(long)]
    pub wait: bool,
    /// Why, for whoever looks at the pool.
    #[command(flatten)]
    pub reason: Reason,
}

/// Why an operator orders something.
#[derive(Debug, Args)]
pub struct Reason {
    /// Why, for whoever looks at the pool.
    #[arg(long = "reason", value_name = "TEXT")]
    pub reason: String,
}

/// An order that is taken back, which needs no reason.
#[derive(Debug, Args)]
pub struct TakeBack {
    /// Why, for the log.
    #[arg(long, value_name = "TEXT", default_value = TAKEN_BACK)]
    pub reason: String,
}

/// The reason of an order that is taken back without one.
pub const TAKEN_BACK: &str = "no longer needed";

/// A cap that an operator sets; none for the deployed one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap(pub Option<u64>);

fn cap(text: &str) -> Result<Cap, String> {
    if text == "default" {
        return Ok(Cap(None));
    }
    text.parse().map(|max| Cap(Some(max))).map_err(|_| "is a number, or `default` for the deployed cap".to_owned())
}

/// Options of `simulate`.
#[derive(Debug, Args)]
pub struct Simulate {
    /// The demand: a CSV file with the columns `arrival_seconds` and `duration_seconds`.
    #[arg(long, value_name = "FILE", required_unless_present = "generate", conflicts_with = "generate")]
    pub trace: Option<PathBuf>,
    /// Generate the demand instead.
    #[arg(long, value_name = "SHAPE")]
    pub generate: Option<Shape>,
    /// What to generate.
    #[command(flatten)]
    pub demand: DemandArgs,
    /// The policy, a TOML file; the template's defaults when not given.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// More policies, side by side with the first.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub compare: Vec<PathBuf>,
    /// Compare with a fixed pool and with target tracking, both at the cost of the first policy.
    #[arg(long)]
    pub baselines: bool,
    /// When the trace begins, for the windows of a schedule.
    #[arg(long, value_name = "RFC3339", default_value = "2026-01-05T00:00:00Z")]
    pub start: DateTime<Utc>,
    /// Write a report with charts, one HTML file that needs nothing else.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// Options of `trace`.
#[derive(Debug, Args)]
pub struct Trace {
    /// The shape of the demand.
    #[arg(long, value_name = "SHAPE")]
    pub generate: Shape,
    /// What to generate.
    #[command(flatten)]
    pub demand: DemandArgs,
}

/// What a generator is told.
#[derive(Debug, Clone, Copy, Args)]
pub struct DemandArgs {
    /// Arrivals an hour, on average over the whole trace.
    #[arg(long, value_name = "PER_HOUR", default_value_t = 120.0, value_parser = rate)]
    pub rate: f64,
    /// How long one uses an instance on average, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300.0, value_parser = duration)]
    pub mean_duration: f64,
    /// How long the trace lasts.
    #[arg(long, default_value_t = 24.0, value_parser = hours)]
    pub hours: f64,
    /// Another seed is another draw, of the demand and of the boots.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

impl DemandArgs {
    /// The demand of a shape.
    #[must_use]
    pub fn of(self, shape: Shape) -> Demand {
        let Self { rate: rate_per_hour, mean_duration: mean_duration_seconds, hours, seed } = self;
        Demand { shape, rate_per_hour, mean_duration_seconds, hours, seed }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    within(text, 0.001, 10_000_000.0)
}

fn duration(text: &str) -> Result<f64, String> {
    within(text, 1.0, 604_800.0)
}

fn hours(text: &str) -> Result<f64, String> {
    within(text, 0.01, 8_784.0)
}

fn within(text: &str, least: f64, most: f64) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("is a number from {least} to {most}")),
    }
}
