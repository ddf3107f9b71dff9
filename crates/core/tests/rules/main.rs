//! Every decision rule of the core tried by itself: for each, the states in which it decides one way or the other, and
//! both sides of every limit.
//!
//! The random histories of `invariants.rs` say that the protocol as a whole holds; the tests here say what each rule is.
//! `cargo mutants` measures whether they would notice a change: see `.cargo/mutants.toml`.

mod given;

mod access;
mod acquire;
mod answer;
mod control;
mod ending;
mod home;
mod ids;
mod instance_transitions;
mod launching;
mod lease_transitions;
mod leaving;
mod move_transitions;
mod offering;
mod on_instance_state_change;
mod orphans;
mod policy;
mod reap_idle;
mod register;
mod release;
mod renew;
mod scale;
mod schedule;
mod status;
mod time;
mod transfer;
mod view;
mod withdrawals;
