//! Which shard is a request's home: the one with the highest score of token and shard, rendezvous hashing.
//!
//! When a shard is added only the requests that move to it change their home; a lease lives and dies where it began,
//! because its id names the shard.

use sha2::{Digest, Sha256};

use crate::control::Layout;
use crate::ids::{ShardNo, Token};
use crate::policy::Policy;
use crate::time::Timestamp;

/// The home of a token among `shards` shards, 0 when there is none.
#[must_use]
pub fn home(token: &Token, shards: u32) -> ShardNo {
    (0..shards).max_by_key(|shard| score(token, *shard)).unwrap_or(0)
}

fn score(token: &Token, shard: ShardNo) -> [u8; 8] {
    let digest = Sha256::new().chain_update(token.as_str()).chain_update(shard.to_be_bytes()).finalize();
    let mut score = [0; 8];
    score.copy_from_slice(&digest[..8]);
    score
}

/// Where a keyed request may already hold a lease from before the layout changed, as long as one can live.
#[must_use]
pub fn old_home(token: &Token, layout: &Layout, policy: &Policy, now: Timestamp) -> Option<ShardNo> {
    let lease_can_live_seconds = policy.lease_ttl_max_seconds + policy.wait_max_seconds;
    let recent = now.seconds_since(layout.changed_at) <= lease_can_live_seconds;
    let old = home(token, layout.shards_before);
    (recent && layout.number > 1 && old != home(token, layout.shards)).then_some(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens() -> impl Iterator<Item = Token> {
        (0..1000_u64).map(|n| {
            let mut bytes = [0; Token::BYTES];
            bytes[..8].copy_from_slice(&n.to_be_bytes());
            Token::from_bytes(bytes)
        })
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
}
