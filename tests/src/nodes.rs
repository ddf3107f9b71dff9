//! What the machines do on a stage: they say that they are ready, and beat.

use pool_core::ids::InstanceId;
use serde_json::{Value, json};

use crate::{Answer, Request, Route, Stage};

/// The first start of a node.
pub const FIRST_BOOT: u64 = 1;

/// The key that the node of an instance made at its first start.
#[must_use]
pub fn key(instance: &InstanceId) -> String {
    let slot = instance.slots(InstanceId::SLOTS_MAX).position(|slot| slot == *instance).unwrap_or_default();
    format!("{slot:02x}{:0>30}", instance.machine().as_str().trim_start_matches("i-"))
}

/// The heartbeat of a healthy node.
#[must_use]
pub fn healthy() -> Value {
    json!({"healthy": true, "cpu_percent": 12.5, "memory_percent": 34, "sessions": 0})
}

impl Stage {
    /// The node of an instance says that it is ready, for the first time.
    pub async fn ready(&self, instance: &InstanceId) -> Answer {
        self.ready_with(instance, &json!({"boot_id": FIRST_BOOT, "key": key(instance)})).await
    }

    /// The node of an instance says `ready` with this body.
    pub async fn ready_with(&self, instance: &InstanceId, body: &Value) -> Answer {
        self.call(Request::new(Route::Ready).by_node(instance.as_str()).json(body)).await
    }

    /// The node of an instance beats.
    pub async fn heartbeat(&self, instance: &InstanceId) -> Answer {
        self.call(Request::new(Route::Heartbeat).by_node(instance.as_str()).json(&healthy())).await
    }

    /// Every node beats.
    pub async fn all_beat(&self) {
        for shard in self.shards().await {
            for instance in shard.members.keys() {
                self.heartbeat(instance).await.is(200);
            }
        }
    }

    /// Every node that boots becomes ready; answers which, in the order in which they did.
    pub async fn boot_all(&self) -> Vec<InstanceId> {
        let mut booted = Vec::new();
        for shard in self.shards().await {
            for instance in shard.booting.keys() {
                self.ready(instance).await.is(204);
                booted.push(instance.clone());
            }
        }
        booted
    }

    /// One run of `scale`, and every node that it launched becomes ready.
    pub async fn grow(&self) -> Vec<InstanceId> {
        self.scale().await;
        self.boot_all().await
    }
}
