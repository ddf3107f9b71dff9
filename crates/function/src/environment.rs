//! What a handler works with: settings, table, clock, randomness, and the layout of the pool as last seen.
//!
//! Clock and randomness are values of the environment, so that a simulation can drive the real handlers.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pool_core::control::{Control, Layout};
use pool_core::eta::Expectations;
use pool_core::home;
use pool_core::ids::{InstanceId, ShardNo, Token};
use pool_core::register;
use pool_core::shard::Shard;
use pool_core::time::Timestamp;
use pool_store::{Store, StoreError, Woken};

use crate::settings::Settings;
use crate::trace;

/// `scale` is woken at most once in so many seconds.
const WAKE_EVERY_SECONDS: u64 = 3;

/// How often the clock is looked at by who waits for it.
const CLOCK_PERIOD: Duration = Duration::from_millis(250);

/// A shard that refused a grant is read before it is asked again for so long.
const REFUSAL_FRESH_SECONDS: u64 = 1;

/// What is told to waiters rests on a control record that is no older than this.
const EXPECTATIONS_FRESH_SECONDS: u64 = 30;

/// Instances whose shard a process remembers at most: more than any pool may have.
const PLACES_MAX: usize = 20_000;

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Draws the bytes of a token.
pub type Random = Arc<dyn Fn() -> [u8; Token::BYTES] + Send + Sync>;

/// What a handler works with. One value serves every invocation of a function's process.
pub struct Environment {
    /// What the deployment told.
    pub settings: Settings,
    /// The table.
    pub store: Store,
    clock: Clock,
    random: Random,
    seen: Mutex<Seen>,
}

/// What earlier answers taught.
#[derive(Default)]
struct Seen {
    layout: Layout,
    shards: Vec<SeenShard>,
    woken_at: Timestamp,
    expectations: Option<(Timestamp, Expectations)>,
    places: BTreeMap<InstanceId, ShardNo>,
}

/// What earlier answers taught of a shard.
#[derive(Debug, Clone, Copy)]
struct SeenShard {
    free: usize,
    /// A grant was refused there since nothing was free.
    refused_at: Timestamp,
}

impl SeenShard {
    /// One that was not seen yet may have something free.
    const UNSEEN: Self = Self { free: 1, refused_at: Timestamp(0) };
}

impl Environment {
    /// An environment that has seen nothing yet.
    #[must_use]
    pub fn new(settings: Settings, store: Store, clock: Clock, random: Random) -> Self {
        Self { settings, store, clock, random, seen: Mutex::default() }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The layout of the pool. It is read once; later only when a shard's answer shows that it has changed.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn layout(&self) -> Result<Layout, StoreError> {
        let known = self.seen().layout.clone();
        if known.number > 0 { Ok(known) } else { Ok(self.reload_control().await?.layout) }
    }

    /// Reads the control record anew, and with it the layout.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn reload_control(&self) -> Result<Control, StoreError> {
        let control = self.store.control().await?.unwrap_or_default();
        self.seen().layout = control.layout.clone();
        Ok(control)
    }

    /// What a waiter can expect. Read anew twice a minute at most, and only for those who wait.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn expectations(&self) -> Result<Expectations, StoreError> {
        let now = self.now();
        let known = self.seen().expectations;
        if let Some((read_at, known)) = known
            && now < read_at + EXPECTATIONS_FRESH_SECONDS
        {
            return Ok(known);
        }
        let control = self.reload_control().await?;
        let expectations = Expectations::of(&control, now);
        self.seen().expectations = Some((now, expectations));
        Ok(expectations)
    }

    /// Every shard that was ever made.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn shards(&self, consistent: bool) -> Result<Vec<Shard>, StoreError> {
        let known = self.layout().await?;
        let shards = self.store.read_all(known.shards_made, consistent).await?;
        if shards.iter().all(|shard| shard.layout <= known.number) {
            return Ok(shards);
        }
        // The layout has changed since it was read, so there may be more shards than were asked for.
        let changed = self.reload_control().await?.layout;
        self.store.read_all(changed.shards_made, consistent).await
    }

    /// Remembers how many are free in a shard that came with an answer, and forgets a layout that the shard shows to be
    /// out of date: the next request reads it anew.
    pub fn learn(&self, shard: &Shard) {
        let mut seen = self.seen();
        if shard.layout > seen.layout.number {
            seen.layout = Layout::default();
        }
        seen.shard(shard.number).free = shard.free.len();
    }

    /// Remembers that a shard refused a grant since it had nothing free.
    pub fn learn_refusal(&self, shard: ShardNo) {
        let now = self.now();
        self.seen().shard(shard).refused_at = now;
    }

    /// Whether a shard has refused a grant just now, so that it is better read before it is asked again: a refused write
    /// is billed as a write of the whole item and takes the place of somebody's release, while a reading costs a fraction.
    #[must_use]
    pub fn was_refused_lately(&self, shard: ShardNo) -> bool {
        let now = self.now();
        let seen = *self.seen().shard(shard);
        seen.free == 0 && now.seconds_since(seen.refused_at) <= REFUSAL_FRESH_SECONDS
    }

    /// The shard that speaks for an instance: where it was found last, if it is still there, and else wherever it is. With
    /// a heartbeat from each instance, a reading of every shard for each would grow with the square of the pool.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn shard_of(&self, instance: &InstanceId) -> Result<Option<Shard>, StoreError> {
        let last = self.seen().places.get(instance).copied();
        if let Some(last) = last
            && let Some(shard) = self.store.read(last).await?
            && register::speaks_alone(&shard, instance)
        {
            return Ok(Some(shard));
        }
        let found = register::shard_of(self.shards(true).await?, instance);
        let mut seen = self.seen();
        match &found {
            Some(shard) => seen.places.insert(instance.clone(), shard.number),
            None => seen.places.remove(instance),
        };
        // A process may live for hours, in which instances come and go.
        if seen.places.len() > PLACES_MAX {
            seen.places.clear();
        }
        Ok(found)
    }

    /// A new token.
    #[must_use]
    pub fn random_token(&self) -> Token {
        Token::from_bytes((self.random)())
    }

    /// A shard of the first `shards` for a request that is tied to none: by chance, in proportion to what was free in each
    /// when last seen. One that was not seen yet counts as one with something free, and so does each when none had.
    #[must_use]
    pub fn promising_shard(&self, shards: u32) -> ShardNo {
        let drawn = self.draw();
        let seen = self.seen();
        let free = |shard: ShardNo| seen.shards.get(shard as usize).unwrap_or(&SeenShard::UNSEEN).free as u64;
        let any = || u32::try_from(drawn % u64::from(shards.max(1))).unwrap_or(0);
        home::by_weight((0..shards).map(|shard| (shard, free(shard))), drawn).unwrap_or_else(any)
    }

    /// A number by chance.
    #[must_use]
    pub fn draw(&self) -> u64 {
        (self.random)().iter().fold(0, |number, byte| (number << 8) | u64::from(*byte))
    }

    /// Wakes `scale` through the table's stream, at most once in a few seconds. Who comes meanwhile needs no wake-up of his own, since a
    /// woken run looks again at the end of them. A failure is logged and nothing more: `scale` also runs every minute.
    pub async fn wake_scale(&self, cause: &str) {
        let now = self.now();
        if now < self.seen().woken_at + WAKE_EVERY_SECONDS {
            return;
        }
        let woken_at = match self.store.wake(now, WAKE_EVERY_SECONDS, trace::id().as_deref()).await {
            Ok(Woken::Now) => {
                tracing::info!(cause, "woke scale");
                now
            }
            Ok(Woken::Before(at)) => at,
            Err(error) => {
                tracing::warn!(%error, cause, "could not wake scale");
                now
            }
        };
        self.seen().woken_at = woken_at;
    }

    /// Waits until this wake-up of `scale` keeps nobody from the next one.
    pub async fn wake_is_over(&self, woken_at: Timestamp) {
        let over = async {
            while self.now() < woken_at + WAKE_EVERY_SECONDS {
                tokio::time::sleep(CLOCK_PERIOD).await;
            }
        };
        // Whatever the clocks of two machines say, it takes no longer.
        let _ = tokio::time::timeout(Duration::from_secs(WAKE_EVERY_SECONDS), over).await;
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seen {
    fn shard(&mut self, number: ShardNo) -> &mut SeenShard {
        let place = number as usize;
        if self.shards.len() <= place {
            self.shards.resize(place + 1, SeenShard::UNSEEN);
        }
        &mut self.shards[place]
    }
}
