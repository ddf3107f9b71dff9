//! Times at which the pool is larger: cron windows in a time zone.
//!
//! A window opens whenever its cron expression matches and stays open for its duration. An opening that the clock skips, when
//! it goes forward in spring, is at the end of the gap. Of overlapping windows the largest `min_available` and the
//! largest `max` count.

use chrono::{DateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use croner::Cron;
use serde::Deserialize;

use crate::time::Timestamp;

/// The longest a window may stay open, in minutes: one week.
const DURATION_MAX_MINUTES: i64 = 10_080;

/// The most instances that a window may ask for, as `POOL_MAX`.
const INSTANCES_MAX: u64 = 10_000;

/// One window of `POOL_SCHEDULE`.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    cron: Cron,
    timezone: Tz,
    duration: TimeDelta,
    min_available: Option<u64>,
    max: Option<u64>,
}

/// What the open windows ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Free instances kept ready.
    pub min_available: Option<u64>,
    /// A cap below the pool's own.
    pub max: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    cron: String,
    timezone: String,
    duration_minutes: i64,
    min_available: Option<u64>,
    max: Option<u64>,
}

/// Reads `POOL_SCHEDULE`, a JSON list of `{"cron","timezone","duration_minutes","min_available","max"}`.
///
/// # Errors
/// One text for each thing that is wrong.
pub fn parse(json: &str) -> Result<Vec<Window>, Vec<String>> {
    let written: Vec<Written> =
        serde_json::from_str(json).map_err(|error| vec![format!("is not a list of windows: {error}")])?;
    let mut errors = Vec::new();
    let mut windows = Vec::new();
    for (number, entry) in written.into_iter().enumerate() {
        match entry.read() {
            Ok(window) => windows.push(window),
            Err(error) => errors.push(format!("window {number}: {error}")),
        }
    }
    if errors.is_empty() { Ok(windows) } else { Err(errors) }
}

impl Written {
    fn read(self) -> Result<Window, String> {
        let cron = self.cron.parse::<Cron>().map_err(|error| format!("cron {:?}: {error}", self.cron))?;
        // Looking for what never comes takes long, and is asked for in every plan.
        if cron.find_next_occurrence(&DateTime::UNIX_EPOCH, false).is_err() {
            return Err(format!("cron {:?}: there is no such day", self.cron));
        }
        let timezone = self
            .timezone
            .parse()
            .map_err(|_| format!("timezone {:?} is not one of IANA's names, such as Europe/Berlin", self.timezone))?;
        if !(1..=DURATION_MAX_MINUTES).contains(&self.duration_minutes) {
            return Err(format!("duration_minutes {} is not from 1 to {DURATION_MAX_MINUTES}", self.duration_minutes));
        }
        for (name, wish) in [("min_available", self.min_available), ("max", self.max)] {
            if let Some(wish) = wish.filter(|wish| *wish > INSTANCES_MAX) {
                return Err(format!("{name} {wish} is not from 0 to {INSTANCES_MAX}"));
            }
        }
        let duration = TimeDelta::minutes(self.duration_minutes);
        Ok(Window { cron, timezone, duration, min_available: self.min_available, max: self.max })
    }
}

impl Window {
    /// Whether the window is open at some moment of this time, both ends counted.
    fn is_open_within(&self, from: DateTime<Utc>, to: DateTime<Utc>) -> bool {
        self.opens_within(from - self.duration, to) || self.skips_an_opening_within(from - self.duration, to)
    }

    /// Whether it opens after `after` and not later than `until`, by a clock that skips nothing.
    fn opens_within(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> bool {
        let after = after.with_timezone(&self.timezone);
        self.cron.find_next_occurrence(&after, false).is_ok_and(|opening| opening.with_timezone(&Utc) <= until)
    }

    /// Whether the clock goes forward in that time, past an opening. The cron library carries only an expression with one
    /// hour and one minute past such a gap.
    fn skips_an_opening_within(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> bool {
        let ahead = |at: DateTime<Utc>| self.timezone.offset_from_utc_datetime(&at.naive_utc()).fix();
        let seconds_ahead = |at: DateTime<Utc>| ahead(at).local_minus_utc();
        let (before, since) = (seconds_ahead(after), seconds_ahead(until));
        if since <= before {
            return false;
        }
        // The moment of the change is between these two; it is found by halving.
        let (mut earlier, mut later) = (after, until);
        while later - earlier > TimeDelta::seconds(1) {
            let middle = earlier + (later - earlier) / 2;
            if seconds_ahead(middle) > before { later = middle } else { earlier = middle }
        }
        // What the clock on the wall shows, written as if it were UTC, which has no gaps.
        let [gap, end] = [before, since].map(|ahead| later + TimeDelta::seconds(ahead.into()));
        self.cron.find_next_occurrence(&gap, true).is_ok_and(|opening| opening < end)
    }
}

/// What the windows ask for that are open at `now` or will be within `ahead_seconds`, so that what is launched now serves
/// when a window opens. No cap of a window that is still to come lowers what is allowed now.
#[must_use]
pub fn wanted_ahead(windows: &[Window], now: Timestamp, ahead_seconds: u64) -> Wanted {
    let (soon, now) = (wanted_within(windows, now, now + ahead_seconds), wanted(windows, now));
    Wanted { min_available: soon.min_available, max: now.max.and(soon.max) }
}

/// What the windows open at `now` ask for.
#[must_use]
pub fn wanted(windows: &[Window], now: Timestamp) -> Wanted {
    wanted_within(windows, now, now)
}

fn wanted_within(windows: &[Window], from: Timestamp, to: Timestamp) -> Wanted {
    let (Some(from), Some(to)) = (from.date_time(), to.date_time()) else { return Wanted::default() };
    let open: Vec<&Window> = windows.iter().filter(|window| window.is_open_within(from, to)).collect();
    Wanted {
        min_available: open.iter().filter_map(|window| window.min_available).max(),
        max: open.iter().filter_map(|window| window.max).max(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let moment: DateTime<Utc> = text.parse().expect("a moment");
        Timestamp(u64::try_from(moment.timestamp()).expect("after 1970"))
    }

    #[test]
    fn windows_open_in_their_own_time_zone_and_the_largest_counts() {
        let windows = parse(
            r#"[{"cron":"0 8 * * MON-FRI","timezone":"Europe/Berlin","duration_minutes":60,"min_available":5},
                {"cron":"30 8 * * MON-FRI","timezone":"Europe/Berlin","duration_minutes":60,"min_available":9,"max":20}]"#,
        )
        .expect("valid");
        // 2026-11-23 is a Monday; Berlin is one hour ahead of UTC.
        assert_eq!(wanted(&windows, at("2026-11-23T06:59:59Z")), Wanted::default());
        assert_eq!(wanted(&windows, at("2026-11-23T07:00:00Z")).min_available, Some(5));
        assert_eq!(wanted(&windows, at("2026-11-23T07:45:00Z")), Wanted { min_available: Some(9), max: Some(20) });
        assert_eq!(wanted(&windows, at("2026-11-23T08:15:00Z")).min_available, Some(9));
        assert_eq!(wanted(&windows, at("2026-11-23T08:30:00Z")), Wanted::default());
        assert_eq!(wanted(&windows, at("2026-07-20T06:00:00Z")).min_available, Some(5), "two hours in summer");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (json, hint) in [
            ("{}", "list"),
            (r#"[{"cron":"x","timezone":"UTC","duration_minutes":1}]"#, "cron"),
            (r#"[{"cron":"* * * * *","timezone":"Mars","duration_minutes":1}]"#, "IANA"),
            (r#"[{"cron":"* * * * *","timezone":"UTC","duration_minutes":0}]"#, "duration_minutes"),
            (r#"[{"cron":"* * * * *","timezone":"UTC","duration_minutes":1,"mni":1}]"#, "mni"),
        ] {
            let errors = parse(json).expect_err(json).join(";");
            assert!(errors.contains(hint), "{errors}");
        }
    }
}
