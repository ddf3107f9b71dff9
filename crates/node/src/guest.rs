//! What the machine has for leases: a Chrome that this program keeps, or a service of the operator's that it watches.

use std::sync::Arc;
use std::time::Duration;

use pool_core::register::HeartbeatAnswer;

use crate::health::Health;
use crate::service::Service;
use crate::session::Session;

/// What the machine has for leases.
#[derive(Debug)]
pub enum Guest {
    /// A Chrome of this program's.
    Chrome {
        /// The lease and the Chrome.
        session: Arc<Session>,
        /// Whether Chrome works.
        health: Arc<Health>,
    },
    /// A service that systemd runs.
    Service(Service),
}

impl Guest {
    /// Waits until it can serve a lease.
    pub async fn ready(&self) {
        match self {
            Self::Chrome { session, .. } => session.clean().await,
            Self::Service(service) => service.ready().await,
        }
    }

    /// Waits until nothing is left of the leases before, and a lease can be served again. A Chrome that takes longer than this is told of
    /// by the next heartbeat; a service is started anew once, however long that takes.
    pub async fn clean(&self, limit: Duration) -> bool {
        match self {
            Self::Chrome { session, .. } => tokio::time::timeout(limit, session.clean()).await.is_ok(),
            Self::Service(service) => {
                service.clean().await;
                true
            }
        }
    }

    /// The sessions that are open.
    ///
    /// # Errors
    /// Why it is not healthy, in words for people.
    pub async fn health(&self) -> Result<u64, String> {
        match self {
            Self::Chrome { session, health } => health.check(session).await.map(|_| session.visits() as u64),
            Self::Service(service) => service.health().await,
        }
    }

    /// Takes in what the pool answered to a heartbeat.
    pub fn hear(&self, answer: &HeartbeatAnswer) {
        match self {
            Self::Chrome { session, .. } => session.hear(answer),
            // It reads of its leases in their tokens alone.
            Self::Service(_) => {}
        }
    }

    /// EC2 takes the instance back.
    pub fn drain(&self, notice: String) {
        match self {
            Self::Chrome { session, .. } => session.drain(notice),
            Self::Service(service) => service.tell_notice(&notice),
        }
    }

    /// Waits until the pool is to be asked again, which is so often while nothing happens.
    pub async fn until_next_beat(&self, usual: Duration) {
        match self {
            Self::Chrome { session, .. } => session.until_next_beat(usual).await,
            Self::Service(_) => tokio::time::sleep(usual).await,
        }
    }
}
