//! One run of a function: it can be told to die at any of its requests, and it ends when its time is over.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;

use crate::sim::World;

/// Where an invocation dies: at its request of this number, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrashAt {
    /// Which request.
    pub request: u32,
    /// After it took effect, or before it is sent.
    pub after: bool,
}

/// An invocation as its requests see it.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The function and a number.
    pub name: Arc<str>,
    crash: Option<CrashAt>,
    requests: Arc<AtomicU32>,
    dead: Arc<Notify>,
}

tokio::task_local! {
    static CURRENT: Invocation;
}

/// How an invocation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End<T> {
    /// With an answer.
    Answered(T),
    /// Its process died.
    Crashed,
    /// Its time was over.
    TimedOut,
}

impl<T> End<T> {
    /// The answer, if there is one.
    pub fn answer(self) -> Option<T> {
        match self {
            End::Answered(answer) => Some(answer),
            End::Crashed | End::TimedOut => None,
        }
    }
}

impl Invocation {
    /// The invocation that is running, if it is one.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// The number of its next request.
    #[must_use]
    pub fn next_request(&self) -> u32 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether it was told to die at this request.
    #[must_use]
    pub fn dies_at(&self, request: u32, after: bool) -> bool {
        self.crash == Some(CrashAt { request, after })
    }

    /// Dies: the future that waits for this is dropped.
    pub async fn die(&self) {
        self.dead.notify_one();
        std::future::pending::<()>().await;
    }
}

/// Runs `work` as an invocation of `name`, and answers how it ended and how many requests it made.
pub async fn invoke<T>(
    world: &Arc<World>,
    name: &str,
    limit: Duration,
    crash: Option<CrashAt>,
    work: impl Future<Output = T>,
) -> (End<T>, u32) {
    let invocation = Invocation {
        name: format!("{name}#{}", world.next_number()).into(),
        crash,
        requests: Arc::default(),
        dead: Arc::default(),
    };
    let (dead, requests) = (Arc::clone(&invocation.dead), Arc::clone(&invocation.requests));
    let name = Arc::clone(&invocation.name);
    let guarded = Guarded { world: Arc::clone(world), name: Arc::clone(&name), work: Box::pin(work) };
    let end = tokio::select! {
        biased;
        () = dead.notified() => End::Crashed,
        ended = tokio::time::timeout(limit, CURRENT.scope(invocation, guarded)) => match ended {
            Ok(answer) => End::Answered(answer),
            Err(_) => End::TimedOut,
        },
    };
    match &end {
        End::Answered(_) => {}
        End::Crashed => world.line(&format!("{name} crashed")),
        End::TimedOut => {
            world.fault("timed_out");
            world.line(&format!("{name} timed out"));
        }
    }
    (end, requests.load(Ordering::Relaxed))
}

/// Counts each await that is resumed, and takes a panic for what it is: a broken promise.
struct Guarded<F> {
    world: Arc<World>,
    name: Arc<str>,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Guarded<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.world.step();
        let work = self.work.as_mut();
        match catch_unwind(AssertUnwindSafe(|| work.poll(context))) {
            Ok(poll) => poll,
            Err(panic) => {
                self.world.broken(&format!("{} panicked: {}", self.name, words(panic.as_ref())));
                Poll::Pending
            }
        }
    }
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}
