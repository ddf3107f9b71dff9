//! EC2 against the shards, both ways: what EC2 has and no shard knows, what a shard has and EC2 has no more.

use lambda_runtime::Error;
use pool_core::ids::InstanceId;
use pool_core::offering::Meaning;
use pool_core::reap_idle::{self, Ec2Word};
use pool_core::shard::Transition;
use pool_fleet::Fleet;
use pool_function::environment::Environment;
use pool_function::steps;
use pool_store::Written;

/// Takes in or terminates instances with our tag that no shard knows, on the word of two consistent readings.
pub(crate) async fn judge_orphans(environment: &Environment, fleet: &Fleet, ec2: &Ec2Word) -> Result<(), Error> {
    let (policy, now) = (&environment.settings.policy, environment.now());
    let first = environment.shards(true).await?;
    if reap_idle::orphans(&first, ec2, policy, now).is_empty() {
        return Ok(());
    }
    let shards = environment.shards(true).await?;
    let mut doomed = Vec::new();
    for orphan in reap_idle::orphans(&shards, ec2, policy, now) {
        let Some(shard) = shards.iter().find(|shard| shard.number == orphan.shard) else { continue };
        let instance = orphan.found.instance.clone();
        let write = reap_idle::judge_orphan(&orphan, shard, now);
        let written = steps::write(environment, shard.number, &write).await?;
        if !matches!(written, Written::Applied(_)) {
            continue;
        }
        tracing::warn!(%instance, shard = shard.number, cause = "no shard knew it", verdict = write.name(), "orphan");
        environment.store.note(&instance, Some(shard.number), write.name(), "no shard knew it", now).await?;
        if matches!(write, Transition::Doom { .. }) {
            doomed.push(instance);
        }
    }
    end(environment, fleet, &doomed).await
}

/// Terminates what leaves and bears no lease any more.
pub(crate) async fn terminate(environment: &Environment, fleet: &Fleet, ec2: &Ec2Word) -> Result<(), Error> {
    let shards = environment.shards(true).await?;
    let ending = reap_idle::to_terminate(&shards, ec2, &environment.settings.policy, environment.now());
    for (shard, instance, why) in &ending {
        tracing::info!(%instance, shard, cause = why, "terminating");
        environment.store.note(instance, Some(*shard), "terminate", why, environment.now()).await?;
    }
    let instances: Vec<InstanceId> = ending.into_iter().map(|(_, instance, _)| instance).collect();
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
pub(crate) async fn bury(environment: &Environment, ec2: &Ec2Word) -> Result<(), Error> {
    let (policy, shards) = (&environment.settings.policy, environment.shards(true).await?);
    for (shard, instance, gone) in reap_idle::gone(&shards, ec2, policy, environment.now()) {
        if let Written::Applied(_) = steps::write(environment, shard, &gone).await? {
            environment.store.note(&instance, Some(shard), "gone", "EC2 has it no more", environment.now()).await?;
        }
    }
    Ok(())
}
