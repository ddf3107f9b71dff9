//! Every decision rule of the core tried by itself: for each, the states in which it decides one way or the other, and
//! both sides of every limit.
//!
//! The random histories of `invariants.rs` say that the protocol as a whole holds; the tests here say what each rule is.
//! `cargo mutants` measures whether they would notice a change: see `.cargo/mutants.toml`.

mod given;

mod access;
mod acquire;
mod answer;
mod breaker;
mod changes;
mod control;
mod daylight_saving;
mod ending;
mod eta;
mod home;
mod idle;
mod ids;
mod instance_transitions;
mod launch_budget;
mod launch_limits;
mod launching;
mod lease_transitions;
mod leaving;
mod markets;
mod measure;
mod move_transitions;
mod need;
mod offering;
mod on_instance_state_change;
mod operate;
mod orphans;
mod policy;
mod price;
mod reap_idle;
mod register;
mod release;
mod renew;
mod replace;
mod scale;
mod schedule;
mod slots;
mod snapshot;
mod status;
mod stopped_tier;
mod time;
mod transfer;
mod utilisation;
mod view;
mod withdrawals;
