//! Decline: once a minute. Only ever removes, and takes in orphans.
//!
//! EC2 is listed before the shards are read. Overdue leases end first, then EC2 and the shards are compared both ways,
//! then instances are fenced within a budget, and only what is fenced and bears no lease is terminated.

mod figures;
mod pool;
mod reconcile;
mod stopped_tier;

use lambda_runtime::Error;
use pool_core::control::Control;
use pool_core::ending;
use pool_core::reap_idle::{self, Ec2Word, Plan};
use pool_core::shard::Transition;
use pool_core::snapshot::Snapshot;
use pool_fleet::Fleet;
use pool_function::environment::Environment;
use pool_function::metrics::{self, Metric};
use pool_function::moves;

use pool::Pool;

/// Overdue things one run ends in a shard at most; the next run goes on.
const OVERDUE_MAX: usize = 256;

/// Times that one run plans its removals at most.
const PLANS_MAX: usize = 4;

/// One run.
///
/// # Errors
/// When the table or EC2 fails. Whatever was begun is finished by the next run.
pub async fn handle(environment: &Environment, fleet: &Fleet) -> Result<(), Error> {
    let (listed, control) = tokio::join!(fleet.list(), environment.reload_control());
    let control = control?;
    let mut pool = Pool::read(environment).await?;
    // These need no word of EC2, so its failure must not keep them.
    if moves::settle_stuck(environment, &pool.shards).await? {
        pool.read_again().await?;
    }
    end_overdue(&mut pool).await?;

    let mut ec2 = Ec2Word { listed: listed?, ..Ec2Word::default() };
    reconcile::ask(&mut pool, fleet, &mut ec2).await?;
    locate(&mut pool, &ec2).await?;
    reconcile::judge_orphans(&mut pool, fleet, &ec2).await?;
    stopped_tier::settle(&mut pool, fleet, &ec2).await?;
    let control = fence(&mut pool, control, fleet, &ec2).await?;
    reconcile::terminate(&mut pool, fleet, &ec2).await?;
    reconcile::bury(&mut pool, &ec2).await?;
    for (shard, prune) in reap_idle::forgettable(&pool.shards, environment.now()) {
        pool.write(shard, &prune).await?;
    }
    figures::tell(&pool, &control);
    Ok(())
}

/// Ends leases and waits whose time is over.
async fn end_overdue(pool: &mut Pool<'_>) -> Result<(), Error> {
    let environment = pool.environment;
    for place in 0..pool.shards.len() {
        for _ in 0..OVERDUE_MAX {
            let shard = &pool.shards[place];
            let overdue = ending::overdue(shard, &environment.settings.policy, environment.now());
            let Some(transition) = overdue else { break };
            pool.write(shard.number, &transition).await?;
        }
    }
    Ok(())
}

/// Records what EC2 tells of addresses and zones.
async fn locate(pool: &mut Pool<'_>, ec2: &Ec2Word) -> Result<(), Error> {
    for (shard, write) in reap_idle::located(&pool.shards, ec2) {
        pool.write(shard, &write).await?;
    }
    Ok(())
}

/// Takes out of service what should go, within the budget. Answers the control record that it knows in the end.
async fn fence(pool: &mut Pool<'_>, control: Control, fleet: &Fleet, ec2: &Ec2Word) -> Result<Control, Error> {
    let environment = pool.environment;
    let plan = plan(pool, control, ec2).await?;
    for removal in plan.removals {
        if pool.write(removal.shard, &removal.transition).await? {
            tracing::info!(instance = %removal.instance, shard = removal.shard, cause = removal.why, "fenced");
            metrics::count(Metric::IdleKills, u64::from(removal.is_idle && removal.instance.is_first_slot()));
            let (shard, what) = (Some(removal.shard), removal.transition.name());
            environment.store.note(&removal.instance, shard, what, &removal.why, environment.now()).await?;
            if let Transition::Stop { instance, .. } = &removal.transition {
                stopped_tier::stop(fleet, instance).await;
            }
        }
    }
    Ok(plan.control)
}

/// The removals of this run, from a control record that is older than the shards. What the plan learnt is written first, so
/// that a boot that failed is counted before its instance is gone; when others write meanwhile, the plan is made anew.
async fn plan(pool: &mut Pool<'_>, mut control: Control, ec2: &Ec2Word) -> Result<Plan, Error> {
    let environment = pool.environment;
    let policy = &environment.settings.policy;
    for _ in 0..PLANS_MAX {
        if pool.is_old {
            control = environment.reload_control().await?;
            pool.read_again().await?;
        }
        let members: Vec<_> = pool.shards.iter().flat_map(|shard| shard.members.keys().cloned()).collect();
        let records = environment.store.instances(&members).await?;
        let seen =
            Snapshot { shards: &pool.shards, control: &control, records: &records, policy, now: environment.now() };
        let plan = reap_idle::plan(seen, ec2);
        if plan.control == control || environment.store.put_control(&plan.control).await? {
            return Ok(plan);
        }
        pool.is_old = true;
    }
    tracing::info!(cause = "others wrote the control record", "nothing is removed by this run");
    Ok(Plan { control, removals: Vec::new() })
}
