//! Random transitions: arguments mostly from the state of the shard, sometimes of an earlier step, sometimes nonsense,
//! so that every transition is seen to succeed and to be refused.

use pool_core::ids::{InstanceId, LaunchToken, NodeKey, Owner, Token, TransferId};
use pool_core::shard::{
    AfterEnd, Apart, EndedBy, Intent, Kind, Launch, LeaseRef, Leaving, Lift, Market, Member, Next, Shard, Terms,
    Transition,
};
use pool_core::time::Timestamp;

/// Small numbers drawn from one seed (`SplitMix64`), so that a step of a sequence is one number that a test can print.
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice that fall the same way for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 to `sides` - 1.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn one_in(&mut self, sides: u64) -> bool {
        self.roll(sides) == 0
    }

    fn one_of<T: Clone>(&mut self, values: impl IntoIterator<Item = T>) -> Option<T> {
        let values: Vec<T> = values.into_iter().collect();
        let index = usize::try_from(self.roll(values.len().max(1) as u64)).expect("a small number");
        values.get(index).cloned()
    }

    /// Mostly one of `values`, now and then `other`.
    fn mostly<T: Clone>(&mut self, values: impl IntoIterator<Item = T>, other: impl FnOnce(&mut Self) -> T) -> T {
        let chosen = if self.one_in(8) { None } else { self.one_of(values) };
        chosen.unwrap_or_else(|| other(self))
    }
}

/// How many kinds [`transition`] knows.
const KINDS: u64 = 34;

/// A transition for this shard at `now`; `past` are those of earlier steps.
pub(crate) fn transition(dice: &mut Dice, shard: &Shard, now: Timestamp, past: &[Transition]) -> Transition {
    if dice.one_in(10)
        && let Some(again) = dice.one_of(past.iter().cloned())
    {
        return again;
    }
    // Most steps try again until the shard would permit the draw: otherwise few would.
    let mut drawn = one(dice, shard, now);
    for _ in 0..dice.roll(20) {
        if shard.clone().apply(&drawn).is_ok() {
            break;
        }
        drawn = one(dice, shard, now);
    }
    drawn
}

fn one(dice: &mut Dice, shard: &Shard, now: Timestamp) -> Transition {
    match dice.roll(KINDS) {
        kind @ 0..=15 => of_leases(kind, dice, shard, now),
        kind @ 16..=21 => of_launches(kind, dice, shard, now),
        kind @ 22..=27 => of_instances(kind, dice, shard, now),
        kind => of_moves(kind, dice, shard, now),
    }
}

fn of_leases(kind: u64, dice: &mut Dice, shard: &Shard, now: Timestamp) -> Transition {
    match kind {
        0..=2 => Transition::Grant { token: token(dice), terms: terms(dice, now), layout: layout(dice, shard) },
        3..=5 => Transition::Enqueue {
            token: token(dice),
            terms: terms(dice, now),
            layout: layout(dice, shard),
            queue_max: 1 + dice.roll(5),
        },
        6 => {
            let claimed = |lease: &LeaseRef| shard.claims.contains_key(&lease.token);
            let lease = lease(dice, shard, claimed);
            {
                let until = now + dice.roll(30);
                Transition::Confirm {
                    owner: owner_of(dice, shard, &lease),
                    lease,
                    until,
                    hard_end: until + dice.roll(10),
                }
            }
        }
        7 => {
            let lease = lease(dice, shard, |_| true);
            Transition::Renew { owner: owner_of(dice, shard, &lease), lease, now, until: now + dice.roll(30) }
        }
        8..=11 => end(dice, shard, now),
        12 | 13 => {
            let lease = lost(dice, shard);
            if dice.mostly([shard.free.is_empty()], |dice| dice.one_in(2)) {
                Transition::Requeue { lease }
            } else {
                Transition::Swap { lease, claim_until: now + dice.roll(10) }
            }
        }
        14 => {
            let position = dice.roll(shard.queue.len() as u64 + 1);
            let token = dice.mostly(at(&shard.queue, position), token);
            let until = shard.queue_terms.get(&token).map(|terms| terms.until);
            Transition::GiveUp { until: dice.mostly(until, |dice| now + dice.roll(5)), token, position }
        }
        _ => Transition::DropPast {
            first: dice.mostly(at(&shard.queue, 0), token),
            second: dice.mostly(at(&shard.queue, 1), token),
            now: now + dice.roll(30),
        },
    }
}

fn end(dice: &mut Dice, shard: &Shard, now: Timestamp) -> Transition {
    let unclaimed = dice.one_in(3);
    let lease = lease(dice, shard, |lease| shard.claims.contains_key(&lease.token) == unclaimed);
    let by = match (unclaimed, dice.roll(3)) {
        (true, 0..=1) => EndedBy::Unclaimed,
        (false, 0) => EndedBy::Expiry,
        _ => EndedBy::Owner(owner_of(dice, shard, &lease)),
    };
    let left = !shard.members.contains_key(&lease.instance) || shard.leaving.contains_key(&lease.instance);
    let after = match dice.roll(if left { 8 } else { 5 }) {
        0..=1 => AfterEnd::Reuse(next(dice, shard, now)),
        2 => AfterEnd::Reset,
        3 => AfterEnd::Recycle(leaving(dice, now)),
        _ => AfterEnd::Left,
    };
    Transition::End { lease, by, after, now: now + dice.roll(25) }
}

fn of_launches(kind: u64, dice: &mut Dice, shard: &Shard, now: Timestamp) -> Transition {
    let launch = dice.mostly(shard.intents.keys().cloned(), |dice| LaunchToken::trusted(format!("l-{}", dice.roll(6))));
    match kind {
        16 => {
            let launch = LaunchToken::trusted(format!("l-{}", dice.roll(6)));
            let intent = Intent { count: 1 + dice.roll(4), launch: parameters(dice), since: now };
            Transition::Intend { launch, intent, sequence: dice.mostly([shard.sequence], |dice| dice.roll(4)) }
        }
        17 | 18 => {
            let members = (0..dice.roll(4)).map(|_| (instance(dice), member(dice, now))).collect();
            Transition::Adopt { launch, members, short: dice.mostly([0, 1, 2], |_| -1) }
        }
        19 => Transition::Settle { launch },
        20 => {
            let launch = LaunchToken::trusted(format!("l-{}", dice.roll(6)));
            let sequence = dice.mostly([shard.sequence], |dice| dice.roll(4));
            Transition::AdoptOrphan { instance: instance(dice), member: member(dice, now), launch, sequence }
        }
        _ => Transition::Doom {
            instance: dice.mostly(shard.tombstones.keys().map(InstanceId::trusted), instance),
            launch: LaunchToken::trusted(format!("l-{}", dice.roll(6))),
            sequence: dice.mostly([shard.sequence], |dice| dice.roll(4)),
            now,
        },
    }
}

fn of_instances(kind: u64, dice: &mut Dice, shard: &Shard, now: Timestamp) -> Transition {
    let some_member = dice.mostly(shard.members.keys().cloned(), instance);
    match (kind, dice.roll(3)) {
        (22, 0) => Transition::Locate {
            instance: some_member,
            address: format!("10.0.0.{}", dice.roll(9)),
            kind: member(dice, now).kind,
        },
        (22, _) => {
            let (key, boot_id) = (NodeKey::stored(format!("key-{}", dice.roll(9)).into_bytes()), dice.roll(9));
            Transition::ReadyAgain { instance: some_member, key, boot_id }
        }
        (23, _) => {
            let instance = dice.mostly(shard.booting.keys().cloned(), instance);
            let boot_epoch = dice.mostly(shard.booting.get(&instance).copied(), |dice| dice.roll(40));
            let (key, boot_id) = (NodeKey::stored(format!("key-{}", dice.roll(9)).into_bytes()), dice.roll(9));
            Transition::Ready { instance, boot_epoch, key, boot_id, now, next: next(dice, shard, now) }
        }
        (24, _) => {
            let instance = dice.mostly(shard.resetting.keys().cloned(), instance);
            let epoch = shard.resetting.get(&instance).copied().unwrap_or_default();
            let cleaned_epoch = (epoch + dice.roll(3)).saturating_sub(1);
            Transition::ResetDone { instance, cleaned_epoch, now, next: next(dice, shard, now) }
        }
        (25, 0) => Transition::Gone { instance: dice.mostly(shard.leaving.keys().cloned(), instance), now },
        (25, roll) => {
            // Half of them take an instance from under a waiter that has not confirmed yet: the rarest histories.
            let unconfirmed = shard.claims.keys().filter_map(|token| shard.leases.get(token).cloned());
            let instance = if roll == 1 { dice.mostly(unconfirmed, instance) } else { some_member };
            Transition::Mark { instance, leaving: leaving(dice, now) }
        }
        (26, roll) => {
            let position = dice.roll(shard.free.len() as u64 + 1);
            let instance = dice.mostly(at(&shard.free, position), instance);
            let keep = dice.roll(3);
            if roll == 0 {
                Transition::Fence { instance, position, keep, leaving: leaving(dice, now) }
            } else {
                Transition::Stop { instance, position, keep, now }
            }
        }
        (_, 0) => Transition::Stopped { instance: dice.mostly(shard.stopped.keys().cloned(), instance), now },
        (_, 1) => {
            let instance = dice.mostly(shard.stopped.keys().cloned(), instance);
            Transition::Start { instance, now, stopped_before: now - dice.roll(5) }
        }
        _ => {
            let (place, there): (_, Vec<_>) = match dice.roll(3) {
                0 => (Apart::Booting, shard.booting.keys().cloned().collect()),
                1 => (Apart::Stopped, shard.stopped.keys().cloned().collect()),
                _ => (Apart::Resetting, shard.resetting.keys().cloned().collect()),
            };
            Transition::FenceApart { instance: dice.mostly(there, instance), place, leaving: leaving(dice, now) }
        }
    }
}

fn of_moves(kind: u64, dice: &mut Dice, shard: &Shard, now: Timestamp) -> Transition {
    let under_way = dice.mostly(shard.transfers.keys().cloned(), instance);
    let its_transfer = shard.transfers.get(&under_way).map(|entry| entry.id.clone());
    let transfer = dice.mostly(its_transfer, transfer_id);
    match kind {
        28 => {
            let position = dice.roll(shard.free.len() as u64 + 1);
            Transition::Give {
                instance: dice.mostly(at(&shard.free, position), instance),
                position,
                to: 1,
                transfer: transfer_id(dice),
                sequence: dice.mostly([shard.sequence], |dice| dice.roll(4)),
                now,
            }
        }
        29 => {
            let source_epoch = (shard.epoch + dice.roll(7)).saturating_sub(3);
            let fitting = if shard.epoch >= source_epoch { Lift::None } else { Lift::ToSource };
            Transition::Take {
                instance: instance(dice),
                transfer: transfer_id(dice),
                member: member(dice, now),
                source_epoch,
                limit: dice.mostly([16], |dice| dice.roll(6)),
                now,
                next: next(dice, shard, now),
                lift: dice.mostly([fitting], |dice| if dice.one_in(2) { Lift::None } else { Lift::ToSource }),
            }
        }
        30 => Transition::Done { instance: under_way, transfer },
        31 => Transition::Back { instance: under_way, transfer, now, next: next(dice, shard, now) },
        32 => match dice.roll(2) {
            0 => Transition::Cancel { transfer: transfer_id(dice), now },
            _ => Transition::Prune {
                name: dice.mostly(shard.tombstones.keys().cloned(), |_| "nothing".to_owned()),
                written_before: now - dice.roll(5),
            },
        },
        _ => {
            let delta = dice.mostly([1, 2, 3], |_| -2);
            let from = if dice.one_in(8) { shard.share + 1 } else { shard.share };
            Transition::Resize { from, delta, layout: (shard.layout + dice.roll(3)).saturating_sub(1) }
        }
    }
}

fn at<T: Clone>(values: &[T], position: u64) -> Option<T> {
    usize::try_from(position).ok().and_then(|index| values.get(index).cloned())
}

fn token(dice: &mut Dice) -> Token {
    Token::from_bytes([u8::try_from(dice.roll(8)).expect("below 8"); Token::BYTES])
}

fn owner(dice: &mut Dice) -> Owner {
    Owner::of(["ann", "bob"][usize::from(dice.one_in(2))])
}

fn owner_of(dice: &mut Dice, shard: &Shard, lease: &LeaseRef) -> Owner {
    dice.mostly(shard.lease_terms.get(&lease.token).map(|terms| terms.owner.clone()), owner)
}

/// An instance of a small world.
pub(crate) fn instance(dice: &mut Dice) -> InstanceId {
    InstanceId::trusted(format!("i-{:017x}", dice.roll(9)))
}

fn transfer_id(dice: &mut Dice) -> TransferId {
    TransferId::trusted(format!("0.{}", dice.roll(12)))
}

fn terms(dice: &mut Dice, now: Timestamp) -> Terms {
    let until = now + dice.roll(20);
    Terms { owner: owner(dice), until, hard_end: until + dice.roll(20), ttl_seconds: dice.roll(600) }
}

fn leaving(dice: &mut Dice, now: Timestamp) -> Leaving {
    let deadline = if dice.one_in(2) { Timestamp::NEVER } else { now + dice.roll(20) };
    Leaving { why: "the dice fell so".to_owned(), deadline }
}

/// Mostly the layout of the shard or a newer one, sometimes an older one.
fn layout(dice: &mut Dice, shard: &Shard) -> u64 {
    dice.mostly([shard.layout, shard.layout + 1], |_| shard.layout.saturating_sub(1))
}

/// Some instance's facts.
pub(crate) fn member(dice: &mut Dice, now: Timestamp) -> Member {
    Member {
        address: String::new(),
        key: NodeKey::default(),
        boot_id: dice.roll(5),
        since: now,
        served: dice.roll(3),
        kind: Kind {
            instance_type: "t3.medium".to_owned(),
            zone: "eu-central-1a".to_owned(),
            market: if dice.one_in(2) { Market::Spot } else { Market::OnDemand },
            template_version: dice.roll(9),
        },
    }
}

/// Some launch's parameters.
pub(crate) fn parameters(dice: &mut Dice) -> Launch {
    Launch {
        template_id: "lt-0123456789abcdef0".to_owned(),
        template_version: dice.roll(9),
        market: Market::Spot,
        instance_types: vec!["t3.medium".to_owned(), "t2.medium".to_owned()],
        subnets: vec!["subnet-a".to_owned()],
        except: Vec::new(),
        sessions: 1,
    }
}

fn next(dice: &mut Dice, shard: &Shard, now: Timestamp) -> Next {
    if dice.mostly([shard.queue.is_empty()], |dice| dice.one_in(2)) {
        return Next::Free;
    }
    Next::HandOver { waiter: dice.mostly(at(&shard.queue, 0), token), claim_until: now + dice.roll(10) }
}

/// A lease, mostly one of those that `fit`, sometimes with another epoch or instance.
fn lease(dice: &mut Dice, shard: &Shard, fit: impl Fn(&LeaseRef) -> bool) -> LeaseRef {
    let fitting: Vec<LeaseRef> = shard.leases.keys().filter_map(|token| shard.lease(token)).filter(fit).collect();
    let mut lease =
        dice.mostly(fitting, |dice| LeaseRef { token: token(dice), instance: instance(dice), epoch: dice.roll(40) });
    match dice.roll(16) {
        0 => lease.epoch = lease.epoch.saturating_sub(1),
        1 => lease.instance = instance(dice),
        _ => {}
    }
    lease
}

/// A lease that came by hand-over and whose instance has left.
fn lost(dice: &mut Dice, shard: &Shard) -> LeaseRef {
    let stays = |id: &InstanceId| shard.members.contains_key(id) && !shard.leaving.contains_key(id);
    lease(dice, shard, |lease| shard.claims.contains_key(&lease.token) && !stays(&lease.instance))
}
