//! The node of ec2-pool: keeps a Chrome that one lease after the other drives over the network, and tells the pool of it.
//!
//! Rule: what the node decides about leases is in `pool_core::gate`; here it is carried out.

pub mod cdp;
pub mod chrome;
pub mod clock;
pub mod gateway;
pub mod guest;
pub mod health;
pub mod identity;
pub mod keeper;
pub mod listen;
pub mod live;
pub mod machine;
pub mod metadata;
pub mod metrics;
pub mod options;
pub mod page;
pub mod pool;
pub mod problem;
pub mod serve;
pub mod service;
pub mod session;
pub mod socket;
pub mod tls;
