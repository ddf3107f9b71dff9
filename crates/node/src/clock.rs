//! The time. The only place of the node that reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

use pool_core::time::Timestamp;

/// The system's time, for signatures.
#[expect(clippy::disallowed_methods, reason = "this is the clock that is passed on as a value")]
#[must_use]
pub fn system_time() -> SystemTime {
    SystemTime::now()
}

/// Milliseconds since 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let elapsed = system_time().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(now_ms() / 1_000)
}
