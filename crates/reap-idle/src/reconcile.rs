//! EC2 against the shards, both ways: what EC2 has and no shard knows, what a shard has and EC2 has no more.

use std::collections::BTreeMap;

use lambda_runtime::Error;
use pool_core::ids::{InstanceId, ShardNo};
use pool_core::offering::Meaning;
use pool_core::reap_idle::{self, Ec2Word};
use pool_core::shard::Transition;
use pool_core::snapshot::Snapshot;
use pool_fleet::Fleet;
use pool_function::environment::Environment;

use crate::pool::Pool;

/// Takes in or terminates instances with our tag that no shard knows, on the word of two consistent readings.
pub(crate) async fn judge_orphans(pool: &mut Pool<'_>, fleet: &Fleet, ec2: &Ec2Word) -> Result<(), Error> {
    let environment = pool.environment;
    let (policy, now) = (&environment.settings.policy, environment.now());
    if reap_idle::orphans(&pool.shards, ec2, policy, now).is_empty() {
        return Ok(());
    }
    let first: BTreeMap<ShardNo, u64> = pool.shards.iter().map(|shard| (shard.number, shard.sequence)).collect();
    pool.read_again().await?;
    let mut doomed = Vec::new();
    for orphan in reap_idle::orphans(&pool.shards, ec2, policy, now) {
        let Some(shard) = pool.shards.iter().find(|shard| shard.number == orphan.shard) else { continue };
        let (instance, number) = (orphan.found.instance.clone(), shard.number);
        // A shard that the first reading did not have is judged by the next run.
        let Some(sequence) = first.get(&number) else { continue };
        let Some(write) = reap_idle::judge_orphan(&orphan, shard, *sequence, now) else { continue };
        if !pool.write(number, &write).await? {
            continue;
        }
        tracing::warn!(%instance, shard = number, cause = "no shard knew it", verdict = write.name(), "orphan");
        environment.store.note(&instance, Some(number), write.name(), "no shard knew it", now).await?;
        if matches!(write, Transition::Doom { .. }) {
            doomed.push(instance);
        }
    }
    end(environment, fleet, &doomed).await
}

/// What EC2 says of those members that its list does not have.
pub(crate) async fn ask(pool: &mut Pool<'_>, fleet: &Fleet, ec2: &mut Ec2Word) -> Result<(), Error> {
    let unlisted = reap_idle::unlisted(&pool.shards, ec2);
    if !unlisted.is_empty() {
        pool.is_old = true;
        ec2.asked = fleet.describe(&unlisted).await?;
    }
    Ok(())
}

/// Terminates what leaves and bears no lease any more.
pub(crate) async fn terminate(pool: &mut Pool<'_>, fleet: &Fleet, ec2: &Ec2Word) -> Result<(), Error> {
    if !reap_idle::anything_leaves(&pool.shards) {
        return Ok(());
    }
    let environment = pool.environment;
    // The order to keep an instance is written before it is withdrawn: read after the shards, it is there.
    let control = environment.store.control().await?.unwrap_or_default();
    let policy = &environment.settings.policy;
    let ending = |pool: &Pool<'_>| {
        let now = environment.now();
        reap_idle::to_terminate(Snapshot { shards: &pool.shards, control: &control, records: &[], policy, now }, ec2)
    };
    let mut ended = ending(pool);
    if ended.is_empty() {
        return Ok(());
    }
    if reap_idle::has_slots(&pool.shards) {
        // A slot that moves between the readings of two shards is in neither, and its machine must not end under it. So two
        // readings must agree, the second of which begins after the first has ended.
        pool.read_again().await?;
        ended = ending(pool);
        pool.read_again().await?;
        let again = ending(pool);
        ended.retain(|(_, instance, _)| again.iter().any(|(_, other, _)| other == instance));
    }
    for (shard, instance, why) in &ended {
        tracing::info!(%instance, shard, cause = why, "terminating");
        environment.store.note(instance, Some(*shard), "terminate", why, environment.now()).await?;
    }
    let instances: Vec<InstanceId> = ended.into_iter().map(|(_, instance, _)| instance).collect();
    end(environment, fleet, &instances).await
}

async fn end(environment: &Environment, fleet: &Fleet, instances: &[InstanceId]) -> Result<(), Error> {
    if instances.is_empty() {
        return Ok(());
    }
    for (instance, outcome) in fleet.terminate(instances).await {
        match outcome {
            Ok(()) => {}
            // EC2 has forgotten it: it is terminated already.
            Err(error) if error.meaning == Meaning::Unknown => {}
            // It leaves the count only once EC2 says so, so the next run tries again.
            Err(error) => tracing::warn!(%instance, cause = %error, "could not terminate"),
        }
    }
    environment.wake_scale("instances were terminated").await;
    Ok(())
}

/// Takes out of the count what EC2 says is no more.
pub(crate) async fn bury(pool: &mut Pool<'_>, ec2: &Ec2Word) -> Result<(), Error> {
    let environment = pool.environment;
    let policy = &environment.settings.policy;
    for (shard, instance, gone) in reap_idle::gone(&pool.shards, ec2, policy, environment.now()) {
        if pool.write(shard, &gone).await? {
            environment.store.note(&instance, Some(shard), "gone", "EC2 has it no more", environment.now()).await?;
        }
    }
    Ok(())
}
