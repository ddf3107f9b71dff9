//! The commands that speak to a pool: how a request is signed and sent, and what of the answer is shown.

mod client;
mod credentials;
mod drain;
mod failure;
mod lease;
mod run;
mod show;

pub use failure::Failure;
pub use run::{Surroundings, run};
