//! Decline: once a minute. Only ever removes, and takes in orphans.
//!
//! EC2 is listed before the shards are read. Overdue leases end first, then EC2 and the shards are compared both ways,
//! then instances are fenced within a budget, and only what is fenced and bears no lease is terminated.

mod reconcile;

use lambda_runtime::Error;
use pool_core::ending;
use pool_core::on_instance_state_change;
use pool_core::reap_idle::{self, Ec2Word};
use pool_core::shard::Shard;
use pool_fleet::Fleet;
use pool_function::environment::Environment;
use pool_function::{moves, steps};
use pool_store::Written;

/// Overdue things one run ends in a shard at most; the next run goes on.
const OVERDUE_MAX: usize = 256;

/// One run.
///
/// # Errors
/// When the table or EC2 fails. Whatever was begun is finished by the next run.
pub async fn handle(environment: &Environment, fleet: &Fleet) -> Result<(), Error> {
    let listed = fleet.list().await;
    environment.reload_layout().await?;
    let shards = environment.shards(true).await?;
    // These need no word of EC2, so its failure must not keep them.
    moves::settle_stuck(environment, &shards).await?;
    end_overdue(environment, shards.clone()).await?;

    let listed = listed?;
    let asked = fleet.describe(&reap_idle::unlisted(&shards, &listed)).await?;
    let ec2 = Ec2Word { listed, asked };
    for shard in environment.shards(true).await? {
        for locate in ec2.listed.values().filter_map(|found| on_instance_state_change::locate(&shard, found)) {
            steps::write(environment, shard.number, &locate).await?;
        }
    }
    reconcile::judge_orphans(environment, fleet, &ec2).await?;
    fence(environment, &ec2).await?;
    reconcile::terminate(environment, fleet, &ec2).await?;
    reconcile::bury(environment, &ec2).await?;
    for (shard, prune) in reap_idle::forgettable(&environment.shards(true).await?, environment.now()) {
        steps::write(environment, shard, &prune).await?;
    }
    Ok(())
}

/// Ends leases and waits whose time is over.
async fn end_overdue(environment: &Environment, shards: Vec<Shard>) -> Result<(), Error> {
    for mut shard in shards {
        for _ in 0..OVERDUE_MAX {
            let overdue = ending::overdue(&shard, &environment.settings.policy, environment.now());
            let Some(transition) = overdue else { break };
            match steps::write(environment, shard.number, &transition).await? {
                Written::Applied(seen) | Written::Refused(seen) => shard = seen,
                Written::Missing => break,
            }
        }
    }
    Ok(())
}

/// Takes out of service what should go, within the budget.
async fn fence(environment: &Environment, ec2: &Ec2Word) -> Result<(), Error> {
    let shards = environment.shards(true).await?;
    let members: Vec<_> = shards.iter().flat_map(|shard| shard.members.keys().cloned()).collect();
    let records = environment.store.instances(&members).await?;
    let now = environment.now();
    for removal in reap_idle::removals(&shards, ec2, &records, &environment.settings.policy, now) {
        if let Written::Applied(_) = steps::write(environment, removal.shard, &removal.transition).await? {
            tracing::info!(instance = %removal.instance, shard = removal.shard, cause = removal.why, "fenced");
            let shard = Some(removal.shard);
            environment.store.note(&removal.instance, shard, removal.transition.name(), &removal.why, now).await?;
        }
    }
    Ok(())
}
