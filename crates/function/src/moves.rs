//! Carries out moves of free instances between shards: give, take, done; and settles those that got stuck.

use pool_core::ids::ShardNo;
use pool_core::shard::{Fate, Shard, Transition};
use pool_core::transfer::{self, Move};
use pool_store::{StoreError, Written};

use crate::environment::Environment;
use crate::steps;

/// Tries of one write whose target changes meanwhile.
const TRIES: usize = 6;

/// Whether [`bring`] would find an instance to bring to shard `to`, and room for it.
#[must_use]
pub fn can_bring(environment: &Environment, shards: &[Shard], to: ShardNo) -> bool {
    transfer::give(shards, to, &environment.settings.policy, environment.now()).is_some()
}

/// Brings a free instance from another shard to shard `to`: to its first waiter, or into its `free`. Answers whether
/// one arrived.
///
/// # Errors
/// When the table fails. A move that was begun is finished by `reap-idle` then.
pub async fn bring(environment: &Environment, shards: &[Shard], to: ShardNo) -> Result<bool, StoreError> {
    let (policy, now) = (&environment.settings.policy, environment.now());
    let Some((from, give)) = transfer::give(shards, to, policy, now) else { return Ok(false) };
    let Transition::Give { instance, .. } = &give else { return Ok(false) };
    let Written::Applied(source) = steps::write(environment, from, &give).await? else { return Ok(false) };
    let Some(moved) = transfer::recorded(&source, instance) else { return Ok(false) };
    tracing::info!(%instance, shard = from, to, cause = "another shard needs it", "moving");
    let target = shards.iter().find(|shard| shard.number == to).cloned().unwrap_or_else(|| Shard::new(to));
    let fate = match take(environment, &moved, target).await? {
        Some(fate) => fate,
        None => cancel(environment, &moved).await?,
    };
    settle(environment, &moved, source, fate).await?;
    Ok(fate == Fate::Taken)
}

/// Settles every move that nobody finishes any more; answers whether there was one.
///
/// # Errors
/// When the table fails; the next run goes on.
pub async fn settle_stuck(environment: &Environment, shards: &[Shard]) -> Result<bool, StoreError> {
    let mut found = false;
    for source in shards {
        for moved in transfer::stuck(source, environment.now()) {
            tracing::warn!(instance = %moved.instance, shard = moved.from, to = moved.to, cause = "stuck move", "settling");
            let fate = cancel(environment, &moved).await?;
            settle(environment, &moved, source.clone(), fate).await?;
            found = true;
        }
    }
    Ok(found)
}

/// Writes the take until the target's state lets it; `None` when it never did, so the move must be cancelled.
async fn take(environment: &Environment, moved: &Move, mut target: Shard) -> Result<Option<Fate>, StoreError> {
    for _ in 0..TRIES {
        let write = transfer::take(moved, &target, &environment.settings.policy, environment.now());
        match steps::write(environment, moved.to, &write).await? {
            Written::Applied(_) if matches!(write, Transition::Take { .. }) => return Ok(Some(Fate::Taken)),
            Written::Applied(seen) | Written::Refused(seen) => target = seen,
            Written::Missing => return Ok(None),
        }
        if let Some(fate) = transfer::fate(&target, &moved.id) {
            return Ok(Some(fate));
        }
    }
    Ok(None)
}

/// Makes the target decide: if it did not take the instance by now it never will.
async fn cancel(environment: &Environment, moved: &Move) -> Result<Fate, StoreError> {
    let write = Transition::Cancel { transfer: moved.id.clone(), now: environment.now() };
    match steps::write(environment, moved.to, &write).await? {
        Written::Refused(target) => Ok(transfer::fate(&target, &moved.id).unwrap_or(Fate::Cancelled)),
        Written::Applied(_) | Written::Missing => Ok(Fate::Cancelled),
    }
}

/// Writes the end of a move at its source.
async fn settle(environment: &Environment, moved: &Move, mut source: Shard, fate: Fate) -> Result<(), StoreError> {
    for _ in 0..TRIES {
        if transfer::recorded(&source, &moved.instance).is_none_or(|recorded| recorded.id != moved.id) {
            return Ok(());
        }
        let write = transfer::settle(moved, &source, fate, &environment.settings.policy, environment.now());
        source = match steps::write(environment, moved.from, &write).await? {
            Written::Applied(seen) | Written::Refused(seen) => seen,
            Written::Missing => return Ok(()),
        };
    }
    Ok(())
}
