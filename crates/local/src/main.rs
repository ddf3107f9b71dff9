//! `cargo local`: reads the command line and the environment, runs the system, waits for Ctrl-C.

use std::process::ExitCode;

use clap::Parser;
use pool_local::{
    banner, node,
    options::{CommandLine, Options, Role},
    system::{StartError, Surroundings, System},
    variables::Variables,
};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    if let Some(Role::Node(options)) = command_line.role {
        node::run(options).await;
        return ExitCode::SUCCESS;
    }
    match run(&command_line.options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<(), StartError> {
    let no_signals = |error: std::io::Error| StartError::Other(format!("cannot listen for signals: {error}"));
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let asked_to_stop = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::pin!(asked_to_stop);

    let surroundings = Surroundings {
        variables: Variables::of_this_process(),
        own_binary: std::env::current_exe().map_err(|error| StartError::Other(format!("cannot find the own binary: {error}")))?,
        cargo: std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()),
    };
    let system = tokio::select! {
        system = System::start(options, &surroundings, |line| eprintln!("{line}")) => system?,
        // Dropping the half-started system kills what it has started.
        () = &mut asked_to_stop => return Ok(()),
    };
    println!("{}", banner::text(&system.addresses, surroundings.variables.table()));

    asked_to_stop.await;
    eprintln!("\nStopping …");
    system.stop().await;
    Ok(())
}
