//! What nobody waits for: schedules, the table's stream, and events, as they come to functions: late, twice, never.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::sim::World;
use crate::sim::invocation::{CrashAt, End, invoke};

/// How long a function that nobody waits for may take, as in `template.yaml`.
const LIMIT: Duration = Duration::from_mins(1);

/// An error of a handler, as `lambda_runtime` has it.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// What runs without a caller.
#[derive(Debug, Clone)]
pub enum Task {
    /// Growth, by the schedule.
    Scale,
    /// Growth, since somebody wants it.
    Woken,
    /// Decline.
    ReapIdle,
    /// An event of EC2.
    Event(Value),
}

/// One run, in a process that is drawn; how it ended and how many requests it made.
pub async fn once(world: &Arc<World>, task: &Task, crash: Option<CrashAt>) -> (End<Result<(), Error>>, u32) {
    let (deployment, process) = world.process();
    let environment = &deployment.environments[process];
    let fleet = &deployment.fleet;
    match task {
        Task::Scale => {
            let work = scale::handle(environment, fleet, &deployment.ec2_settings);
            invoke(world, "scale", LIMIT, crash, work).await
        }
        Task::Woken => {
            let work = scale::woken(environment, fleet, &deployment.ec2_settings);
            invoke(world, "scale", LIMIT, crash, work).await
        }
        Task::ReapIdle => invoke(world, "reap-idle", LIMIT, crash, reap_idle::handle(environment, fleet)).await,
        Task::Event(event) => {
            let event = serde_json::from_value(event.clone()).expect("EC2's events can be read");
            let work = on_instance_state_change::handle(environment, fleet, event);
            invoke(world, "event", LIMIT, crash, work).await
        }
    }
}

/// An asynchronous invocation: what fails is tried twice more, a minute and two minutes later.
async fn asynchronous(world: Arc<World>, task: Task) {
    for pause in [60, 120, 0] {
        let (end, _) = once(&world, &task, None).await;
        match end {
            End::Answered(Ok(())) => return,
            End::Answered(Err(error)) => world.line(&format!("{task:?} failed: {error}").replace('\n', " ")),
            End::Crashed | End::TimedOut => {}
        }
        sleep(Duration::from_secs(pause)).await;
    }
}

/// Delivers an asynchronous invocation, as often as chance wants.
pub fn deliver(world: &Arc<World>, task: &Task) {
    world.step();
    if world.happens("lost_event", |rates| rates.lost_event) {
        return;
    }
    let times = 1 + u64::from(world.happens("doubled_event", |rates| rates.doubled_event));
    for _ in 0..times {
        let late = world.happens("late_event", |rates| rates.late_event);
        let pause = if late { world.below(200_000) } else { world.below(1_500) };
        let (world, task) = (Arc::clone(world), task.clone());
        spawn(async move {
            sleep(Duration::from_millis(pause)).await;
            asynchronous(world, task).await;
        });
    }
}

/// The table's stream says that somebody waits.
pub fn woken(world: &Arc<World>) {
    deliver(world, &Task::Woken);
}

/// A schedule: once a minute, whatever becomes of each run.
pub async fn schedule(world: Arc<World>, task: Task, first_after_seconds: u64) {
    sleep(Duration::from_secs(first_after_seconds)).await;
    loop {
        deliver(&world, &task);
        sleep(Duration::from_mins(1)).await;
    }
}

/// Starts something that goes on by itself until the run ends.
pub fn spawn(work: impl Future<Output = ()> + 'static) {
    drop(tokio::task::spawn_local(work));
}
