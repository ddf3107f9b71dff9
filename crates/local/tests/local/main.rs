//! The machine room with real child processes: the `actor` example plays every function.
//!
//! Rule: a test waits for conditions, never for time to pass, and asserts no duration.

mod front;
mod lambda;
mod process;
mod stage;
