//! The scenarios, each tried whole.

use pool_core::policy::AfterRelease::{Recycle, Reset, Reuse};

use super::scenario::{Limits, Scenario};

/// From an intent to `gone`: launches that bring something, nothing, or something that is found only later; boot, one
/// lease, termination. An instance that came late is judged as an orphan.
#[must_use]
pub fn launch() -> Scenario {
    Scenario {
        layouts: vec![(1, 2)],
        callers: vec![0],
        after_release: vec![Reuse],
        limits: Limits {
            launches: 2,
            leases: 1,
            removals: 1,
            judgements: 1,
            losses: 1,
            delays: 1,
            ..Limits::default()
        },
        ..Scenario::default()
    }
}

/// One instance, two callers who wait for it, and each way in which a lease and a wait end.
#[must_use]
pub fn leases() -> Scenario {
    Scenario {
        layouts: vec![(1, 2)],
        free: vec![0],
        callers: vec![0, 0],
        after_release: vec![Reuse],
        limits: Limits { leases: 3, waits: 2, renewals: 1, delays: 2, ..Limits::default() },
        ..Scenario::default()
    }
}

/// One instance that is cleaned or replaced between two leases, leaves after one, or is taken away by EC2 during one.
#[must_use]
pub fn between_leases() -> Scenario {
    Scenario {
        layouts: vec![(1, 2)],
        free: vec![0],
        callers: vec![0, 0],
        after_release: vec![Reuse, Reset, Recycle],
        limits: Limits { leases: 3, waits: 1, removals: 1, losses: 1, delays: 1, ..Limits::default() },
        ..Scenario::default()
    }
}

/// Two instances and two callers who wait: an instance that was handed over leaves before its holder saw it.
#[must_use]
pub fn replaced() -> Scenario {
    Scenario {
        layouts: vec![(4, 2)],
        free: vec![0, 0],
        callers: vec![0, 0, 0],
        after_release: vec![Reuse],
        limits: Limits { leases: 4, waits: 2, removals: 1, ..Limits::default() },
        ..Scenario::default()
    }
}

/// The stopped tier: an instance is stopped, started and stopped again, while a call or a write of the first time comes
/// late, or it leaves.
#[must_use]
pub fn stopped() -> Scenario {
    Scenario {
        layouts: vec![(1, 2)],
        free: vec![0],
        callers: vec![0],
        after_release: vec![Reuse],
        limits: Limits {
            leases: 2,
            stops: 2,
            starts: 2,
            removals: 1,
            losses: 1,
            ages: 2,
            delays: 2,
            ..Limits::default()
        },
        ..Scenario::default()
    }
}

/// An instance that is moved back and forth, leased on either side, its moves settled by anybody, its tombstones
/// forgotten when they are old.
#[must_use]
pub fn moves() -> Scenario {
    Scenario {
        layouts: vec![(2, 2)],
        free: vec![0],
        callers: vec![0, 1],
        after_release: vec![Reuse],
        limits: Limits { leases: 2, moves: 3, ages: 1, delays: 1, ..Limits::default() },
        ..Scenario::default()
    }
}

/// An instance that is moved to a caller who waits, and leaves, or is taken away by EC2, meanwhile.
#[must_use]
pub fn moved_to_a_waiter() -> Scenario {
    Scenario {
        layouts: vec![(2, 2)],
        free: vec![0],
        callers: vec![0, 1],
        after_release: vec![Reuse],
        limits: Limits {
            leases: 2,
            waits: 1,
            moves: 1,
            removals: 1,
            losses: 1,
            ages: 1,
            delays: 1,
            ..Limits::default()
        },
        ..Scenario::default()
    }
}

/// A launch whose instance is moved away, while writes of the launch are still on their way.
#[must_use]
pub fn launched_and_moved() -> Scenario {
    Scenario {
        layouts: vec![(4, 2)],
        callers: vec![1],
        after_release: vec![Reuse],
        limits: Limits { launches: 2, leases: 1, moves: 1, delays: 1, ..Limits::default() },
        ..Scenario::default()
    }
}

/// The same, and a run that judges the instance meanwhile.
#[must_use]
pub fn launched_moved_and_judged() -> Scenario {
    Scenario {
        layouts: vec![(2, 2)],
        limits: Limits { judgements: 1, ..launched_and_moved().limits },
        ..launched_and_moved()
    }
}

/// An orphan in a shard that gets room only by a change of the cap, and two runs that judge it: one may doom it and the
/// other may take it in.
#[must_use]
pub fn orphan() -> Scenario {
    Scenario {
        layouts: vec![(1, 2), (2, 2)],
        orphans: vec![1],
        callers: vec![1],
        after_release: vec![Reuse],
        limits: Limits {
            leases: 1,
            moves: 1,
            judgements: 2,
            layouts: 1,
            removals: 1,
            ages: 1,
            delays: 1,
            ..Limits::default()
        },
        ..Scenario::default()
    }
}

/// A run that judges an instance while it is moved between the shards that are read.
#[must_use]
pub fn judged_while_moved() -> Scenario {
    Scenario {
        layouts: vec![(3, 2)],
        free: vec![0],
        callers: vec![0, 1],
        after_release: vec![Reuse],
        limits: Limits { leases: 1, moves: 2, judgements: 2, delays: 1, ..Limits::default() },
        ..Scenario::default()
    }
}

/// The cap is cut and raised while an instance is launched and another leaves.
#[must_use]
pub fn cap() -> Scenario {
    Scenario {
        layouts: vec![(2, 2), (1, 2), (3, 2)],
        free: vec![1],
        after_release: vec![Reuse],
        limits: Limits { launches: 1, moves: 1, removals: 1, layouts: 2, delays: 1, ..Limits::default() },
        ..Scenario::default()
    }
}

/// The cap is cut while an instance is moved and leaves.
#[must_use]
pub fn cap_and_move() -> Scenario {
    Scenario {
        layouts: vec![(2, 2), (1, 2)],
        free: vec![1],
        after_release: vec![Reuse],
        limits: Limits { moves: 1, removals: 1, losses: 1, layouts: 1, ages: 1, delays: 1, ..Limits::default() },
        ..Scenario::default()
    }
}

/// A shard is given up and used again, so that its share of the cap goes to the other and comes back; two of the changes
/// come late.
#[must_use]
pub fn shares() -> Scenario {
    Scenario {
        layouts: vec![(2, 2), (2, 1), (2, 2)],
        free: vec![1],
        after_release: vec![Reuse],
        limits: Limits { launches: 1, layouts: 2, delays: 2, ..Limits::default() },
        ..Scenario::default()
    }
}
