//! Builds the function binaries, beside the one that is running.
//!
//! Rule: the same target directory and profile as this binary's own, so that the binaries found are the ones just built. Cargo unites the
//! features that the packages it is told ask of a library, so a choice of packages would compile the libraries they share once more: all
//! packages are told, as the alias `cargo local` and a test run do, and only binaries chosen.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::process::Command;

use crate::functions::Function;

/// The binary of a node with a browser.
pub const NODE: &str = "browser-node";

/// The functions could not be built.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// This binary is not where cargo puts binaries.
    #[error("{} is not in a target directory of cargo; give the directory of the function binaries with --binaries DIR", .0.display())]
    NoTargetDirectory(PathBuf),
    /// Cargo is not there.
    #[error("cannot run {}: {source}", .cargo.display())]
    NoCargo {
        /// What was to be run.
        cargo: PathBuf,
        /// Why it was not.
        source: std::io::Error,
    },
    /// Cargo reported errors, above.
    #[error("the functions do not build; cargo's messages above say why")]
    Failed,
    /// A binary is missing.
    #[error("there is no binary {}", .0.display())]
    NoBinary(PathBuf),
}

/// Builds the functions with `cargo`, whose progress shows in the terminal, and returns the directory of their binaries.
///
/// # Errors
/// When they do not build, or when `own_binary` is in no target directory.
pub async fn build(cargo: &OsStr, own_binary: &Path, with_node: bool) -> Result<PathBuf, CompileError> {
    let lost = || CompileError::NoTargetDirectory(own_binary.to_owned());
    let binaries = own_binary.parent().ok_or_else(lost)?;
    let target = binaries.parent().ok_or_else(lost)?;
    let profile = match binaries.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some("release") => "release",
        _ => return Err(lost()),
    };
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    let mut command = Command::new(cargo);
    command
        .arg("build")
        .arg("--profile")
        .arg(profile)
        .arg("--target-dir")
        .arg(target)
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--workspace");
    let node = with_node.then_some(NODE);
    for name in Function::ALL.map(Function::name).into_iter().chain(node) {
        command.arg("--bin").arg(name);
    }
    let status = command.stdin(Stdio::null()).kill_on_drop(true).status().await;
    let status = status.map_err(|source| CompileError::NoCargo { cargo: PathBuf::from(cargo), source })?;
    if !status.success() {
        return Err(CompileError::Failed);
    }
    check(binaries, with_node)
}

/// The directory itself, if it has the binary of every function, and of the node if it is wanted.
///
/// # Errors
/// When one is missing.
pub fn check(binaries: &Path, with_node: bool) -> Result<PathBuf, CompileError> {
    let node = with_node.then_some(NODE);
    for name in Function::ALL.map(Function::name).into_iter().chain(node) {
        let binary = binaries.join(name);
        if !binary.is_file() {
            return Err(CompileError::NoBinary(binary));
        }
    }
    Ok(binaries.to_owned())
}
