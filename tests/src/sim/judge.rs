//! What must hold, looked at after every write and every call, and once more when all is quiet.

use std::collections::{BTreeMap, BTreeSet};

use pool_core::ids::{Epoch, InstanceId, ShardNo, Token};
use pool_core::shard::{Fate, Shard};
use pool_core::time::Timestamp;

use crate::invariants;

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
        } else {
            self.shards.push(shard.clone());
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
    pub fn settled(&self, alive: &BTreeSet<String>, floor: u64) -> Result<(), String> {
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
        if alive.len() as u64 != floor {
            return Err(format!("{} instances where the policy wants {floor}", alive.len()));
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
