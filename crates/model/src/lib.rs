//! The shard protocol, model-checked: every history of a small world is tried, not a sample of them.
//!
//! The rule of this crate: the table in a model is the real [`pool_core::shard::Shard`], and a write is a real
//! [`pool_core::shard::Transition`], decided where possible by the very functions that the Lambda functions call. A
//! model adds only what is around the table: who may write what and when, EC2, and a network that loses, repeats and
//! delays. What is weakened to show that a guard is needed is weakened here, never in the core.
//!
//! - [`small`]: leases and waiting in one shard, every write late and repeated without bound.
//! - [`whole`]: two shards from launch to termination, with moves, orphans, the stopped tier and changes of the cap, in
//!   scenarios that are each tried whole.
//! - [`check`]: runs a model and says what was found.

pub mod check;
pub mod small;
pub mod whole;
