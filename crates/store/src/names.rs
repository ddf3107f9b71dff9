//! The names of keys and top-level attributes, readable because an operator meets them in the console.
//!
//! Each has an underscore, so that none is a reserved word of DynamoDB now or later and expressions can use it as it is.
//! [`crate::expression`] spells them out, so that its expressions read as one text. Inside repeated entries the names
//! have one letter, because a write is billed by the size of the whole item.

use pool_core::ids::{InstanceId, ShardNo};

/// The table's only key, a string.
pub const KEY: &str = "pk";
/// When DynamoDB may delete an item, in seconds since 1970. A reserved word, so expressions call it `#ttl`.
pub const TTL: &str = "ttl";

/// Key of the control item.
pub const CONTROL: &str = "control";
/// Key of the item whose change wakes `scale` through the table's stream.
pub const WAKE: &str = "wake";

/// The shard's epoch.
pub const EPOCH: &str = "epoch_no";
/// Counts intents and gives.
pub const SEQUENCE: &str = "sequence_no";
/// Launches the shard may still intend.
pub const ROOM: &str = "room_left";
/// Its share of the cap.
pub const SHARE: &str = "cap_share";
/// The layout that the share belongs to.
pub const LAYOUT: &str = "layout_no";
/// List of free instances, newest first.
pub const FREE: &str = "free_ids";
/// Instance to facts.
pub const MEMBERS: &str = "member_map";
/// Lease token to instance.
pub const LEASES: &str = "lease_instance";
/// Lease token to epoch of the grant.
pub const LEASE_EPOCHS: &str = "lease_epoch";
/// Lease token to terms.
pub const LEASE_TERMS: &str = "lease_terms";
/// List of waiting tokens, oldest first.
pub const QUEUE: &str = "wait_ids";
/// Waiting token to terms.
pub const QUEUE_TERMS: &str = "wait_terms";
/// Lease token to the deadline of its confirmation.
pub const CLAIMS: &str = "claim_until";
/// Booting instance to epoch.
pub const BOOTING: &str = "boot_epoch";
/// Instance of the stopped tier to phase.
pub const STOPPED: &str = "stop_phase";
/// Instance being cleaned to epoch.
pub const RESETTING: &str = "reset_epoch";
/// Leaving instance to cause and deadline.
pub const LEAVING: &str = "leaving_map";
/// Launch token to intent.
pub const INTENTS: &str = "intent_map";
/// Instance under way to another shard.
pub const TRANSFERS: &str = "transfer_map";
/// What must not happen again.
pub const TOMBSTONES: &str = "tombstone_map";

/// The control item's content as JSON.
pub const CONTROL_JSON: &str = "control_json";
/// The control item's version.
pub const VERSION: &str = "version_no";
/// When `scale` was last woken.
pub const WOKEN_AT: &str = "woken_at";
/// For which request it was.
pub const WOKEN_BY: &str = "trace_id";

/// The shard that an instance belongs to, in its record.
pub const INSTANCE_SHARD: &str = "shard_no";
/// Whether the instance's service answered its own health check.
pub const HEALTHY: &str = "is_healthy";
/// Processor use.
pub const CPU_PERCENT: &str = "cpu_percent";
/// Memory use.
pub const MEMORY_PERCENT: &str = "memory_percent";
/// Open browser sessions.
pub const SESSIONS: &str = "session_count";
/// When the last heartbeat came.
pub const BEAT_AT: &str = "beat_at";
/// When the node last became ready after a boot.
pub const READY_AT: &str = "ready_at";
/// How long that boot took.
pub const BOOT_SECONDS: &str = "boot_seconds";
/// What happened to the instance, oldest first.
pub const HISTORY: &str = "history_list";

/// Key of a shard's item.
#[must_use]
pub fn shard_key(shard: ShardNo) -> String {
    format!("shard#{shard}")
}

/// Key of an instance's record.
#[must_use]
pub fn instance_key(instance: &InstanceId) -> String {
    format!("instance#{instance}")
}
