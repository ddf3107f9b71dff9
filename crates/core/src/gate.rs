//! Whom a node lets in: the lease of the highest epoch, until it ends.
//!
//! Rule: epochs only rise here. A token says what the pool granted without anyone being asked; a heartbeat's answer says what became of it
//! since. Whichever is newer counts, and neither can bring back what the other has ended.

use crate::access;
use crate::ids::{Epoch, InstanceId};
use crate::register::{Command, HeartbeatAnswer};
use crate::time::Timestamp;

/// Why a token opens nothing. The text is for whoever sent it and says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It was not made with this node's key for this instance.
    #[error("this token was not made for this instance; acquire or renew the lease to get its token")]
    Foreign,
    /// Its time is over.
    #[error("this token has expired; renew the lease to get a new one, or acquire another lease")]
    Expired,
    /// A later lease was seen, or the pool said that this one has ended.
    #[error("the lease of this token has ended; acquire another one")]
    Ended,
    /// A lease that begins now, at a node that takes nothing new.
    #[error("this instance is being taken away and takes no new lease; acquire another one")]
    Leaving,
}

/// The lease that a node serves.
#[derive(Debug)]
pub struct Gate {
    instance: InstanceId,
    key: String,
    epoch: Epoch,
    until: Timestamp,
    takes_new: bool,
}

impl Gate {
    /// The gate of an instance whose node has made `key` for this start, before any lease.
    #[must_use]
    pub fn new(instance: InstanceId, key: String) -> Self {
        Self { instance, key, epoch: 0, until: Timestamp(0), takes_new: true }
    }

    /// Lets the bearer of a token in; the answer is the epoch of its lease. A higher one than before ends the lease before.
    ///
    /// # Errors
    /// When the token opens nothing, which changes nothing.
    pub fn admit(&mut self, token: &str, now: Timestamp) -> Result<Epoch, Refusal> {
        let (epoch, expires) = access::verify(token, &self.key, &self.instance).ok_or(Refusal::Foreign)?;
        if epoch < self.epoch {
            return Err(Refusal::Ended);
        }
        if expires <= now {
            return Err(Refusal::Expired);
        }
        if epoch > self.epoch {
            if !self.takes_new {
                return Err(Refusal::Leaving);
            }
            (self.epoch, self.until) = (epoch, expires);
        }
        self.until = self.until.max(expires);
        Ok(epoch)
    }

    /// Takes in what the pool answered to a heartbeat.
    pub fn hear(&mut self, answer: &HeartbeatAnswer, now: Timestamp) {
        if answer.epoch_floor > self.epoch {
            (self.epoch, self.until) = (answer.epoch_floor, Timestamp(0));
        }
        if let Some(lease) = answer.lease.as_ref().filter(|lease| lease.epoch == self.epoch) {
            self.until = self.until.max(now + lease.expires_in_seconds);
        }
        self.takes_new &= answer.command != Command::Drain;
    }

    /// Takes no lease that begins from now on, since EC2 takes the instance back.
    pub fn drain(&mut self) {
        self.takes_new = false;
    }

    /// Whether the lease of this epoch may still use the node.
    #[must_use]
    pub fn is_open(&self, epoch: Epoch, now: Timestamp) -> bool {
        epoch == self.epoch && now < self.until
    }

    /// How long the lease still lasts, in seconds; 0 without one.
    #[must_use]
    pub fn seconds_left(&self, now: Timestamp) -> u64 {
        self.until.seconds_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::LeaseOnNode;

    const NOW: Timestamp = Timestamp(1_000);

    fn gate() -> Gate {
        Gate::new("i-0123456789abcdef0".parse().expect("valid"), "key".to_owned())
    }

    fn token(epoch: Epoch, expires: u64) -> String {
        let instance = "i-0123456789abcdef0".parse().expect("valid");
        access::token("key", &instance, epoch, Timestamp(expires)).expect("there is a key")
    }

    fn answer(epoch_floor: Epoch, lease: Option<(Epoch, u64)>, command: Command) -> HeartbeatAnswer {
        let lease = lease.map(|(epoch, expires_in_seconds)| LeaseOnNode { epoch, expires_in_seconds });
        HeartbeatAnswer { epoch_floor, lease, command }
    }

    #[test]
    fn a_token_opens_until_it_expires() {
        let mut gate = gate();
        assert_eq!(gate.admit("v1.7.1100.forged", NOW), Err(Refusal::Foreign));
        assert_eq!(gate.admit(&token(7, 1_000), NOW), Err(Refusal::Expired));
        assert!(!gate.is_open(7, NOW), "a refused token changes nothing");
        assert_eq!(gate.admit(&token(7, 1_100), NOW), Ok(7));
        assert!(gate.is_open(7, Timestamp(1_099)) && !gate.is_open(7, Timestamp(1_100)));
        assert_eq!(gate.seconds_left(NOW), 100);
    }

    #[test]
    fn a_higher_epoch_ends_the_lease_before_and_a_lower_one_never_comes_back() {
        let mut gate = gate();
        assert_eq!(gate.admit(&token(7, 1_500), NOW), Ok(7));
        assert_eq!(gate.admit(&token(9, 1_100), NOW), Ok(9));
        assert!(!gate.is_open(7, NOW) && gate.is_open(9, NOW));
        assert!(!gate.is_open(9, Timestamp(1_200)), "the time of the lease before is not its time");
        assert_eq!(gate.admit(&token(7, 1_500), NOW), Err(Refusal::Ended));
    }

    #[test]
    fn a_renewed_lease_stays_open_by_its_new_token_or_by_the_pools_word() {
        let mut gate = gate();
        assert_eq!(gate.admit(&token(7, 1_100), NOW), Ok(7));
        assert_eq!(gate.admit(&token(7, 1_300), NOW), Ok(7));
        assert_eq!(gate.admit(&token(7, 1_200), NOW), Ok(7));
        assert!(gate.is_open(7, Timestamp(1_299)), "an older token takes nothing away");
        gate.hear(&answer(7, Some((7, 500)), Command::None), NOW);
        assert!(gate.is_open(7, Timestamp(1_499)));
        gate.hear(&answer(7, Some((7, 5)), Command::None), NOW);
        assert!(gate.is_open(7, Timestamp(1_499)), "an answer that was late takes nothing away");
    }

    #[test]
    fn the_pools_word_ends_a_lease_and_opens_none_by_itself() {
        let mut gate = gate();
        assert_eq!(gate.admit(&token(7, 1_100), NOW), Ok(7));
        gate.hear(&answer(7, None, Command::None), NOW);
        assert!(gate.is_open(7, NOW), "the answer may be older than the grant");
        gate.hear(&answer(9, None, Command::None), NOW);
        assert!(!gate.is_open(7, NOW) && !gate.is_open(9, NOW));
        assert_eq!(gate.admit(&token(7, 1_100), NOW), Err(Refusal::Ended));
        gate.hear(&answer(3, Some((3, 100)), Command::None), NOW);
        assert!(!gate.is_open(3, NOW), "a floor never falls");
        gate.hear(&answer(12, Some((12, 100)), Command::None), NOW);
        assert!(gate.is_open(12, NOW));
    }

    #[test]
    fn a_draining_node_serves_its_lease_and_takes_no_other() {
        for by_answer in [true, false] {
            let mut gate = gate();
            assert_eq!(gate.admit(&token(7, 1_100), NOW), Ok(7));
            if by_answer {
                gate.hear(&answer(7, Some((7, 100)), Command::Drain), NOW);
            } else {
                gate.drain();
            }
            gate.hear(&answer(7, Some((7, 100)), Command::None), NOW);
            assert_eq!(gate.admit(&token(7, 1_200), NOW), Ok(7));
            assert_eq!(gate.admit(&token(8, 1_200), NOW), Err(Refusal::Leaving));
            assert!(gate.is_open(7, NOW), "a refused token changes nothing");
        }
    }
}
