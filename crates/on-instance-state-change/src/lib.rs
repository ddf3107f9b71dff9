//! EC2's events: state changes, Spot interruption warnings, rebalance recommendations.
//!
//! They are hints. They repeat, come late, out of order or never. One that can be taken back (running, stopped) is
//! believed only after EC2 was asked again; one that cannot (terminated) is believed at once.

use std::collections::BTreeSet;

use aws_lambda_events::eventbridge::EventBridgeEvent;
use lambda_runtime::Error;
use pool_core::ids::InstanceId;
use pool_core::on_instance_state_change::{self as rules, Fact};
use pool_core::reap_idle::Ec2State;
use pool_core::register;
use pool_core::shard::{Shard, Transition};
use pool_fleet::Fleet;
use pool_function::environment::Environment;
use pool_function::metrics::{self, Metric};
use pool_function::steps;
use pool_store::Written;
use serde::Deserialize;

/// Writes that one event makes at most.
const WRITES_MAX: usize = 8;

/// What all three kinds of events tell.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Detail {
    instance_id: String,
    state: Option<String>,
}

/// Takes one event.
///
/// # Errors
/// When the table or EC2 fails, or the instance is just being moved; Lambda then repeats the event a minute later
/// (<https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>).
pub async fn handle(environment: &Environment, fleet: &Fleet, event: EventBridgeEvent) -> Result<(), Error> {
    let Ok(detail) = serde_json::from_value::<Detail>(event.detail.clone()) else {
        tracing::warn!(cause = event.detail_type, "an event without an instance is ignored");
        return Ok(());
    };
    let Ok(instance) = detail.instance_id.parse::<InstanceId>() else {
        tracing::warn!(cause = event.detail_type, "an event with a malformed instance id is ignored");
        return Ok(());
    };
    let Slots { here, moving } = slots_of(environment, &instance).await?;
    if here.is_empty() && moving.is_none() {
        tracing::info!(%instance, cause = event.detail_type, "not an instance of this pool");
        return Ok(());
    }
    let Some(fact) = fact(environment, fleet, &event, detail.state.as_deref(), &instance).await? else {
        return Ok(());
    };
    for (shard, slot) in here {
        let fact = fact.of_slot(&slot);
        tracing::info!(instance = %slot, shard = shard.number, cause = event.detail_type, fact = ?fact, "event");
        apply(environment, shard, &slot, &fact).await?;
    }
    match moving {
        // No shard may withdraw it now, so the event must come again once it has arrived.
        Some(slot) => Err(format!("{slot} is under way to another shard").into()),
        None => Ok(()),
    }
}

/// The slots of an instance.
struct Slots {
    /// Each with the shard that has it.
    here: Vec<(Shard, InstanceId)>,
    /// One that is under way to another shard.
    moving: Option<InstanceId>,
}

/// What the event means, after asking EC2 where the event alone does not say.
async fn fact(
    environment: &Environment,
    fleet: &Fleet,
    event: &EventBridgeEvent,
    state: Option<&str>,
    instance: &InstanceId,
) -> Result<Option<Fact>, Error> {
    let now = environment.now();
    match (event.detail_type.as_str(), state) {
        ("EC2 Spot Instance Interruption Warning", _) => {
            let warned_at = event.time.and_then(|time| u64::try_from(time.timestamp()).ok());
            let takes_at = warned_at.map_or(now, pool_core::time::Timestamp) + rules::SPOT_NOTICE_SECONDS;
            Ok(Some(Fact::SpotWarning { takes_at }))
        }
        ("EC2 Instance Rebalance Recommendation", _) => Ok(Some(Fact::Rebalance)),
        ("EC2 Instance State-change Notification", Some("terminated")) => Ok(Some(Fact::Terminated)),
        ("EC2 Instance State-change Notification", Some("shutting-down")) => Ok(Some(Fact::ShuttingDown)),
        ("EC2 Instance State-change Notification", Some("running" | "stopped")) => ask(fleet, instance).await,
        _ => Ok(None),
    }
}

/// What EC2 says now. That it does not know the instance means nothing: it may be too young.
async fn ask(fleet: &Fleet, instance: &InstanceId) -> Result<Option<Fact>, Error> {
    let mut word = fleet.describe(std::slice::from_ref(instance)).await?;
    let Some(found) = word.remove(instance).flatten() else { return Ok(None) };
    Ok(match found.state {
        Ec2State::Running => Some(Fact::Running(found)),
        Ec2State::Stopped => Some(Fact::Stopped),
        Ec2State::ShuttingDown => Some(Fact::ShuttingDown),
        Ec2State::Terminated => Some(Fact::Terminated),
        Ec2State::Pending | Ec2State::Stopping => None,
    })
}

async fn apply(environment: &Environment, mut shard: Shard, instance: &InstanceId, fact: &Fact) -> Result<(), Error> {
    let number = shard.number;
    for _ in 0..WRITES_MAX {
        let now = environment.now();
        let Some(write) = rules::next(&shard, instance, fact, now) else { return Ok(()) };
        shard = match steps::write(environment, number, &write).await? {
            Written::Applied(seen) => {
                let leaves =
                    matches!(write, Transition::Fence { .. } | Transition::FenceApart { .. } | Transition::Mark { .. });
                if leaves && instance.is_first_slot() && !matches!(fact, Fact::Rebalance) {
                    metrics::count(Metric::Interruptions, 1);
                }
                if !matches!(write, Transition::Locate { .. }) {
                    let why = format!("{fact:?}");
                    environment.store.note(instance, Some(number), write.name(), &why, now).await?;
                    environment.wake_scale("an instance leaves").await;
                }
                seen
            }
            Written::Refused(seen) => seen,
            Written::Missing => return Ok(()),
        };
    }
    Ok(())
}

async fn slots_of(environment: &Environment, instance: &InstanceId) -> Result<Slots, Error> {
    let shards = environment.shards(true).await?;
    let members = shards.iter().flat_map(|shard| shard.members.keys());
    let slots: BTreeSet<InstanceId> = members.filter(|slot| slot.machine() == *instance).cloned().collect();
    let (mut here, mut moving) = (Vec::new(), None);
    for slot in slots {
        match register::shard_of(shards.clone(), &slot) {
            Some(shard) if shard.transfers.contains_key(&slot) => moving = Some(slot),
            shard => here.extend(shard.map(|shard| (shard, slot))),
        }
    }
    Ok(Slots { here, moving })
}
