//! What every function is made of: how it starts, who calls it, what a request may look like, how an error is told, and
//! how the steps that the core decides are carried out.
//!
//! Nothing is decided here. A function is a thin crate beside this one: event in, steps, response out.

pub mod boot;
pub mod caller;
pub mod environment;
pub mod fields;
pub mod metrics;
pub mod moves;
pub mod problem;
pub mod request;
pub mod response;
pub mod settings;
pub mod steps;
pub mod trace;
