//! The live page at `/`: the pool as it changes, for people.
//!
//! Rule: the page sees what `GET /v1/pool` answers and nothing else. The pool is asked only while somebody looks.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderName, Request, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use futures_util::Stream;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::clock;
use crate::functions::Functions;
use crate::gateway::{self, Context};
use crate::identity::Principal;
use crate::routes;
use crate::stop::Stop;

/// Between two looks at the pool.
const PERIOD: Duration = Duration::from_millis(400);
/// What happened, of which so much is remembered.
const EVENTS_MAX: usize = 100;
/// Lines of code and rules of style are the page's own; nothing is fetched from elsewhere.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; script-src 'unsafe-inline'; \
                                       style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What those who look are shown.
#[derive(Debug)]
pub struct Live {
    functions: Arc<Functions>,
    seen: Mutex<Seen>,
    /// The same as text, each time it changes.
    shown: watch::Sender<String>,
}

#[derive(Debug, Default)]
struct Seen {
    pool: Value,
    events: VecDeque<Value>,
}

impl Live {
    /// Shows the pool behind these functions.
    #[must_use]
    pub fn new(functions: Arc<Functions>) -> Arc<Self> {
        Arc::new(Self { functions, seen: Mutex::default(), shown: watch::Sender::new(String::new()) })
    }

    /// Looks at the pool until told to stop.
    pub async fn look(self: Arc<Self>, stop: Stop) {
        let looking = async {
            loop {
                if self.shown.receiver_count() > 0
                    && let Some(pool) = self.pool().await
                {
                    self.show(pool);
                }
                tokio::time::sleep(PERIOD).await;
            }
        };
        tokio::select! {
            () = stop.wanted() => {}
            () = looking => {}
        }
    }

    /// All pages of the pool as one; nothing when the function fails, which its log tells of.
    async fn pool(&self) -> Option<Value> {
        let mut pool = self.page(None).await?;
        while let Some(from_shard) = pool["next_shard"].as_u64() {
            let mut next = self.page(Some(from_shard)).await?;
            for part in ["shards", "instances"] {
                let lines = next[part].as_array_mut().map(std::mem::take).unwrap_or_default();
                pool[part].as_array_mut()?.extend(lines);
            }
            pool["next_shard"] = next["next_shard"].take();
        }
        Some(pool)
    }

    async fn page(&self, from_shard: Option<u64>) -> Option<Value> {
        let query = from_shard.map_or_else(String::new, |shard| format!("?from_shard={shard}"));
        let request = Request::get(format!("/v1/pool{query}")).body(()).ok()?.into_parts().0;
        let matched = routes::find("GET", "/v1/pool")?;
        let principal = Principal::of_header(None).ok()?;
        let (source_ip, request_id) = (IpAddr::V4(Ipv4Addr::LOCALHOST), clock::request_id());
        let context = Context { principal: &principal, source_ip, request_id: &request_id, now_ms: clock::now_ms() };
        let event = gateway::event(&matched, &request, &Bytes::new(), &context);
        let answer = self.functions.send(matched.route.function, &event).await.ok()?;
        let answer: Value = serde_json::from_slice(&answer).ok()?;
        serde_json::from_str(answer["body"].as_str()?).ok()
    }

    fn show(&self, pool: Value) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.pool == pool {
            return;
        }
        let at = clock::date(clock::now_ms()).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        for what in pool_core::changes::between(&seen.pool, &pool) {
            seen.events.push_front(json!({ "at": at, "what": what }));
        }
        seen.events.truncate(EVENTS_MAX);
        seen.pool = pool;
        self.shown.send_replace(json!({ "pool": seen.pool, "events": seen.events }).to_string());
    }
}

/// The page and what it reads.
pub fn router(live: Arc<Live>, stop: Stop) -> Router {
    let changes = async |State((live, stop)): State<(Arc<Live>, Stop)>| {
        Sse::new(changes(live.shown.subscribe(), stop)).keep_alive(KeepAlive::default())
    };
    Router::new().route("/", get(page)).route("/live", get(changes)).with_state((live, stop))
}

async fn page() -> impl IntoResponse {
    const POLICY: HeaderName = header::CONTENT_SECURITY_POLICY;
    ([(POLICY, CONTENT_SECURITY_POLICY), (header::CACHE_CONTROL, "no-store")], Html(include_str!("live.html")))
}

/// What is shown now and each time it changes, until everything stops: a page that somebody left open holds nothing up.
fn changes(shown: watch::Receiver<String>, stop: Stop) -> impl Stream<Item = Result<Event, Infallible>> {
    futures_util::stream::unfold((shown, true), move |(mut shown, is_first)| {
        let stop = stop.clone();
        async move {
            // What was shown to somebody before may be long past, but it is there at once.
            while !is_first || shown.borrow().is_empty() {
                tokio::select! {
                    () = stop.clone().wanted() => return None,
                    changed = shown.changed() => changed.ok()?,
                }
                if !shown.borrow().is_empty() {
                    break;
                }
            }
            let text = shown.borrow_and_update().clone();
            Some((Ok(Event::default().data(text)), (shown, false)))
        }
    })
}
