//! The stage on which the real handlers are tested: a table in an embedded DynamoDB, a simulated EC2 behind its wire
//! protocol, real SDK clients, a clock that only moves when a test moves it, and randomness from a seed.
//!
//! Rules:
//! - Nothing of this project is mocked. A request is an API Gateway event read from `events/`, changed as little as the
//!   test needs; what it does can be seen in the table and in EC2.
//! - Every answer is held against `openapi.yaml`, and after every call the shards are held against the invariants.
//! - Time is virtual, so no test waits for it and none asserts how long anything took.

#![expect(clippy::missing_panics_doc, reason = "whatever goes wrong on a stage fails its test, and a panic is how")]

pub mod answer;
pub mod bench;
pub mod clock;
pub mod contract;
pub mod invariants;
pub mod load;
pub mod nodes;
pub mod random;
pub mod request;
pub mod sim;
pub mod simulator;
pub mod stage;
pub mod table;
pub mod template;

pub use answer::Answer;
pub use request::{Request, Route};
pub use stage::Stage;
