//! What the node counts, as Prometheus reads it.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What the node counts.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Leases that have used a Chrome.
    pub leases: Counter,
    /// Chromes started.
    pub chrome_starts: Counter,
    /// Chromes that ended by themselves.
    pub chrome_crashes: Counter,
    /// Open sockets and requests of the lease.
    pub visits: Gauge,
    /// Requests refused, by HTTP status.
    pub refused: Family<[(&'static str, String); 1], Counter>,
    /// Heartbeats that the pool answered.
    pub heartbeats: Counter,
    /// Heartbeats that came to nothing.
    pub heartbeats_lost: Counter,
    /// Whether Chrome answered when it was last asked: 1 or 0.
    pub healthy: Gauge,
    /// CPU in use at the last heartbeat, in percent.
    pub cpu_percent: Gauge,
    /// Memory in use at the last heartbeat, in percent.
    pub memory_percent: Gauge,
}

impl Metrics {
    /// All of it as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut registry = Registry::with_prefix("ec2_pool_node");
        registry.register("leases", "Leases that have used a Chrome", self.leases.clone());
        registry.register("chrome_starts", "Chromes started", self.chrome_starts.clone());
        registry.register("chrome_crashes", "Chromes that ended by themselves", self.chrome_crashes.clone());
        registry.register("visits", "Open sockets and requests of the lease", self.visits.clone());
        registry.register("refused", "Requests refused, by HTTP status", self.refused.clone());
        registry.register("heartbeats", "Heartbeats that the pool answered", self.heartbeats.clone());
        registry.register("heartbeats_lost", "Heartbeats that came to nothing", self.heartbeats_lost.clone());
        registry.register("healthy", "Whether Chrome answered when it was last asked", self.healthy.clone());
        registry.register("cpu_percent", "CPU in use at the last heartbeat", self.cpu_percent.clone());
        registry.register("memory_percent", "Memory in use at the last heartbeat", self.memory_percent.clone());
        let mut text = String::new();
        // Writing to a text does not fail.
        let _ = encode(&mut text, &registry);
        text
    }
}
