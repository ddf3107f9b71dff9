//! The transitions among shards: a free instance moves from one to another, tombstones are forgotten, shares change.

use super::{Fate, Lift, Next, Shard, Tombstone, Transfer, Transition};
use crate::ids::{InstanceId, TransferId};
use crate::time::Timestamp;

impl Shard {
    /// Whether a transition among shards may happen; `None` when it is not one of them.
    pub(super) fn permits_move(&self, transition: &Transition) -> Option<bool> {
        Some(match transition {
            Transition::Give { instance, position, sequence, .. } => {
                self.is_free_at(instance, *position) && self.sequence == *sequence && self.queue.is_empty()
            }
            Transition::Take { instance, transfer, source_epoch, limit, now, next, lift, .. } => {
                let unknown = !self.tombstones.contains_key(transfer.as_str())
                    && !self.tombstones.contains_key(instance.as_str())
                    && !self.members.contains_key(instance);
                let lift_is_right = match lift {
                    Lift::None => self.epoch >= *source_epoch,
                    Lift::ToSource => self.epoch < *source_epoch,
                };
                unknown && (self.members.len() as u64) < *limit && self.next_holds(next, *now) && lift_is_right
            }
            Transition::Done { instance, transfer } => self.is_under_way(instance, transfer),
            Transition::Back { instance, transfer, now, next } => {
                self.is_under_way(instance, transfer) && self.next_holds(next, *now)
            }
            Transition::Cancel { transfer, .. } => !self.tombstones.contains_key(transfer.as_str()),
            Transition::Prune { name, written_before } => {
                self.tombstones.get(name).is_some_and(|tombstone| tombstone.written < *written_before)
            }
            Transition::Resize { from, layout, .. } => self.layout < *layout && self.share == *from,
            _ => return None,
        })
    }

    /// Carries out a transition among shards whose precondition holds.
    pub(super) fn change_moves(&mut self, transition: &Transition) {
        self.epoch = match transition {
            Transition::Take { source_epoch, lift: Lift::ToSource, .. } => source_epoch + 1,
            _ => self.epoch + 1,
        };
        match transition {
            Transition::Give { instance, to, transfer, now, .. } => {
                self.sequence += 1;
                self.free.retain(|free| free != instance);
                let entry = Transfer { to: *to, id: transfer.clone(), since: *now };
                self.transfers.insert(instance.clone(), entry);
            }
            Transition::Take { instance, transfer, member, now, next, .. } => {
                self.entomb(transfer.as_str(), Fate::Taken, *now);
                self.members.insert(instance.clone(), member.clone());
                self.place(instance, next, *now, self.epoch);
            }
            Transition::Done { instance, .. } => {
                self.transfers.remove(instance);
                self.members.remove(instance);
            }
            Transition::Cancel { transfer, now } => self.entomb(transfer.as_str(), Fate::Cancelled, *now),
            Transition::Back { instance, now, next, .. } => {
                self.transfers.remove(instance);
                match next {
                    // At the end: it was the oldest when it was given away.
                    Next::Free => self.free.push(instance.clone()),
                    Next::HandOver { .. } => self.place(instance, next, *now, self.epoch),
                }
            }
            Transition::Prune { name, .. } => drop(self.tombstones.remove(name)),
            Transition::Resize { delta, layout, .. } => {
                self.room += delta;
                self.share += delta;
                self.layout = *layout;
            }
            _ => {}
        }
    }

    pub(super) fn entomb(&mut self, name: &str, fate: Fate, now: Timestamp) {
        self.tombstones.insert(name.to_owned(), Tombstone { written: now, fate });
    }

    fn is_under_way(&self, instance: &InstanceId, transfer: &TransferId) -> bool {
        self.transfers.get(instance).is_some_and(|entry| entry.id == *transfer)
    }
}
