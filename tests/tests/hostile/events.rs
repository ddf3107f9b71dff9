//! Events: whatever arrives at a function as its event is answered as documented, or is an error of an asynchronous
//! function; it never panics, and an error of the caller's changes nothing.

use aws_lambda_events::eventbridge::EventBridgeEvent;
use pool_tests::Route;
use serde_json::Value;

use crate::bed::{Bed, event_about};
use crate::choices::Choices;
use crate::mutate;
use crate::run::fuzz;

/// Inputs of an ordinary run.
const DRAWS: usize = 1_500;

/// Events of EC2.
const OF_EC2: [&str; 3] = [
    "on-instance-state-change-rebalance.json",
    "on-instance-state-change-spot-warning.json",
    "on-instance-state-change-terminated.json",
];

/// Events that start `scale` and `reap-idle`.
const OF_THE_CLOCK: [&str; 3] = ["scale-schedule.json", "scale-stream.json", "reap-idle.json"];

struct Target {
    beds: [Bed; 2],
}

impl Target {
    fn take(&self, bytes: &[u8]) {
        let choices = &mut Choices::of(bytes);
        let bed = &self.beds[choices.below(2)];
        match choices.below(32) {
            kind @ 0..24 => {
                let route = Route::ALL[kind % Route::ALL.len()];
                let mut event = bed.sound(route).event;
                if choices.below(2) == 1 {
                    change_body(&mut event, choices);
                }
                mutate::change(&mut event, choices);
                bed.send(&bed.bench.environment, route, &mutate::bytes(&event, choices));
            }
            24..31 => {
                let mut event = event_about(choices.pick(&OF_EC2), &bed.instance);
                if choices.below(4) == 1 {
                    event["detail"]["state"] = choices.pick(&["running", "stopped", "shutting-down", "pending"]).into();
                }
                mutate::change(&mut event, choices);
                Self::of_ec2(bed, &mutate::bytes(&event, choices));
            }
            _ => {
                let file = choices.pick(&OF_THE_CLOCK);
                let mut event = pool_tests::request::event_file(file);
                mutate::change(&mut event, choices);
                Self::of_the_clock(bed, file, &mutate::bytes(&event, choices));
            }
        }
        bed.restore();
    }

    /// A failure is one that Lambda tries again; it is no panic, and leaves the shards as they must be.
    fn of_ec2(bed: &Bed, text: &[u8]) {
        let Ok(event) = serde_json::from_slice::<EventBridgeEvent>(text) else { return };
        let named = event.detail["instance-id"].as_str().unwrap_or_default().to_owned();
        let bench = &bed.bench;
        let known = bench.members().iter().any(|instance| instance.as_str() == named);
        let work = on_instance_state_change::handle(&bench.environment, &bench.fleet, event);
        let taken = bed.runtime.block_on(work);
        assert!(taken.is_ok(), "neither engine fails here: {taken:?}");
        let written = bench.written();
        assert!(known || written.is_empty(), "{named} is not the pool's, and {written:?} were written");
        bed.check_shards();
    }

    /// These functions read nothing of their event; what is not JSON never reaches them.
    fn of_the_clock(bed: &Bed, file: &str, text: &[u8]) {
        if serde_json::from_slice::<Value>(text).is_err() {
            return;
        }
        let bench = &bed.bench;
        let done = if file.starts_with("scale") {
            bed.runtime.block_on(scale::handle(&bench.environment, &bench.fleet, &bench.ec2_settings))
        } else {
            bed.runtime.block_on(reap_idle::handle(&bench.environment, &bench.fleet))
        };
        assert!(done.is_ok(), "neither engine fails here: {done:?}");
        bed.check_shards();
    }
}

/// Changes the JSON that is text within the event.
fn change_body(event: &mut Value, choices: &mut Choices<'_>) {
    let Some(mut body) = event["body"].as_str().and_then(|body| serde_json::from_str(body).ok()) else { return };
    mutate::change(&mut body, choices);
    event["body"] = String::from_utf8_lossy(&mutate::bytes(&body, choices)).into();
}

#[test]
fn any_event_is_answered_as_documented_and_nothing_panics() {
    let target = Target { beds: [Bed::new(false), Bed::new(true)] };
    fuzz!("events", DRAWS, |bytes: &[u8]| target.take(bytes));
}
