//! One launch: the intent is written, EC2 is called, the outcome is recorded. Each step may crash, repeat or come late.

use lambda_runtime::Error;
use pool_core::ids::{InstanceId, LaunchToken, NodeKey, ShardNo};
use pool_core::offering;
use pool_core::on_instance_state_change;
use pool_core::reap_idle::{self, Ec2Word};
use pool_core::scale::{self, PlannedStart, Repeat};
use pool_core::shard::{Intent, Member, Shard, Transition};
use pool_fleet::{Fleet, Launched, LaunchedInstance, Outcome};
use pool_function::environment::Environment;
use pool_function::metrics::{self, Metric};
use pool_function::steps;
use pool_store::Written;

/// Tries of a write that others may get in the way of.
const TRIES: usize = 5;

/// Repeats launches that were intended by a run that died, with the same token and parameters, as many as the launch
/// budget allows.
pub(crate) async fn repeat_stale(environment: &Environment, fleet: &Fleet, shards: &[Shard]) -> Result<(), Error> {
    let control = environment.store.control().await?.unwrap_or_default();
    let (repeats, claimed) = scale::repeats(shards, &control, environment.now());
    if repeats.is_empty() {
        return Ok(());
    }
    if !environment.store.put_control(&claimed).await? {
        tracing::info!(cause = "another run was first", "no launch is repeated");
        return Ok(());
    }
    for repeat in repeats {
        let (shard, launch) = (repeat.shard, &repeat.launch);
        tracing::warn!(shard, %launch, cause = "it is not known what came of it", "repeating a launch");
        let launched = repeated(environment, fleet, &repeat).await?;
        finish(environment, fleet, shard, launch, &repeat.intent, launched, "repeated").await?;
    }
    Ok(())
}

/// Asks EC2 for the address of members that have none yet: their nodes are waiting for it to become ready. One that is to
/// start and is still stopped is started again.
pub(crate) async fn locate(environment: &Environment, fleet: &Fleet, shards: &[Shard]) -> Result<(), Error> {
    let unlocated = on_instance_state_change::unlocated(shards);
    if unlocated.is_empty() {
        return Ok(());
    }
    let ec2 = Ec2Word { asked: fleet.describe(&unlocated).await?, ..Ec2Word::default() };
    for (shard, locate) in reap_idle::located(shards, &ec2) {
        steps::write(environment, shard, &locate).await?;
    }
    for found in ec2.asked.values().flatten().filter(|found| reap_idle::start_again(shards, found)) {
        tracing::warn!(instance = %found.instance, cause = "its start did not reach EC2", "starting again");
        call_start(fleet, &found.instance).await;
    }
    Ok(())
}

/// Calls EC2 for a start that is written.
pub(crate) async fn start(
    environment: &Environment,
    fleet: &Fleet,
    planned: &PlannedStart,
    why: &str,
) -> Result<(), Error> {
    let PlannedStart { shard, instance, .. } = planned;
    environment.store.note(instance, Some(*shard), "start", why, environment.now()).await?;
    call_start(fleet, instance).await;
    Ok(())
}

/// A start that fails is repeated by the next run, and given up when the boot's deadline is over.
async fn call_start(fleet: &Fleet, instance: &InstanceId) {
    if let Err(error) = fleet.start(instance).await {
        tracing::warn!(%instance, cause = %error, "could not start");
    }
}

/// Calls EC2 for an intent that is written, and records what came of it.
pub(crate) async fn carry_out(
    environment: &Environment,
    fleet: &Fleet,
    shard: ShardNo,
    launch: &LaunchToken,
    intent: &Intent,
    why: &str,
) -> Result<(), Error> {
    let launched = called(environment, fleet, shard, launch, intent).await?;
    finish(environment, fleet, shard, launch, intent, launched, why).await
}

/// Calls EC2, and remembers how the offerings stand.
async fn called(
    environment: &Environment,
    fleet: &Fleet,
    shard: ShardNo,
    launch: &LaunchToken,
    intent: &Intent,
) -> Result<Launched, Error> {
    let launched = fleet.launch(shard, launch, intent).await;
    for failure in &launched.failures {
        metrics::count_one_of(Metric::LaunchErrors, &failure.code);
        if failure.meaning.is_final() {
            metrics::count(Metric::LaunchesRefused, 1);
        }
        tracing::warn!(shard, %launch, cause = failure.code, detail = failure.message, meaning = ?failure.meaning, "launch failed");
    }
    remember(environment, intent, &launched).await?;
    Ok(launched)
}

/// Calls EC2 once more for an old intent. When it refuses the repetition (a permission was taken away, a template is gone),
/// an earlier call may have launched all the same, or may do so yet.
async fn repeated(environment: &Environment, fleet: &Fleet, repeat: &Repeat) -> Result<Launched, Error> {
    let Repeat { shard, launch, intent, .. } = repeat;
    let launched = called(environment, fleet, *shard, launch, intent).await?;
    let outcome = match launched.outcome {
        Outcome::Refused if repeat.is_the_last_call(environment.now()) => Outcome::Spent,
        Outcome::Refused => {
            let control = environment.store.control().await?.unwrap_or_default();
            if !environment.store.put_control(&repeat.was_refused(&control)).await? {
                tracing::info!(%launch, cause = "others wrote the control item", "the refusal is not remembered");
            }
            Outcome::Unclear
        }
        outcome => outcome,
    };
    Ok(Launched { outcome, ..launched })
}

/// Records what came of a launch.
async fn finish(
    environment: &Environment,
    fleet: &Fleet,
    shard: ShardNo,
    launch: &LaunchToken,
    intent: &Intent,
    mut launched: Launched,
    why: &str,
) -> Result<(), Error> {
    match launched.outcome {
        Outcome::Answered | Outcome::Refused => {}
        Outcome::Spent => launched.instances = fleet.launched_under(launch).await?,
        Outcome::Unclear => {
            // It may have launched. The intent stays, keeps its place in the count, and is repeated with the same token.
            tracing::warn!(shard, %launch, cause = "EC2's answer is not known", "the launch stays intended");
            return Ok(());
        }
    }
    record(environment, shard, launch, intent, &launched).await?;
    for instance in &launched.instances {
        environment.store.note(&instance.instance, Some(shard), "launched", why, environment.now()).await?;
    }
    Ok(())
}

/// Adopts what came, or gives the room back when nothing did.
async fn record(
    environment: &Environment,
    shard: ShardNo,
    launch: &LaunchToken,
    intent: &Intent,
    launched: &Launched,
) -> Result<(), Error> {
    let now = environment.now();
    let mut members: Vec<(InstanceId, Member)> = launched
        .instances
        .iter()
        .map(|instance| {
            let (kind, address) = (instance.kind.clone(), instance.address.clone());
            (
                instance.instance.clone(),
                Member { address, key: NodeKey::default(), boot_id: 0, since: now, served: 0, kind },
            )
        })
        .collect();
    for _ in 0..TRIES {
        let short = i64::try_from(intent.count)? - i64::try_from(members.len())?;
        let write = if members.is_empty() {
            Transition::Settle { launch: launch.clone() }
        } else {
            Transition::Adopt { launch: launch.clone(), members: members.clone(), short }
        };
        match steps::write(environment, shard, &write).await? {
            Written::Refused(seen) if seen.intents.contains_key(launch) => {
                // Some of them are known already, as members or as gone; the others are still to be adopted.
                members.retain(|(id, _)| !seen.members.contains_key(id) && !seen.tombstones.contains_key(id.as_str()));
            }
            // Done now, or by an earlier run.
            _ => return Ok(()),
        }
    }
    Ok(())
}

/// Writes the outcome into the control item, whose version others may bump meanwhile.
async fn remember(environment: &Environment, intent: &Intent, launched: &Launched) -> Result<(), Error> {
    let offering = |it: &LaunchedInstance| (it.kind.instance_type.clone(), it.subnet.clone());
    let worked: Vec<(String, String)> = launched.instances.iter().map(offering).collect();
    for _ in 0..TRIES {
        let mut control = environment.store.control().await?.unwrap_or_default();
        let before = control.clone();
        let (policy, now) = (&environment.settings.policy, environment.now());
        offering::remember(&mut control, &intent.launch, &worked, &launched.failures, policy, now);
        if control == before || environment.store.put_control(&control).await? {
            return Ok(());
        }
    }
    tracing::warn!(cause = "others wrote the control item", "the outcome of a launch was not remembered");
    Ok(())
}
