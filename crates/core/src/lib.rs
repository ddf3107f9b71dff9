//! Every decision of the pool, and nothing else.
//!
//! This crate holds the [`shard::Shard`] state machine, the plans that grow and shrink the pool, the answers to callers
//! and the policy. It is pure: no input or output, no clock, no environment, no randomness, no logging, no async. Time
//! enters as a [`time::Timestamp`], randomness as a [`ids::Token`] that the caller made. Whoever wants to know why the
//! pool did something finds the rule here, in the module named after the function that carries it out.

pub mod access;
pub mod acquire;
pub mod answer;
pub mod breaker;
pub mod changes;
pub mod control;
pub mod ending;
pub mod eta;
pub mod gate;
pub mod home;
pub mod ids;
pub mod launch_budget;
pub mod leaving;
pub mod measure;
pub mod node;
pub mod offering;
pub mod on_instance_state_change;
pub mod operate;
pub mod policy;
pub mod price;
pub mod reap_idle;
pub mod register;
pub mod release;
pub mod scale;
pub mod schedule;
pub mod shard;
pub mod snapshot;
pub mod status;
pub mod time;
pub mod transfer;
pub mod utilisation;
