//! Growth: once a minute, and at once when someone waits. Only ever adds.
//!
//! A run makes the shards if they are not there, repeats launches whose run died, plans on a snapshot, claims its turn
//! by writing the control item, and only then writes intents and calls EC2. What the event says does not matter: every
//! run looks at everything.

mod launch;
mod layout;

use lambda_runtime::Error;
use pool_core::control::Control;
use pool_core::ids::InstanceId;
use pool_core::scale::{self, Plan, Template};
use pool_core::shard::Shard;
use pool_core::snapshot::Snapshot;
use pool_core::time::Timestamp;
use pool_core::transfer;
use pool_fleet::Fleet;
use pool_function::environment::Environment;
use pool_function::settings::Ec2Settings;
use pool_function::{moves, steps, trace};
use pool_store::{Wake, Written};

/// Times that one run plans at most.
const PLANS_MAX: usize = 4;

/// What a wake-up by the table's stream causes: a run, and another once the next wake-up is possible. Whoever wanted one in between was
/// refused it, and may have come after the first run had read the shards.
///
/// # Errors
/// As [`handle`].
pub async fn woken(environment: &Environment, fleet: &Fleet, ec2: &Ec2Settings) -> Result<(), Error> {
    let wake = follow_the_waker(environment).await;
    handle(environment, fleet, ec2).await?;
    let Some(wake) = wake else { return Ok(()) };
    environment.wake_is_over(wake.at).await;
    handle(environment, fleet, ec2).await
}

/// One run.
///
/// # Errors
/// When the table or EC2 fails. Whatever was begun is finished by the next run.
pub async fn handle(environment: &Environment, fleet: &Fleet, ec2: &Ec2Settings) -> Result<(), Error> {
    let shards = layout::ensure(environment).await?;
    // Each stands for itself: what EC2 refuses to one must not keep the others.
    let outcomes = [
        launch::repeat_stale(environment, fleet, &shards).await,
        launch::locate(environment, fleet, &shards).await,
        grow(environment, fleet, ec2).await,
        serve_waiters(environment).await,
    ];
    outcomes.into_iter().collect()
}

/// The wake-up that caused this run, if it can be read. It works under the id of the request behind that, for those who read the logs.
async fn follow_the_waker(environment: &Environment) -> Option<Wake> {
    let wake = environment.store.last_wake().await.unwrap_or_else(|error| {
        tracing::warn!(%error, cause = "the table failed", "it is not known who woke this run");
        None
    })?;
    if let Some(trace_id) = &wake.trace_id {
        trace::follow(trace_id);
        tracing::info!(cause = "a request woke it", "running");
    }
    Some(wake)
}

/// Plans, claims the turn, starts what is stopped, intends, launches.
async fn grow(environment: &Environment, fleet: &Fleet, ec2: &Ec2Settings) -> Result<(), Error> {
    let control = environment.store.control().await?.unwrap_or_default();
    // It takes EC2 a while to answer, in which others may write the control record.
    let template = template(fleet, ec2, &control, environment.now()).await?;
    let Some(plan) = claim(environment, &template).await? else {
        tracing::info!(cause = "others wrote the control record", "nothing is added by this run");
        return Ok(());
    };
    if plan.starts.is_empty() && plan.launches.is_empty() {
        tracing::info!(cause = plan.why, "nothing to add");
        return Ok(());
    }
    tracing::info!(cause = plan.why, starts = plan.starts.len(), launches = plan.launches.len(), "growing");
    for planned in &plan.starts {
        if let Written::Applied(_) = steps::write(environment, planned.shard, &planned.transition).await? {
            launch::start(environment, fleet, planned, &plan.why).await?;
        }
    }
    for planned in &plan.launches {
        if let Written::Applied(_) = steps::write(environment, planned.shard, &planned.transition).await? {
            launch::carry_out(environment, fleet, planned.shard, &planned.launch, &planned.intent, &plan.why).await?;
        }
    }
    Ok(())
}

/// A plan whose turn is claimed: nobody wrote the control record since the picture it rests on. `reap-idle` and the operator
/// write it, too, and then a new picture is taken.
async fn claim(environment: &Environment, template: &Template) -> Result<Option<Plan>, Error> {
    let policy = &environment.settings.policy;
    for _ in 0..PLANS_MAX {
        let control = environment.store.control().await?.unwrap_or_default();
        let shards = environment.store.read_all(control.layout.shards_made, true).await?;
        let leased: Vec<InstanceId> = shards.iter().flat_map(|shard| shard.leases.values().cloned()).collect();
        let records = environment.store.instances(&leased).await?;
        let seen = Snapshot { shards: &shards, control: &control, records: &records, policy, now: environment.now() };
        let plan = scale::plan(seen, template, &environment.settings.pool);
        if plan.control == control || environment.store.put_control(&plan.control).await? {
            return Ok(Some(plan));
        }
    }
    Ok(None)
}

/// What to launch from. Its newest version is asked for now and then; when EC2 does not say, the last known one serves.
async fn template(fleet: &Fleet, ec2: &Ec2Settings, control: &Control, now: Timestamp) -> Result<Template, Error> {
    let known = control.template.version;
    let version = if scale::asks_for_template(control, now) {
        match fleet.template_version(&ec2.launch_template_id).await {
            Err(error) if known > 0 => {
                tracing::warn!(%error, cause = "EC2 does not say", "the launch template's last known version is used");
                known
            }
            answer => answer?,
        }
    } else {
        known
    };
    Ok(Template { id: ec2.launch_template_id.clone(), version, subnets: ec2.subnets.clone() })
}

/// Brings instances that are free in one shard to those who wait in another.
async fn serve_waiters(environment: &Environment) -> Result<(), Error> {
    let shards: Vec<Shard> = environment.shards(true).await?;
    for shard in transfer::wanting(&shards) {
        // Each move changes what is free where, so the next is planned on a new reading.
        let fresh = environment.shards(true).await?;
        moves::bring(environment, &fresh, shard).await?;
    }
    Ok(())
}
