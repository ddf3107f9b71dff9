//! `poolctl`: parses the command line and carries the command out. The only place that reads the clock.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::SystemTime;

use clap::Parser;
use poolctl::api::{self, Surroundings};
use poolctl::args::{Ask, Cli, Command};
use poolctl::simulate;

/// Why a command came to nothing.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Simulated(#[from] simulate::Failure),
    #[error(transparent)]
    Asked(#[from] api::Failure),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let done = match &cli.command {
        Command::Simulate(options) => simulate::simulate(options, cli.json, &mut out).map_err(Failure::from),
        Command::Trace(options) => simulate::trace(options, &mut out).map_err(Failure::from),
        Command::Ask(command) => ask(command, &cli, &mut out).map_err(Failure::from),
    };
    let done = done.and_then(|()| Ok(out.flush().map_err(api::Failure::from)?));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if is_broken_pipe(&failure) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("poolctl: {failure}");
            ExitCode::from(match failure {
                Failure::Simulated(_) => 2,
                Failure::Asked(failure) => failure.exit_status(),
            })
        }
    }
}

fn ask(command: &Ask, cli: &Cli, out: &mut impl Write) -> Result<(), api::Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let around = Surroundings { out, progress: &mut io::stderr(), json: cli.json, clock };
    runtime.block_on(api::run(command, &cli.connection, around))
}

#[expect(clippy::disallowed_methods, reason = "signatures bear the time, and it is read only here")]
fn clock() -> SystemTime {
    SystemTime::now()
}

/// Whoever reads has seen enough.
fn is_broken_pipe(failure: &Failure) -> bool {
    let (Failure::Simulated(simulate::Failure::Unprinted(error)) | Failure::Asked(api::Failure::Unprinted(error))) =
        failure
    else {
        return false;
    };
    error.kind() == io::ErrorKind::BrokenPipe
}
