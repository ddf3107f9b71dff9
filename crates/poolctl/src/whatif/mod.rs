//! What-if: a demand trace goes through the very plan functions that run in production, on a virtual clock.
//!
//! The shards are real ones and change only by real transitions; modelled is what lies around them: EC2, the nodes'
//! boots, and callers who come when the trace says so, wait for as long as they are ready to, and give back after their
//! time. The result is a [`report::Report`]. One seed and one trace always give the same report.

pub mod baseline;
mod callers;
pub mod chart;
pub mod equal_cost;
mod events;
pub mod generate;
pub mod html;
mod machines;
pub mod model;
pub mod policy_file;
mod pool;
pub mod report;
mod run;
pub mod table;
mod tally;
pub mod trace;
mod world;

use std::path::PathBuf;

pub use run::{compare, simulate};

/// What is wrong with a file, where, and in which field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {field}: {problem}", file.display())]
pub struct BadInput {
    /// The file.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: usize,
    /// The column, key or section.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Everything that is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(BadInput::to_string).collect::<Vec<_>>().join("\n"))]
pub struct BadFile(pub Vec<BadInput>);
