//! Lambda's Runtime API (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>), as little of it as a benchmark
//! needs: events wait in a queue for whoever asks for work next.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use crate::engine::lock;

/// What is measured when a process first asks for work.
pub type Gauge = Box<dyn Fn() -> u64 + Send + Sync>;

/// The server's side.
pub struct RuntimeApi {
    queue: mpsc::UnboundedSender<(u64, String)>,
    waiting: tokio::sync::Mutex<mpsc::UnboundedReceiver<(u64, String)>>,
    invocations: AtomicU64,
    running: Mutex<BTreeMap<u64, oneshot::Sender<Answer>>>,
    gauge: Gauge,
    asked: watch::Sender<Option<Asked>>,
}

/// The first request for work.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// When it came.
    pub at: Instant,
    /// What the gauge said then.
    pub gauge: u64,
}

/// An answer of a function.
#[derive(Debug, Clone)]
pub struct Answer {
    /// When it came.
    pub at: Instant,
    /// What it says.
    pub body: Bytes,
}

impl fmt::Debug for RuntimeApi {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RuntimeApi").field("invocations", &self.invocations).finish_non_exhaustive()
    }
}

impl RuntimeApi {
    /// Serves on this listener for as long as the runtime lives.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn serve(listener: TcpListener, gauge: Gauge) -> std::io::Result<(Arc<Self>, SocketAddr)> {
        let address = listener.local_addr()?;
        let (queue, waiting) = mpsc::unbounded_channel();
        let api = Arc::new(Self {
            queue,
            waiting: waiting.into(),
            invocations: AtomicU64::new(0),
            running: Mutex::default(),
            gauge,
            asked: watch::Sender::new(None),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .with_state(Arc::clone(&api));
        tokio::spawn(axum::serve(listener, router).into_future());
        Ok((api, address))
    }

    /// Invokes whoever asks for work next; `None` when nobody can answer any more.
    pub async fn invoke(&self, event: String) -> Option<Answer> {
        let id = self.invocations.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        lock(&self.running).insert(id, reply);
        self.queue.send((id, event)).ok()?;
        answer.await.ok()
    }

    /// Waits for the first request for work.
    pub async fn asked(&self) -> Option<Asked> {
        let mut changes = self.asked.subscribe();
        changes.wait_for(Option::is_some).await.ok().and_then(|asked| *asked)
    }
}

#[expect(clippy::disallowed_methods, reason = "starts are measured by the clock on the wall")]
async fn next(State(api): State<Arc<RuntimeApi>>) -> impl IntoResponse {
    if api.asked.borrow().is_none() {
        let asked = Asked { at: Instant::now(), gauge: (api.gauge)() };
        api.asked.send_if_modified(|first| first.is_none() && first.replace(asked).is_none());
    }
    let Some((id, event)) = api.waiting.lock().await.recv().await else { return std::future::pending().await };
    let arn = HeaderValue::from_static("arn:aws:lambda:us-east-1:000000000000:function:bench");
    let headers = [
        (HeaderName::from_static("lambda-runtime-aws-request-id"), HeaderValue::from(id)),
        (HeaderName::from_static("lambda-runtime-deadline-ms"), HeaderValue::from_static("4102444800000")),
        (HeaderName::from_static("lambda-runtime-invoked-function-arn"), arn),
    ];
    (headers, event)
}

#[expect(clippy::disallowed_methods, reason = "answers are measured by the clock on the wall")]
async fn response(State(api): State<Arc<RuntimeApi>>, Path(id): Path<u64>, body: Bytes) -> StatusCode {
    let answer = Answer { at: Instant::now(), body };
    // Whoever invoked may have given up.
    let taken = lock(&api.running).remove(&id).map(|reply| reply.send(answer));
    if taken.is_some() { StatusCode::ACCEPTED } else { StatusCode::BAD_REQUEST }
}
