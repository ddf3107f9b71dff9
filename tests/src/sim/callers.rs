//! The callers: they ask with and without keys, wait, use, renew, release or forget, come twice at once, try what is
//! another's, and try again when they are told nothing.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use pool_core::ids::{Epoch, InstanceId};
use serde_json::json;
use tokio::time::sleep;

use crate::sim::World;
use crate::sim::background::spawn;
use crate::sim::history::{Answer as Told, Operation};
use crate::sim::invocation::{CrashAt, invoke};
use crate::sim::world::lock;
use crate::{Answer, Request, Route};

/// How long API Gateway waits for a function.
const LIMIT: Duration = Duration::from_secs(30);

/// Statuses that a caller may see; a function that failed is one more, told by the absence of an answer.
const STATUSES: [u16; 10] = [200, 201, 202, 204, 400, 403, 404, 409, 413, 503];

/// Tries of one call at most.
const TRIES: u64 = 5;

/// One request through API Gateway; `None` when its sender learns nothing of what became of it.
pub async fn call(world: &Arc<World>, request: Request) -> Option<Answer> {
    call_once(world, request, None).await.0
}

/// The same, whose function dies at a chosen request; also how many requests it made.
pub async fn call_once(world: &Arc<World>, request: Request, crash: Option<CrashAt>) -> (Option<Answer>, u32) {
    let (deployment, process) = world.process();
    let environment = &deployment.environments[process];
    lock(&world.judge).asked(&request);
    let Request { route, event } = request;
    let event = serde_json::from_value(event).expect("the simulation's requests can be read");
    // Of a type that the compiler need not look into: a test around the handlers is deeper than it follows by itself.
    let work: Pin<Box<dyn Future<Output = ApiGatewayV2httpResponse> + Send + '_>> = Box::pin(async {
        match route {
            Route::Acquire | Route::Look | Route::Renew => acquire::handle(environment, event).await,
            Route::Release => release::handle(environment, event).await,
            Route::Ready | Route::Heartbeat => register::handle(environment, event).await,
            Route::Pool | Route::Instance => status::handle(environment, event).await,
            Route::OrderPool | Route::OrderInstance | Route::ForceRelease => operate::handle(environment, event).await,
        }
    });
    let (end, requests) = invoke(world, route.key(), LIMIT, crash, work).await;
    let Some(answer) = end.answer().map(Answer::of) else { return (None, requests) };
    if !STATUSES.contains(&answer.status) {
        world.broken(&format!("{} was answered {answer:?}", route.key()));
    }
    if world.happens("lost_answer", |rates| rates.lost_answer) {
        return (None, requests);
    }
    sleep(Duration::from_millis(1 + world.below(10))).await;
    (Some(answer), requests)
}

/// One caller, until the run becomes quiet.
pub async fn caller(world: Arc<World>, who: u64) {
    for number in 0.. {
        sleep(Duration::from_millis(200 + world.below(6_000))).await;
        if world.is_quiet() {
            return;
        }
        let job = Job { owner: format!("AIDA{who:04}"), key: (world.below(3) > 0).then(|| format!("job-{number}")) };
        if job.key.is_some() && world.below(4) == 0 {
            let (world, twin) = (Arc::clone(&world), job.clone());
            spawn(async move { twin.run(&world).await });
        }
        job.run(&world).await;
        if world.below(5) == 0 {
            let request = Request::new(Route::Pool).by(&job.owner);
            call(&world, request).await;
        }
    }
}

/// What one caller wants a machine for.
#[derive(Debug, Clone)]
struct Job {
    owner: String,
    key: Option<String>,
}

impl Job {
    async fn run(&self, world: &Arc<World>) {
        let Some(id) = self.acquire(world).await else { return };
        let until = world.now() + world.below(40);
        while world.now() < until {
            sleep(Duration::from_millis(500 + world.below(8_000))).await;
            match world.below(6) {
                0 | 1 => drop(self.renew(world, &id).await),
                2 => drop(self.look(world, &id).await),
                3 => self.try_what_is_anothers(world, &id).await,
                _ => {}
            }
        }
        // Some callers forget; their leases expire.
        if world.below(5) > 0 {
            self.release(world, &id).await;
            match world.below(3) {
                0 => drop(self.renew(world, &id).await),
                1 if self.key.is_some() => self.come_back(world, &id).await,
                _ => {}
            }
        }
    }

    /// Asks again under the same key, and what was sent about the lease before comes once more meanwhile.
    async fn come_back(&self, world: &Arc<World>, before: &str) {
        let Some(id) = self.acquire(world).await else { return };
        for _ in 0..2 {
            sleep(Duration::from_millis(200 + world.below(3_000))).await;
            match world.below(3) {
                0 => self.release(world, before).await,
                1 => drop(self.renew(world, before).await),
                _ => drop(self.renew(world, &id).await),
            }
        }
        self.release(world, &id).await;
    }

    /// Asks until it holds a lease, and answers its id.
    async fn acquire(&self, world: &Arc<World>) -> Option<String> {
        let wait_seconds = if world.below(3) == 0 { 0 } else { 5 + world.below(40) };
        let mut body = json!({ "wait_seconds": wait_seconds });
        if world.below(2) == 0 {
            body["ttl_seconds"] = (5 + world.below(60)).into();
        }
        for _ in 0..TRIES {
            let mut request = Request::new(Route::Acquire).by(&self.owner).json(&body);
            if let Some(key) = &self.key {
                request = request.header("idempotency-key", key);
            }
            if wait_seconds > 0 && world.below(2) == 0 {
                request = request.header("prefer", "wait=10");
            }
            let answer = self.remembered(world, Operation::Acquire, request, None).await;
            match answer {
                Some(answer) if answer.status == 201 => return Some(answer.text("lease_id")),
                Some(answer) if answer.status == 202 => return self.wait(world, &answer.text("lease_id")).await,
                // Without a key another try would be another request.
                None if self.key.is_none() => return None,
                _ => sleep(Duration::from_millis(500 + world.below(3_000))).await,
            }
        }
        None
    }

    /// Looks until the wait is over.
    async fn wait(&self, world: &Arc<World>, id: &str) -> Option<String> {
        for _ in 0..80 {
            sleep(Duration::from_millis(800 + world.below(800))).await;
            match self.look(world, id).await {
                Some(answer) if answer.status == 404 => return None,
                Some(answer) if answer.status == 200 && answer.text("state") != "pending" => {
                    return Some(answer.text("lease_id"));
                }
                _ if world.below(60) == 0 => {
                    self.release(world, id).await;
                    return None;
                }
                _ => {}
            }
        }
        None
    }

    async fn look(&self, world: &Arc<World>, id: &str) -> Option<Answer> {
        let request = Request::new(Route::Look).by(&self.owner).about(id);
        self.remembered(world, Operation::Acquire, request, None).await
    }

    async fn renew(&self, world: &Arc<World>, id: &str) -> Option<Answer> {
        let body = if world.below(2) == 0 { json!({}) } else { json!({"ttl_seconds": 1 + world.below(60)}) };
        let request = Request::new(Route::Renew).by(&self.owner).about(id).json(&body);
        self.remembered(world, Operation::Renew(id.to_owned()), request, Some(id)).await
    }

    async fn release(&self, world: &Arc<World>, id: &str) {
        for _ in 0..TRIES {
            let request = Request::new(Route::Release).by(&self.owner).about(id);
            let answer = self.remembered(world, Operation::Release(id.to_owned()), request, Some(id)).await;
            if answer.is_some_and(|answer| answer.status != 503) {
                return;
            }
            sleep(Duration::from_millis(200 + world.below(1_000))).await;
        }
    }

    /// Nothing that another caller sends shows or changes this lease.
    async fn try_what_is_anothers(&self, world: &Arc<World>, id: &str) {
        let route = [Route::Look, Route::Renew, Route::Release][usize::try_from(world.below(3)).expect("small")];
        let mut request = Request::new(route).by("AIDASTRANGER").about(id);
        if route == Route::Renew {
            request = request.json(&json!({"ttl_seconds": 60}));
        }
        let answer = call(world, request).await;
        // A release of what is over is answered 204 to anybody; that it ended nothing is seen by the judge.
        if answer.is_some_and(|answer| answer.status == 200) {
            world.broken(&format!("invariant 10: a stranger was answered about {id}"));
        }
    }

    /// A call whose answer is part of the key's history.
    async fn remembered(
        &self,
        world: &Arc<World>,
        operation: Operation,
        request: Request,
        grant: Option<&str>,
    ) -> Option<Answer> {
        let name = self.key.as_ref().map(|key| format!("{}/{key}", self.owner));
        let kind = operation.clone();
        let number = name.as_ref().map(|name| lock(&world.history).asked(name, operation));
        let answer = call(world, request).await?;
        self.check_epoch(world, &answer);
        if let (Some(name), Some(number)) = (name, number) {
            lock(&world.history).told(&name, number, told(&kind, &answer, grant));
        }
        Some(answer)
    }

    /// The node of a machine must not refuse who was just told that the machine is his.
    fn check_epoch(&self, world: &World, answer: &Answer) {
        let Some(body) = answer.body.as_ref().filter(|body| body["state"] == "active") else { return };
        let instance = body["instance_id"].as_str().and_then(|id| id.parse::<InstanceId>().ok());
        let (Some(instance), Some(epoch)) = (instance, body["epoch"].as_u64()) else { return };
        let floor: Epoch = lock(&world.floors).get(&instance).copied().unwrap_or(0);
        let held = lock(&world.judge).shards().iter().any(|shard| {
            shard
                .lease_on(&instance)
                .is_some_and(|lease| lease.epoch == epoch && !shard.claims.contains_key(&lease.token))
        });
        if epoch < floor && held {
            world.broken(&format!("{} holds {instance} under {epoch}, and its node wants {floor}", self.owner));
        }
    }
}

fn told(operation: &Operation, answer: &Answer, grant: Option<&str>) -> Told {
    let id = || answer.body.as_ref().and_then(|body| body["lease_id"].as_str()).unwrap_or_default().to_owned();
    let granted =
        || answer.body.as_ref().is_some_and(|body| body["state"] == "active" || body["state"] == "interrupted");
    match operation {
        Operation::Acquire if matches!(answer.status, 200 | 201) && granted() => Told::Granted(id()),
        Operation::Renew(_) if answer.status == 200 && granted() && Some(id().as_str()) == grant => Told::Renewed,
        Operation::Release(_) if answer.status == 204 => Told::Released,
        _ => Told::Other,
    }
}
