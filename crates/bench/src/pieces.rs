//! The pieces of our own code that every acquire runs, and how many instructions of the processor each takes.
//!
//! Rule: what a process does beside the piece is taken away by doing the piece once in one process and eleven times in
//! another. Valgrind counts instructions and no time, so a count hardly varies; only the seeds of the hash maps make it.

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::ValueEnum;
use pool_core::access;
use pool_core::ids::{InstanceId, Owner, Token};
use pool_core::policy::Policy;
use pool_core::shard::Transition;
use pool_store::{codec, expression};

use crate::pool::NOW;
use crate::sizes;

/// A piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Piece {
    /// Reads a shard of sixteen leased instances out of its item.
    Decode,
    /// Says a grant as an expression that DynamoDB carries out.
    Grant,
    /// Makes the token that the instance wants to see.
    AccessToken,
}

impl Piece {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Decode, Self::Grant, Self::AccessToken];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Decode => "read a shard of 16 leased instances",
            Self::Grant => "say a grant",
            Self::AccessToken => "make an access token",
        }
    }

    /// Does it so many times.
    ///
    /// # Panics
    /// When the piece does not work.
    pub fn run(self, times: u32) {
        match self {
            Self::Decode => {
                let item = codec::encode(&sizes::full(16, 0));
                repeat(times, || codec::decode(black_box(&item)).expect("it was just written"));
            }
            Self::Grant => {
                let grant = grant();
                repeat(times, || expression::of(black_box(&grant)));
            }
            Self::AccessToken => {
                let instance: InstanceId = "i-0123456789abcdef0".parse().expect("an instance's name");
                let key = "0".repeat(64);
                repeat(times, || access::token(black_box(&key), &instance, 14, NOW).expect("it is a key"));
            }
        }
    }

    /// How many instructions it takes, by this program of the bench.
    ///
    /// # Errors
    /// When Valgrind is not there or did not count, in words.
    pub fn instructions(self, program: &Path) -> Result<u64, String> {
        const MORE: u32 = 10;
        let once = self.counted(program, 1)?;
        let often = self.counted(program, 1 + MORE)?;
        Ok(often.saturating_sub(once) / u64::from(MORE))
    }

    /// Instructions of a whole process that does it so many times.
    fn counted(self, program: &Path, times: u32) -> Result<u64, String> {
        let piece = self.to_possible_value().expect("none is hidden");
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(program)
            .args(["--piece", piece.get_name(), "--times", &times.to_string()])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("valgrind: {error}; it counts the instructions, please install it"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        let collected = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
        collected.filter(|_| output.status.success()).ok_or_else(|| format!("valgrind counted nothing: {said}"))
    }
}

/// A grant, as an acquire makes it.
///
/// # Panics
/// Never: the defaults are a valid policy.
#[must_use]
pub fn grant() -> Transition {
    let policy = Policy::parse::<&str, &str>([]).expect("the defaults are valid");
    Transition::Grant {
        token: Token::from_bytes([7; Token::BYTES]),
        terms: policy.lease_terms(&Owner::of("AROABENCHCALLER00001"), 600, NOW),
        layout: 1,
    }
}

fn repeat<T>(times: u32, act: impl Fn() -> T) {
    for _ in 0..times {
        black_box(act());
    }
}
