//! What must hold, looked at after every write and every call, and once more when all is quiet.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use pool_core::ids::{Epoch, InstanceId, LaunchToken, LeaseId, Owner, ShardNo, Token};
use pool_core::shard::{Fate, LeaseRef, Shard};
use pool_core::time::Timestamp;

use crate::{Request, Route, invariants};

/// Clocks of processes differ by so much, in seconds, and each side of a comparison may be off.
const SKEW_SECONDS: u64 = 2;

/// The judge of one run.
#[derive(Debug, Default)]
pub struct Judge {
    shards: Vec<Shard>,
    shard_epochs: BTreeMap<ShardNo, Epoch>,
    instance_epochs: BTreeMap<InstanceId, Epoch>,
    cap: u64,
    by_hand: u64,
    given_back: BTreeSet<(Owner, Token, Option<Epoch>)>,
    forced: BTreeSet<(Token, Option<Epoch>)>,
    cleaned: BTreeMap<InstanceId, Epoch>,
    intended: BTreeMap<LaunchToken, u64>,
    found: Option<String>,
}

impl Judge {
    /// Something does not hold; the first finding counts.
    pub fn found(&mut self, what: &str) {
        self.found.get_or_insert_with(|| what.to_owned());
    }

    /// What does not hold, if something was found.
    #[must_use]
    pub fn verdict(&self) -> Option<&str> {
        self.found.as_deref()
    }

    /// All shards as last written.
    #[must_use]
    pub fn shards(&self) -> &[Shard] {
        &self.shards
    }

    /// A cap that is in force from now on, beside earlier ones until their instances have gone.
    pub fn capped(&mut self, cap: u64) {
        self.cap = self.cap.max(cap);
    }

    /// Somebody starts an instance past the pool.
    pub fn started_by_hand(&mut self) {
        self.by_hand += 1;
    }

    /// Somebody sends a request. Only a release of its owner or the operator ends a lease before its time, and only the
    /// word of its node ends a reset.
    pub fn asked(&mut self, request: &Request) {
        let iam = &request.event["requestContext"]["authorizer"]["iam"]["userId"];
        let id = request.event["pathParameters"]["id"].as_str().unwrap_or_default();
        if request.route == Route::Release
            && let (Some(owner), Ok(id)) = (iam.as_str(), id.parse::<LeaseId>())
        {
            self.given_back.insert((Owner::of(owner), id.token, id.grant.map(|grant| grant.epoch)));
        }
        if request.route == Route::ForceRelease
            && let Ok(id) = id.parse::<LeaseId>()
        {
            self.forced.insert((id.token, id.grant.map(|grant| grant.epoch)));
        }
        let cleaned = request.body().and_then(|body| body["cleaned_epoch"].as_u64());
        if let (Ok(instance), Some(epoch)) = (id.parse::<InstanceId>(), cleaned) {
            let known = self.cleaned.entry(instance).or_default();
            *known = epoch.max(*known);
        }
    }

    /// EC2 has instances of these launches.
    ///
    /// # Errors
    /// When one was not intended before, or brought more than was intended.
    pub fn launched(&self, launches: impl IntoIterator<Item = Option<String>>) -> Result<(), String> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut without = 0;
        for launch in launches {
            match launch {
                Some(launch) => *counts.entry(launch).or_default() += 1,
                None => without += 1,
            }
        }
        if without > self.by_hand {
            return Err(format!("{without} instances bear no launch's tag, {} by hand", self.by_hand));
        }
        for (launch, count) in counts {
            let intended = self.intended.get(&LaunchToken::trusted(&launch)).copied().unwrap_or(0);
            if count > intended {
                return Err(format!(
                    "invariant 4: launch {launch} brought {count} instances, intended were {intended}"
                ));
            }
        }
        Ok(())
    }

    /// EC2 has so many instances of the pool.
    ///
    /// # Errors
    /// When they are more than any cap allows.
    pub fn alive(&self, alive: u64) -> Result<(), String> {
        if alive <= self.cap + self.by_hand {
            return Ok(());
        }
        Err(format!("invariant 4: {alive} instances under a cap of {} and {} by hand", self.cap, self.by_hand))
    }

    /// A shard was written.
    ///
    /// # Errors
    /// What does not hold any more.
    pub fn shard_written(&mut self, now: Timestamp, shard: &Shard) -> Result<(), String> {
        let known = self.shards.iter().position(|known| known.number == shard.number);
        if let Some(known) = known {
            let before = std::mem::replace(&mut self.shards[known], shard.clone());
            in_order(&before, shard)?;
            self.epochs_grow(&before, shard)?;
            self.ends_are_due(&before, shard, now)?;
            self.resets_are_true(&before, shard)?;
        } else {
            self.shards.push(shard.clone());
        }
        for (launch, intent) in &shard.intents {
            self.intended.insert(launch.clone(), intent.count);
        }
        invariants::check(&self.shards, &mut self.shard_epochs)?;
        self.one_lease_a_token(shard, now)
    }

    /// An instance is granted only under a higher epoch than ever before.
    fn epochs_grow(&mut self, before: &Shard, after: &Shard) -> Result<(), String> {
        for (token, instance) in &after.leases {
            let epoch = after.lease_epochs.get(token).copied().unwrap_or(0);
            if before.leases.get(token) == Some(instance) && before.lease_epochs.get(token) == Some(&epoch) {
                continue;
            }
            let last = self.instance_epochs.insert(instance.clone(), epoch).unwrap_or(0);
            if epoch <= last {
                return Err(format!("invariant 2: {instance} is granted under epoch {epoch} after {last}"));
            }
        }
        Ok(())
    }

    /// A lease or a wait ends by its owner or when its time is over, and what was promised is kept until then.
    fn ends_are_due(&self, before: &Shard, after: &Shard, now: Timestamp) -> Result<(), String> {
        let over = |until: &Timestamp| *until < now + SKEW_SECONDS;
        for (token, terms) in &before.queue_terms {
            let goes_on = after.queue_terms.contains_key(token) || after.leases.contains_key(token);
            if !goes_on && !over(&terms.until) && !self.is_given_back(&terms.owner, token, None) {
                return Err(format!("the wait of {token} until {} was ended, and not by its owner", terms.until));
            }
        }
        for lease in before.leases.keys().filter_map(|token| before.lease(token)) {
            self.end_is_due(before, after, &lease, over)?;
        }
        Ok(())
    }

    /// Whether its owner or the operator asked to end this grant, or, by the short id, whatever there is under the token.
    fn is_given_back(&self, owner: &Owner, token: &Token, epoch: Option<Epoch>) -> bool {
        let asked = |epoch| {
            self.given_back.contains(&(owner.clone(), token.clone(), epoch))
                || self.forced.contains(&(token.clone(), epoch))
        };
        asked(None) || epoch.is_some_and(|epoch| asked(Some(epoch)))
    }

    fn end_is_due(
        &self,
        before: &Shard,
        after: &Shard,
        lease: &LeaseRef,
        over: impl Fn(&Timestamp) -> bool,
    ) -> Result<(), String> {
        let token = &lease.token;
        let Some(terms) = before.lease_terms.get(token) else { return Ok(()) };
        let claim = before.claims.get(token);
        if after.lease(token).as_ref() == Some(lease) {
            let later = after.lease_terms.get(token).filter(|later| *later != terms);
            return match later {
                Some(later) if later.hard_end > terms.hard_end || later.until > later.hard_end => {
                    Err(format!("{token} lasts until {} beyond its hard end {}", later.until, terms.hard_end))
                }
                Some(_) if after.claims.contains_key(token) => Err(format!("{token} was renewed and must be claimed")),
                _ => Ok(()),
            };
        }
        let moved_on = after.queue_terms.contains_key(token) || after.leases.contains_key(token);
        let due = match claim {
            Some(claim) => moved_on || over(claim),
            None => over(&terms.until),
        };
        if due || self.is_given_back(&terms.owner, token, Some(lease.epoch)) {
            return Ok(());
        }
        Err(format!("the lease of {token} until {} was ended, and not by its owner; {claim:?}", terms.until))
    }

    /// What is being cleaned serves again only after its node said that it is clean.
    fn resets_are_true(&self, before: &Shard, after: &Shard) -> Result<(), String> {
        for (instance, epoch) in &before.resetting {
            let out = after.resetting.contains_key(instance) || after.leaving.contains_key(instance);
            // A mark that was meant for its lease may come late; then EC2 ends it while it is being cleaned.
            let serves = !out && after.members.contains_key(instance);
            if serves && self.cleaned.get(instance).is_none_or(|cleaned| cleaned < epoch) {
                return Err(format!("{instance} serves again, and nobody said that lease {epoch} is cleaned away"));
            }
        }
        Ok(())
    }

    fn one_lease_a_token(&self, written: &Shard, now: Timestamp) -> Result<(), String> {
        let live = |shard: &Shard, token: &Token| {
            shard.lease_terms.get(token).is_some_and(|terms| terms.until > now + SKEW_SECONDS)
        };
        for token in written.leases.keys().filter(|token| live(written, token)) {
            let others = self.shards.iter().filter(|shard| shard.number != written.number);
            if let Some(other) = others.into_iter().find(|other| live(other, token)) {
                let (here, there) = (written.number, other.number);
                return Err(format!("invariant 5: {token} has live leases in shards {here} and {there}"));
            }
        }
        Ok(())
    }

    /// EC2 is about to carry out a call.
    ///
    /// # Errors
    /// When it would end an instance that somebody holds, or that callers can still be given.
    pub fn before_ec2(&self, now: Timestamp, action: &str, form: &str) -> Result<(), String> {
        if action != "TerminateInstances" {
            return Ok(());
        }
        for instance in ids_in(form) {
            self.may_be_ended(&instance, now)?;
        }
        Ok(())
    }

    fn may_be_ended(&self, instance: &InstanceId, now: Timestamp) -> Result<(), String> {
        let having = self.shards.iter().filter(|shard| shard.members.contains_key(instance));
        let having = having.filter(|shard| !invariants::is_taken(&self.shards, shard, instance));
        for shard in having {
            let Some(leaving) = shard.leaving.get(instance) else {
                return Err(format!("{instance} is ended before shard {} has fenced it", shard.number));
            };
            let Some(lease) = shard.lease_on(instance) else { continue };
            let until = shard.lease_terms.get(&lease.token).map_or(Timestamp(0), |terms| terms.until);
            let late = leaving.deadline <= now + SKEW_SECONDS || until < now + SKEW_SECONDS;
            if !late {
                return Err(format!("invariant 3: {instance} is ended under lease {} until {until}", lease.token));
            }
        }
        let doomed = |shard: &Shard| {
            shard.tombstones.get(instance.as_str()).is_some_and(|one| matches!(one.fate, Fate::Doomed | Fate::Gone))
        };
        let member = self.shards.iter().any(|shard| shard.members.contains_key(instance));
        if member || self.shards.iter().any(doomed) {
            return Ok(());
        }
        Err(format!("{instance} is ended, and no shard has written that it would be"))
    }

    /// Five minutes after the last fault: everything agrees.
    ///
    /// # Errors
    /// What is left over.
    pub fn settled(&self, alive: &BTreeSet<String>, wanted: RangeInclusive<u64>) -> Result<(), String> {
        let members: BTreeSet<String> =
            self.shards.iter().flat_map(|shard| shard.members.keys().map(ToString::to_string)).collect();
        if members != *alive {
            let unknown: Vec<_> = alive.difference(&members).collect();
            let ghosts: Vec<_> = members.difference(alive).collect();
            return Err(format!("invariant 9: unknown to the shards {unknown:?}, unknown to EC2 {ghosts:?}"));
        }
        for shard in &self.shards {
            let number = shard.number;
            let rests = [
                (shard.intents.len(), "unresolved intents"),
                (shard.transfers.len(), "unfinished moves"),
                (shard.leaving.len(), "leaving instances"),
                (shard.leases.len(), "leases that should have ended"),
                (shard.queue.len(), "waiters whose time is over"),
            ];
            if let Some((count, what)) = rests.into_iter().find(|(count, _)| *count > 0) {
                return Err(format!("invariant 9: {count} {what} in shard {number}: {shard:#?}"));
            }
        }
        if !wanted.contains(&(alive.len() as u64)) {
            return Err(format!("{} instances where the policy wants {wanted:?}", alive.len()));
        }
        Ok(())
    }
}

/// Who waits is served in the order of coming, and nobody goes past those who wait.
fn in_order(before: &Shard, after: &Shard) -> Result<(), String> {
    let granted = after.leases.keys().filter(|token| !before.leases.contains_key(*token));
    for token in granted {
        let place = before.queue.iter().position(|waiting| waiting == token);
        let first = match place {
            Some(place) => place == 0,
            None => before.queue.is_empty(),
        };
        if !first {
            return Err(format!("invariant 8: {token} was served past {:?}", before.queue));
        }
    }
    Ok(())
}

/// The instances that a form names.
fn ids_in(form: &str) -> Vec<InstanceId> {
    let pairs = form.split('&').filter(|pair| pair.starts_with("InstanceId."));
    pairs.filter_map(|pair| pair.split_once('=')?.1.parse().ok()).collect()
}
