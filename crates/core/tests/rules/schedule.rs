//! The windows of the schedule: when each is open, what the open ones ask for together, and what is refused.

use pool_core::schedule::{Wanted, parse, wanted, wanted_ahead};
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

/// What the windows ask for when what is launched now serves in a minute.
fn ahead(windows: &[String], now: Timestamp) -> Wanted {
    wanted_ahead(&parse(&format!("[{}]", windows.join(","))).expect("valid"), now, 60)
}

#[test]
fn a_window_that_opens_when_a_launch_serves_counts_already() {
    // It opens at 18:14, in forty seconds.
    let windows = [window("14 18 * * *", 3, r#","min_available":4"#)];
    let (opening, open) = (NOW + 40, Wanted { min_available: Some(4), max: None });
    for now in [opening - 60, opening, opening + 119, opening + 179] {
        assert_eq!(ahead(&windows, now), open, "{now}");
    }
    for now in [opening - 61, opening + 180] {
        assert_eq!(ahead(&windows, now), Wanted::default(), "{now}");
    }
}

#[test]
fn of_the_windows_that_are_open_and_that_will_be_the_larger_wish_counts() {
    let wish = |now, soon| {
        let open = window("13 18 * * *", 1, &format!(r#","min_available":{now}"#));
        let opens = window("14 18 * * *", 1, &format!(r#","min_available":{soon}"#));
        ahead(&[open, opens], NOW).min_available
    };
    assert_eq!((wish(4, 6), wish(6, 4)), (Some(6), Some(6)));
}

#[test]
fn a_cap_to_come_may_raise_the_one_in_force_and_never_lowers_what_is_allowed_now() {
    let open = |max| window("13 18 * * *", 1, &format!(r#","max":{max}"#));
    let opens = |max| window("14 18 * * *", 1, &format!(r#","max":{max}"#));
    assert_eq!(ahead(&[opens(5)], NOW).max, None, "none is in force");
    assert_eq!(ahead(&[open(5)], NOW).max, Some(5));
    assert_eq!(ahead(&[open(5), opens(9)], NOW).max, Some(9));
    assert_eq!(ahead(&[open(9), opens(5)], NOW).max, Some(9));
}

#[test]
fn a_window_that_opens_again_before_it_closes_stays_open() {
    let windows = [window("*/10 18 * * *", 15, r#","min_available":4"#)];
    let six = Timestamp(NOW.0 - 800);
    for minute in 0..65 {
        assert_eq!(at(&windows, six + minute * 60).min_available, Some(4), "minute {minute}");
    }
    for outside in [six - 1, six + 65 * 60] {
        assert_eq!(at(&windows, outside), Wanted::default(), "{outside}");
    }
}

#[test]
fn a_window_of_a_week_is_open_to_its_last_second() {
    // Monday at 18:13, and NOW is a Monday.
    let windows = [window("13 18 23 11 *", 10_080, r#","min_available":4"#)];
    let opening = NOW - 20;
    let open = |now| at(&windows, now).min_available.is_some();
    assert!(open(opening) && open(opening + 604_799) && !open(opening - 1) && !open(opening + 604_800));
}

#[test]
fn a_window_that_opens_and_closes_while_an_instance_boots_is_prepared_for_all_the_same() {
    // It opens at 18:20, four hundred seconds from now, for a minute.
    let short = parse(&format!("[{}]", window("20 18 * * *", 1, r#","min_available":4,"max":6"#))).expect("valid");
    let wanted = |now, ahead| wanted_ahead(&short, now, ahead).min_available;
    assert_eq!([399, 400, 459, 460, 900].map(|ahead| wanted(NOW, ahead).is_some()), [false, true, true, true, true]);
    assert_eq!([459, 460].map(|later| wanted(NOW + later, 900).is_some()), [true, false], "until it closes");
    assert_eq!(wanted_ahead(&short, NOW, 900).max, None, "a cap of a window to come lowers nothing");
    assert_eq!(wanted_ahead(&short, NOW + 400, 900).max, Some(6));
}

#[test]
fn a_window_that_never_opens_is_refused() {
    for cron in ["0 0 31 2 *", "0 0 30 2 *"] {
        let errors = parse(&format!("[{}]", window(cron, 5, ""))).expect_err("there is no such day");
        assert_eq!(errors, [format!("window 0: cron {cron:?}: there is no such day")]);
    }
    assert!(parse(&format!("[{}]", window("0 0 29 2 *", 5, ""))).is_ok(), "every fourth year it opens");
}

#[test]
fn a_window_asks_for_no_more_than_a_pool_may_have() {
    for name in ["min_available", "max"] {
        let of = |wish: u64| parse(&format!("[{}]", window("0 18 * * *", 5, &format!(r#","{name}":{wish}"#))));
        assert!(of(10_000).is_ok());
        for wish in [10_001, u64::MAX] {
            let errors = of(wish).expect_err("too many");
            assert_eq!(errors, [format!("window 0: {name} {wish} is not from 0 to 10000")]);
        }
    }
}
