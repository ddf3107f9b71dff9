//! The real handlers on a real table engine and a simulated EC2: what callers, nodes, EC2 and crashes can do to a pool.
//! A test that is about an invariant of the design or a row of the failure catalogue bears its number.

mod bad_input;
mod decline;
mod events;
mod growth;
mod idempotency;
mod interruptions;
mod leases;
mod nodes;
mod operating;
mod pains;
mod policy;
mod recovery;
mod refusals;
mod sessions;
mod shards;
mod tokens;
mod waiting;
