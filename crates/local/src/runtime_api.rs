//! The Lambda Runtime API as one function environment sees it
//! (<https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html>).
//!
//! Rule: one server, on its own port, for one child process, which has one invocation at a time. So nothing here has to find out who
//! asks, and a late answer to an invocation that has ended is refused by its id.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};

/// Lambda accepts answers up to 6 MB.
const ANSWER_BYTES_MAX: usize = 6 * 1024 * 1024;

/// One call of a function on its way to the environment that takes it.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) request_id: String,
    pub(crate) payload: Bytes,
    /// When the function is killed, in Unix milliseconds.
    pub(crate) deadline_ms: u64,
    pub(crate) function_arn: String,
    /// Takes the answer, or the error document of a function that failed.
    pub(crate) reply: oneshot::Sender<Result<Bytes, Bytes>>,
}

/// How far the initialisation of an environment has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The process runs but has not asked for work yet.
    Starting,
    /// It has asked for work.
    Ready,
    /// It reported that it cannot start, with this document.
    Failed(String),
}

/// The state behind one environment's server.
#[derive(Debug)]
pub(crate) struct RuntimeApi {
    queue: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    running: Mutex<Option<Running>>,
    phase: watch::Sender<Phase>,
}

#[derive(Debug)]
struct Running {
    request_id: String,
    /// Absent once answered.
    reply: Option<oneshot::Sender<Result<Bytes, Bytes>>>,
}

impl RuntimeApi {
    /// A new environment that takes its work from `queue`.
    pub(crate) fn new(queue: mpsc::Receiver<Invocation>) -> Arc<Self> {
        Arc::new(Self {
            queue: tokio::sync::Mutex::new(queue),
            running: Mutex::default(),
            phase: watch::Sender::new(Phase::Starting),
        })
    }

    /// Follows the initialisation.
    pub(crate) fn phase(&self) -> watch::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Whether the process has taken this invocation, so that it may have had effects.
    pub(crate) fn has_taken(&self, request_id: &str) -> bool {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .is_some_and(|running| running.request_id == request_id)
    }

    /// The routes of the API.
    pub(crate) fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(DefaultBodyLimit::max(ANSWER_BYTES_MAX))
            .with_state(self)
    }

    /// Hands the answer to whoever invoked; false when that invocation is not the running one.
    fn finish(&self, request_id: &str, outcome: Result<Bytes, Bytes>) -> bool {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let reply = running
            .as_mut()
            .filter(|running| running.request_id == request_id)
            .and_then(|running| running.reply.take());
        // The invoker may have given up meanwhile; the function has done its part all the same.
        reply.map(|reply| reply.send(outcome)).is_some()
    }
}

/// Holds the request until there is work. If the process dies meanwhile, its connection ends, this future is dropped and the work stays
/// in the queue.
async fn next(State(api): State<Arc<RuntimeApi>>) -> Response {
    api.phase.send_replace(Phase::Ready);
    let Some(invocation) = api.queue.lock().await.recv().await else {
        // The environment is being ended. Any answer but work would make the function's runtime panic before it is.
        return std::future::pending().await;
    };
    let Invocation { request_id, payload, deadline_ms, function_arn, reply } = invocation;
    let answer = Response::builder()
        .header("content-type", "application/json")
        .header("lambda-runtime-aws-request-id", &request_id)
        .header("lambda-runtime-deadline-ms", deadline_ms)
        .header("lambda-runtime-invoked-function-arn", function_arn)
        .body(Body::from(payload));
    *api.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(Running { request_id, reply: Some(reply) });
    answer.unwrap_or_else(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response())
}

async fn response(State(api): State<Arc<RuntimeApi>>, Path(request_id): Path<String>, body: Bytes) -> Response {
    accepted(api.finish(&request_id, Ok(body)))
}

async fn error(State(api): State<Arc<RuntimeApi>>, Path(request_id): Path<String>, body: Bytes) -> Response {
    accepted(api.finish(&request_id, Err(body)))
}

async fn init_error(State(api): State<Arc<RuntimeApi>>, body: Bytes) -> Response {
    api.phase.send_replace(Phase::Failed(String::from_utf8_lossy(&body).into_owned()));
    accepted(true)
}

fn accepted(known: bool) -> Response {
    if known {
        (StatusCode::ACCEPTED, Json(json!({"status": "OK"}))).into_response()
    } else {
        let error =
            json!({"errorType": "InvalidRequestID", "errorMessage": "no invocation of this id is running here"});
        (StatusCode::BAD_REQUEST, Json(error)).into_response()
    }
}
