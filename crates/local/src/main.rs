//! `cargo local`: reads the command line and the environment, runs the system, waits for Ctrl-C.

use std::{
    io::{Write, stdout},
    process::ExitCode,
};

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

    let variables = Variables::of_this_process();
    let surroundings = Surroundings {
        own_binary: std::env::current_exe()
            .map_err(|error| StartError::Other(format!("cannot find the own binary: {error}")))?,
        // Set by `cargo run`, and so by the alias `cargo local`.
        cargo: variables.get("CARGO").unwrap_or("cargo").into(),
        variables,
    };
    let system = tokio::select! {
        system = System::start(options, &surroundings, |line| eprintln!("{line}")) => system?,
        // Dropping the half-started system kills what it has started.
        () = &mut asked_to_stop => return Ok(()),
    };
    // Whoever reads the output may have read enough (`cargo local | head`), which is no reason to end.
    let _ = writeln!(stdout(), "{}", banner::text(&system.addresses, surroundings.variables.table()));

    asked_to_stop.await;
    eprintln!("\nStopping …");
    system.stop().await;
    Ok(())
}
