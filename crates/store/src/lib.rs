//! The table: what `pool-core` decides, written to DynamoDB.
//!
//! One item is one shard, and every [`pool_core::shard::Transition`] is one conditional `UpdateItem` of it. Nothing here
//! decides: a transition whose condition fails is answered with the item as it was, and the caller goes on from there.
//! [`expression`] has the transitions in DynamoDB's language, [`codec`] the items, [`names`] the attribute names; a
//! property test holds them equal to the pure shard on a real engine.

pub mod codec;
mod error;
pub mod expression;
pub mod names;
mod records;
mod store;

/// A client of DynamoDB; made here and nowhere else, so that its SDK stays in this crate.
pub use aws_sdk_dynamodb::Client;
pub use error::StoreError;
pub use records::{Wake, Woken};
pub use store::{Store, Written};
