//! Carries out the benchmarks and writes `docs/performance.md`: `cargo bench-pool` all of them, `cargo bench-pool claims`
//! one. `--print` shows the tables and writes nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use clap::{Parser, ValueEnum};
use pool_bench::pieces::Piece;
use pool_bench::report::{self, Section};
use pool_bench::{counts, inside, sections, starts, throughput};

#[global_allocator]
static HEAP: pool_function::boot::Heap = pool_function::boot::Heap;

#[derive(Debug, Parser)]
struct Arguments {
    /// What is measured; everything when nothing is named.
    parts: Vec<Part>,
    /// Shows the tables instead of writing them.
    #[arg(long)]
    print: bool,
    /// Does what a part of `throughput` measures from outside.
    #[arg(long = "inside", hide = true)]
    is_inside: bool,
    /// Does a piece of an acquire, whose instructions are counted from outside.
    #[arg(long, hide = true)]
    piece: Option<Piece>,
    /// How often it does the piece.
    #[arg(long, hide = true, default_value_t = 1)]
    times: u32,
    /// Where the functions' binaries are; they are built when it is not said.
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
}

/// A part of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Requests and units of a lease.
    Claims,
    /// Sizes of items.
    Sizes,
    /// A thousand callers at once.
    Contention,
    /// Leases a second.
    Throughput,
    /// Cold starts.
    Starts,
    /// Instructions of our own code; needs Valgrind.
    Instructions,
    /// Plans over large pools.
    Plans,
    /// What a million leases cost.
    Costs,
}

fn main() -> ExitCode {
    let Arguments { parts, print, is_inside, piece, times, binaries } = Arguments::parse();
    if is_inside {
        return match inside::run() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    if let Some(piece) = piece {
        piece.run(times);
        return ExitCode::SUCCESS;
    }
    let parts = if parts.is_empty() { Part::value_variants().to_vec() } else { parts };
    for part in parts {
        let written = carry_out(part, binaries.as_deref()).and_then(|section| tell(&section, print));
        if let Err(error) = written {
            eprintln!("{part:?}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn carry_out(part: Part, binaries: Option<&Path>) -> Result<Section, String> {
    eprintln!("{part:?} …");
    match part {
        Part::Claims => Ok(counts::run(counts::claims())),
        Part::Sizes => Ok(counts::run(counts::sizes())),
        Part::Contention => Ok(counts::run(counts::contention())),
        Part::Costs => Ok(counts::run(counts::costs())),
        Part::Instructions => {
            let own = std::env::current_exe().map_err(|error| error.to_string())?;
            sections::instructions(&own)
        }
        Part::Plans => Ok(sections::plans()),
        Part::Throughput => {
            let apart = in_real_time(throughput::measure(&built(binaries)?));
            let inside = in_real_time(inside::measure())?;
            Ok(sections::throughput(apart, inside))
        }
        Part::Starts => {
            let directory = std::env::temp_dir().join(format!("pool-bench-{}", std::process::id()));
            std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
            let measured = in_real_time(starts::measure(&built(binaries)?, &directory));
            std::fs::remove_dir_all(&directory).map_err(|error| error.to_string())?;
            Ok(sections::starts(&measured?))
        }
    }
}

fn in_real_time<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(work)
}

/// The directory of the functions, built as they are deployed where nobody says where they are.
fn built(binaries: Option<&Path>) -> Result<PathBuf, String> {
    let directory = match binaries {
        Some(directory) => directory.to_owned(),
        None => deployable()?,
    };
    pool_local::compile::check(&directory, false).map_err(|error| error.to_string())
}

/// What `sam build` would make of them for this machine, in the target directory that this program is in.
fn deployable() -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = own.ancestors().nth(2).ok_or("this program is in no target directory; give --binaries DIR")?;
    let machine = std::env::consts::ARCH;
    let made = Command::new("make")
        .args(["--makefile", "crates/function/Makefile", "programs"])
        .current_dir(report::root())
        .env("CARGO_TARGET_DIR", target)
        .env("ARCHITECTURE", machine.replace("aarch64", "arm64"))
        .stdin(Stdio::null())
        .status();
    if !made.map_err(|error| format!("make: {error}"))?.success() {
        return Err("the functions are not made, which takes cargo-lambda; or give --binaries DIR".to_owned());
    }
    Ok(target.join(format!("{machine}-unknown-linux-musl/release")))
}

/// Shows a section or puts it into the file.
fn tell(section: &Section, print: bool) -> Result<(), String> {
    if print {
        println!("{}\n", section.text);
        return Ok(());
    }
    let write =
        |file: &Path, text: &str| std::fs::write(file, text).map_err(|error| format!("{}: {error}", file.display()));
    if let Some(picture) = &section.picture {
        write(&report::picture_file(section.name), picture)?;
    }
    let file: &Path = &report::file();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    write(file, &section.placed_in(&text)?)
}
