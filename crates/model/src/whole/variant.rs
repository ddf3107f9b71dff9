//! The protocol, right or with one guard missing.
//!
//! The rule: the real table applies every write; a missing guard is what this module changes in the write before, or in
//! the shard after, and nothing else. Guards of those who decide are missing where they decide.

use pool_core::shard::{Refused, Shard, Transition};

/// Which guard is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// None.
    Right,
    /// The source forgets an instance when it gives it away, instead of when the target has it.
    MoveForgotten,
    /// A take raises the target's epoch by one, also when the source's was higher.
    EpochNotLifted,
    /// Who settles a move sees that the target has decided, but not what.
    FateBlurred,
    /// `give` and `intend` do not say which sequence number they expect.
    NoSequence,
    /// Tombstones are forgotten when they are old, also while a transfer still records them.
    PrunedByAge,
    /// An orphan is terminated on the word of the readings, without `doom` before.
    NoDoom,
    /// A judge of orphans names the sequence number of its second reading instead of the first.
    NumberReadLate,
}

impl Variant {
    /// Carries out a transition as this protocol's table does.
    ///
    /// # Errors
    /// [`Refused`] when its precondition does not hold.
    pub(super) fn apply(self, shard: &mut Shard, transition: &Transition) -> Result<(), Refused> {
        let before = shard.epoch;
        match (self, transition) {
            (Variant::NoSequence, Transition::Give { .. } | Transition::Intend { .. }) => {
                shard.apply(&unnumbered(shard, transition))
            }
            (Variant::MoveForgotten, Transition::Give { instance, .. }) => {
                shard.apply(transition)?;
                shard.transfers.remove(instance);
                shard.members.remove(instance);
                Ok(())
            }
            (Variant::EpochNotLifted, Transition::Take { .. }) => {
                shard.apply(transition)?;
                let lifted = std::mem::replace(&mut shard.epoch, before + 1);
                for epoch in shard.lease_epochs.values_mut().filter(|epoch| **epoch == lifted) {
                    *epoch = before + 1;
                }
                Ok(())
            }
            _ => shard.apply(transition),
        }
    }
}

/// The write as if it had just been decided: with the sequence number that the shard has now.
fn unnumbered(shard: &Shard, transition: &Transition) -> Transition {
    let mut transition = transition.clone();
    if let Transition::Give { sequence, .. } | Transition::Intend { sequence, .. } = &mut transition {
        *sequence = shard.sequence;
    }
    transition
}
