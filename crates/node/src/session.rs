//! What the node is at this moment: the lease it serves, and the Chrome that serves it.
//!
//! Rule: a Chrome that a lease has used serves no other. Once that lease may not use it any more it is ended and wiped, and whoever comes
//! next waits for a new one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pool_core::gate::{Gate, Refusal};
use pool_core::ids::Epoch;
use pool_core::register::HeartbeatAnswer;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use crate::chrome::{Chrome, DevTools, Launcher};
use crate::clock::now;
use crate::metrics::Metrics;

/// Between two starts of a Chrome that do not succeed.
const PAUSE: Duration = Duration::from_secs(2);
/// While a lease is there that uses nothing, the pool is asked so often whether it has been released.
const RELEASE_POLL: Duration = Duration::from_secs(1);
/// So many seconds before the lease ends, as far as the node knows, the pool is asked whether it has been renewed.
const RENEWAL_POLLS: [u64; 3] = [10, 5, 2];

/// What the node is at this moment, for all its tasks.
#[derive(Debug)]
pub struct Session {
    inner: Mutex<Inner>,
    /// Grows with every change.
    changes: watch::Sender<u64>,
    /// The pool is to be asked at once.
    ask_pool: Notify,
    sockets_max: usize,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Inner {
    gate: Gate,
    browser: Browser,
    /// The lease that has used this Chrome.
    used_by: Option<Epoch>,
    /// Visits of that lease that are not over.
    visits: usize,
    /// What EC2 said when it took the instance back.
    notice: Option<String>,
}

/// What Chrome is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Browser {
    Starting,
    Up(DevTools),
    Down(String),
}

/// Why nobody can come in now.
#[derive(Debug, thiserror::Error)]
pub enum NoEntry {
    /// The token does not open it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The lease has as many sockets as it may have.
    #[error("this lease has {0} sockets and requests at once, which is the limit; close one first")]
    Crowded(usize),
    /// Chrome does not run.
    #[error("Chrome does not run: {0}; try again, or release this lease and acquire another")]
    NoChrome(String),
}

/// The use of a Chrome by a lease, which lasts as long as this value.
#[derive(Debug)]
pub struct Visit {
    session: Arc<Session>,
    epoch: Epoch,
    /// Where the Chrome is.
    pub devtools: DevTools,
}

/// Why a visit ends from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The lease expired, was released, or a later one began.
    Lease,
    /// Chrome ended.
    Chrome,
}

impl Session {
    /// A node whose Chrome is about to start.
    #[must_use]
    pub fn new(gate: Gate, sockets_max: usize, metrics: Arc<Metrics>) -> Self {
        let inner = Inner { gate, browser: Browser::Starting, used_by: None, visits: 0, notice: None };
        Self { inner: Mutex::new(inner), changes: watch::Sender::new(0), ask_pool: Notify::new(), sockets_max, metrics }
    }

    /// Lets the bearer of a token in, as soon as a Chrome is there that no other lease has used.
    ///
    /// # Errors
    /// When it may not, or when no Chrome comes up within `limit`.
    pub async fn enter(self: &Arc<Self>, token: &str, limit: Duration) -> Result<Visit, NoEntry> {
        let mut changes = self.changes.subscribe();
        let entered = async {
            loop {
                // A Chrome that has just ended does not listen any more, a moment before its keeper says so.
                if let Some(visit) = self.try_enter(token)?
                    && TcpStream::connect(&visit.devtools.authority).await.is_ok()
                {
                    return Ok(visit);
                }
                // The sender lives as long as this session.
                let _ = changes.changed().await;
            }
        };
        match tokio::time::timeout(limit, entered).await {
            Ok(entered) => entered,
            Err(_) => Err(NoEntry::NoChrome(self.devtools().err().unwrap_or_else(|| "it is being started".to_owned()))),
        }
    }

    fn try_enter(self: &Arc<Self>, token: &str) -> Result<Option<Visit>, NoEntry> {
        let mut inner = self.lock();
        let was_open = inner.used_by.is_some_and(|epoch| inner.gate.is_open(epoch, now()));
        let epoch = inner.gate.admit(token, now())?;
        if was_open && inner.used_by != Some(epoch) {
            // A later lease ends the one before, whose sockets wait for this news.
            self.tell();
        }
        if inner.used_by.is_some_and(|used_by| used_by != epoch) {
            return Ok(None);
        }
        let Browser::Up(devtools) = inner.browser.clone() else { return Ok(None) };
        if inner.visits >= self.sockets_max {
            return Err(NoEntry::Crowded(self.sockets_max));
        }
        if inner.used_by.is_none() {
            self.metrics.leases.inc();
            self.tell();
        }
        inner.used_by = Some(epoch);
        inner.visits += 1;
        self.metrics.visits.inc();
        Ok(Some(Visit { session: Arc::clone(self), epoch, devtools }))
    }

    /// Whether a token opens this node, without using anything.
    ///
    /// # Errors
    /// When it does not.
    pub fn admit(&self, token: &str) -> Result<(), Refusal> {
        self.lock().gate.admit(token, now()).map(|_| self.tell())
    }

    /// Takes in what the pool answered to a heartbeat.
    pub fn hear(&self, answer: &HeartbeatAnswer) {
        self.lock().gate.hear(answer, now());
        self.tell();
    }

    /// EC2 takes the instance back: the lease that is here stays until then, and no other comes.
    pub fn drain(&self, notice: String) {
        let mut inner = self.lock();
        inner.gate.drain();
        inner.notice = Some(notice);
        drop(inner);
        self.ask_pool.notify_one();
    }

    /// What EC2 said when it took the instance back.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        self.lock().notice.clone()
    }

    /// Open sockets and requests of the lease.
    #[must_use]
    pub fn visits(&self) -> usize {
        self.lock().visits
    }

    /// Where Chrome is.
    ///
    /// # Errors
    /// Why it is not there.
    pub fn devtools(&self) -> Result<DevTools, String> {
        match &self.lock().browser {
            Browser::Up(devtools) => Ok(devtools.clone()),
            Browser::Starting => Err("Chrome is being started".to_owned()),
            Browser::Down(why) => Err(why.clone()),
        }
    }

    /// Waits until a Chrome runs that no lease has used, or one whose lease still lasts.
    pub async fn clean(&self) {
        let mut changes = self.changes.subscribe();
        while !self.lock().is_clean() {
            let _ = changes.changed().await;
        }
    }

    /// Waits until the pool is to be asked again, which may be sooner than it was when the wait began: a lease begins or is about to end.
    pub async fn until_next_beat(&self, usual: Duration) {
        let beaten = tokio::time::Instant::now();
        let mut changes = self.changes.subscribe();
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.next_beat(usual, beaten.elapsed())) => return,
                () = self.ask_pool.notified() => return,
                _ = changes.changed() => {}
            }
        }
    }

    /// In how long the pool is to be asked, which was asked so long ago and is asked each `usual` while nothing happens.
    fn next_beat(&self, usual: Duration, ago: Duration) -> Duration {
        let inner = self.lock();
        let usual = usual.saturating_sub(ago);
        if !inner.used_by.is_some_and(|epoch| inner.gate.is_open(epoch, now())) {
            return usual;
        }
        let soon = RELEASE_POLL.saturating_sub(ago);
        if inner.visits == 0 {
            return soon.min(usual);
        }
        let left = inner.gate.seconds_left(now());
        let until = RENEWAL_POLLS.iter().find_map(|before| left.checked_sub(*before).filter(|until| *until > 0));
        until.map_or(soon, Duration::from_secs).min(usual)
    }

    /// Keeps a Chrome running, and a new one for each lease. Never returns.
    pub async fn supervise(self: Arc<Self>, mut launcher: Launcher) {
        loop {
            match launcher.start().await {
                Ok(chrome) => self.serve(chrome).await,
                Err(error) => {
                    tracing::error!(%error, "Chrome does not start");
                    self.set(Browser::Down(error.to_string()));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn serve(&self, mut chrome: Chrome) {
        self.set(Browser::Up(chrome.devtools.clone()));
        self.metrics.chrome_starts.inc();
        tokio::select! {
            () = chrome.ended() => {
                tracing::warn!("Chrome ended by itself and is started anew");
                self.metrics.chrome_crashes.inc();
            }
            () = self.used_up() => tracing::info!("the lease has ended, and its Chrome goes with it"),
        }
        self.set(Browser::Starting);
        chrome.end().await;
        self.lock().used_by = None;
        self.tell();
    }

    /// Waits until the lease that has used this Chrome may not use it any more.
    async fn used_up(&self) {
        let mut changes = self.changes.subscribe();
        loop {
            let left = {
                let inner = self.lock();
                match inner.used_by {
                    Some(epoch) if !inner.gate.is_open(epoch, now()) => return,
                    Some(_) => Duration::from_secs(inner.gate.seconds_left(now())),
                    None => Duration::MAX,
                }
            };
            let _ = tokio::time::timeout(left, changes.changed()).await;
        }
    }

    fn set(&self, browser: Browser) {
        self.lock().browser = browser;
        self.tell();
    }

    fn tell(&self) {
        self.changes.send_modify(|change| *change += 1);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn is_clean(&self) -> bool {
        matches!(self.browser, Browser::Up(_)) && self.used_by.is_none_or(|epoch| self.gate.is_open(epoch, now()))
    }
}

impl Visit {
    /// Waits until this visit has to end.
    pub async fn over(&self) -> Over {
        let mut changes = self.session.changes.subscribe();
        loop {
            let left = {
                let inner = self.session.lock();
                if !inner.gate.is_open(self.epoch, now()) {
                    return Over::Lease;
                }
                if inner.browser != Browser::Up(self.devtools.clone()) {
                    return Over::Chrome;
                }
                inner.gate.seconds_left(now())
            };
            let _ = tokio::time::timeout(Duration::from_secs(left), changes.changed()).await;
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let mut inner = self.session.lock();
        inner.visits = inner.visits.saturating_sub(1);
        self.session.metrics.visits.dec();
        if inner.visits == 0 {
            // The lease may be about to be released.
            self.session.ask_pool.notify_one();
        }
    }
}
