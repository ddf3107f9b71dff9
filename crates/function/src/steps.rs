//! Carries out what a machine of the core decides for one lease: write, look at what came back, ask again.

use pool_core::answer::{Refusal, Step};
use pool_core::ids::ShardNo;
use pool_core::shard::{Shard, Transition};
use pool_store::{StoreError, Written};

use crate::environment::Environment;
use crate::metrics::{self, Metric};
use crate::problem::Problem;

/// Writes that one request makes at most. Each refusal means that another request went ahead, so only a storm gets here.
const WRITES_MAX: usize = 24;

/// Carries out `step` and all that follow it on `shard` until there is an answer. `next` decides on the shard that the
/// last write brought back, and is told which write was accepted, if it was.
///
/// # Errors
/// When the table fails, or too many others write the same shard.
pub async fn carry_out(
    environment: &Environment,
    shard: ShardNo,
    mut step: Step,
    mut next: impl FnMut(&Shard, Option<&Transition>) -> Step,
) -> Result<Step, Problem> {
    for _ in 0..WRITES_MAX {
        let Step::Try(transition) = &step else { return Ok(step) };
        step = match write(environment, shard, transition).await? {
            Written::Applied(seen) => next(&seen, Some(transition)),
            Written::Refused(seen) => {
                if matches!(transition, Transition::Grant { .. }) && seen.free.is_empty() {
                    environment.learn_refusal(shard);
                }
                let again = next(&seen, None);
                // Another write than before means that the shard was in another state than hoped for; the same once more,
                // that another request was first.
                if matches!(&again, Step::Try(once_more) if once_more.name() == transition.name()) {
                    metrics::count(Metric::Conflicts, 1);
                }
                again
            }
            Written::Missing => Step::Refuse(Refusal::NoPool),
        };
    }
    Err(Problem::contended())
}

/// Makes one write, counts what it did, and says so in the log: which lease, which instance, which shard.
///
/// # Errors
/// When the table fails.
pub async fn write(environment: &Environment, shard: ShardNo, transition: &Transition) -> Result<Written, StoreError> {
    let written = environment.store.apply(shard, transition).await?;
    match &written {
        Written::Applied(seen) | Written::Refused(seen) => {
            environment.learn(seen);
            let token = transition.token();
            let instance = transition.instance().or_else(|| seen.leases.get(token?));
            let (lease, instance) = (token.map(tracing::field::display), instance.map(tracing::field::display));
            let (accepted, cause) = (matches!(written, Written::Applied(_)), transition.name());
            if accepted {
                metrics::of_write(transition, seen, &environment.settings.policy, environment.now());
                tracing::info!(shard, lease, instance, epoch = seen.epoch, cause, "changed");
            } else {
                tracing::debug!(shard, lease, instance, epoch = seen.epoch, cause, "refused");
            }
        }
        Written::Missing => tracing::info!(shard, cause = transition.name(), "there is no such shard"),
    }
    Ok(written)
}
