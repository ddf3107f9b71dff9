//! What a window does when the clocks of its time zone change: no opening is lost, and it lasts as long as it says.
//!
//! An expression with one hour and one minute opens once for each day: croner carries it past a gap, and takes the first
//! of two equal times. Any other expression it takes for an interval, which repeats with the clock; what that loses in a
//! gap is at the gap's end.

use chrono::{DateTime, Utc};
use pool_core::schedule::{Window, parse, wanted};
use pool_core::time::Timestamp;

fn at(moment: &str) -> Timestamp {
    let moment: DateTime<Utc> = moment.parse().expect("a moment");
    Timestamp(u64::try_from(moment.timestamp()).expect("after 1970"))
}

fn window(cron: &str, timezone: &str, minutes: u64) -> Vec<Window> {
    let window =
        format!(r#"[{{"cron":"{cron}","timezone":"{timezone}","duration_minutes":{minutes},"min_available":1}}]"#);
    parse(&window).expect("valid")
}

/// Minutes between two looks.
const STEP: u64 = 5;

/// When a window opens in so many days, and for how many minutes, from the midnight (UTC) that begins `day` on.
fn openings(windows: &[Window], day: &str, days: u64) -> Vec<(String, u64)> {
    let begin = at(&format!("{day}T00:00:00Z"));
    let is_open = |now: Timestamp| wanted(windows, now).min_available.is_some();
    let mut openings: Vec<(String, u64)> = Vec::new();
    let mut was_open = is_open(begin - STEP * 60);
    for look in 0..days * 1_440 / STEP {
        let now = begin + look * STEP * 60;
        let open = is_open(now);
        if open && !was_open {
            openings.push((now.to_string(), 0));
        }
        if let (true, Some((_, minutes))) = (open, openings.last_mut()) {
            *minutes += STEP;
        }
        was_open = open;
    }
    openings
}

#[track_caller]
fn opens<const N: usize>(windows: &[Window], day: &str, days: u64, expected: [(&str, u64); N]) {
    let expected = expected.map(|(moment, minutes)| (format!("{moment}:00Z"), minutes));
    assert_eq!(openings(windows, day, days), expected);
}

/// On 2026-03-29 the clocks of Berlin go from 02:00 to 03:00, so that there is no 02:30.
#[test]
fn a_window_at_a_moment_that_does_not_exist_opens_at_the_first_one_that_does() {
    let berlin = window("30 2 * * *", "Europe/Berlin", 20);
    let expected = [("2026-03-28T01:30", 20), ("2026-03-29T01:00", 20), ("2026-03-30T00:30", 20)];
    opens(&berlin, "2026-03-28", 3, expected);
    let new_york = window("30 2 * * *", "America/New_York", 20);
    let expected = [("2026-03-07T07:30", 20), ("2026-03-08T07:00", 20), ("2026-03-09T06:30", 20)];
    opens(&new_york, "2026-03-07", 3, expected);
    let by_half_an_hour = window("15 2 * * *", "Australia/Lord_Howe", 20);
    let expected = [("2026-10-02T15:45", 20), ("2026-10-03T15:30", 20), ("2026-10-04T15:15", 20)];
    opens(&by_half_an_hour, "2026-10-02", 3, expected);
}

/// On 2026-10-25 the clocks of Berlin go from 03:00 back to 02:00, so that there are two 02:30.
#[test]
fn a_window_at_a_moment_that_comes_twice_opens_at_the_first_one_only() {
    let berlin = window("30 2 * * *", "Europe/Berlin", 20);
    let expected = [("2026-10-24T00:30", 20), ("2026-10-25T00:30", 20), ("2026-10-26T01:30", 20)];
    opens(&berlin, "2026-10-24", 3, expected);
    let new_york = window("30 1 * * *", "America/New_York", 20);
    let expected = [("2026-10-31T05:30", 20), ("2026-11-01T05:30", 20), ("2026-11-02T06:30", 20)];
    opens(&new_york, "2026-10-31", 3, expected);
}

#[test]
fn a_window_opens_and_closes_to_the_second_on_such_a_day() {
    let is_open = |windows: &[Window], moment: &str| wanted(windows, at(moment)).min_available.is_some();
    let berlin = window("30 2 * * *", "Europe/Berlin", 20);
    for (moment, open) in [
        ("2026-03-29T00:59:59Z", false),
        ("2026-03-29T01:00:00Z", true),
        ("2026-03-29T01:19:59Z", true),
        ("2026-03-29T01:20:00Z", false),
        ("2026-10-25T00:29:59Z", false),
        ("2026-10-25T00:30:00Z", true),
        ("2026-10-25T00:49:59Z", true),
        ("2026-10-25T00:50:00Z", false),
        ("2026-10-25T01:30:00Z", false),
    ] {
        assert_eq!(is_open(&berlin, moment), open, "{moment}");
    }
}

#[test]
fn a_window_lasts_as_long_as_it_says_though_the_clock_jumps_meanwhile() {
    let berlin = window("0 1 * * *", "Europe/Berlin", 180);
    let expected = [("2026-03-28T00:00", 180), ("2026-03-29T00:00", 180), ("2026-03-29T23:00", 60)];
    opens(&berlin, "2026-03-28", 2, expected);
    opens(&berlin, "2026-10-24", 2, [("2026-10-24T23:00", 180)]);
    // It opens in the hour that is repeated and is still open when the same time comes again.
    let long = window("30 2 * * *", "Europe/Berlin", 90);
    opens(&long, "2026-10-25", 1, [("2026-10-25T00:30", 90)]);
}

#[test]
fn a_window_of_every_hour_opens_in_every_hour_that_passes() {
    let hourly = window("30 * * * *", "Europe/Berlin", 10);
    for day in ["2026-03-29", "2026-10-25"] {
        let mut each: Vec<_> = (0..24).map(|hour| (format!("{day}T{hour:02}:30:00Z"), 10)).collect();
        if day == "2026-03-29" {
            // The clock skips 02:30 and shows 03:00 next.
            each.insert(1, ("2026-03-29T01:00:00Z".to_owned(), 10));
        }
        assert_eq!(openings(&hourly, day, 1), each);
    }
}

#[test]
fn no_opening_of_several_in_a_day_is_lost_in_spring() {
    let twice = window("30 2,14 * * *", "Europe/Berlin", 20);
    let expected =
        [("2026-03-28T01:30", 20), ("2026-03-28T13:30", 20), ("2026-03-29T01:00", 20), ("2026-03-29T12:30", 20)];
    opens(&twice, "2026-03-28", 2, expected);
    opens(&window("0,30 2 * * *", "Europe/Berlin", 40), "2026-03-29", 1, [("2026-03-29T01:00", 40)]);
    opens(
        &window("30 14,15 * * *", "Europe/Berlin", 20),
        "2026-03-29",
        1,
        [("2026-03-29T12:30", 20), ("2026-03-29T13:30", 20)],
    );
    // It is looked for in the whole time that a window may be open.
    let week = window("0,30 2 29 3 *", "Europe/Berlin", 10_080);
    opens(&week, "2026-03-28", 9, [("2026-03-29T01:00", 10_080)]);
    let every_other_hour = window("0 */2 * * *", "Europe/Berlin", 120);
    for day in ["2026-03-29", "2026-10-25"] {
        opens(&every_other_hour, day, 1, []);
        assert!(
            wanted(&every_other_hour, at(&format!("{day}T01:30:00Z"))).min_available.is_some(),
            "it is always open"
        );
    }
}

#[test]
fn a_window_that_opens_every_minute_is_always_open() {
    for timezone in ["Europe/Berlin", "America/New_York"] {
        let always = window("* * * * *", timezone, 1);
        for day in ["2026-03-08", "2026-03-29", "2026-10-25", "2026-11-01"] {
            let begin = at(&format!("{day}T00:00:00Z"));
            for look in 0..900 {
                // Thirty-one and sixty have no common divisor, so every second of a minute is looked at.
                let now = begin + look * 31;
                assert!(wanted(&always, now).min_available.is_some(), "{timezone} at {now}");
            }
        }
    }
}

/// In Cairo the clocks go from 00:00 to 01:00 on 2026-04-24, a Friday.
#[test]
fn a_window_at_a_midnight_that_does_not_exist_opens_on_its_own_day() {
    let fridays = window("0 0 * * FRI", "Africa/Cairo", 30);
    opens(&fridays, "2026-04-23", 2, [("2026-04-23T22:00", 30)]);
    opens(&fridays, "2026-04-30", 1, [("2026-04-30T21:00", 30)]);
    let thursdays = window("30 23 * * THU", "Africa/Cairo", 60);
    opens(&thursdays, "2026-04-23", 1, [("2026-04-23T21:30", 60)]);
}

#[test]
fn working_hours_keep_their_local_time_on_both_sides_of_a_change() {
    let berlin = window("0 8 * * MON-FRI", "Europe/Berlin", 60);
    opens(&berlin, "2026-03-27", 4, [("2026-03-27T07:00", 60), ("2026-03-30T06:00", 60)]);
    opens(&berlin, "2026-10-23", 4, [("2026-10-23T06:00", 60), ("2026-10-26T07:00", 60)]);
}
