//! The command line of `cargo local`, and the hidden one of the simulated nodes.
//!
//! Rule: every limit is stated here and checked while parsing; the other modules receive values they can use as they are.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use clap::{Args, Parser, Subcommand};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "cargo local",
    version,
    about = "Runs all of ec2-pool on this machine.",
    args_conflicts_with_subcommands = true
)]
pub struct CommandLine {
    /// How to run the system.
    #[command(flatten)]
    pub options: Options,
    /// A role that this binary plays for itself.
    #[command(subcommand)]
    pub role: Option<Role>,
}

/// Roles that the binary plays when it starts itself again.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// One simulated machine of the pool.
    #[command(hide = true)]
    Node(NodeOptions),
}

/// How to run the system.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// Address that every server listens on; another than loopback lets containers in, and anyone else who can reach it
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub bind: IpAddr,
    /// Port of the HTTP API
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Port of the embedded `DynamoDB`
    #[arg(long, value_name = "PORT", default_value_t = 8000, help = "Port of the embedded DynamoDB")]
    pub dynamodb_port: u16,
    /// Port of the simulated EC2
    #[arg(long, value_name = "PORT", default_value_t = 8001)]
    pub ec2_port: u16,
    /// Port of Lambda's Invoke API
    #[arg(long, value_name = "PORT", default_value_t = 9001)]
    pub lambda_port: u16,
    /// Keep the table in this directory instead of in memory; the simulated instances end with each run
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Write the log of each function and node to a file in this directory (with --data: its `logs` directory)
    #[arg(long, value_name = "DIR")]
    pub logs: Option<PathBuf>,
    /// All time passes N times as fast: schedules, boots, EC2's delays, leases, cool-downs, heartbeats
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    #[arg(conflicts_with = "browser")]
    pub time_scale: u32,
    /// How long a simulated machine takes from running to healthy
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=3600))]
    pub boot_seconds: u32,
    /// How many environments of one function may run at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub concurrency: u32,
    /// Take the function binaries from this directory and build nothing
    #[arg(long, value_name = "DIR")]
    pub binaries: Option<PathBuf>,
    /// Make each simulated machine a real browser-node with a Chromium that callers can drive; it takes as long to boot as that does
    #[arg(long)]
    pub browser: bool,
    /// Chrome or Chromium for --browser [default: the first that is installed]
    #[arg(long, value_name = "PATH", requires = "browser")]
    pub chromium: Option<PathBuf>,
    /// User without rights that the Chromiums of --browser run as, one for each session of a machine, which only root needs; what the
    /// user owns in /tmp, /var/tmp and /dev/shm is wiped with each lease [default for root: numbers that nobody has]
    #[arg(long, value_name = "NAME", requires = "browser", value_delimiter = ',')]
    pub browser_user: Vec<String>,
    /// Have the nodes of --browser speak TLS, with certificates that nobody has signed; `poolctl connect` knows them
    #[arg(long, requires = "browser")]
    pub tls: bool,
    /// Show every log line of the functions and nodes, not only warnings and errors
    #[arg(long, short)]
    pub verbose: bool,
}

/// What one simulated machine is told when its process starts.
#[derive(Debug, Clone, Args)]
pub struct NodeOptions {
    /// The instance's id
    #[arg(long)]
    pub id: String,
    /// Number of this boot: 1 from the launch, one more with each start
    #[arg(long)]
    pub boot_id: u32,
    /// Sessions that it serves at a time
    #[arg(long, default_value_t = 1)]
    pub sessions: u64,
    /// Its private address
    #[arg(long)]
    pub address: IpAddr,
    /// Base URL of the HTTP API
    #[arg(long)]
    pub api: String,
    /// From the start of the process to healthy
    #[arg(long)]
    pub boot_ms: u64,
    /// Time between heartbeats
    #[arg(long)]
    pub heartbeat_ms: u64,
    /// Time until a refused registration is tried again
    #[arg(long)]
    pub retry_ms: u64,
    /// Port of the health check
    #[arg(long)]
    pub health_port: u16,
    /// Path of the health check
    #[arg(long)]
    pub health_path: String,
}
