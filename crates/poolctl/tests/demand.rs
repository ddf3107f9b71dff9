//! Generated demand is what was asked for, and traces survive being written and read.

use std::path::Path;

use poolctl::whatif::generate::{Demand, Shape, generate};
use poolctl::whatif::trace::{Arrival, Trace};

#[test]
fn every_shape_has_the_rate_duration_and_length_that_was_asked_for() {
    for shape in [Shape::Steady, Shape::Bursty, Shape::Diurnal, Shape::FlashCrowd] {
        let (rate_per_hour, mean_duration_seconds, hours) = (2_000.0, 90.0, 24.0);
        let trace = generate(&Demand { shape, rate_per_hour, mean_duration_seconds, hours, seed: 1 });
        let callers = f64::from(u32::try_from(trace.arrivals.len()).expect("few"));
        assert!((callers / (rate_per_hour * hours) - 1.0).abs() < 0.03, "{shape:?}: {callers}");
        let seconds: u64 = trace.arrivals.iter().map(|arrival| arrival.duration_seconds).sum();
        let mean = f64::from(u32::try_from(seconds).expect("few")) / callers;
        assert!((mean / mean_duration_seconds - 1.0).abs() < 0.03, "{shape:?}: {mean}");
        assert_eq!(trace.seconds, 86_400);
        assert!(trace.arrivals.is_sorted());
    }
}

#[test]
fn a_trace_is_read_as_it_was_written_and_in_any_order() {
    let trace = generate(&Demand {
        shape: Shape::Bursty,
        rate_per_hour: 100.0,
        mean_duration_seconds: 60.0,
        hours: 1.0,
        seed: 3,
    });
    let mut written = Vec::new();
    trace.write(&mut written).expect("memory takes it");
    let read = Trace::parse(Path::new("written.csv"), &written[..]).expect("it is well formed");
    assert_eq!(read.arrivals, trace.arrivals);
    let text = "duration_seconds, arrival_seconds\n# a comment\n0, 9\n1.2, 3.9\n";
    let read = Trace::parse(Path::new("text.csv"), text.as_bytes()).expect("it is well formed");
    let arrival = |at_seconds, duration_seconds| Arrival { at_seconds, duration_seconds };
    assert_eq!(read.arrivals, [arrival(3, 2), arrival(9, 1)], "arrivals are rounded down, durations up");
}

#[test]
fn demand_counts_those_who_would_use_an_instance() {
    let arrival = |at_seconds, duration_seconds| Arrival { at_seconds, duration_seconds };
    let trace = Trace::new(vec![arrival(0, 60), arrival(30, 100), arrival(119, 1)], 240);
    assert_eq!(trace.demand(60), [1, 1, 1, 0, 0]);
}
