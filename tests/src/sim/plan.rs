//! What one run is like: its pool, its length, and how often each thing goes wrong.

use crate::random::Random;
use crate::sim::planted::Planted;

/// How often each fault happens, of a thousand chances. A chance is a request on the network, an event, a run of a
/// schedule, or a second of EC2's life, as the field says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Of requests: never arrives; the client gets an error after a while.
    pub lost_request: u64,
    /// Of requests: takes effect, its answer is lost.
    pub lost_response: u64,
    /// Of requests: the client is told that it failed, and it takes effect later.
    pub late_effect: u64,
    /// Of requests: never answered at all, so that only a time-out ends the wait.
    pub silent: u64,
    /// Of requests: takes seconds instead of milliseconds, so that others overtake it.
    pub slow: u64,
    /// Of requests: answered that there are too many.
    pub throttled: u64,
    /// Of requests: answered with an internal error, half of them after the effect.
    pub internal_error: u64,
    /// Of requests: the function dies before it is sent or after it took effect.
    pub crash: u64,
    /// Of invocations behind the API: the answer never reaches the caller.
    pub lost_answer: u64,
    /// Of events and asynchronous invocations: never delivered.
    pub lost_event: u64,
    /// Of events and asynchronous invocations: delivered twice.
    pub doubled_event: u64,
    /// Of events: delivered minutes late.
    pub late_event: u64,
    /// Of EC2's seconds: an instance is taken away, with or without notice, or by hand.
    pub taken: u64,
    /// Of EC2's seconds: offerings run out of capacity, fleets come in part, or that ends.
    pub capacity: u64,
    /// Of launches: the node never gets ready.
    pub never_boots: u64,
    /// Of a node's heartbeats: it falls silent for good.
    pub falls_silent: u64,
    /// Of a node's heartbeats: it says from now on that it is not healthy.
    pub falls_ill: u64,
    /// Of a node's heartbeats: it starts again with a new key.
    pub restarts: u64,
    /// Of EC2's seconds: somebody starts an instance with the pool's tag by hand.
    pub by_hand: u64,
    /// Of minutes: the table throttles everything for minutes.
    pub throttled_minutes: u64,
    /// Of a run's ten minutes: another cap is deployed, while old processes live on.
    pub deployed: u64,
    /// Of a run's minutes, but for the last: the launch template gets a newer version.
    pub new_version: u64,
    /// Of EC2's seconds: the operator orders something.
    pub ordered: u64,
}

impl Rates {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        lost_request: 0,
        lost_response: 0,
        late_effect: 0,
        silent: 0,
        slow: 0,
        throttled: 0,
        internal_error: 0,
        crash: 0,
        lost_answer: 0,
        lost_event: 0,
        doubled_event: 0,
        late_event: 0,
        taken: 0,
        capacity: 0,
        never_boots: 0,
        falls_silent: 0,
        falls_ill: 0,
        restarts: 0,
        by_hand: 0,
        throttled_minutes: 0,
        deployed: 0,
        new_version: 0,
        ordered: 0,
    };

    /// Everything goes wrong, all the time.
    pub const ALL: Self = Self {
        lost_request: 15,
        lost_response: 25,
        late_effect: 15,
        silent: 3,
        slow: 20,
        throttled: 15,
        internal_error: 15,
        crash: 25,
        lost_answer: 30,
        lost_event: 100,
        doubled_event: 150,
        late_event: 100,
        taken: 12,
        capacity: 10,
        never_boots: 60,
        falls_silent: 4,
        falls_ill: 3,
        restarts: 4,
        by_hand: 2,
        throttled_minutes: 20,
        deployed: 250,
        new_version: 100,
        ordered: 8,
    };

    /// Each kind of fault by its name, so that a failing run can be tried without it.
    #[must_use]
    pub fn kinds() -> [(&'static str, Rate); 23] {
        [
            ("lost_request", |rates| &mut rates.lost_request),
            ("lost_response", |rates| &mut rates.lost_response),
            ("late_effect", |rates| &mut rates.late_effect),
            ("silent", |rates| &mut rates.silent),
            ("slow", |rates| &mut rates.slow),
            ("throttled", |rates| &mut rates.throttled),
            ("internal_error", |rates| &mut rates.internal_error),
            ("crash", |rates| &mut rates.crash),
            ("lost_answer", |rates| &mut rates.lost_answer),
            ("lost_event", |rates| &mut rates.lost_event),
            ("doubled_event", |rates| &mut rates.doubled_event),
            ("late_event", |rates| &mut rates.late_event),
            ("taken", |rates| &mut rates.taken),
            ("capacity", |rates| &mut rates.capacity),
            ("never_boots", |rates| &mut rates.never_boots),
            ("falls_silent", |rates| &mut rates.falls_silent),
            ("falls_ill", |rates| &mut rates.falls_ill),
            ("restarts", |rates| &mut rates.restarts),
            ("by_hand", |rates| &mut rates.by_hand),
            ("throttled_minutes", |rates| &mut rates.throttled_minutes),
            ("deployed", |rates| &mut rates.deployed),
            ("new_version", |rates| &mut rates.new_version),
            ("ordered", |rates| &mut rates.ordered),
        ]
    }
}

/// The field of one kind of fault.
pub type Rate = fn(&mut Rates) -> &mut u64;

/// Ordinary test runs try so many seeds in each of their lanes.
pub const RUNS: u64 = 12;

/// The seeds of one lane.
pub fn lane(lane: u64) -> impl Iterator<Item = u64> {
    lane * 1_000..lane * 1_000 + RUNS
}

/// The seeds of every ordinary test run.
pub fn ordinary_seeds() -> impl Iterator<Item = u64> {
    (0..4).flat_map(lane)
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// All that is random comes from it.
    pub seed: u64,
    /// How often things go wrong.
    pub rates: Rates,
    /// Callers at work.
    pub callers: u64,
    /// Virtual minutes with faults.
    pub minutes: u64,
    /// Neither table nor EC2 answers for two hours in the middle, and then everybody is back at once.
    pub outage: bool,
    /// The caps that are deployed, one after the other; the first at the start.
    pub caps: Vec<u64>,
    /// `POOL_*` variables beside the cap.
    pub variables: Vec<(String, String)>,
    /// A bug that is planted on purpose.
    pub planted: Option<&'static Planted>,
}

impl Plan {
    /// The run of a seed: everything goes wrong, in a small pool whose policy the seed chooses.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0x706c_616e);
        let caps = (0..4).map(|_| random.pick(&[2, 3, 4, 6, 9])).collect();
        let mut variables: Vec<(String, String)> =
            FIXED.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut choose =
            |name: &str, choices: &[&str]| variables.push((name.to_owned(), random.pick(choices).to_owned()));
        choose("POOL_SHARD_SIZE", &["1", "2", "3", "16"]);
        choose("POOL_MIN_AVAILABLE", &["0", "1", "2"]);
        choose("POOL_MIN", &["0", "0", "1"]);
        choose("POOL_AFTER_RELEASE", &["reuse", "reuse", "reset", "recycle"]);
        choose("POOL_SPOT_PERCENT", &["100", "50", "0"]);
        choose("POOL_QUEUE_MAX", &["2", "8"]);
        choose("POOL_STOPPED_SIZE", &["0", "0", "1"]);
        choose("POOL_MAX_LEASES_PER_INSTANCE", &["0", "0", "3"]);
        Self {
            seed,
            rates: Rates::ALL,
            callers: 4 + random.number() % 6,
            minutes: 20,
            outage: random.number().is_multiple_of(16),
            caps,
            variables,
            planted: None,
        }
    }

    /// The same without any fault.
    #[must_use]
    pub fn calm(seed: u64) -> Self {
        Self { rates: Rates::NONE, outage: false, ..Self::of(seed) }
    }
}

/// Short times, so that much happens in a run and five quiet minutes are enough to settle everything.
const FIXED: [(&str, &str); 12] = [
    ("POOL_LEASE_TTL_SECONDS", "30"),
    ("POOL_LEASE_TTL_MAX_SECONDS", "90"),
    ("POOL_WAIT_MAX_SECONDS", "60"),
    ("POOL_CLAIM_SECONDS", "10"),
    ("POOL_REMOVAL_BUDGET_PERCENT", "100"),
    ("POOL_RECONCILE_GRACE_SECONDS", "30"),
    ("POOL_OFFERING_COOLDOWN_SECONDS", "15"),
    ("POOL_IDLE_THRESHOLD_MINUTES", "1"),
    ("POOL_BOOT_DEADLINE_SECONDS", "60"),
    ("POOL_HEARTBEAT_SECONDS", "10"),
    ("POOL_SCALE_OUT_COOLDOWN_SECONDS", "10"),
    ("POOL_SCALE_IN_COOLDOWN_SECONDS", "30"),
];
