//! The simulation by hand: `cargo run --package pool-tests --release -- soak` tries seed after seed until it is told to
//! stop or something breaks, `seed N` shows one run.

use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use pool_tests::sim::{Plan, run};

/// The simulation of the pool under every fault.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Order,
}

#[derive(Debug, Subcommand)]
enum Order {
    /// Tries one seed after the other.
    Soak {
        /// The first seed.
        #[arg(long, default_value_t = 1_000_000)]
        from: u64,
        /// Ends after so many minutes; goes on for ever without it.
        #[arg(long)]
        minutes: Option<u64>,
    },
    /// Shows the end of one run.
    Seed {
        /// The seed.
        seed: u64,
    },
}

fn main() {
    match Arguments::parse().command {
        Order::Soak { from, minutes } => soak(from, minutes),
        Order::Seed { seed } => {
            let report = run(&Plan::of(seed));
            println!("{}{} steps, {:?}", report.tail, report.steps, report.faults);
            report.expect_sound();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a soak ends by the clock on the wall")]
fn soak(from: u64, minutes: Option<u64>) {
    let began = Instant::now();
    let (mut steps, mut requests, mut faults) = (0, 0, 0);
    for seed in from.. {
        let report = run(&Plan::of(seed));
        report.expect_sound();
        steps += report.steps;
        requests += report.requests;
        faults += report.faults.values().sum::<u64>();
        let elapsed = began.elapsed();
        if seed % 10 == 0 {
            println!("seed {seed}: {steps} steps, {requests} requests, {faults} faults in {} s", elapsed.as_secs());
        }
        if minutes.is_some_and(|minutes| elapsed >= Duration::from_secs(minutes * 60)) {
            println!("sound: seeds {from} to {seed}, {steps} steps, {requests} requests, {faults} faults");
            return;
        }
    }
}
