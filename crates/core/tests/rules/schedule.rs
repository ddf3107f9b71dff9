//! The windows of the schedule: when each is open, what the open ones ask for together, and what is refused.

use pool_core::schedule::{Wanted, parse, wanted};
use pool_core::time::Timestamp;

use crate::given::NOW;

fn window(cron: &str, minutes: i64, wants: &str) -> String {
    format!(r#"{{"cron":"{cron}","timezone":"UTC","duration_minutes":{minutes}{wants}}}"#)
}

fn at(windows: &[String], now: Timestamp) -> Wanted {
    wanted(&parse(&format!("[{}]", windows.join(","))).expect("valid"), now)
}

#[test]
fn a_window_is_open_from_its_first_second_and_closed_after_its_last() {
    // It opens at 18:13, twenty seconds ago, for three minutes.
    let windows = [window("13 18 * * *", 3, r#","min_available":4"#)];
    let open = Wanted { min_available: Some(4), max: None };
    let opening = NOW - 20;
    for now in [opening, NOW, opening + 179] {
        assert_eq!(at(&windows, now), open, "{now}");
    }
    for now in [opening - 1, opening + 180, opening - 3_600, opening + 3_600] {
        assert_eq!(at(&windows, now), Wanted::default(), "{now}");
    }
}

#[test]
fn of_the_open_windows_each_largest_wish_counts() {
    let windows = [
        window("0 18 * * *", 60, r#","min_available":4,"max":9"#),
        window("0 17 * * *", 120, r#","min_available":6,"max":8"#),
        window("0 16 * * *", 60, r#","min_available":99,"max":99"#),
        window("0 18 * * *", 60, ""),
    ];
    assert_eq!(at(&windows, NOW), Wanted { min_available: Some(6), max: Some(9) });
    assert_eq!(at(&windows[2..], NOW), Wanted::default());
    assert_eq!(at(&windows, Timestamp(u64::MAX)), Wanted::default(), "no calendar reaches so far");
}

#[test]
fn a_window_is_open_for_a_minute_at_least_and_a_week_at_most() {
    for minutes in [1, 10_080] {
        let windows = parse(&format!("[{}]", window("* * * * *", minutes, ""))).expect("valid");
        assert_eq!(windows.len(), 1);
    }
    for minutes in [-1, 0, 10_081] {
        let errors = parse(&format!("[{}]", window("* * * * *", minutes, ""))).expect_err("out of its limits");
        assert_eq!(errors, [format!("window 0: duration_minutes {minutes} is not from 1 to 10080")]);
    }
}

#[test]
fn every_wrong_window_is_named() {
    let right = window("0 18 * * *", 60, "");
    let mars = right.replace("UTC", "Mars");
    let errors = parse(&format!("[{mars},{right},{mars}]")).expect_err("two are wrong");
    let why = "timezone \"Mars\" is not one of IANA's names, such as Europe/Berlin";
    assert_eq!(errors, [format!("window 0: {why}"), format!("window 2: {why}")]);
    let errors = parse(&format!("[{}]", window("at noon", 60, ""))).expect_err("no cron expression");
    assert!(errors.len() == 1 && errors[0].starts_with("window 0: cron \"at noon\": "), "{errors:?}");
    let errors = parse("nothing").expect_err("no JSON");
    assert!(errors.len() == 1 && errors[0].starts_with("is not a list of windows: "), "{errors:?}");
}
