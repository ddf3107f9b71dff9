//! The clock behind the two schedules: `scale` and `reap-idle`, each minute.
//!
//! Rule: a schedule waits for the run it started before it starts another; ticks that pass meanwhile are skipped, not made up for.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior};

use crate::{
    clock::{self, Clock},
    functions::{Function, Functions},
    stop::Stop,
    variables::{ACCOUNT_ID, REGION},
};

/// Both schedules are `rate(1 minute)` in `template.yaml`.
pub const PERIOD: Duration = Duration::from_mins(1);

/// Invokes `function` every minute of `clock`, the first time after `delay`, until told to stop.
pub async fn run(functions: Arc<Functions>, function: Function, clock: Clock, delay: Duration, stop: Stop) {
    let mut timer = tokio::time::interval_at(Instant::now() + clock.lasts(delay), clock.lasts(PERIOD));
    timer.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.clone().wanted() => return,
            _ = timer.tick() => {}
        }
        // A failure has been logged, and the next tick is the next try.
        let _ = functions.send(function, &event(function, clock.now_ms())).await;
    }
}

/// The event that an `EventBridge` rule with a schedule sends.
#[must_use]
pub fn event(function: Function, now_ms: u64) -> Value {
    json!({
        "version": "0",
        "id": clock::request_id(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT_ID,
        "time": clock::iso_seconds(now_ms),
        "region": REGION,
        "resources": [format!("arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{}", function.name())],
        "detail": {},
    })
}
