//! Times at which the pool is larger: cron windows in a time zone.
//!
//! A window opens whenever its cron expression matches and stays open for its duration. Of overlapping windows the
//! largest `min_available` and the largest `max` count.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use serde::Deserialize;

use crate::time::Timestamp;

/// The longest a window may stay open, in minutes: one week.
const DURATION_MAX_MINUTES: i64 = 10_080;

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
        let timezone = self
            .timezone
            .parse()
            .map_err(|_| format!("timezone {:?} is not one of IANA's names, such as Europe/Berlin", self.timezone))?;
        if !(1..=DURATION_MAX_MINUTES).contains(&self.duration_minutes) {
            return Err(format!("duration_minutes {} is not from 1 to {DURATION_MAX_MINUTES}", self.duration_minutes));
        }
        let duration = TimeDelta::minutes(self.duration_minutes);
        Ok(Window { cron, timezone, duration, min_available: self.min_available, max: self.max })
    }
}

impl Window {
    /// Whether the window is open at `now`: the first opening after (now - duration) is not in the future.
    fn is_open(&self, now: DateTime<Utc>) -> bool {
        let from = (now - self.duration).with_timezone(&self.timezone);
        self.cron.find_next_occurrence(&from, false).is_ok_and(|opening| opening.with_timezone(&Utc) <= now)
    }
}

/// What the windows open at `now` ask for.
#[must_use]
pub fn wanted(windows: &[Window], now: Timestamp) -> Wanted {
    let Some(now) = now.date_time() else { return Wanted::default() };
    let open = || windows.iter().filter(|window| window.is_open(now));
    Wanted { min_available: open().filter_map(|w| w.min_available).max(), max: open().filter_map(|w| w.max).max() }
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
