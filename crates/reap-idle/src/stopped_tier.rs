//! The stopped tier in EC2: what the shards write down as stopping is stopped, and what EC2 has stopped is written down.

use lambda_runtime::Error;
use pool_core::ids::InstanceId;
use pool_core::reap_idle::{self, Ec2Word};
use pool_fleet::Fleet;

use crate::pool::Pool;

/// Writes down what EC2 has stopped, and asks it again for what it has not.
pub(crate) async fn settle(pool: &mut Pool<'_>, fleet: &Fleet, ec2: &Ec2Word) -> Result<(), Error> {
    for (shard, stopped) in reap_idle::stopped(&pool.shards, ec2, pool.environment.now()) {
        pool.write(shard, &stopped).await?;
    }
    for instance in reap_idle::stop_again(&pool.shards, ec2) {
        pool.is_old = true;
        stop(fleet, &instance).await;
    }
    Ok(())
}

/// Asks EC2 to stop an instance that is written down as stopping. The next run asks again until it is stopped.
pub(crate) async fn stop(fleet: &Fleet, instance: &InstanceId) {
    match fleet.stop(instance).await {
        Ok(()) => tracing::info!(%instance, cause = "the stopped tier takes it", "stopping"),
        Err(error) => tracing::warn!(%instance, cause = %error, "could not stop"),
    }
}
