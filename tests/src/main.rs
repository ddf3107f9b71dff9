//! The simulation by hand: `cargo run --package pool-tests --release -- soak` tries seed after seed until it is told to
//! stop or something breaks, `seed N` shows one run.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use pool_tests::load::Load;
use pool_tests::sim::plan::ordinary_seeds;
use pool_tests::sim::planted::PLANTED;
use pool_tests::sim::{Plan, Report, run};

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
    /// Plants one bug after the other and says which of the ordinary runs finds it, as rows of a table.
    Planted {
        /// Only those whose name contains this.
        #[arg(default_value = "")]
        name: String,
        /// Tries two hundred seeds from this one on instead of the ordinary ones.
        #[arg(long)]
        from: Option<u64>,
    },
    /// Puts callers to work against a running system and fails when a lease is lost or double.
    Load {
        /// The API's address.
        #[arg(long, default_value = "http://127.0.0.1:8080")]
        api: String,
        /// Callers at once.
        #[arg(long, default_value_t = 200)]
        callers: u64,
        /// For so long.
        #[arg(long, default_value_t = 10)]
        minutes: u64,
        /// What they do is drawn from it.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Shows the end of one run.
    Seed {
        /// The seed.
        seed: u64,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Order::Soak { from, minutes } => soak(from, minutes),
        Order::Load { api, callers, minutes, seed } => {
            return load(Load { api, callers, lasts: Duration::from_secs(minutes * 60), seed });
        }
        Order::Planted { name, from } => planted(&name, from),
        Order::Seed { seed } => {
            let report = run(&Plan::of(seed));
            println!("{}{} steps, {:?}", report.tail, report.steps, report.faults);
            report.expect_sound();
        }
    }
    ExitCode::SUCCESS
}

fn load(load: Load) -> ExitCode {
    println!("{load:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(pool_tests::load::run(load)).map(|mut figures| figures.verdict()) {
        Ok(Ok(told)) => println!("{told}"),
        Ok(Err(told)) => {
            eprintln!("{told}");
            return ExitCode::FAILURE;
        }
        Err(error) => {
            eprintln!("no client: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
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

fn planted(name: &str, from: Option<u64>) {
    let seeds: Vec<u64> = from.map_or_else(|| ordinary_seeds().collect(), |from| (from..from + 200).collect());
    println!("| bug | seed | found after | finding |\n|---|---|---|---|");
    for planted in PLANTED.iter().filter(|planted| planted.name.contains(name)) {
        match seeds
            .iter()
            .copied()
            .map(|seed| run(&Plan { planted: Some(planted), ..Plan::of(seed) }))
            .find(|report| report.verdict.is_some())
        {
            Some(Report { plan, verdict, steps, .. }) => {
                let verdict = verdict.unwrap_or_default();
                println!(
                    "| {} | {} | {steps} | {} |",
                    planted.name,
                    plan.seed,
                    verdict.lines().next().unwrap_or_default()
                );
            }
            None => println!("| {} | - | - | not found |", planted.name),
        }
    }
}
