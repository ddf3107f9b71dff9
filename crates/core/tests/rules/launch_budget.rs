//! How many calls may launch now, and what a refusal by EC2 does to that.

use pool_core::launch_budget::LaunchBudget;
use pool_core::time::Timestamp;

use crate::given::NOW;

fn bucket(calls: u64, counted_at: Timestamp, refusals: u32) -> LaunchBudget {
    LaunchBudget { calls, counted_at, refusals }
}

#[test]
fn a_new_bucket_allows_five_calls_at_once_and_never_more() {
    assert_eq!(LaunchBudget::default(), bucket(5, Timestamp(0), 0));
    for now in [Timestamp(0), Timestamp(1), NOW, Timestamp(u64::MAX)] {
        assert_eq!(LaunchBudget::default().calls(now), 5, "{now}");
    }
    assert_eq!(bucket(9, NOW, 0).calls(NOW), 5);
    assert_eq!(bucket(u64::MAX, NOW, 0).calls(NOW + 1), 5);
}

#[test]
fn two_calls_come_back_each_second() {
    for (calls, seconds, allowed) in
        [(0, 0, 0), (0, 1, 2), (0, 2, 4), (0, 3, 5), (1, 0, 1), (1, 1, 3), (1, 2, 5), (4, 1, 5), (5, 9, 5)]
    {
        assert_eq!(bucket(calls, NOW - seconds, 3).calls(NOW), allowed, "{calls} and {seconds} seconds");
    }
}

#[test]
fn until_the_pause_after_a_refusal_is_over_nothing_is_allowed() {
    assert_eq!(bucket(5, NOW + 1, 1).calls(NOW), 0);
    assert_eq!(bucket(5, NOW, 1).calls(NOW), 5);
}

#[test]
fn calls_are_taken_out_of_what_has_come_back() {
    assert_eq!(bucket(1, NOW - 1, 3).after_calls(2, NOW), bucket(1, NOW, 3));
    assert_eq!(bucket(5, NOW - 50, 3).after_calls(5, NOW), bucket(0, NOW, 3));
    assert_eq!(bucket(2, NOW, 3).after_calls(9, NOW), bucket(0, NOW, 3), "more than there were");
    assert_eq!(bucket(1, NOW - 1, 3).after_calls(0, NOW), bucket(1, NOW - 1, 3), "no call is no news");
    assert_eq!(bucket(0, NOW + 9, 3).after_calls(1, NOW), bucket(0, NOW + 9, 3), "the pause goes on");
}

#[test]
fn whoever_takes_all_it_can_gets_the_burst_once_and_then_the_refill() {
    let mut budget = LaunchBudget::default();
    let taken: Vec<u64> = (0..5)
        .map(|second| {
            let calls = budget.calls(NOW + second);
            budget = budget.after_calls(calls, NOW + second);
            calls
        })
        .collect();
    assert_eq!(taken, [5, 2, 2, 2, 2]);
}

#[test]
fn each_refusal_in_a_row_doubles_the_pause_up_to_five_minutes() {
    for (refusals, seconds) in [(0, 4), (1, 8), (2, 16), (3, 32), (5, 128), (6, 256), (7, 300), (16, 300), (99, 300)] {
        let refused = bucket(5, NOW - 9, refusals).after_refusal(0, NOW);
        assert_eq!(refused, bucket(0, NOW + seconds, refusals + 1), "{refusals} before");
    }
    assert_eq!(bucket(5, NOW, u32::MAX).after_refusal(0, NOW).refusals, u32::MAX);
}

#[test]
fn a_pause_is_longer_by_a_part_that_differs_from_pool_to_pool_and_by_half_of_it_at_most() {
    for (refusals, spread, seconds) in [
        (0, 1, 4 + 1),
        (0, 2, 4 + 2),
        (0, 3, 4),
        (0, 5, 4 + 2),
        (1, 4, 8 + 4),
        (1, 5, 8),
        (9, 150, 300 + 150),
        (9, 151, 300),
        (9, 152, 300 + 1),
    ] {
        let refused = bucket(5, NOW, refusals).after_refusal(spread, NOW);
        assert_eq!(refused.counted_at, NOW + seconds, "{spread} after {refusals} refusals");
    }
}

#[test]
fn a_call_that_ec2_took_forgets_the_refusals_and_nothing_else() {
    assert_eq!(bucket(2, NOW + 9, 4).after_success(), bucket(2, NOW + 9, 0));
}
