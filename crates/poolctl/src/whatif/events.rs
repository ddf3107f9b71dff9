//! What is still to happen, in the order of its time; of two things at one moment, what was foreseen first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use pool_core::time::Timestamp;

/// Something that happens at its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// A caller gives its lease back.
    LeaseEnds { caller: usize },
    /// A caller waits no longer.
    WaitEnds { caller: usize },
    /// A node says that it serves; `boot` tells which of its starts.
    Ready { machine: usize, boot: u64 },
    /// A node has cleaned up after the lease of this epoch.
    Cleaned { machine: usize, epoch: u64 },
    /// It reaches the age at which it is replaced.
    Aged { machine: usize },
    /// EC2 says that it is stopped.
    Stopped { machine: usize },
    /// EC2 says that it is terminated.
    Terminated { machine: usize },
    /// EC2 warns that it takes a Spot instance back.
    SpotWarning { machine: usize },
    /// EC2 takes it.
    SpotTaken { machine: usize },
    /// Somebody waits, so `scale` looks at once.
    Wake,
    /// The schedules run.
    Tick,
}

/// The events to come.
#[derive(Debug, Default)]
pub(super) struct Events {
    heap: BinaryHeap<Reverse<(Timestamp, u64, Event)>>,
    foreseen: u64,
}

impl Events {
    pub(super) fn at(&mut self, at: Timestamp, event: Event) {
        self.foreseen += 1;
        self.heap.push(Reverse((at, self.foreseen, event)));
    }

    /// The next event that is not after `until`.
    pub(super) fn next(&mut self, until: Timestamp) -> Option<(Timestamp, Event)> {
        let Reverse((at, _, event)) = *self.heap.peek()?;
        if at > until {
            return None;
        }
        self.heap.pop();
        Some((at, event))
    }
}
