//! What happened in a run: counts, a hash of every line, and the last lines themselves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;

/// Lines kept for a failure.
const LINES_MAX: usize = 400;

/// The record of a run.
#[derive(Debug, Default)]
pub struct Trace {
    /// Awaits resumed, events delivered, engine requests answered.
    pub steps: u64,
    /// Requests that reached an engine.
    pub requests: u64,
    /// Faults, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// What each function asks of the engines: its name or route, and the operation as IAM calls it.
    pub asked: BTreeSet<(String, String)>,
    hash: u64,
    lines: VecDeque<String>,
}

impl Trace {
    /// Adds a line at this time.
    pub fn line(&mut self, at_ms: u64, text: &str) {
        for byte in text.bytes().chain(at_ms.to_le_bytes()) {
            // FNV-1a: the same on every machine.
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>9.3} {text}", std::time::Duration::from_millis(at_ms).as_secs_f64()));
    }

    /// Counts a fault.
    pub fn fault(&mut self, kind: &'static str) {
        *self.faults.entry(kind).or_default() += 1;
    }

    /// A number that two runs share only if they had the same lines at the same times.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The last lines, the oldest first.
    #[must_use]
    pub fn tail(&self) -> String {
        let mut text = String::new();
        for line in &self.lines {
            let _ = writeln!(text, "{line}");
        }
        text
    }
}
