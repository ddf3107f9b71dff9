//! The one place that reads the wall clock and the random source, and the time of the local system.
//!
//! Rule: the other modules ask here, so that what depends on time or chance is found by one search.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat, Utc};
use data_encoding::HEXLOWER;

/// The time of the whole local system: that of EC2, of the schedules and of the functions. It begins with the wall's
/// and passes `scale` times as fast.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started_ms: u64,
    scale: u32,
}

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn new(scale: u32) -> Self {
        Self { started_ms: now_ms(), scale }
    }

    /// Unix milliseconds now, by this clock.
    #[must_use]
    pub fn now_ms(self) -> u64 {
        self.started_ms + now_ms().saturating_sub(self.started_ms) * u64::from(self.scale)
    }

    /// How long a time of the system lasts on the wall.
    #[must_use]
    pub fn lasts(self, time: Duration) -> Duration {
        time / self.scale
    }

    /// The clock as functions are told of it (`pool_function::boot`).
    #[must_use]
    pub fn variable(self) -> String {
        format!("{}x{}", self.started_ms, self.scale)
    }
}

/// Unix milliseconds now, by the clock on the wall.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "`local` is the machine room: time enters the system here")]
pub fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// A point in Unix milliseconds as a date; the epoch itself when it is beyond what a date can hold.
#[must_use]
pub fn date(unix_ms: u64) -> DateTime<Utc> {
    i64::try_from(unix_ms).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default()
}

/// `2026-11-23T19:00:00Z`, as `EventBridge` writes times.
#[must_use]
pub fn iso_seconds(unix_ms: u64) -> String {
    date(unix_ms).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// `N` random bytes as hexadecimal digits.
#[must_use]
pub fn random_hex<const N: usize>() -> String {
    HEXLOWER.encode(&random_bytes::<N>())
}

/// A random number, to seed what must differ from one start to the next.
#[must_use]
pub fn random_number() -> u64 {
    u64::from_le_bytes(random_bytes())
}

/// A random identifier in the shape of a version 4 UUID, which is what AWS gives as request and event ids.
#[must_use]
pub fn request_id() -> String {
    let mut bytes = random_bytes::<16>();
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = HEXLOWER.encode(&bytes);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("every system this runs on has a random source");
    bytes
}
