//! The simulated EC2 alone, for the AWS CLI and any SDK: prints where it listens, then each event as a line of JSON.

use std::sync::{Arc, Mutex};

use clap::Parser;
use ec2_sim::{Config, Ec2, wire};
use tokio::{net::TcpListener, sync::mpsc};

/// A simulated EC2 on 127.0.0.1.
#[derive(Debug, Parser)]
#[command(name = "ec2-sim")]
struct Arguments {
    /// The port to listen on; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// All ids come from it.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// From a launch or a start to running, in milliseconds.
    #[arg(long, default_value_t = 2_000)]
    pending_ms: u64,
    /// From shutting-down to terminated and from stopping to stopped, in milliseconds.
    #[arg(long, default_value_t = 2_000)]
    ending_ms: u64,
    /// How far describe calls lag behind, in milliseconds.
    #[arg(long, default_value_t = 500)]
    describe_lag_ms: u64,
    /// From a Spot interruption warning to the end, in milliseconds.
    #[arg(long, default_value_t = 120_000)]
    spot_warning_ms: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let config = Config {
        seed: arguments.seed,
        pending_ms: arguments.pending_ms,
        shutting_down_ms: arguments.ending_ms,
        stopping_ms: arguments.ending_ms,
        describe_lag_ms: arguments.describe_lag_ms,
        spot_warning_ms: arguments.spot_warning_ms,
        ..Config::default()
    };
    let listener = TcpListener::bind(("127.0.0.1", arguments.port)).await?;
    println!("http://{}", listener.local_addr()?);
    let (sender, mut events) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            println!("{event}");
        }
    });
    wire::serve(listener, Arc::new(Mutex::new(Ec2::new(config))), wire::wall_clock(), sender, std::future::pending())
        .await
}
