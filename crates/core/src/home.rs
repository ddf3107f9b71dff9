//! Which shard is a request's home: the one with the highest score of token and shard, rendezvous hashing.
//!
//! When a shard is added only the requests that move to it change their home; a lease lives and dies where it began,
//! because its id names the shard.

use sha2::{Digest, Sha256};

use crate::control::Layout;
use crate::ids::{ShardNo, Token};
use crate::policy::Policy;
use crate::shard::{Shard, Standing};
use crate::time::Timestamp;

/// The home of a token among `shards` shards, 0 when there is none.
#[must_use]
pub fn home(token: &Token, shards: u32) -> ShardNo {
    (0..shards).max_by_key(|shard| score(token, *shard)).unwrap_or(0)
}

/// One of these shards, in proportion to their weights; `None` when none has a weight. `drawn` is a number by chance.
pub fn by_weight(weights: impl Iterator<Item = (ShardNo, u64)> + Clone, drawn: u64) -> Option<ShardNo> {
    let total: u64 = weights.clone().map(|(_, weight)| weight).sum();
    let mut left = drawn.checked_rem(total)?;
    for (shard, weight) in weights {
        match left.checked_sub(weight) {
            Some(rest) => left = rest,
            None => return Some(shard),
        }
    }
    None
}

fn score(token: &Token, shard: ShardNo) -> [u8; 8] {
    let digest = Sha256::new().chain_update(token.as_str()).chain_update(shard.to_be_bytes()).finalize();
    let mut score = [0; 8];
    score.copy_from_slice(&digest[..8]);
    score
}

/// Where a keyed request may already hold a lease from before the number of shards changed, as long as one can live.
#[must_use]
pub fn old_home(token: &Token, layout: &Layout, policy: &Policy, now: Timestamp) -> Option<ShardNo> {
    let lease_can_live_seconds = policy.lease_ttl_max_seconds + policy.wait_max_seconds;
    let recent = now.seconds_since(layout.spread_at) <= lease_can_live_seconds;
    let old = home(token, layout.shards_before);
    (recent && old != home(token, layout.shards)).then_some(old)
}

/// Whether the old home still answers for a request, given that shard as it is: when it has the key's lease or wait, and
/// as long as it has not seen the new number of shards. Until it has, a function that knows only the old layout may grant
/// there, so everyone does; afterwards such a grant is refused, and nobody does.
#[must_use]
pub fn old_home_answers(old: &Shard, token: &Token, layout: &Layout, now: Timestamp) -> bool {
    let known = !matches!(old.standing(token, now), Standing::Unknown | Standing::Expired { .. });
    known || old.layout < layout.spread_since
}

/// The layout under which a request is granted at its old home: it is refused there once that shard has seen the new
/// number of shards, also when that happens between the reading and the writing.
#[must_use]
pub fn before_the_spread(layout: &Layout) -> u64 {
    layout.spread_since.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acquire::{self, Request};
    use crate::answer::{Refusal, Step};
    use crate::ids::Owner;

    fn tokens() -> impl Iterator<Item = Token> {
        (0..1000_u64).map(|n| {
            let mut bytes = [0; Token::BYTES];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            Token::from_bytes(bytes)
        })
    }

    #[test]
    fn a_shard_is_drawn_in_proportion_to_its_weight() {
        let weights = [(0, 0), (4, 3), (7, 1)];
        let drawn: Vec<_> = (0..9).map(|drawn| by_weight(weights.into_iter(), drawn)).collect();
        assert_eq!(drawn, [4, 4, 4, 7, 4, 4, 4, 7, 4].map(Some));
        assert_eq!(by_weight([(0, 0), (4, 0)].into_iter(), 5), None);
        assert_eq!(by_weight([].into_iter(), 5), None);
    }

    #[test]
    fn homes_spread_evenly_and_a_new_shard_takes_only_its_part() {
        let mut count = [0_u32; 4];
        let mut moved = 0;
        for token in tokens() {
            count[home(&token, 4) as usize] += 1;
            let (before, after) = (home(&token, 4), home(&token, 5));
            assert!(after == before || after == 4, "a token moved between old shards");
            moved += u32::from(after != before);
        }
        assert!(count.iter().all(|&c| (180..320).contains(&c)), "{count:?}");
        assert!((120..280).contains(&moved), "{moved} of 1000 moved to the fifth shard");
    }

    /// Two shards became three between the reading of the old home and the writing to it.
    #[test]
    fn invariant_5_the_old_home_grants_nothing_once_it_has_seen_the_new_number_of_shards() {
        let policy = |max_instances| Policy {
            max_instances,
            ..Policy::parse::<&str, &str>([]).expect("the defaults are valid")
        };
        let now = Timestamp(100);
        let before = Layout::default().changed_by(&policy(32), now).expect("two shards");
        let layout = before.changed_by(&policy(48), now).expect("three shards");
        let token = tokens().find(|token| old_home(token, &layout, &policy(48), now).is_some()).expect("a third moves");
        let mut old = Shard { layout: before.number, ..Shard::new(0) };
        assert!(old_home_answers(&old, &token, &layout, now), "it may still grant to those who know no better");
        let request = Request {
            owner: Owner::of("ann"),
            token: token.clone(),
            ttl_seconds: 60,
            wait_seconds: 0,
            layout: before_the_spread(&layout),
        };
        let Step::Try(grant) = acquire::acquire(&request, None, &policy(48), now) else { panic!("a grant is tried") };
        old.layout = layout.number;
        assert!(!old_home_answers(&old, &token, &layout, now));
        assert!(old.apply(&grant).is_err(), "another request may have been granted at the new home by now");
        let next = acquire::acquire(&request, Some(&old), &policy(48), now);
        assert_eq!(next, Step::Refuse(Refusal::OldLayout));
    }
}
