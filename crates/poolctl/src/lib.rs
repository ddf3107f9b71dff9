//! `poolctl`: what a person does with a pool from a terminal.
//!
//! [`whatif`] replays a demand trace through the plan functions of `pool-core` on a virtual clock and says what callers
//! would have waited and what the instances would have cost. It needs no pool.

pub mod api;
pub mod args;
pub mod connect;
pub mod simulate;
pub mod top;
pub mod whatif;
