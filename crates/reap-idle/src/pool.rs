//! The shards as a run has last seen them: read when a decision needs the newest, kept up to date by its own writes.
//!
//! Positions in `free` change with every lease. So who removes reads again, unless nothing was asked since the last reading.

use lambda_runtime::Error;
use pool_core::ids::ShardNo;
use pool_core::shard::{Shard, Transition};
use pool_function::environment::Environment;
use pool_function::steps;
use pool_store::{StoreError, Written};

/// All shards, as last seen.
pub(crate) struct Pool<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) shards: Vec<Shard>,
    /// The table or EC2 was asked something since the shards were read.
    pub(crate) is_old: bool,
}

impl<'a> Pool<'a> {
    /// Reads all shards.
    pub(crate) async fn read(environment: &'a Environment) -> Result<Self, Error> {
        Ok(Self { environment, shards: environment.shards(true).await?, is_old: false })
    }

    /// Reads them again.
    pub(crate) async fn read_again(&mut self) -> Result<(), Error> {
        *self = Self::read(self.environment).await?;
        Ok(())
    }

    /// One write; what came back with it, accepted or refused, is what is known of that shard from now on.
    pub(crate) async fn write(&mut self, shard: ShardNo, transition: &Transition) -> Result<bool, StoreError> {
        self.is_old = true;
        let written = steps::write(self.environment, shard, transition).await?;
        let accepted = matches!(written, Written::Applied(_));
        if let Written::Applied(seen) | Written::Refused(seen) = written
            && let Some(known) = self.shards.iter_mut().find(|known| known.number == seen.number)
        {
            *known = seen;
        }
        Ok(accepted)
    }
}
