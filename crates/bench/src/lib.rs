//! What the pool costs and how fast it is, measured side by side. `cargo bench-pool` writes `docs/performance.md`.
//!
//! Rule: what does not vary (requests, units, bytes, who was told what) is also asserted in `tests/`; what varies with the
//! machine is only ever compared with something else in the same run.

pub mod bars;
pub mod baseline;
pub mod claim;
pub mod cold_start;
pub mod contention;
pub mod costs;
pub mod counts;
pub mod engine;
pub mod inside;
pub mod item;
pub mod lambda;
mod partitions;
pub mod pieces;
pub mod plans;
pub mod pool;
pub mod prices;
pub mod processes;
pub mod report;
pub mod sections;
pub mod sizes;
pub mod starts;
pub mod throughput;
pub mod tls;
