//! The command line of the node.
//!
//! Rule: every limit is stated here and checked while parsing; the other modules receive values they can use as they are.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, value_parser};
use pool_core::ids::InstanceId;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "browser-node",
    version,
    about = "The node of ec2-pool: a Chrome that one lease after the other drives."
)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub role: Role,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// Serve leases until the machine ends
    Serve(Box<Options>),
    /// Watch a service of your own and speak to the pool for it
    Watch(Box<WatchOptions>),
    /// Keep one Chrome: the node starts this for itself
    #[command(hide = true)]
    Keep(KeepOptions),
}

/// How to speak to the pool.
#[derive(Debug, Clone, Args)]
pub struct PoolOptions {
    /// The pool's API, as the stack's outputs say it
    #[arg(long, value_name = "URL", env = "POOL_API_URL")]
    pub api: String,
    /// Region of the API, unless its address says it
    #[arg(long)]
    pub region: Option<String>,
    /// Id of this instance [default: what the metadata service says]
    #[arg(long, value_name = "ID", env = "POOL_INSTANCE_ID")]
    pub instance_id: Option<InstanceId>,
    /// Grows with every start of the machine or of this program [default: the time of the start, in milliseconds]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..=9_007_199_254_740_991))]
    pub boot_id: Option<u64>,
    /// Time between two heartbeats while nothing happens
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = value_parser!(u64).range(1..=3600))]
    pub heartbeat_seconds: u64,
    /// Shut the machine down with this command when the pool was out of reach for longer than any lease can still live
    #[arg(long, value_name = "COMMAND")]
    pub shutdown_command: Option<String>,
    /// So long without the pool, and the machine is shut down
    #[arg(long, value_name = "SECONDS", default_value_t = 28_980, value_parser = value_parser!(u64).range(1..=10_000_000))]
    pub shutdown_after_seconds: u64,
    /// Where to write the file `last-contact`, which says when the pool answered last (seconds since the boot)
    #[arg(long, value_name = "DIR")]
    pub note_contact_in: Option<PathBuf>,
}

/// How to serve.
#[derive(Debug, Clone, Args)]
pub struct Options {
    /// How to speak to the pool.
    #[command(flatten)]
    pub pool: PoolOptions,
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub bind: IpAddr,
    /// Port to listen on
    #[arg(long, default_value_t = 3000)]
    pub port: u16,
    /// Path of the health check
    #[arg(long, value_name = "PATH", default_value = "/health", value_parser = path)]
    pub health_path: String,
    /// Speak HTTP without TLS, which only a private network should carry
    #[arg(long)]
    pub plain_http: bool,
    /// Chrome or Chromium [default: the first that is installed]
    #[arg(long, value_name = "PATH")]
    pub chromium: Option<PathBuf>,
    /// User (or number of one) that Chrome runs as, for nothing else and without rights; needed when this program runs as root, once for
    /// each session. What the user owns in /tmp, /var/tmp and /dev/shm is wiped with each lease
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub browser_user: Vec<String>,
    /// Leases that are served at a time, each by a Chrome of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u64).range(1..=16))]
    pub sessions: u64,
    /// With several sessions: CPU or memory in use, in percent, above which a session that has ended is not offered again
    #[arg(long, value_name = "N", default_value_t = 90, value_parser = value_parser!(u64).range(1..=100))]
    #[arg(env = "BROWSER_NODE_BUSY_PERCENT_MAX")]
    pub busy_percent_max: u64,
    /// Where the directories of leases are made, each wiped when its lease ends
    #[arg(long, value_name = "DIR", default_value = "/var/lib/ec2-pool")]
    pub state_directory: PathBuf,
    /// End with standard input, which is how `cargo local` keeps its nodes
    #[arg(long, hide = true)]
    pub until_input_ends: bool,
    /// What is refused beyond it.
    #[command(flatten)]
    pub limits: Limits,
}

/// What is refused beyond it, so that nobody takes the node down.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Connections at once, of everyone; the next is closed at once
    #[arg(long, value_name = "N", default_value_t = 1_024, value_parser = value_parser!(u32).range(8..=65_536))]
    pub connections_max: u32,
    /// WebSockets of a lease at once; the next is answered 429
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = value_parser!(u32).range(1..=1_024))]
    pub sockets_max: u32,
    /// The largest message of a WebSocket, either way; a larger one closes the socket
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = value_parser!(u32).range(1..=1_024))]
    pub message_mib_max: u32,
    /// How long a TLS handshake or the head of a request may take, and how long a connection may be idle between two
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u64).range(1..=600))]
    pub head_seconds_max: u64,
    /// How long the body of a request may take, which has 64 KiB at most
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u64).range(1..=600))]
    pub body_seconds_max: u64,
    /// How long a screenshot or PDF may take, loading of the page included
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = value_parser!(u64).range(1..=600))]
    pub page_seconds_max: u64,
    /// How long Chrome may take to start
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = value_parser!(u64).range(1..=600))]
    pub start_seconds_max: u64,
}

impl Limits {
    /// The largest message of a WebSocket, in bytes.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        usize::try_from(u64::from(self.message_mib_max) << 20).unwrap_or(usize::MAX)
    }

    /// How long a TLS handshake or the head of a request may take.
    #[must_use]
    pub fn head(&self) -> Duration {
        Duration::from_secs(self.head_seconds_max)
    }
}

/// How to watch a service.
#[derive(Debug, Clone, Args)]
pub struct WatchOptions {
    /// How to speak to the pool.
    #[command(flatten)]
    pub pool: PoolOptions,
    /// Where the service says whether it is well: it answers 200, and may tell its open sessions as `{"sessions": 1}`
    #[arg(long, value_name = "URL")]
    pub health_url: reqwest::Url,
    /// Time between two questions while the service is not well
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = value_parser!(u64).range(1..=3600))]
    pub health_interval_seconds: u64,
    /// After so many answers that are none, the journal has why
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = value_parser!(u32).range(1..=1_000))]
    pub health_attempts: u32,
    /// Started between two leases, so that nothing of the last is left in the service
    #[arg(long, value_name = "COMMAND")]
    pub clean_command: Option<String>,
    /// Where the service finds the files `access-key` and, once EC2 takes the instance back, `spot-notice`. It is emptied by every boot
    #[arg(long, value_name = "DIR", default_value = "/run/ec2-pool")]
    pub run_directory: PathBuf,
}

/// How to keep one Chrome.
#[derive(Debug, Clone, Args)]
pub struct KeepOptions {
    /// Home of this Chrome, made anew and wiped at its end
    #[arg(long)]
    pub directory: PathBuf,
    /// User that Chrome runs as
    #[arg(long)]
    pub user: Option<String>,
    /// Chrome and its arguments
    #[arg(last = true, required = true)]
    pub command: Vec<OsString>,
}

fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        Ok(text.to_owned())
    } else {
        Err("a path begins with a slash, as /health does".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_says_its_limits() {
        CommandLine::command().debug_assert();
        let mut command = CommandLine::command();
        let serve = command.find_subcommand_mut("serve").expect("it is there").render_help().to_string();
        for limit in ["--connections-max", "--sockets-max", "--message-mib-max", "--head-seconds-max", "64 KiB"] {
            assert!(serve.contains(limit), "{limit} is not told");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_reason() {
        let refused = |arguments: &[&str]| {
            let all = ["browser-node", "serve", "--api", "http://127.0.0.1:8080"].iter().chain(arguments);
            CommandLine::try_parse_from(all).expect_err("refused").to_string()
        };
        assert!(refused(&["--health-path", "health"]).contains("begins with a slash"));
        assert!(refused(&["--instance-id", "me"]).contains("i-"));
        assert!(refused(&["--heartbeat-seconds", "0"]).contains("1..=3600"));
    }
}
