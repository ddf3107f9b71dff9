//! The event bus: EC2's events to `on-instance-state-change`.
//!
//! Rule: each event is an invocation of its own and none waits for another, so events may overtake each other, as `EventBridge`'s do.

use std::sync::Arc;

use axum::body::Bytes;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::{
    functions::{Function, Functions},
    stop::Stop,
};

/// Passes events on until told to stop.
pub async fn run(mut events: UnboundedReceiver<Value>, functions: Arc<Functions>, stop: Stop) {
    loop {
        let event = tokio::select! {
            () = stop.clone().wanted() => return,
            event = events.recv() => event,
        };
        let Some(event) = event else { return };
        let functions = Arc::clone(&functions);
        let payload = Bytes::from(event.to_string());
        // What fails even when it is repeated has been logged; the reconcile of the next minute finds what was lost.
        tokio::spawn(async move { functions.invoke_asynchronously(Function::OnInstanceStateChange, payload).await });
    }
}
