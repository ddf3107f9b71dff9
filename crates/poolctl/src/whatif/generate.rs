//! Demand out of nothing: steady, bursty, diurnal, and a flash crowd.
//!
//! Arrivals are a Poisson process whose rate changes over time; it is drawn by thinning a faster one (Lewis and Shedler).
//! Durations are exponential. The mean rate over the whole trace is the one asked for, whatever the shape.

use std::f64::consts::TAU;

use serde::Serialize;

use super::trace::{Arrival, Trace};

/// The shape of a demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// The same rate all the time.
    Steady,
    /// Half of the rate, and bursts of four times the rate for five minutes, about every half an hour.
    Bursty,
    /// A day with a trough of a fifth of the rate at four in the morning and a peak of 1.8 times at four in the afternoon.
    Diurnal,
    /// A low rate, and twenty times of it for ten minutes in the middle.
    FlashCrowd,
}

/// A demand to generate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Demand {
    /// Its shape.
    pub shape: Shape,
    /// Arrivals an hour, on average over the whole trace.
    pub rate_per_hour: f64,
    /// How long one uses an instance on average.
    pub mean_duration_seconds: f64,
    /// How long the trace lasts.
    pub hours: f64,
    /// Another seed is another draw.
    pub seed: u64,
}

const BURST_SECONDS_MEAN: f64 = 300.0;
const BURST_PAUSE_SECONDS_MEAN: f64 = 1_800.0;
const BURST_FACTOR: f64 = 4.0;
const BETWEEN_BURSTS_FACTOR: f64 = 0.5;
const DIURNAL_SWING: f64 = 0.8;
const TROUGH_SECONDS: f64 = 4.0 * 3_600.0;
const DAY_SECONDS: f64 = 86_400.0;
const CROWD_SECONDS: f64 = 600.0;
const CROWD_FACTOR: f64 = 20.0;

/// Draws a trace.
#[must_use]
pub fn generate(demand: &Demand) -> Trace {
    let mut random = fastrand::Rng::with_seed(demand.seed);
    let seconds = demand.hours * 3_600.0;
    let factor = Factor::new(demand.shape, seconds, &mut random);
    let most_per_second = demand.rate_per_hour / 3_600.0 * factor.most();
    let mut arrivals = Vec::new();
    let mut at = 0.0;
    loop {
        at += exponential(&mut random, 1.0 / most_per_second);
        if at >= seconds {
            break;
        }
        if random.f64() * factor.most() < factor.at(at) {
            let duration = exponential(&mut random, demand.mean_duration_seconds).ceil().max(1.0);
            arrivals.push(Arrival { at_seconds: whole(at), duration_seconds: whole(duration) });
        }
    }
    Trace::new(arrivals, whole(seconds))
}

/// A value of the exponential distribution.
pub(super) fn exponential(random: &mut fastrand::Rng, mean: f64) -> f64 {
    -(1.0 - random.f64()).ln() * mean
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "times of a trace are not below zero")]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

/// How the rate relates to its mean over time.
struct Factor {
    shape: Shape,
    seconds: f64,
    bursts: Vec<(f64, f64)>,
    /// What brings the mean over the whole trace to one.
    scale: f64,
}

impl Factor {
    fn new(shape: Shape, seconds: f64, random: &mut fastrand::Rng) -> Self {
        let bursts = if shape == Shape::Bursty { bursts(seconds, random) } else { Vec::new() };
        let mut factor = Self { shape, seconds, bursts, scale: 1.0 };
        let (steps, mut sum) = (10_000, 0.0);
        for step in 0..steps {
            sum += factor.at((f64::from(step) + 0.5) / f64::from(steps) * seconds);
        }
        factor.scale = f64::from(steps) / sum;
        factor
    }

    fn at(&self, at: f64) -> f64 {
        let in_burst = |(from, to): &(f64, f64)| (*from..*to).contains(&at);
        let in_crowd = (at - self.seconds / 2.0).abs() < CROWD_SECONDS / 2.0;
        self.scale
            * match self.shape {
                Shape::Bursty if self.bursts.iter().any(in_burst) => BURST_FACTOR,
                Shape::Bursty => BETWEEN_BURSTS_FACTOR,
                Shape::Diurnal => 1.0 - DIURNAL_SWING * ((at - TROUGH_SECONDS) / DAY_SECONDS * TAU).cos(),
                Shape::FlashCrowd if in_crowd => CROWD_FACTOR,
                Shape::Steady | Shape::FlashCrowd => 1.0,
            }
    }

    fn most(&self) -> f64 {
        self.scale
            * match self.shape {
                Shape::Steady => 1.0,
                Shape::Bursty => BURST_FACTOR,
                Shape::Diurnal => 1.0 + DIURNAL_SWING,
                Shape::FlashCrowd => CROWD_FACTOR,
            }
    }
}

fn bursts(seconds: f64, random: &mut fastrand::Rng) -> Vec<(f64, f64)> {
    let mut bursts = Vec::new();
    let mut at = 0.0;
    while at < seconds {
        let from = at + exponential(random, BURST_PAUSE_SECONDS_MEAN);
        at = from + exponential(random, BURST_SECONDS_MEAN);
        bursts.push((from, at));
    }
    bursts
}
