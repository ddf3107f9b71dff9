//! What the operating system tells of processes, and what the functions' processes are told.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use pool_local::clock::Clock;
use pool_local::variables::{Ec2Variables, Variables};
use procfs::process::Process;

/// Processor time spent so far, in seconds.
#[derive(Debug, Clone, Copy)]
pub struct Cpu {
    /// By this process.
    pub own: f64,
    /// By its children that are alive.
    pub children: f64,
}

impl Cpu {
    /// As of now.
    ///
    /// # Panics
    /// Where there is no `/proc`.
    #[must_use]
    pub fn now() -> Self {
        let own = Process::myself().expect("this is Linux").stat().expect("a process can read its own state");
        let others = procfs::process::all_processes().expect("this is Linux").flatten();
        let children = others.filter_map(|other| other.stat().ok()).filter(|stat| stat.ppid == own.pid);
        Self { own: seconds(&own), children: children.map(|stat| seconds(&stat)).sum() }
    }
}

fn seconds(stat: &procfs::process::Stat) -> f64 {
    let ticks = u32::try_from(stat.utime + stat.stime).unwrap_or(u32::MAX);
    f64::from(ticks) / f64::from(u32::try_from(procfs::ticks_per_second()).unwrap_or(100))
}

/// The most memory that a process has had at once, in KB.
#[must_use]
pub fn peak_kb(pid: u32) -> Option<u64> {
    Process::new(i32::try_from(pid).ok()?).ok()?.status().ok()?.vmhwm
}

/// What a function is started with when its table and EC2 are at these addresses.
#[must_use]
pub fn variables(dynamodb: &str, ec2: &str, of_ec2: &Ec2Variables) -> BTreeMap<String, String> {
    let pool = [("POOL_MAX", "256"), ("POOL_SHARD_SIZE", "16")];
    let mut pool: Vec<(String, String)> = pool.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    // The baselines are found by it.
    pool.extend(Variables::of_this_process().get("PATH").map(|path| ("PATH".to_owned(), path.to_owned())));
    let pool: Variables = pool.into_iter().collect();
    let mut variables = pool.for_functions(dynamodb, ec2, Some(of_ec2), Clock::new(1));
    // It tells the time to the millisecond and the factor; on AWS nothing sets it.
    variables.remove("POOL_LOCAL_CLOCK");
    variables
}

/// What Lambda tells a function of this name that finds the Runtime API at this address.
#[must_use]
pub fn of_lambda(address: SocketAddr, name: &str) -> [(&'static str, String); 4] {
    [
        ("AWS_LAMBDA_RUNTIME_API", address.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", name.to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256".to_owned()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
    ]
}
