//! The invariants that one shard, and several with instances moving between them, keep in every history: random ones of
//! a world whose parties keep to the protocol while its network brings writes twice and late.
//!
//! `PROPTEST_RNG_SEED=n` draws other histories, `PROPTEST_CASES=n` another number of them.

mod world;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use pool_core::ids::{Epoch, InstanceId, Owner, Token};
use pool_core::shard::{AfterEnd, EndedBy, LeaseRef, Next, Place, Shard, Transition};
use pool_core::time::Timestamp;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use world::{Step, World};

type Verdict = Result<(), String>;

/// Runs histories of one shard, of two and of three, and shows each step to a watcher of its own for each history.
fn in_every_history<W: FnMut(&World, &Step) -> Verdict>(watcher: impl Fn() -> W) {
    let mut config = Config { failure_persistence: None, max_shrink_iters: 4_000, ..Config::default() };
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(1);
    }
    println!("{:?}, {} histories", config.rng_seed, config.cases);
    let outcome = TestRunner::new(config).run(&(1..=3_u32, vec(any::<u64>(), 1..=400)), |(shards, seeds)| {
        let mut world = World::new(shards);
        let mut watch = watcher();
        let mut told = Vec::new();
        for seed in seeds {
            let Some(step) = world.step(seed) else { continue };
            told.push(format!(
                "{}{:?} on {}",
                if step.accepted { "" } else { "refused: " },
                step.transition,
                step.shard
            ));
            watch(&world, &step)
                .map_err(|broken| TestCaseError::fail(format!("{broken}\nafter\n{}", told.join("\n"))))?;
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

fn check(holds: bool, told: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(told()) }
}

/// The lease that a step made, if it made one.
fn granted(world: &World, step: &Step) -> Option<LeaseRef> {
    let shard = &world.shards[step.shard];
    if !step.accepted {
        return None;
    }
    let token = match &step.transition {
        Transition::Grant { token, .. } => token,
        Transition::Swap { lease, .. } => &lease.token,
        other => handed_to(other)?.0,
    };
    shard.lease(token)
}

/// The waiter that a transition hands an instance to, and the time of whoever does.
fn handed_to(transition: &Transition) -> Option<(&Token, Timestamp)> {
    match transition {
        Transition::End { after: AfterEnd::Reuse(Next::HandOver { waiter, .. }), now, .. }
        | Transition::Ready { next: Next::HandOver { waiter, .. }, now, .. }
        | Transition::ResetDone { next: Next::HandOver { waiter, .. }, now, .. }
        | Transition::Take { next: Next::HandOver { waiter, .. }, now, .. }
        | Transition::Back { next: Next::HandOver { waiter, .. }, now, .. } => Some((waiter, *now)),
        _ => None,
    }
}

#[test]
fn invariant_1_an_instance_has_at_most_one_live_lease() {
    in_every_history(|| {
        |world: &World, _: &Step| {
            let mut leased = BTreeSet::new();
            world.leases().try_for_each(|(_, lease)| {
                check(leased.insert(lease.instance.clone()), || format!("{} is leased twice", lease.instance))
            })
        }
    });
}

#[test]
fn invariant_2_epochs_only_grow() {
    in_every_history(|| {
        let mut highest: BTreeMap<InstanceId, Epoch> = BTreeMap::new();
        move |world: &World, step: &Step| {
            let (before, after) = (&step.before[step.shard], &world.shards[step.shard]);
            if !step.accepted {
                return check(before == after, || "a refused transition changed something".to_owned());
            }
            check(after.epoch > before.epoch, || format!("the epoch went from {} to {}", before.epoch, after.epoch))?;
            let Some(LeaseRef { instance, epoch, .. }) = granted(world, step) else { return Ok(()) };
            check(epoch == after.epoch, || "a grant does not have the epoch of its write".to_owned())?;
            let last = highest.insert(instance.clone(), epoch).unwrap_or(0);
            check(last < epoch, || format!("{instance} saw epoch {epoch} after {last}"))
        }
    });
}

/// Everything that names a lease.
fn all_that_name(lease: &LeaseRef, owner: &Owner, now: Timestamp) -> Vec<Transition> {
    let (lease, owner, until) = (|| lease.clone(), || owner.clone(), now + 1);
    let end = |by| Transition::End { lease: lease(), by, after: AfterEnd::Left, now: Timestamp::NEVER };
    let free = Transition::End {
        lease: lease(),
        by: EndedBy::Owner(owner()),
        after: AfterEnd::Reuse(Next::Free),
        now: Timestamp::NEVER,
    };
    vec![
        Transition::Confirm { lease: lease(), owner: owner(), until, hard_end: until },
        Transition::Renew { lease: lease(), owner: owner(), now, until },
        end(EndedBy::Owner(owner())),
        end(EndedBy::Expiry),
        end(EndedBy::Unclaimed),
        free,
        Transition::Requeue { lease: lease() },
        Transition::Swap { lease: lease(), claim_until: until },
    ]
}

#[test]
fn invariant_2_a_stale_epoch_changes_nothing() {
    in_every_history(|| {
        let mut ever: Vec<(usize, LeaseRef)> = Vec::new();
        move |world: &World, step: &Step| {
            ever.extend(granted(world, step).map(|lease| (step.shard, lease)));
            for (number, stale) in &ever {
                let shard = &world.shards[*number];
                if shard.lease(&stale.token).as_ref() == Some(stale) {
                    continue;
                }
                let owner = shard.lease_terms.get(&stale.token).map_or(Owner::of("ann"), |terms| terms.owner.clone());
                for transition in all_that_name(stale, &owner, world.now) {
                    let mut copy = shard.clone();
                    check(copy.apply(&transition).is_err() && copy == *shard, || {
                        format!("{transition:?} was accepted after its lease had ended")
                    })?;
                }
            }
            Ok(())
        }
    });
}

#[test]
fn invariant_4_members_intents_and_room_are_the_cap() {
    in_every_history(|| {
        |world: &World, _: &Step| {
            let rooms: i64 = world.shards.iter().map(|shard| shard.room).sum();
            let shares: i64 = world.shards.iter().map(|shard| shard.share).sum();
            let members: usize = world.shards.iter().map(|shard| world.counted(shard)).sum();
            let intended: u64 = world.shards.iter().map(Shard::intended).sum();
            let used = i64::try_from(members as u64 + intended).expect("a small number");
            check(rooms + used == shares, || format!("room {rooms} and {used} in use are not the cap {shares}"))?;
            check(shares <= world.cap_max, || format!("shares of {shares} exceed the cap {}", world.cap_max))
        }
    });
}

#[test]
fn invariant_5_a_token_never_has_two_live_leases() {
    in_every_history(|| {
        |world: &World, step: &Step| {
            let mut known = BTreeSet::new();
            for shard in &world.shards {
                for token in shard.leases.keys().chain(&shard.queue) {
                    check(known.insert(token), || format!("{token} is known twice"))?;
                }
            }
            let Some(lease) = granted(world, step) else { return Ok(()) };
            let held = step.before.iter().find_map(|shard| Some((shard, shard.lease(&lease.token)?)));
            // A swap replaces a lease that its holder never saw and whose instance is lost.
            let never_seen = |shard: &Shard, old: &LeaseRef| {
                shard.claims.contains_key(&old.token)
                    && (shard.leaving.contains_key(&old.instance) || !shard.members.contains_key(&old.instance))
            };
            let fine = held.as_ref().is_none_or(|(shard, old)| never_seen(shard, old));
            check(fine, || format!("{} was granted beside {held:?}", lease.token))
        }
    });
}

#[test]
fn invariant_6_every_lease_can_be_ended() {
    in_every_history(|| {
        |world: &World, _: &Step| {
            let late = Timestamp::NEVER;
            for shard in &world.shards {
                let mut shard = shard.clone();
                while let Some(token) = shard.queue.first().cloned() {
                    let until = shard.queue_terms.get(&token).map(|terms| terms.until).ok_or("a wait without terms")?;
                    let over = shard.apply(&Transition::GiveUp { token, position: 0, until });
                    over.map_err(|_| "a wait that is over stays in the queue")?;
                }
                for token in shard.leases.keys().cloned().collect::<Vec<_>>() {
                    let lease = shard.lease(&token).ok_or("a lease without an epoch")?;
                    let by = if shard.claims.contains_key(&token) { EndedBy::Unclaimed } else { EndedBy::Expiry };
                    let stays =
                        shard.members.contains_key(&lease.instance) && !shard.leaving.contains_key(&lease.instance);
                    let after = if stays { AfterEnd::Reuse(Next::Free) } else { AfterEnd::Left };
                    let end = Transition::End { lease, by, after, now: late };
                    shard.apply(&end).map_err(|_| format!("{end:?} is refused"))?;
                }
                check(shard.leases.is_empty() && shard.claims.is_empty(), || "a lease outlived its end".to_owned())?;
            }
            Ok(())
        }
    });
}

#[test]
fn invariant_8_waiters_are_served_in_the_order_they_came() {
    in_every_history(|| {
        let mut lines: Vec<VecDeque<Token>> = vec![VecDeque::new(); 3];
        move |world: &World, step: &Step| {
            if !step.accepted {
                return Ok(());
            }
            let line = &mut lines[step.shard];
            match &step.transition {
                Transition::Enqueue { token, .. } => line.push_back(token.clone()),
                // Served out of turn once already, through no fault of its own: it goes before all others.
                Transition::Requeue { lease } => line.push_front(lease.token.clone()),
                Transition::GiveUp { token, .. } => line.retain(|waiting| waiting != token),
                Transition::DropPast { first, second, .. } => {
                    line.retain(|waiting| waiting != first && waiting != second);
                }
                other => {
                    if let Some((waiter, _)) = handed_to(other) {
                        let oldest = line.pop_front();
                        check(oldest.as_ref() == Some(waiter), || format!("{waiter} was served before {oldest:?}"))?;
                    }
                }
            }
            check(world.shards[step.shard].queue.iter().eq(line.iter()), || {
                format!("the queue {:?} is not the line {line:?}", world.shards[step.shard].queue)
            })
        }
    });
}

#[test]
fn a_lease_that_was_handed_over_is_taken_away_only_when_its_holder_is_late() {
    in_every_history(|| {
        let mut seen: Vec<LeaseRef> = Vec::new();
        move |_: &World, step: &Step| {
            if let Transition::End { lease, by: EndedBy::Expiry | EndedBy::Unclaimed, now, .. } = &step.transition {
                let claim = step.before[step.shard].claims.get(&lease.token).filter(|_| step.accepted);
                check(claim.is_none_or(|claim_until| claim_until < now), || {
                    format!("{lease:?} could be claimed until {claim:?} and was taken away at {now:?}")
                })?;
            }
            match &step.transition {
                Transition::Confirm { lease, .. } | Transition::Renew { lease, .. } if step.accepted => {
                    seen.push(lease.clone());
                }
                Transition::End { lease, by: EndedBy::Unclaimed, .. } if step.accepted => {
                    return check(!seen.contains(lease), || format!("{lease:?} was renewed and then taken away"));
                }
                _ => {}
            }
            Ok(())
        }
    });
}

#[test]
fn a_late_give_up_does_not_end_a_new_wait() {
    in_every_history(|| {
        |_: &World, step: &Step| {
            let Transition::GiveUp { token, until, .. } = &step.transition else { return Ok(()) };
            let wait = step.before[step.shard].queue_terms.get(token).filter(|_| step.accepted);
            check(wait.is_none_or(|terms| terms.until == *until), || format!("{token} lost its wait {wait:?}"))
        }
    });
}

#[test]
fn a_waiter_whose_time_is_over_is_not_served() {
    in_every_history(|| {
        |_: &World, step: &Step| {
            let Some((waiter, now)) = handed_to(&step.transition).filter(|_| step.accepted) else { return Ok(()) };
            let until = step.before[step.shard].queue_terms.get(waiter).map(|terms| terms.until);
            check(until >= Some(now), || format!("{waiter} waited until {until:?} and was served at {now:?}"))
        }
    });
}

#[test]
fn nobody_waits_beside_a_free_instance() {
    in_every_history(|| {
        |world: &World, _: &Step| {
            world.shards.iter().try_for_each(|shard| {
                check(shard.free.is_empty() || shard.queue.is_empty(), || {
                    format!("{:?} wait beside {:?}", shard.queue, shard.free)
                })
            })
        }
    });
}

#[test]
fn an_instance_is_in_at_most_one_place() {
    in_every_history(|| {
        |world: &World, _: &Step| {
            let mut seen = BTreeSet::new();
            for shard in &world.shards {
                let leased = shard.leases.values().filter(|id| shard.members.contains_key(*id));
                let apart = shard.booting.keys().chain(shard.stopped.keys()).chain(shard.resetting.keys());
                for id in shard.free.iter().chain(leased).chain(apart) {
                    check(seen.insert(id), || format!("{id} is in two places"))?;
                    check(shard.members.contains_key(id), || format!("{id} is no member"))?;
                    check(!shard.transfers.contains_key(id), || format!("{id} is under way and in use"))?;
                }
                for id in shard.leaving.keys().chain(shard.transfers.keys()) {
                    check(shard.members.contains_key(id), || format!("{id} leaves or moves and is no member"))?;
                }
                for id in shard.free.iter().chain(shard.transfers.keys()) {
                    check(!shard.leaving.contains_key(id), || format!("{id} leaves while it is free or moves"))?;
                }
            }
            Ok(())
        }
    });
}

#[test]
fn no_instance_is_lost() {
    in_every_history(|| {
        |world: &World, _: &Step| {
            world.shards.iter().try_for_each(|shard| {
                shard.members.keys().try_for_each(|id| {
                    let placed = shard.leaving.contains_key(id) || shard.place_of(id) != Some(Place::Leaving);
                    check(placed, || format!("{id} is a member, does not leave, and is nowhere"))
                })
            })
        }
    });
}

#[test]
fn a_lease_and_a_wait_are_always_whole() {
    in_every_history(|| {
        |world: &World, _: &Step| {
            world.shards.iter().try_for_each(|shard| {
                let leases = shard.leases.keys();
                check(leases.clone().eq(shard.lease_epochs.keys()), || "leases and epochs differ".to_owned())?;
                check(leases.clone().eq(shard.lease_terms.keys()), || "leases and terms differ".to_owned())?;
                check(shard.claims.keys().all(|token| shard.leases.contains_key(token)), || {
                    "a claim without a lease".to_owned()
                })?;
                check(shard.lease_epochs.values().all(|epoch| *epoch <= shard.epoch), || {
                    "a lease from the future".to_owned()
                })?;
                let queued: BTreeSet<_> = shard.queue.iter().collect();
                check(queued.len() == shard.queue.len() && queued.into_iter().eq(shard.queue_terms.keys()), || {
                    "queue and terms differ".to_owned()
                })
            })
        }
    });
}

/// Without this, the tests above could hold because nothing happens.
#[test]
fn the_world_sees_every_transition_accepted() {
    let mut accepted: BTreeMap<&'static str, u32> = BTreeMap::new();
    for history in 0..300_u64 {
        let mut world = World::new(1 + u32::try_from(history % 3).expect("below 3"));
        for seed in 0..300 {
            if let Some(step) = world.step(history * 1_000_003 + seed * 7_919) {
                *accepted.entry(step.transition.name()).or_default() += u32::from(step.accepted);
            }
        }
    }
    println!("{accepted:?}");
    let never: Vec<_> = accepted.iter().filter(|(_, times)| **times == 0).collect();
    assert!(never.is_empty() && accepted.len() == 33, "{} names; never accepted: {never:?}", accepted.len());
}
