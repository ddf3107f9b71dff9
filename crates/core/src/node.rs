//! What a node tells of itself, and what is remembered of an instance for people.

use serde::Serialize;

use crate::ids::{InstanceId, ShardNo};
use crate::time::Timestamp;

/// One heartbeat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heartbeat {
    /// Whether its service's health check passes.
    pub healthy: bool,
    /// CPU in use, 0 to 100.
    pub cpu_percent: f64,
    /// Memory in use, 0 to 100.
    pub memory_percent: f64,
    /// Open browser sessions.
    pub sessions: u64,
}

/// What is remembered of an instance beside its shard: its last heartbeat and its history. Nothing is decided on the
/// history; it is for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InstanceRecord {
    /// Which instance.
    pub instance: InstanceId,
    /// Its shard, as last known.
    pub shard: Option<ShardNo>,
    /// The last heartbeat's word; true before the first.
    pub healthy: bool,
    /// CPU in use, 0 to 100.
    pub cpu_percent: f64,
    /// Memory in use, 0 to 100.
    pub memory_percent: f64,
    /// Open browser sessions.
    pub sessions: u64,
    /// When the last heartbeat came.
    pub beat_at: Option<Timestamp>,
    /// When its node last became ready after a boot.
    pub ready_at: Option<Timestamp>,
    /// How long that boot took, from the launch or start.
    pub boot_seconds: Option<u64>,
    /// What happened to it, oldest first.
    pub history: Vec<HistoryEntry>,
}

/// One thing that happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryEntry {
    /// When.
    pub at: Timestamp,
    /// What, in a word: `launched`, `ready`, `fence`, `terminate`, …
    pub what: String,
    /// Why, in a sentence.
    pub why: String,
}
