//! The layout: how many shards there are and which share of the cap each has.

use std::collections::BTreeSet;

use lambda_runtime::Error;
use pool_core::ids::ShardNo;
use pool_core::scale;
use pool_core::shard::Shard;
use pool_function::environment::Environment;
use pool_function::steps;

/// Makes the layout what the policy asks for and answers all shards.
///
/// The control item is written first, then missing shards are made, then shares change: cuts before raises, so that the
/// cap holds at every step. A crash anywhere leaves work that the next run recognises by the layout number of each shard.
pub(crate) async fn ensure(environment: &Environment) -> Result<Vec<Shard>, Error> {
    let (policy, now) = (&environment.settings.policy, environment.now());
    let mut control = environment.store.control().await?.unwrap_or_default();
    if let Some(layout) = control.next_layout(policy, now) {
        tracing::info!(shards = layout.shards, max = layout.max_instances, cause = "the policy changed", "new layout");
        control.layout = layout;
        if !environment.store.put_control(&control).await? {
            control = environment.store.control().await?.unwrap_or_default();
        }
        environment.reload_control().await?;
    }
    let made = control.layout.shards_made;
    let mut shards = environment.store.read_all(made, true).await?;
    if shards.len() < made as usize {
        let there: BTreeSet<ShardNo> = shards.iter().map(|shard| shard.number).collect();
        for missing in (0..made).filter(|number| !there.contains(number)) {
            environment.store.create_shard(missing).await?;
        }
        shards = environment.store.read_all(made, true).await?;
    }
    // Twice: raises become possible only once every cut is made.
    for _ in 0..2 {
        let resizes = scale::resizes(&shards, &control.layout);
        if resizes.is_empty() {
            break;
        }
        for (shard, resize) in resizes {
            steps::write(environment, shard, &resize).await?;
        }
        shards = environment.store.read_all(made, true).await?;
    }
    Ok(shards)
}
