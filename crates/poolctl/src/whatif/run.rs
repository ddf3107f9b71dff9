//! The clock: events and arrivals in their order, the schedules every minute, and the report at the end.

use std::panic::resume_unwind;
use std::thread::ScopedJoinHandle;

use pool_core::time::Timestamp;

use super::baseline::Tracking;
use super::events::Event;
use super::policy_file::{Kind, Scenario};
use super::report::Report;
use super::trace::Trace;
use super::world::World;

/// The schedules run so often, in seconds.
const TICK_SECONDS: u64 = 60;
/// While somebody waits, `scale` is woken again after so many seconds by the waiters' polls.
const WAKE_AGAIN_SECONDS: u64 = 12;
/// The pool is there for so long before the first caller comes, in seconds; this time is neither billed nor reported.
const WARM_UP_SECONDS: u64 = 1_200;

/// Runs one scenario through a trace that begins at `start`.
#[must_use]
pub fn simulate(trace: &Trace, scenario: &Scenario, start: Timestamp, seed: u64) -> Report {
    let (begin, until) = (start - WARM_UP_SECONDS, start + trace.seconds);
    let mut world = World::new(scenario, seed, [begin, start, until]);
    let mut tracking = Tracking::default();
    world.events.at(begin, Event::Tick);
    for arrival in &trace.arrivals {
        let at = start + arrival.at_seconds;
        world.run_until(at, &scenario.kind, &mut tracking);
        world.now = at;
        world.arrives(*arrival);
    }
    // Those who still wait at the end are heard out.
    world.run_until(until + scenario.wait_seconds, &scenario.kind, &mut tracking);
    world.bill_all();
    world.tally.count_leased(until);
    Report::of(scenario, trace, world.tally)
}

/// Runs several scenarios through the same trace, side by side.
#[must_use]
pub fn compare(trace: &Trace, scenarios: &[Scenario], start: Timestamp, seed: u64) -> Vec<Report> {
    let run = |scenario| move || simulate(trace, scenario, start, seed);
    std::thread::scope(|scope| {
        let running: Vec<_> = scenarios.iter().map(|scenario| scope.spawn(run(scenario))).collect();
        let report = |thread: ScopedJoinHandle<'_, Report>| thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        running.into_iter().map(report).collect()
    })
}

impl World<'_> {
    fn run_until(&mut self, until: Timestamp, kind: &Kind, tracking: &mut Tracking) {
        while let Some((at, event)) = self.events.next(until) {
            self.now = at;
            match event {
                Event::LeaseEnds { caller } => self.lease_ends(caller),
                Event::WaitEnds { caller } => self.wait_ends(caller),
                Event::Ready { machine, boot } => self.ready(machine, boot),
                Event::Cleaned { machine, epoch } => self.cleaned(machine, epoch),
                Event::Aged { machine } => self.aged(machine),
                Event::Stopped { machine } => self.stopped(machine),
                Event::Terminated { machine } => self.terminated(machine),
                Event::SpotWarning { machine } => self.spot_warning(machine),
                Event::SpotTaken { machine } => self.spot_taken(machine),
                Event::Wake => self.woken(kind),
                Event::Tick => self.tick(kind, tracking),
            }
        }
    }

    /// Only the pool itself is woken by waiters; a wake that an earlier one has replaced is none.
    fn woken(&mut self, kind: &Kind) {
        if *kind != Kind::Pool || self.wakes_at != Some(self.now) {
            return;
        }
        (self.woken_at, self.wakes_at) = (self.now, None);
        if !self.waiting.is_empty() {
            self.scale();
            self.wake_in(WAKE_AGAIN_SECONDS);
        }
    }

    fn tick(&mut self, kind: &Kind, tracking: &mut Tracking) {
        match kind {
            Kind::Pool => {
                self.scale();
                self.reap_idle();
            }
            Kind::Fixed(fixed) => self.keep_fixed(*fixed),
            Kind::TargetTracking(target) => self.track(target, tracking),
        }
        let stopped: usize = self.shards.iter().map(|shard| shard.stopped.len()).sum();
        self.tally.sample(self.now, self.waiting.len() as u64, stopped as u64);
        self.events.at(self.now + TICK_SECONDS, Event::Tick);
    }
}
