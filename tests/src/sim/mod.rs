//! The real handlers under every fault: a deterministic simulation.
//!
//! Callers, nodes, schedules and EC2 live in one thread with a virtual clock. Between the functions and the engines
//! lies a [`network`] that loses, delays, repeats and reorders, and that crashes whoever uses it. Everything is drawn
//! from one seed, so the same seed gives the same run, to the last line of its [`trace`].
//!
//! Rules:
//! - Nothing of the project is replaced: handlers, SDK clients, store and fleet are those of the deployment. Only the
//!   HTTP connector below the SDK, the clock and the random source are the simulation's.
//! - What runs does not know what is checked. The [`judge`] looks after every write at the table and every call at EC2,
//!   and once more after a time without faults.
//! - A fault that is new in the world is one more field of [`plan::Rates`] or one more disturbance in [`chaos`]; a new
//!   transition needs nothing here.

pub mod background;
pub mod callers;
pub mod catalogue;
pub mod chaos;
pub mod engines;
pub mod history;
pub mod invocation;
pub mod judge;
pub mod machines;
pub mod network;
pub mod operator;
pub mod plan;
pub mod planted;
pub mod run;
pub mod trace;
pub mod world;

pub use plan::Plan;
pub use run::{Report, run};
pub use world::World;
