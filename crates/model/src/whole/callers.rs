//! Callers: they ask, look, renew and give back, and whoever comes along ends what is overdue.

use pool_core::acquire::{self, Renewal, Request};
use pool_core::answer::Step;
use pool_core::ending;
use pool_core::ids::{LeaseId, Owner, Token};
use pool_core::release;
use pool_core::shard::{EndedBy, LeaseRef, Shard};

use super::Whole;
use super::world::{World, Write};

/// A caller who waits is ready to do so for longer than a claim, and not as long as a lease.
const WAIT_SECONDS: u64 = 300;
/// When a renewal comes, in seconds after the grant.
const RENEWED_AFTER_SECONDS: u64 = 100;

pub(super) fn decide(model: &Whole, world: &World, writes: &mut Vec<Write>) {
    for (caller, home) in model.scenario.callers.iter().enumerate() {
        let mut of_caller = Vec::new();
        ask(model, world, &Token::trusted(format!("t{caller}")), &world.shards[*home], &mut of_caller);
        writes.extend(of_caller.into_iter().filter_map(|step| match step {
            Step::Try(transition) => Some(Write::Table { shard: *home, transition }),
            _ => None,
        }));
    }
}

fn ask(model: &Whole, world: &World, token: &Token, home: &Shard, steps: &mut Vec<Step>) {
    let (policy, now) = (model.policy(), world.now());
    let request = Request {
        owner: owner(token),
        token: token.clone(),
        ttl_seconds: policy.lease_ttl_seconds,
        wait_seconds: if model.scenario.limits.waits > 0 { WAIT_SECONDS } else { 0 },
        layout: home.layout,
    };
    steps.push(acquire::acquire(&request, None, policy, now));
    steps.push(acquire::acquire(&request, Some(home), policy, now));
    if let Some(lease) = home.lease(token) {
        end(model, world, home, &lease, steps);
    } else {
        // Who only waits gives that up by the short form of the id; whoever finds the wait over does it too.
        let short = LeaseId { shard: home.number, token: token.clone(), grant: None };
        steps.push(release::release(&short, &owner(token), home, policy, now));
        steps.extend(home.next(policy, world.later()).err().map(Step::Try));
    }
}

fn end(model: &Whole, world: &World, home: &Shard, lease: &LeaseRef, steps: &mut Vec<Step>) {
    let (owner, id, now) = (owner(&lease.token), home.lease_id(lease), world.now());
    for policy in &model.policies {
        steps.extend(release::release_unseen(&id, &owner, policy, now).map(Step::Try));
        steps.push(release::release(&id, &owner, home, policy, now));
        let after_claim = now + 2 * policy.claim_seconds;
        let by_others = [(EndedBy::Expiry, world.later()), (EndedBy::Unclaimed, after_claim)];
        steps.extend(by_others.map(|(by, clock)| Step::Try(ending::end(home, lease, by, policy, clock))));
    }
    let ttl_seconds = Some(model.policy().lease_ttl_seconds);
    let renewal = Renewal { owner, id, ttl_seconds };
    steps.extend(acquire::renew_unseen(&renewal, now + RENEWED_AFTER_SECONDS).map(Step::Try));
}

fn owner(token: &Token) -> Owner {
    Owner::trusted(token.as_str())
}
