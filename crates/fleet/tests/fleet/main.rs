//! `pool-fleet` against EC2's wire protocol: the simulator in this process, or, if `AWS_ENDPOINT_URL_EC2` is set, the
//! emulator that answers there over plain HTTP.
//!
//! Rule: a test that orders faults, or reads the simulator's truth, needs the simulator and passes at once without it.

mod bench;
mod describe;
mod launch;
mod removal;
