//! The binary `browser-node`.

use std::process::ExitCode;

use browser_node::options::{CommandLine, Role};
use browser_node::{keeper, serve};
use clap::Parser;

fn main() -> ExitCode {
    let done = match CommandLine::parse().role {
        Role::Keep(options) => keeper::keep(&options).map_err(|error| error.to_string()),
        Role::Serve(options) => {
            let lifeline = options.until_input_ends;
            std::env::current_exe()
                .map_err(|error| format!("cannot find this program: {error}"))
                .and_then(|program| run(serve::serve(*options, program), lifeline))
        }
        Role::Watch(options) => run(serve::watch(*options), false),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("browser-node: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(work: impl Future<Output = Result<(), String>>, until_input_ends: bool) -> Result<(), String> {
    // systemd's journal adds the time.
    tracing_subscriber::fmt().json().flatten_event(true).without_time().with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        tokio::select! {
            done = work => done,
            () = stop() => Ok(()),
            () = input_ends(), if until_input_ends => Ok(()),
        }
    })
}

/// Ends with Ctrl-C and when systemd says so; the keepers end with this process.
async fn stop() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

async fn input_ends() {
    let mut input = tokio::io::stdin();
    // What it says is for nobody.
    let _ = tokio::io::copy(&mut input, &mut tokio::io::sink()).await;
}
