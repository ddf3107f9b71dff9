//! `pool-fleet` against EC2's wire protocol: the simulator in this process, or, if `AWS_ENDPOINT_URL_EC2` is set, the
//! emulator that answers there over plain HTTP.
//!
//! Rule: a test that orders faults, or reads the simulator's truth, needs the simulator and passes at once without it.
//! What the others ask for is EC2's documented behaviour, so a failure there may be the emulator's: moto 5.2.5 knows no
//! `ClientToken`, stops one-time Spot, starts what is terminated, and leaves out the tags that EC2 itself writes.

mod bench;
mod describe;
mod launch;
mod removal;
