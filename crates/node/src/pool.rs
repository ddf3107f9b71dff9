//! What the node says to the pool: that it is ready, that it lives, that it is clean again.
//!
//! Rule: the pool's answer is taken in before anything else is said. A node that the pool has not answered for longer than any lease can live
//! shuts its machine down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use pool_client::{Api, ApiError, Ask};
use pool_core::register::{Command, HeartbeatAnswer};
use pool_core::time::Timestamp;
use prometheus_client::metrics::gauge::Gauge;
use serde_json::{Value, json};

use crate::clock::now;
use crate::guest::Guest;
use crate::identity::Identity;
use crate::machine::{self, Load};
use crate::metrics::Metrics;
use crate::options::PoolOptions;

/// The longest pause between two words that the pool did not take.
const PAUSE_SECONDS_MAX: u64 = 30;

/// Speaks to the pool for a node.
pub struct Clerk {
    /// The pool.
    pub api: Arc<Api>,
    /// Id of the instance, or of the slot of it.
    pub instance: String,
    /// Who it is for this start.
    pub identity: Identity,
    /// SHA-256 of the certificate, in hexadecimal.
    pub tls_sha256: Option<String>,
    /// CPU and memory in use above which it offers no further session; `None` when it offers only one.
    pub busy_percent_max: Option<u64>,
    /// How to speak to the pool.
    pub options: PoolOptions,
    /// When the pool last answered this machine, whichever session it was asked for, in seconds since 1970.
    pub contact: Arc<AtomicU64>,
    /// What serves the leases.
    pub guest: Arc<Guest>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Clerk {
    /// Registers once a lease can be served, then beats. Never returns.
    pub async fn run(self) {
        self.contact.fetch_max(now().0, Ordering::Relaxed);
        let mut load = Load::default();
        load.percent();
        self.guest.ready().await;
        self.register(None).await;
        // A node that starts again learns what it may let in before a caller comes with its new key.
        loop {
            self.beat(&mut load).await;
            self.guest.until_next_beat(self.heartbeat_pause()).await;
        }
    }

    async fn beat(&self, load: &mut Load) {
        let answer = match self.heartbeat(load).await {
            Ok(answer) => answer,
            Err(error) => {
                self.metrics.heartbeats_lost.inc();
                tracing::warn!(%error, "the pool does not take a heartbeat");
                return self.die_when_forgotten().await;
            }
        };
        self.metrics.heartbeats.inc();
        self.note_contact();
        self.guest.hear(&answer);
        if answer.command != Command::Register || self.is_busy() {
            return;
        }
        if self.guest.clean(self.heartbeat_pause()).await {
            self.register(answer.epoch_floor.checked_sub(1)).await;
        }
    }

    async fn heartbeat(&self, load: &mut Load) -> Result<HeartbeatAnswer, ApiError> {
        let (cpu_percent, memory_percent) = load.percent();
        self.metrics.cpu_percent.set(i64::try_from(cpu_percent).unwrap_or_default());
        self.metrics.memory_percent.set(i64::try_from(memory_percent).unwrap_or_default());
        let health = self.guest.health().await;
        if let Err(why) = &health {
            tracing::warn!(why, "this node is not healthy");
        }
        let word = json!({
            "healthy": health.is_ok(),
            "cpu_percent": cpu_percent,
            "memory_percent": memory_percent,
            "sessions": health.unwrap_or_default(),
        });
        let answer = self.api.ask(Ask::post(self.path("heartbeat"), word)).await?;
        serde_json::from_value(answer.clone()).map_err(|error| ApiError::Unintelligible {
            endpoint: self.path("heartbeat"),
            status: 200,
            text: format!("{error}: {answer}"),
        })
    }

    /// Whether the other sessions leave nothing for one more. The pool waits for a slot that is to be cleaned, and replaces the machine
    /// when that takes too long.
    fn is_busy(&self) -> bool {
        let above = |gauge: &Gauge| {
            self.busy_percent_max.is_some_and(|most| u64::try_from(gauge.get()).unwrap_or_default() > most)
        };
        let busy = above(&self.metrics.cpu_percent) || above(&self.metrics.memory_percent);
        if busy {
            tracing::info!(instance = self.instance, "offers no session, since the machine is busy");
        }
        busy
    }

    /// Says ready until the pool takes it. It may not know the instance yet, as launches are recorded after they happen.
    async fn register(&self, cleaned_epoch: Option<u64>) {
        let mut word = json!({ "boot_id": self.identity.boot_id, "key": self.identity.key });
        if let Some(digest) = &self.tls_sha256 {
            word["tls_sha256"] = digest.as_str().into();
        }
        if let Some(epoch) = cleaned_epoch {
            word["cleaned_epoch"] = epoch.into();
        }
        let mut pause_seconds = 1;
        while let Err(error) = self.ready(&word).await {
            tracing::info!(%error, pause_seconds, "not registered yet");
            self.die_when_forgotten().await;
            // Nodes that were launched together do not ask together.
            let pause_ms = fastrand::u64(1_000 * pause_seconds..=2_000 * pause_seconds);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_seconds = PAUSE_SECONDS_MAX.min(2 * pause_seconds);
        }
        self.note_contact();
        tracing::info!(cleaned_epoch, "registered");
    }

    async fn ready(&self, word: &Value) -> Result<(), ApiError> {
        self.api.ask(Ask::post(self.path("ready"), word.clone())).await.map(drop)
    }

    fn heartbeat_pause(&self) -> Duration {
        Duration::from_secs(self.options.heartbeat_seconds)
    }

    fn path(&self, action: &str) -> String {
        format!("/v1/instances/{}/{action}", self.instance)
    }

    fn note_contact(&self) {
        self.contact.fetch_max(now().0, Ordering::Relaxed);
        if let Some(directory) = &self.options.note_contact_in {
            machine::note_contact(directory);
        }
    }

    async fn die_when_forgotten(&self) {
        let silent_seconds = now().seconds_since(Timestamp(self.contact.load(Ordering::Relaxed)));
        let limit_seconds = self.options.shutdown_after_seconds;
        if let Some(command) = &self.options.shutdown_command
            && silent_seconds > limit_seconds
        {
            tracing::error!(silent_seconds, limit_seconds, "the pool is out of reach, so this machine shuts down");
            machine::shut_down(command).await;
        }
    }
}
