//! Time as a value: whole seconds since 1970, because the table stores them so and no rule here needs finer ones.

use std::fmt;
use std::ops::{Add, Sub};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// A moment that no clock reaches, for "until further notice". It fits a signed 64-bit number of milliseconds.
    pub const NEVER: Timestamp = Timestamp(9_000_000_000);

    /// Seconds from `earlier` to `self`, 0 when `earlier` is in fact later.
    #[must_use]
    pub fn seconds_since(self, earlier: Timestamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment as UTC date and time; `None` beyond what a calendar can say.
    #[must_use]
    pub fn date_time(self) -> Option<DateTime<Utc>> {
        i64::try_from(self.0).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0))
    }
}

impl Add<u64> for Timestamp {
    type Output = Timestamp;
    fn add(self, seconds: u64) -> Timestamp {
        Timestamp(self.0.saturating_add(seconds))
    }
}

impl Sub<u64> for Timestamp {
    type Output = Timestamp;
    fn sub(self, seconds: u64) -> Timestamp {
        Timestamp(self.0.saturating_sub(seconds))
    }
}

/// RFC 3339 in UTC, as callers read it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.date_time() {
            Some(moment) => f.write_str(&moment.to_rfc3339_opts(SecondsFormat::Secs, true)),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_as_rfc_3339_and_never_wraps() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp(1_795_457_600).to_string(), "2026-11-23T18:13:20Z");
        assert_eq!(Timestamp(5) - 10, Timestamp(0));
        assert_eq!(Timestamp(5).seconds_since(Timestamp(9)), 0);
        assert_eq!(Timestamp(u64::MAX) + 1, Timestamp(u64::MAX));
    }
}
