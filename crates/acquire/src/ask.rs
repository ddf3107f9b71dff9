//! `POST /v1/leases`.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use pool_core::acquire::{self, Request};
use pool_core::answer::{Lease, LeaseState, Refusal, Step};
use pool_core::control::Layout;
use pool_core::home::{home, old_home};
use pool_core::ids::{Owner, ShardNo, Token};
use pool_core::shard::Standing;
use pool_function::environment::Environment;
use pool_function::problem::Problem;
use pool_function::{caller, moves, request, steps};
use serde::Deserialize;

use crate::{lease_response, look, spread};

/// Times that one request finds its home anew at most.
const LAYOUTS_MAX: usize = 3;

/// The body.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    ttl_seconds: Option<u64>,
    #[serde(default)]
    wait_seconds: u64,
}

/// Gives the caller a lease, a place in the queue, or a reason why not.
pub(crate) async fn handle(
    environment: &Environment,
    event: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let owner = caller::owner(event)?;
    let key = request::idempotency_key(event)?;
    let Body { ttl_seconds, wait_seconds } = request::body(event)?;
    let policy = &environment.settings.policy;
    let ttl_seconds = ttl_seconds.unwrap_or(policy.lease_ttl_seconds);
    let ttl_seconds = request::within("ttl_seconds", ttl_seconds, 1, policy.lease_ttl_max_seconds)?;
    let wait_seconds = request::within("wait_seconds", wait_seconds, 0, policy.wait_max_seconds)?;
    let wish = Wish { owner, key, ttl_seconds, wait_seconds };
    let mut lease = match grant(environment, &wish).await {
        Err(problem) if problem.status == 503 => {
            environment.wake_scale("a request found nothing free").await;
            return Err(problem);
        }
        other => other?,
    };
    if lease.state == LeaseState::Pending {
        environment.wake_scale("a request waits").await;
        lease = look::hold(environment, &wish.owner, lease, request::prefer_wait_seconds(event)).await?;
    }
    Ok(lease_response(&lease, true))
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
        // The policy's number until the pool is set up.
        let shards = if layout.number == 0 { environment.settings.policy.shards() } else { layout.shards };
        let token = match &wish.key {
            Some(key) => Token::of_key(&wish.owner, key),
            None => environment.random_token(shards),
        };
        let Wish { owner, ttl_seconds, wait_seconds, .. } = wish;
        let (ttl_seconds, wait_seconds) = (*ttl_seconds, *wait_seconds);
        let asked = Request { owner: owner.clone(), token, ttl_seconds, wait_seconds, layout: layout.number };
        match ask(environment, &asked, wish.key.is_some(), shards, &layout).await? {
            Step::Refuse(Refusal::OldLayout) => environment.reload_layout().await?,
            step => return answer(step, &asked.token),
        };
    }
    Err(Problem::contended())
}

async fn ask(
    environment: &Environment,
    asked: &Request,
    keyed: bool,
    shards: u32,
    layout: &Layout,
) -> Result<Step, Problem> {
    let mut shard = home(&asked.token, shards);
    if keyed && let Some(old) = old_home_in_force(environment, asked, layout).await? {
        shard = old;
    }
    let step = at(environment, asked, shard).await?;
    match &step {
        Step::Refuse(Refusal::NothingFree) if shards > 1 => elsewhere(environment, asked, keyed, shard, shards).await,
        Step::Lease(lease) if lease.state == LeaseState::Pending && shards > 1 => {
            serve_from_elsewhere(environment, shard).await;
            Ok(step)
        }
        _ => Ok(step),
    }
}

fn answer(step: Step, token: &Token) -> Result<Lease, Problem> {
    match step {
        Step::Lease(lease) => {
            tracing::info!(lease = lease.lease_id, cause = "acquire", state = ?lease.state, "answered");
            Ok(lease)
        }
        Step::Refuse(refusal) => Err(Problem::refused(refusal, spread(token))),
        Step::Try(_) | Step::Ended => Err(Problem::contended()),
    }
}

/// Asks one shard.
async fn at(environment: &Environment, asked: &Request, shard: ShardNo) -> Result<Step, Problem> {
    let policy = &environment.settings.policy;
    let first = acquire::acquire(asked, None, policy, environment.now());
    steps::carry_out(environment, shard, first, |seen, _| {
        acquire::acquire(asked, Some(seen), policy, environment.now())
    })
    .await
}

/// The old home of a keyed request whose home changed with the layout, if it still counts: when it has the key's lease or
/// wait, and as long as it has not seen the new layout. Until it has, a function that knows only the old layout may
/// grant there, so everyone does; afterwards such a grant is refused, and nobody does.
async fn old_home_in_force(
    environment: &Environment,
    asked: &Request,
    layout: &Layout,
) -> Result<Option<ShardNo>, Problem> {
    let now = environment.now();
    let Some(old) = old_home(&asked.token, layout, &environment.settings.policy, now) else { return Ok(None) };
    let Some(seen) = environment.store.read(old).await? else { return Ok(None) };
    let known = !matches!(seen.standing(&asked.token, now), Standing::Unknown | Standing::Expired { .. });
    Ok((known || seen.layout < layout.number).then_some(old))
}

/// Home has nothing free and the request does not wait. Another shard may have something: a request without a key moves
/// there, one with a key cannot, so the instance moves to it.
async fn elsewhere(
    environment: &Environment,
    asked: &Request,
    keyed: bool,
    shard: ShardNo,
    shards: u32,
) -> Result<Step, Problem> {
    let all = environment.shards(false).await?;
    for shard in &all {
        environment.learn(shard);
    }
    let other = all.iter().filter(|shard| shard.number < shards).max_by_key(|shard| shard.free.len());
    let Some(other) = other.filter(|shard| !shard.free.is_empty()) else {
        return Ok(Step::Refuse(Refusal::NothingFree));
    };
    if keyed {
        moves::bring(environment, &all, shard).await?;
        return at(environment, asked, shard).await;
    }
    let token = environment.random_token_for(other.number, shards).unwrap_or_else(|| asked.token.clone());
    let home = home(&token, shards);
    at(environment, &Request { token, ..asked.clone() }, home).await
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
