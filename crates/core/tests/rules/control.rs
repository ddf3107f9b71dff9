//! How the cap is spread over shards, and what a change of it remembers.

use pool_core::control::Layout;
use pool_core::policy::Policy;

use crate::given::{NOW, policy};

fn capped(max_instances: u64) -> Policy {
    Policy { max_instances, ..policy() }
}

/// Three shards since the second layout, that were two before and four at most.
fn third() -> Layout {
    Layout {
        number: 3,
        max_instances: 40,
        sessions: 1,
        shards: 3,
        shards_before: 2,
        shards_made: 4,
        spread_since: 2,
        spread_at: NOW - 500,
    }
}

#[test]
fn the_first_layout_has_nothing_before_it() {
    let first = Layout {
        number: 1,
        max_instances: 40,
        sessions: 1,
        shards: 3,
        shards_before: 3,
        shards_made: 3,
        spread_since: 1,
        spread_at: NOW,
    };
    assert_eq!(Layout::default().changed_by(&capped(40), NOW), Some(first));
    let unmade = Layout { number: 0, ..third() };
    assert!(unmade.changed_by(&capped(40), NOW).is_some(), "what was never written is no layout");
}

#[test]
fn another_number_of_shards_remembers_the_one_before() {
    let grown = Layout {
        number: 4,
        max_instances: 80,
        sessions: 1,
        shards: 5,
        shards_before: 3,
        shards_made: 5,
        spread_since: 4,
        spread_at: NOW,
    };
    assert_eq!(third().changed_by(&capped(80), NOW), Some(grown));
    let shrunk = Layout {
        number: 4,
        max_instances: 16,
        sessions: 1,
        shards: 1,
        shards_before: 3,
        shards_made: 4,
        spread_since: 4,
        spread_at: NOW,
    };
    assert_eq!(third().changed_by(&capped(16), NOW), Some(shrunk), "those made before are not forgotten");
    let denser = Layout { shards: 5, shards_before: 3, shards_made: 5, ..third() };
    let denser = Layout { number: 4, spread_since: 4, spread_at: NOW, ..denser };
    assert_eq!(third().changed_by(&Policy { shard_size: 8, ..capped(40) }, NOW), Some(denser), "the cap is the same");
}

#[test]
fn a_change_of_the_cap_alone_moves_no_home_and_no_change_is_none() {
    let raised = Layout { number: 4, max_instances: 41, ..third() };
    assert_eq!(third().changed_by(&capped(41), NOW), Some(raised));
    assert_eq!(third().changed_by(&capped(40), NOW), None);
}

#[test]
fn shares_are_as_even_as_can_be_and_those_out_of_use_have_none() {
    let shares = |max_instances, shards| {
        let layout = Layout { max_instances, shards, ..third() };
        (0..5).map(|number| layout.share_of(number)).collect::<Vec<_>>()
    };
    assert_eq!(shares(10, 4), [3, 3, 2, 2, 0]);
    assert_eq!(shares(12, 4), [3, 3, 3, 3, 0]);
    assert_eq!(shares(3, 4), [1, 1, 1, 0, 0]);
    assert_eq!(shares(40, 3), [14, 13, 13, 0, 0]);
    assert_eq!(shares(40, 0), [0, 0, 0, 0, 0]);
}
