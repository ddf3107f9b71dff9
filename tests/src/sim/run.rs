//! One run from its beginning to the verdict, and the search for the fewest faults that still break it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use pool_core::scale;
use pool_core::snapshot::Snapshot;
use tokio::task::LocalSet;
use tokio::time::sleep;

use crate::sim::background::{Task, schedule, spawn};
use crate::sim::plan::{Plan, Rates};
use crate::sim::world::lock;
use crate::sim::{World, callers, chaos, machines, operator};

/// After the last fault everything must agree within this time.
const QUIET: Duration = Duration::from_mins(5);

/// An outage lasts two hours.
const OUTAGE_SECONDS: u64 = 7_200;

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// The run.
    pub plan: Plan,
    /// What does not hold, if something does not.
    pub verdict: Option<String>,
    /// Steps: awaits resumed, events, requests.
    pub steps: u64,
    /// Requests that reached an engine.
    pub requests: u64,
    /// Faults, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// What each function, by its name or route, asked of the engines, as IAM calls it.
    pub asked: BTreeSet<(String, String)>,
    /// The same for two runs that were the same.
    pub hash: u64,
    /// The last lines of the trace.
    pub tail: String,
}

/// Carries out a plan.
///
/// # Panics
/// When the runtime cannot be built.
#[must_use]
pub fn run(plan: &Plan) -> Report {
    // The SDK draws the pauses between its retries from this thread's generator.
    fastrand::seed(plan.seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without IO needs nothing");
    let world = LocalSet::new().block_on(&runtime, async {
        let world = World::new(plan.clone());
        begin(&world);
        tokio::select! {
            biased;
            () = world.over.notified() => {}
            () = story(&world) => {}
        }
        world
    });
    report(&world)
}

/// Everything that goes on by itself.
pub fn begin(world: &Arc<World>) {
    spawn(machines::life(Arc::clone(world)));
    spawn(schedule(Arc::clone(world), Task::Scale, 0));
    spawn(schedule(Arc::clone(world), Task::ReapIdle, 30));
    chaos::begin(world);
    for who in 0..world.plan.callers {
        spawn(callers::caller(Arc::clone(world), who));
    }
}

async fn story(world: &Arc<World>) {
    let half = Duration::from_secs(world.plan.minutes * 30);
    sleep(half).await;
    if world.plan.outage {
        world.take_down(OUTAGE_SECONDS);
        sleep(Duration::from_secs(OUTAGE_SECONDS)).await;
    }
    sleep(half).await;
    quiet(world).await;
}

/// The faults stop, the callers finish; after five minutes everything must agree.
pub async fn quiet(world: &Arc<World>) {
    world.line("quiet");
    world.end_faults();
    operator::take_back(world).await;
    sleep(QUIET).await;
    settled(world).unwrap_or_else(|what| world.broken(&what));
    let checked = lock(&world.history).check();
    checked.unwrap_or_else(|what| world.broken(&what));
}

fn settled(world: &World) -> Result<(), String> {
    let living = |one: &&ec2_sim::Instance| matches!(one.state.name(), "pending" | "running" | "stopped" | "stopping");
    let alive: BTreeSet<String> =
        world.ec2(|ec2, _| ec2.instances().filter(living).map(|one| one.id.clone()).collect());
    let (policy, control) = (world.settings().policy, world.control());
    let judge = lock(&world.judge);
    let shares: i64 = judge.shards().iter().map(|shard| shard.share).sum();
    if u64::try_from(shares) != Ok(control.layout.max_instances) {
        return Err(format!("invariant 4: the shards share {shares} of a cap of {}", control.layout.max_instances));
    }
    let seen = Snapshot { shards: judge.shards(), control: &control, records: &[], policy: &policy, now: world.now() };
    let wanted = scale::need(seen).target + policy.stopped_size;
    // While the breaker is open fewer may be there, for as long as an hour.
    let at_least = if scale::stopped_because(seen).is_some() { 0 } else { wanted.min(seen.cap()) };
    judge.settled(&alive, at_least..=wanted.min(seen.cap()))
}

/// What a world came to.
#[must_use]
pub fn report(world: &World) -> Report {
    let (trace, judge) = (lock(&world.trace), lock(&world.judge));
    Report {
        plan: world.plan.clone(),
        verdict: judge.verdict().map(str::to_owned),
        steps: trace.steps,
        requests: trace.requests,
        faults: trace.faults.clone(),
        asked: trace.asked.clone(),
        hash: trace.hash(),
        tail: trace.tail(),
    }
}

impl Report {
    /// Panics with all that a person needs when the run broke: the seed, the fewest faults under which it still breaks,
    /// the last lines of that run, and how to see it again.
    #[track_caller]
    pub fn expect_sound(&self) {
        let Some(verdict) = &self.verdict else { return };
        // The search takes a while, and whoever waits may want to begin with this.
        eprintln!("seed {} breaks: {verdict}\n{}", self.plan.seed, self.tail);
        let least = minimal(self);
        let kinds: Vec<_> =
            Rates::kinds().into_iter().filter(|(_, rate)| *rate(&mut least.plan.rates.clone()) > 0).collect();
        let kinds: Vec<&str> = kinds.into_iter().map(|(name, _)| name).collect();
        let seed = self.plan.seed;
        panic!(
            "{verdict}\n\nseed {seed}; it still breaks with only {kinds:?}:\n{}\n{}\nPOOL_SIM_SEED={seed} \
             POOL_SIM_FAULTS={} cargo nextest run --workspace -E 'binary(simulation) and test(replay)' --no-capture",
            least.verdict.as_deref().unwrap_or_default(),
            least.tail,
            kinds.join(",")
        );
    }
}

/// The run with the fewest kinds of faults that still breaks, whatever breaks it.
fn minimal(broken: &Report) -> Report {
    let mut least = broken.clone();
    for (_, rate) in Rates::kinds() {
        let mut plan = least.plan.clone();
        if std::mem::take(rate(&mut plan.rates)) == 0 {
            continue;
        }
        let tried = run(&plan);
        if tried.verdict.is_some() {
            least = tried;
        }
    }
    least
}
