//! Time as a value: it never wraps, and is printed as callers read it.

use pool_core::time::Timestamp;

use crate::given::NOW;

#[test]
fn seconds_are_added_taken_away_and_counted_without_wrapping() {
    assert_eq!(Timestamp(100) + 7, Timestamp(107));
    assert_eq!(Timestamp(100) - 7, Timestamp(93));
    assert_eq!(Timestamp(100).seconds_since(Timestamp(93)), 7);
    assert_eq!(Timestamp(93).seconds_since(Timestamp(100)), 0);
    assert_eq!(Timestamp(u64::MAX - 3) + 7, Timestamp(u64::MAX));
    assert_eq!(Timestamp(3) - 7, Timestamp(0));
}

#[test]
fn a_moment_is_printed_as_rfc_3339_as_far_as_a_calendar_reaches() {
    assert_eq!(NOW.to_string(), "2026-11-23T18:13:20Z");
    assert_eq!(NOW.date_time().map(|moment| moment.timestamp()), Some(1_795_457_600));
    assert_eq!(Timestamp(u64::MAX).to_string(), "18446744073709551615");
    assert_eq!(Timestamp(u64::MAX).date_time(), None);
}
