//! `POST /v1/leases`.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use pool_core::acquire::{self, Elsewhere, Request};
use pool_core::answer::{Lease, LeaseState, Refusal, Step};
use pool_core::control::Layout;
use pool_core::home::{before_the_spread, home, old_home, old_home_answers};
use pool_core::ids::{Owner, ShardNo, Token};
use pool_function::environment::Environment;
use pool_function::metrics::{self, Metric};
use pool_function::problem::Problem;
use pool_function::{caller, moves, request, steps};
use tokio::time::Instant;

use crate::{lease_response, look, spread};

/// Times that one request finds its home anew at most.
const LAYOUTS_MAX: usize = 3;

/// Times that one request looks for something free in other shards at most. Each vain one means that somebody else got
/// what was free there, so only a storm gets here.
const ELSEWHERE_MAX: usize = 24;

/// Gives the caller a lease, a place in the queue, or a reason why not.
pub(crate) async fn handle(
    environment: &Environment,
    event: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let owner = caller::owner(event)?;
    let key = request::idempotency_key(event)?;
    let mut body = request::body(event)?;
    let (ttl_seconds, wait_seconds) = (body.whole("ttl_seconds")?, body.whole("wait_seconds")?.unwrap_or(0));
    body.end()?;
    let policy = &environment.settings.policy;
    let ttl_seconds = ttl_seconds.unwrap_or(policy.lease_ttl_seconds);
    let ttl_seconds = request::within("ttl_seconds", ttl_seconds, 1, policy.lease_ttl_max_seconds)?;
    let wait_seconds = request::within("wait_seconds", wait_seconds, 0, policy.wait_max_seconds)?;
    let wish = Wish { owner, key, ttl_seconds, wait_seconds };
    let begun = Instant::now();
    let granted = grant(environment, &wish).await;
    metrics::measure(Metric::AcquireLatency, begun.elapsed().as_secs_f64() * 1_000.0);
    let mut lease = match granted {
        Err(problem) if problem.status == 503 => {
            environment.wake_scale("a request found nothing free").await;
            return Err(problem);
        }
        other => other?,
    };
    if lease.state == LeaseState::Pending {
        environment.wake_scale("a request waits").await;
        lease = match look::hold(environment, &wish.owner, lease.clone(), request::prefer_wait_seconds(event)).await {
            // It waits all the same, and its caller must learn under which id.
            Err(problem) if problem.status == 503 => lease,
            // Its time was over while the answer was held.
            Err(problem) if problem.status == 404 => return Err(Problem::refused(Refusal::NothingFree, 0)),
            held => held?,
        };
    }
    Ok(lease_response(environment, lease, true).await)
}

/// What the caller wants, before it has a token and a home.
struct Wish {
    owner: Owner,
    key: Option<String>,
    ttl_seconds: u64,
    wait_seconds: u64,
}

/// Finds the request's home and asks there, anew when the layout turns out to have changed meanwhile.
async fn grant(environment: &Environment, wish: &Wish) -> Result<Lease, Problem> {
    for _ in 0..LAYOUTS_MAX {
        let layout = environment.layout().await?;
        let (token, shard) = match &wish.key {
            Some(key) => {
                let token = Token::of_key(&wish.owner, key);
                let shard = home(&token, layout.shards);
                (token, shard)
            }
            // Its lease's id names the shard, so that nobody has to find it by the token.
            None => (environment.random_token(), environment.promising_shard(layout.shards)),
        };
        let Wish { owner, ttl_seconds, wait_seconds, .. } = wish;
        let (ttl_seconds, wait_seconds) = (*ttl_seconds, *wait_seconds);
        let asked = Request { owner: owner.clone(), token, ttl_seconds, wait_seconds, layout: layout.number };
        let spread = spread(&asked.token);
        let step = ask(environment, asked, shard, wish.key.is_some(), &layout).await?;
        if !matches!(step, Step::Refuse(Refusal::OldLayout)) {
            return answer(step, spread);
        }
        environment.reload_control().await?;
    }
    Err(Problem::contended())
}

async fn ask(
    environment: &Environment,
    mut asked: Request,
    mut shard: ShardNo,
    keyed: bool,
    layout: &Layout,
) -> Result<Step, Problem> {
    if keyed && let Some(old) = old_home_in_force(environment, &asked, layout).await? {
        shard = old;
        asked.layout = before_the_spread(layout);
    }
    // Without a key there is nothing to be found again, and one look at all shards is worth as much as one at this.
    let full = !keyed && layout.shards_made > 1 && asked.wait_seconds == 0 && environment.was_refused_lately(shard);
    let step = if full { Step::Refuse(Refusal::NothingFree) } else { at(environment, &asked, shard).await? };
    match &step {
        Step::Refuse(Refusal::NothingFree) if layout.shards_made > 1 => {
            elsewhere(environment, &asked, keyed, shard, layout).await
        }
        Step::Lease(lease) if lease.state == LeaseState::Pending && layout.shards_made > 1 => {
            serve_from_elsewhere(environment, shard).await;
            Ok(step)
        }
        _ => Ok(step),
    }
}

fn answer(step: Step, spread: u64) -> Result<Lease, Problem> {
    match step {
        Step::Lease(lease) => {
            tracing::info!(lease = lease.lease_id, cause = "acquire", state = ?lease.state, "answered");
            Ok(lease)
        }
        Step::Refuse(refusal) => {
            if matches!(refusal, Refusal::NothingFree | Refusal::QueueFull | Refusal::NoPool) {
                metrics::count(Metric::Empty, 1);
            }
            Err(Problem::refused(refusal, spread))
        }
        Step::Try(_) | Step::Ended => Err(Problem::contended()),
    }
}

/// Asks one shard.
async fn at(environment: &Environment, asked: &Request, shard: ShardNo) -> Result<Step, Problem> {
    let policy = &environment.settings.policy;
    let seen = if environment.was_refused_lately(shard) { environment.store.read(shard).await? } else { None };
    let first = acquire::acquire(asked, seen.as_ref(), policy, environment.now());
    steps::carry_out(environment, shard, first, |seen, _| {
        acquire::acquire(asked, Some(seen), policy, environment.now())
    })
    .await
}

/// The old home of a keyed request whose home changed with the number of shards, if it still answers.
async fn old_home_in_force(
    environment: &Environment,
    asked: &Request,
    layout: &Layout,
) -> Result<Option<ShardNo>, Problem> {
    let now = environment.now();
    let Some(old) = old_home(&asked.token, layout, &environment.settings.policy, now) else { return Ok(None) };
    let seen = environment.store.read(old).await?;
    Ok(seen.filter(|seen| old_home_answers(seen, &asked.token, layout, now)).map(|_| old))
}

/// Home has nothing free and the request does not wait, but another shard may have something. Others go there too, so
/// who comes too late looks again: nobody is told "none" while one is free.
async fn elsewhere(
    environment: &Environment,
    asked: &Request,
    keyed: bool,
    shard: ShardNo,
    layout: &Layout,
) -> Result<Step, Problem> {
    for _ in 0..ELSEWHERE_MAX {
        let all = environment.shards(true).await?;
        for shard in &all {
            environment.learn(shard);
        }
        let step = match acquire::elsewhere(&all, keyed, layout, environment.draw()) {
            None => return Ok(Step::Refuse(Refusal::NothingFree)),
            Some(Elsewhere::Ask(other)) => {
                let token = environment.random_token();
                at(environment, &Request { token, ..asked.clone() }, other).await?
            }
            // Its home takes no more, and a key is tied to it.
            Some(Elsewhere::Bring) if !moves::can_bring(environment, &all, shard) => {
                return Ok(Step::Refuse(Refusal::NothingFree));
            }
            Some(Elsewhere::Bring) => {
                moves::bring(environment, &all, shard).await?;
                at(environment, asked, shard).await?
            }
        };
        if step != Step::Refuse(Refusal::NothingFree) {
            return Ok(step);
        }
    }
    Err(Problem::contended())
}

/// Someone waits here; brings an instance that is free in another shard, and answers whether one came. What fails is
/// left to the next poll or tick.
pub(crate) async fn serve_from_elsewhere(environment: &Environment, shard: ShardNo) -> bool {
    let brought = async {
        let all = environment.shards(false).await?;
        moves::bring(environment, &all, shard).await
    };
    brought.await.unwrap_or_else(|error| {
        tracing::warn!(%error, shard, cause = "a waiter beside another shard's free instance", "could not move it");
        false
    })
}
