//! The commands that speak to a pool: what is asked for, and what of the answer is shown.

mod drain;
mod failure;
mod lease;
mod run;
pub(crate) mod show;

pub use failure::Failure;
pub use run::{Surroundings, run};
