//! EC2's wire protocol on `/`, and the admin route `/_admin`, over HTTP.
//!
//! | admin route | does |
//! |---|---|
//! | `GET /_admin/instances` | the instances as they are, as JSON |
//! | `GET`, `PUT /_admin/faults` | reads or replaces the faults |
//! | `POST /_admin/instances/{id}/kill` | takes the instance away with no notice |
//! | `POST /_admin/instances/{id}/warn` | a Spot interruption warning, the end two minutes later |
//! | `POST /_admin/instances/{id}/rebalance` | a rebalance recommendation |
//! | `POST /_admin/instances/{id}/shutdown` | the guest shuts its machine down |
//! | `PUT /_admin/instances/{id}/guest` | how its guest behaves from now on |
//!
//! Rule: nothing is decided here. Signatures are not verified, so this is for one machine only.

use std::{
    convert::Infallible,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc::UnboundedSender};

use crate::{Answer, Ec2, Faults, Guest};

/// EC2 refuses larger requests too.
const BODY_BYTES_MAX: usize = 1_048_576;
/// The ticker looks this often even if nothing on the wire woke it, because the owner of the `Ec2` may call it in
/// process.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Tells the time in Unix milliseconds. It may pass faster than on the wall, but never backwards.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

#[derive(Clone)]
struct Server {
    ec2: Arc<Mutex<Ec2>>,
    clock: Clock,
    /// Wakes the ticker: a request may have made something due sooner.
    touched: Arc<Notify>,
}

impl Server {
    /// No request leaves the state half changed, so a lock that another thread's panic poisoned is still good.
    fn lock(&self) -> MutexGuard<'_, Ec2> {
        self.ec2.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, form: &str) -> Response {
        let Answer { status, body } = self.lock().call((self.clock)(), form);
        self.touched.notify_one();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, "text/xml;charset=UTF-8")], body).into_response()
    }

    /// Runs the ticker: at each due moment time moves on, and the events that fell due go out.
    async fn tick(&self, events: UnboundedSender<Value>) -> Infallible {
        loop {
            let (fallen_due, next_due_ms) = {
                let mut ec2 = self.lock();
                (ec2.advance((self.clock)()), ec2.next_due_ms())
            };
            for event in fallen_due {
                // Nobody listens any more: EC2 goes on all the same.
                let _ = events.send(event);
            }
            let until_due =
                next_due_ms.map_or(LOOK_AGAIN, |due_ms| Duration::from_millis(due_ms.saturating_sub((self.clock)())));
            tokio::select! {
                () = tokio::time::sleep(until_due.min(LOOK_AGAIN)) => {}
                () = self.touched.notified() => {}
            }
        }
    }
}

/// Serves until `shutdown` resolves, by the time of `clock`. Events go to `events` as they fall due.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: tokio::net::TcpListener,
    ec2: Arc<Mutex<Ec2>>,
    clock: Clock,
    events: UnboundedSender<Value>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let server = Server { ec2, clock, touched: Arc::new(Notify::new()) };
    let router = Router::new()
        .route("/", post(call_by_form).get(call_by_query))
        .route("/_admin/instances", get(instances))
        .route("/_admin/faults", get(faults).put(set_faults))
        .route("/_admin/instances/{id}/guest", put(set_guest))
        .route("/_admin/instances/{id}/{happening}", post(happen))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(server.clone());
    tokio::select! {
        end = axum::serve(listener, router).with_graceful_shutdown(shutdown) => end,
        never = server.tick(events) => match never {},
    }
}

async fn call_by_form(State(server): State<Server>, form: String) -> Response {
    server.call(&form)
}

async fn call_by_query(State(server): State<Server>, RawQuery(query): RawQuery) -> Response {
    server.call(&query.unwrap_or_default())
}

async fn instances(State(server): State<Server>) -> Json<Value> {
    let ec2 = server.lock();
    Json(json!({ "instances": ec2.instances().collect::<Vec<_>>() }))
}

async fn faults(State(server): State<Server>) -> Json<Faults> {
    Json(server.lock().faults().clone())
}

async fn set_faults(State(server): State<Server>, Json(faults): Json<Faults>) -> Response {
    if let Err(message) = faults.check() {
        return refusal(StatusCode::BAD_REQUEST, &message);
    }
    server.lock().set_faults(faults);
    StatusCode::NO_CONTENT.into_response()
}

async fn set_guest(State(server): State<Server>, Path(id): Path<String>, Json(guest): Json<Guest>) -> Response {
    done(server.lock().set_guest(&id, guest), &id)
}

async fn happen(State(server): State<Server>, Path((id, happening)): Path<(String, String)>) -> Response {
    let now_ms = (server.clock)();
    let happened = {
        let mut ec2 = server.lock();
        match happening.as_str() {
            "kill" => ec2.kill(now_ms, &id),
            "warn" => ec2.warn_spot(now_ms, &id),
            "rebalance" => ec2.rebalance(now_ms, &id),
            "shutdown" => ec2.shut_down_from_inside(now_ms, &id),
            _ => return refusal(StatusCode::NOT_FOUND, "An instance can be told: kill, warn, rebalance, shutdown."),
        }
    };
    server.touched.notify_one();
    done(happened, &id)
}

fn done(happened: bool, id: &str) -> Response {
    if happened {
        return StatusCode::NO_CONTENT.into_response();
    }
    refusal(
        StatusCode::NOT_FOUND,
        &format!("There is no instance {id} in a state and on a market where this can happen."),
    )
}

fn refusal(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

/// The clock on the wall.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the edge of the simulator: everything behind it gets the time as a value"
)]
pub fn wall_clock() -> Clock {
    Arc::new(|| {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
    })
}
