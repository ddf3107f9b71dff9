//! Which shard is a request's home, and how long the one before still answers.

use pool_core::control::Layout;
use pool_core::home::{before_the_spread, home, old_home, old_home_answers};
use pool_core::ids::ShardNo;

use crate::given::{Given, NOW, policy, shard, token};

/// Two shards became four by layout 5.
fn spread() -> Layout {
    Layout { number: 7, shards: 4, shards_before: 2, spread_since: 5, spread_at: NOW - 100, ..Layout::default() }
}

/// A lease is looked for where its token's home is, so a release that computed other ones would lose leases.
#[test]
fn homes_are_where_they_always_were() {
    for (n, homes) in [(1, [0, 1, 1, 1, 1]), (2, [0, 0, 2, 2, 2]), (4, [0, 1, 2, 3, 3]), (7, [0, 0, 0, 0, 0])] {
        let found: Vec<ShardNo> = (1..=5).map(|shards| home(&token(n), shards)).collect();
        assert_eq!(found, homes, "token {n}");
    }
    assert_eq!(home(&token(1), 0), 0, "there is none");
}

#[test]
fn the_old_home_is_looked_at_as_long_as_a_lease_from_before_can_live() {
    // Token 4 moves from shard 1 to shard 3, token 1 stays in shard 1.
    let at = |seconds| Layout { spread_at: NOW - seconds, ..spread() };
    let of = |n, layout: &Layout| old_home(&token(n), layout, &policy(), NOW);
    assert_eq!(of(4, &at(100)), Some(1));
    assert_eq!(of(4, &at(28_800 + 300)), Some(1));
    assert_eq!(of(4, &at(28_800 + 301)), None);
    assert_eq!(of(1, &at(100)), None);
    assert_eq!(of(1, &at(28_800 + 301)), None);
}

#[test]
fn the_old_home_answers_for_what_it_has_and_until_it_has_seen_the_change() {
    let answers = |shard| old_home_answers(&shard, &token(4), &spread(), NOW);
    let seen = |layout| shard(1).with(|shard| shard.layout = layout);
    assert!(answers(seen(4)), "others may still be granted there");
    assert!(!answers(seen(5)));
    assert!(!answers(seen(6)));
    assert!(answers(seen(6).held(1, 4)), "it has the lease");
    assert!(answers(seen(6).waiting(4)), "it has the wait");
    assert!(!answers(seen(6).held(1, 5)), "it has another lease");
    assert!(!answers(seen(6).held(1, 4).lasts_until(4, NOW - 1)), "that lease is over");
    assert!(answers(seen(4).held(1, 4).lasts_until(4, NOW - 1)), "and yet others may be granted there");
}

#[test]
fn at_the_old_home_a_request_is_granted_under_the_layout_before() {
    for (since, before) in [(5, 4), (2, 1), (1, 0), (0, 0)] {
        assert_eq!(before_the_spread(&Layout { spread_since: since, ..spread() }), before);
    }
}
