//! The transitions of instances: from an intent to launch, through booting and serving, until EC2 says they are gone.

use super::{Apart, Fate, Leaving, Member, Shard, StopPhase, Stopped, Transition};
use crate::ids::{InstanceId, NodeKey};

impl Shard {
    /// Whether an instance transition's precondition holds; `None` when it is not one of them.
    pub(super) fn permits_instance(&self, transition: &Transition) -> Option<bool> {
        Some(match transition {
            Transition::Intend { intent, sequence, .. } => {
                self.sequence == *sequence && i64::try_from(intent.count).is_ok_and(|count| self.room >= count)
            }
            Transition::Adopt { launch, members, .. } => {
                self.intents.contains_key(launch) && members.iter().all(|(instance, _)| self.is_unknown(instance))
            }
            Transition::Settle { launch } => self.intents.contains_key(launch),
            Transition::AdoptOrphan { instance, launch, sequence, .. } => {
                self.sequence == *sequence
                    && self.is_unknown(instance)
                    && !self.intents.contains_key(launch)
                    && self.room >= 1
            }
            Transition::Doom { instance, launch, sequence, .. } => {
                self.sequence == *sequence && !self.members.contains_key(instance) && !self.intents.contains_key(launch)
            }
            Transition::Locate { instance, .. } => self.members.contains_key(instance),
            Transition::Ready { instance, boot_epoch, now, next, .. } => {
                self.booting.get(instance) == Some(boot_epoch) && self.stays(instance) && self.next_holds(next, *now)
            }
            Transition::ReadyAgain { instance, boot_id, .. } => {
                self.members.get(instance).is_some_and(|member| member.boot_id < *boot_id)
                    && !self.booting.contains_key(instance)
                    && !self.transfers.contains_key(instance)
            }
            Transition::ResetDone { instance, cleaned_epoch, now, next } => {
                self.resetting.get(instance).is_some_and(|epoch| epoch <= cleaned_epoch)
                    && self.stays(instance)
                    && self.next_holds(next, *now)
            }
            Transition::Fence { instance, position, keep, .. } | Transition::Stop { instance, position, keep, .. } => {
                self.is_free_at(instance, *position) && self.free.len() as u64 > *keep
            }
            Transition::FenceApart { instance, place, .. } => match place {
                Apart::Booting => self.booting.contains_key(instance),
                Apart::Stopped => self.stopped.contains_key(instance),
                Apart::Resetting => self.resetting.contains_key(instance),
            },
            Transition::Mark { instance, leaving } => {
                let sooner = |known: &Leaving| known.deadline > leaving.deadline;
                self.members.contains_key(instance)
                    && self.leaving.get(instance).is_none_or(sooner)
                    && !self.free.contains(instance)
                    && !self.transfers.contains_key(instance)
            }
            Transition::Stopped { instance, .. } => {
                self.stopped.get(instance).is_some_and(|stopped| stopped.phase == StopPhase::Stopping)
            }
            Transition::Start { instance, stopped_before, .. } => {
                let long_stopped =
                    |stopped: &Stopped| stopped.phase == StopPhase::Stopped && stopped.since < *stopped_before;
                self.stopped.get(instance).is_some_and(long_stopped) && self.stays(instance)
            }
            Transition::Gone { instance, .. } => {
                self.leaving.contains_key(instance)
                    && self.members.contains_key(instance)
                    && !self.transfers.contains_key(instance)
            }
            _ => return None,
        })
    }

    /// Carries out an instance transition whose precondition holds.
    pub(super) fn change_instances(&mut self, transition: &Transition) {
        self.epoch += 1;
        match transition {
            Transition::Intend { launch, intent, .. } => {
                self.room -= i64::try_from(intent.count).unwrap_or(i64::MAX);
                self.sequence += 1;
                self.intents.insert(launch.clone(), intent.clone());
            }
            Transition::Adopt { launch, members, short } => {
                self.intents.remove(launch);
                self.room += short;
                for (instance, member) in members {
                    self.begin_boot(instance, member);
                }
            }
            Transition::Settle { launch } => {
                if let Some(intent) = self.intents.remove(launch) {
                    self.room += i64::try_from(intent.count).unwrap_or(i64::MAX);
                }
            }
            Transition::AdoptOrphan { instance, member, .. } => {
                self.room -= 1;
                self.begin_boot(instance, member);
            }
            Transition::Doom { instance, now, .. } => self.entomb(instance.as_str(), Fate::Doomed, *now),
            Transition::Locate { instance, address, kind } => {
                if let Some(member) = self.members.get_mut(instance) {
                    member.address.clone_from(address);
                    member.kind = kind.clone();
                }
            }
            Transition::Ready { instance, key, boot_id, now, next, .. } => {
                self.booting.remove(instance);
                self.know_node(instance, key, *boot_id);
                self.place(instance, next, *now, self.epoch);
            }
            Transition::ReadyAgain { instance, key, boot_id } => self.know_node(instance, key, *boot_id),
            Transition::ResetDone { instance, now, next, .. } => {
                self.resetting.remove(instance);
                self.place(instance, next, *now, self.epoch);
            }
            _ => self.withdraw(transition),
        }
    }

    /// The transitions that take an instance out of service, and the start that brings a stopped one back.
    fn withdraw(&mut self, transition: &Transition) {
        match transition {
            Transition::Fence { instance, leaving, .. } => {
                self.free.retain(|free| free != instance);
                self.leaving.insert(instance.clone(), leaving.clone());
            }
            Transition::FenceApart { instance, place, leaving } => {
                match place {
                    Apart::Booting => drop(self.booting.remove(instance)),
                    Apart::Stopped => drop(self.stopped.remove(instance)),
                    Apart::Resetting => drop(self.resetting.remove(instance)),
                }
                self.leaving.insert(instance.clone(), leaving.clone());
            }
            Transition::Mark { instance, leaving } => {
                self.leaving.insert(instance.clone(), leaving.clone());
            }
            Transition::Stop { instance, now, .. } => {
                self.free.retain(|free| free != instance);
                self.stopped.insert(instance.clone(), Stopped { phase: StopPhase::Stopping, since: *now });
            }
            Transition::Stopped { instance, now } => {
                self.stopped.insert(instance.clone(), Stopped { phase: StopPhase::Stopped, since: *now });
            }
            Transition::Start { instance, now, .. } => {
                self.stopped.remove(instance);
                self.booting.insert(instance.clone(), self.epoch);
                if let Some(member) = self.members.get_mut(instance) {
                    member.since = *now;
                    // A public address changes with every start; EC2 tells the new one.
                    member.address.clear();
                }
            }
            Transition::Gone { instance, now } => {
                self.room += 1;
                self.entomb(instance.as_str(), Fate::Gone, *now);
                self.leaving.remove(instance);
                self.members.remove(instance);
                self.booting.remove(instance);
                self.stopped.remove(instance);
                self.resetting.remove(instance);
            }
            _ => {}
        }
    }

    fn begin_boot(&mut self, instance: &InstanceId, member: &Member) {
        self.booting.insert(instance.clone(), self.epoch);
        self.members.insert(instance.clone(), member.clone());
    }

    fn know_node(&mut self, instance: &InstanceId, key: &NodeKey, boot_id: u64) {
        if let Some(member) = self.members.get_mut(instance) {
            member.key = key.clone();
            member.boot_id = boot_id;
        }
    }

    fn is_unknown(&self, instance: &InstanceId) -> bool {
        !self.members.contains_key(instance) && !self.tombstones.contains_key(instance.as_str())
    }

    pub(super) fn is_free_at(&self, instance: &InstanceId, position: u64) -> bool {
        usize::try_from(position).ok().and_then(|k| self.free.get(k)) == Some(instance)
    }
}
