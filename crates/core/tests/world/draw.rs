//! What each party may write in the present state of the world.

use pool_core::ids::{InstanceId, LaunchToken, NodeKey, Owner, TransferId};
use pool_core::shard::{
    AfterEnd, Apart, EndedBy, Fate, Intent, Kind, Launch, LeaseRef, Leaving, Lift, Market, Member, Next, Shard,
    StopPhase, Terms, Transition,
};
use pool_core::time::Timestamp;

use super::{Dice, TOKENS, TOMBSTONE_LIFE_SECONDS, World, index, token};

impl World {
    /// A write that some party could make now; `None` when the one drawn has nothing to do.
    pub(super) fn draw(&mut self, dice: &mut Dice) -> Option<(usize, Transition)> {
        let shard = usize::try_from(dice.roll(self.shards.len() as u64)).ok()?;
        // Weighed so that shards are mostly busy: about as much comes as goes.
        match dice.roll(32) {
            0..=3 => Some(self.ask(dice)),
            4..=6 => self.hold(dice, shard).map(|transition| (shard, transition)),
            7..=9 => self.end(dice, shard).map(|transition| (shard, transition)),
            10..=11 => self.rescue(dice, shard).map(|transition| (shard, transition)),
            12 => self.leave_queue(dice, shard).map(|transition| (shard, transition)),
            13..=16 => self.grow(dice, shard).map(|transition| (shard, transition)),
            17 => self.judge_orphan(dice),
            18..=25 => self.serve(dice, shard).map(|transition| (shard, transition)),
            26 => self.shrink(dice, shard).map(|transition| (shard, transition)),
            27..=30 => self.transfer(dice),
            _ => self.tidy(dice, shard),
        }
    }

    fn ask(&self, dice: &mut Dice) -> (usize, Transition) {
        let number = dice.roll(TOKENS);
        let (token, now) = (token(number), self.now);
        let until = now + dice.roll(60);
        let terms = Terms { owner: owner(number), until, hard_end: until + dice.roll(200), ttl_seconds: 60 };
        let shard = self.home_of(number);
        let layout = self.shards[shard].layout;
        if self.shards[shard].free.is_empty() || dice.one_in(8) {
            (shard, Transition::Enqueue { token, terms, layout, queue_max: 4 })
        } else {
            (shard, Transition::Grant { token, terms, layout })
        }
    }

    fn hold(&self, dice: &mut Dice, shard: usize) -> Option<Transition> {
        let (lease, owner) = self.some_lease(dice, shard)?;
        let until = self.now + dice.roll(120);
        Some(match dice.roll(2) {
            0 => Transition::Confirm { lease, owner, until, hard_end: until },
            _ => Transition::Renew { lease, owner, now: self.now, until },
        })
    }

    fn end(&self, dice: &mut Dice, shard: usize) -> Option<Transition> {
        let (lease, owner) = self.some_lease(dice, shard)?;
        let by = match dice.roll(3) {
            0 => EndedBy::Expiry,
            1 => EndedBy::Unclaimed,
            _ => EndedBy::Owner(owner),
        };
        let after = match dice.roll(8) {
            0..=3 => AfterEnd::Reuse(self.next(dice, shard)),
            4 => AfterEnd::Reset,
            5 => AfterEnd::Recycle(leaving(dice, self.now)),
            _ => AfterEnd::Left,
        };
        Some(Transition::End { lease, by, after, now: self.now })
    }

    fn rescue(&self, dice: &mut Dice, shard: usize) -> Option<Transition> {
        let (lease, _) = self.some_lease(dice, shard)?;
        Some(match dice.roll(2) {
            0 => Transition::Requeue { lease },
            _ => Transition::Swap { lease, claim_until: self.now + dice.roll(40) },
        })
    }

    fn leave_queue(&self, dice: &mut Dice, shard: usize) -> Option<Transition> {
        let queue = &self.shards[shard].queue;
        if let ([first, second, ..], true) = (queue.as_slice(), dice.one_in(2)) {
            return Some(Transition::DropPast { first: first.clone(), second: second.clone(), now: self.now });
        }
        let position = dice.roll(queue.len().max(1) as u64);
        let token = queue.get(usize::try_from(position).ok()?)?.clone();
        let until = self.shards[shard].queue_terms.get(&token)?.until;
        Some(Transition::GiveUp { token, position, until })
    }

    fn grow(&mut self, dice: &mut Dice, shard: usize) -> Option<Transition> {
        let known = &self.shards[shard];
        let intent = dice.one_of(known.intents.iter().map(|(launch, intent)| (launch.clone(), intent.count)));
        let Some((launch, count)) = intent else {
            let sequence = known.sequence;
            let launch = LaunchToken::trusted(format!("{shard}-{sequence}"));
            let intent = Intent { count: 1 + dice.roll(3), launch: parameters(), since: self.now };
            return Some(Transition::Intend { launch, intent, sequence });
        };
        let ids = self.launch(dice, shard, &launch, count);
        // EC2 said that nothing came; now and then it did come, later: that is where orphans are from.
        if ids.is_empty() || dice.one_in(10) {
            return Some(Transition::Settle { launch });
        }
        let known = &self.shards[shard];
        let unknown = |id: &InstanceId| !known.members.contains_key(id) && !known.tombstones.contains_key(id.as_str());
        let members: Vec<_> = ids.into_iter().filter(unknown).map(|id| (id, member(self.now))).collect();
        let short = i64::try_from(count).ok()? - i64::try_from(members.len()).ok()?;
        Some(Transition::Adopt { launch, members, short })
    }

    fn judge_orphan(&self, dice: &mut Dice) -> Option<(usize, Transition)> {
        let instance = dice.one_of(self.orphans())?;
        let (shard, launch) = self.tags.get(&instance)?.clone();
        let sequence = self.shards[shard].sequence;
        Some(match dice.roll(3) {
            0 => (shard, Transition::Doom { instance, launch, sequence, now: self.now }),
            _ => (shard, Transition::AdoptOrphan { instance, member: member(self.now), launch, sequence }),
        })
    }

    fn serve(&self, dice: &mut Dice, shard: usize) -> Option<Transition> {
        let known = &self.shards[shard];
        let (now, key, boot_id) = (self.now, NodeKey::stored(*b"key"), self.now.0);
        let alive = |id: &&InstanceId| !self.dead.contains_key(*id);
        match dice.roll(16) {
            0 => {
                let instance = dice.one_of(known.members.keys().filter(alive))?.clone();
                Some(Transition::Locate { instance, address: "10.0.0.1".to_owned(), kind: member(now).kind })
            }
            1 => {
                let instance = dice.one_of(known.members.keys().filter(alive))?.clone();
                Some(Transition::ReadyAgain { instance, key, boot_id })
            }
            2..=6 => {
                let (instance, epoch) = dice.one_of(known.resetting.iter().filter(|(id, _)| alive(id)))?;
                let next = self.next(dice, shard);
                Some(Transition::ResetDone { instance: instance.clone(), cleaned_epoch: *epoch, now, next })
            }
            _ => {
                let (instance, epoch) = dice.one_of(known.booting.iter().filter(|(id, _)| alive(id)))?;
                let (instance, next) = (instance.clone(), self.next(dice, shard));
                Some(Transition::Ready { instance, boot_epoch: *epoch, key, boot_id, now, next })
            }
        }
    }

    fn shrink(&mut self, dice: &mut Dice, shard: usize) -> Option<Transition> {
        let known = &self.shards[shard];
        let (now, leaving) = (self.now, leaving(dice, self.now));
        match dice.roll(8) {
            kind @ 0..=1 => {
                let position = dice.roll(known.free.len().max(1) as u64);
                let instance = known.free.get(usize::try_from(position).ok()?)?.clone();
                Some(match kind {
                    0 => Transition::Fence { instance, position, keep: dice.roll(2), leaving },
                    _ => Transition::Stop { instance, position, keep: dice.roll(2), now },
                })
            }
            2 => {
                let (instance, stopped) = dice.one_of(&known.stopped)?;
                let instance = instance.clone();
                Some(match stopped.phase {
                    StopPhase::Stopping => Transition::Stopped { instance, now },
                    StopPhase::Stopped => Transition::Start { instance, now, stopped_before: now },
                })
            }
            3 => {
                let booting = known.booting.keys().map(|id| (id.clone(), Apart::Booting));
                let stopped = known.stopped.keys().map(|id| (id.clone(), Apart::Stopped));
                let resetting = known.resetting.keys().map(|id| (id.clone(), Apart::Resetting));
                let (instance, place) = dice.one_of(booting.chain(stopped).chain(resetting))?;
                Some(Transition::FenceApart { instance, place, leaving })
            }
            4 => {
                let instance = dice.one_of(known.members.keys())?.clone();
                Some(Transition::Mark { instance, leaving })
            }
            5 => {
                // From under a waiter that has not confirmed yet: the rarest histories.
                let token = dice.one_of(known.claims.keys())?;
                let instance = known.leases.get(token)?.clone();
                Some(Transition::Mark { instance, leaving })
            }
            _ => {
                let instance = dice.one_of(known.leaving.keys())?.clone();
                let leased = known.leases.values().any(|leased| *leased == instance);
                // We terminate no leased one; EC2 may.
                if leased && !self.dead.contains_key(&instance) && !dice.one_in(3) {
                    return None;
                }
                self.die(&instance);
                Some(Transition::Gone { instance, now })
            }
        }
    }

    /// A move of a free instance, made step by step by whoever comes along.
    fn transfer(&self, dice: &mut Dice) -> Option<(usize, Transition)> {
        let now = self.now;
        let under_way = self.shards.iter().enumerate().flat_map(|(source, shard)| {
            shard.transfers.iter().map(move |(instance, entry)| (source, instance.clone(), entry.clone()))
        });
        let Some((source, instance, entry)) = dice.one_of(under_way).filter(|_| !dice.one_in(3)) else {
            return self.give(dice);
        };
        let target = index(entry.to);
        let transfer = entry.id;
        let fate = self.shards[target].tombstones.get(transfer.as_str()).map(|tombstone| tombstone.fate);
        Some(match fate {
            // Whoever settles a stuck one writes this first, and believes what is there already.
            _ if dice.one_in(6) => (target, Transition::Cancel { transfer, now }),
            Some(Fate::Taken) => (source, Transition::Done { instance, transfer }),
            Some(_) => (source, Transition::Back { instance, transfer, now, next: self.next(dice, source) }),
            None => {
                let member = self.shards[source].members.get(&instance)?.clone();
                let source_epoch = self.shards[source].epoch;
                let lift = if self.shards[target].epoch >= source_epoch { Lift::None } else { Lift::ToSource };
                let next = self.next(dice, target);
                (target, Transition::Take { instance, transfer, member, source_epoch, limit: 8, now, next, lift })
            }
        })
    }

    fn give(&self, dice: &mut Dice) -> Option<(usize, Transition)> {
        let source = usize::try_from(dice.roll(self.shards.len() as u64)).ok()?;
        let to = u32::try_from(dice.roll(self.shards.len() as u64)).ok()?;
        let known = &self.shards[source];
        let position = dice.roll(known.free.len().max(1) as u64);
        let instance = known.free.get(usize::try_from(position).ok()?)?.clone();
        let sequence = known.sequence;
        let transfer = TransferId::trusted(format!("{source}.{sequence}"));
        let give = Transition::Give { instance, position, to, transfer, sequence, now: self.now };
        (index(to) != source).then_some((source, give))
    }

    /// Tombstones are forgotten and the layout is changed: rooms go down first, and up only by what was given up.
    fn tidy(&mut self, dice: &mut Dice, shard: usize) -> Option<(usize, Transition)> {
        if !dice.one_in(3) {
            let name = dice.one_of(self.shards[shard].tombstones.keys())?.clone();
            let under_way = |source: &Shard| source.transfers.values().any(|entry| entry.id.as_str() == name);
            if self.shards.iter().any(under_way) {
                return None;
            }
            return Some((shard, Transition::Prune { name, written_before: self.now - TOMBSTONE_LIFE_SECONDS }));
        }
        if self.resizes.is_empty() && dice.one_in(8) {
            self.layout += 1;
            let wanted: Vec<i64> = self.shards.iter().map(|_| i64::try_from(2 + dice.roll(6)).unwrap_or(0)).collect();
            self.cap_max = self.cap_max.max(wanted.iter().sum());
            let changes = self.shards.iter().zip(wanted).map(|(shard, wanted)| wanted - shard.share);
            self.resizes = changes.enumerate().collect();
        }
        let down = |(_, delta): &&(usize, i64)| *delta < 0;
        let first = self.resizes.iter().find(down).or(self.resizes.first());
        first.map(|(shard, delta)| {
            (*shard, Transition::Resize { from: self.shards[*shard].share, delta: *delta, layout: self.layout })
        })
    }

    fn some_lease(&self, dice: &mut Dice, shard: usize) -> Option<(LeaseRef, Owner)> {
        let known = &self.shards[shard];
        let token = dice.one_of(known.leases.keys())?;
        Some((known.lease(token)?, known.lease_terms.get(token)?.owner.clone()))
    }

    fn next(&self, dice: &mut Dice, shard: usize) -> Next {
        match self.shards[shard].queue.first() {
            Some(waiter) if !dice.one_in(12) => {
                Next::HandOver { waiter: waiter.clone(), claim_until: self.now + dice.roll(40) }
            }
            _ => Next::Free,
        }
    }
}

fn owner(token: u64) -> Owner {
    Owner::of(["ann", "bob"][usize::from(token.is_multiple_of(2))])
}

fn leaving(dice: &mut Dice, now: Timestamp) -> Leaving {
    let deadline = if dice.one_in(2) { Timestamp::NEVER } else { now + dice.roll(120) };
    Leaving { why: "the dice fell so".to_owned(), deadline }
}

fn member(now: Timestamp) -> Member {
    let kind = Kind {
        instance_type: "t3.medium".to_owned(),
        zone: "eu-central-1a".to_owned(),
        market: Market::Spot,
        template_version: 1,
    };
    Member { address: String::new(), key: NodeKey::default(), boot_id: 0, since: now, served: 0, kind }
}

fn parameters() -> Launch {
    Launch {
        template_id: "lt-0123456789abcdef0".to_owned(),
        template_version: 1,
        market: Market::Spot,
        instance_types: vec!["t3.medium".to_owned()],
        subnets: vec!["subnet-a".to_owned()],
        except: Vec::new(),
        sessions: 1,
    }
}
