//! The time of a stage: one number that the functions and the simulated EC2 share, and that only the test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use pool_core::time::Timestamp;

/// When every test begins: the moment that the files in `events/` tell, 2026-11-23T12:00:00Z.
const START_SECONDS: u64 = 1_795_435_200;

/// A clock that stands still until it is moved.
#[derive(Debug, Clone)]
pub struct Clock(Arc<AtomicU64>);

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(START_SECONDS)))
    }
}

impl Clock {
    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    /// The same in Unix milliseconds, as EC2 counts.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now().0 * 1_000
    }

    /// Moves it on.
    pub fn pass(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}
