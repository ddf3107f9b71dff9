//! One simulated machine: boots, answers the health check, registers and heartbeats, as the software of a real node does.
//!
//! Rule: it is a process of its own, so that `kill -9` of it is the death of the machine. It knows the pool only through the HTTP API,
//! and it ends when its standard input does, which is when the system that started it is gone.

use std::{net::SocketAddr, time::Duration};

use axum::{Json, Router, http::Uri};
use ec2_sim::Guest;
use pool_core::ids::InstanceId;
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    sync::watch,
    task::JoinSet,
};

use crate::{clock, identity, options::NodeOptions};

const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// The answer to a heartbeat.
#[derive(Debug, Deserialize)]
struct Orders {
    epoch_floor: u64,
    lease: Option<Value>,
    #[serde(default)]
    command: Command,
}

#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Command {
    #[default]
    None,
    Drain,
    Register,
}

/// Runs the machine until its standard input ends. Each line of that is a [`Guest`] in JSON and changes how the machine behaves from
/// then on.
pub async fn run(options: NodeOptions) {
    let (told, guest) = watch::channel(Guest::default());
    tokio::select! {
        () = listen_to_owner(told) => {}
        () = live(options, guest) => {}
    }
}

async fn listen_to_owner(told: watch::Sender<Guest>) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(guest) => {
                told.send_replace(guest);
            }
            Err(error) => eprintln!("not an order this machine understands: {error}"),
        }
    }
}

/// Never returns: a machine runs until it is ended from outside.
async fn live(options: NodeOptions, mut guest: watch::Receiver<Guest>) {
    // The first line arrives at once and may say that this machine never boots; the wait ends when it is told otherwise.
    let _ = guest.changed().await;
    tokio::time::sleep(Duration::from_millis(options.boot_ms)).await;
    let _ = guest.wait_for(|guest| guest.boots).await;
    if let Err(error) = serve_health(&options).await {
        // A real machine whose service does not answer never says that it is ready, either.
        eprintln!("this machine never gets ready: {error}; another `cargo local` may have its address");
        return std::future::pending().await;
    }

    let slots = InstanceId::trusted(options.id.as_str()).slots(options.sessions);
    let nodes = slots.map(|slot| Node {
        slot,
        key: clock::random_hex::<16>(),
        http: reqwest::Client::new(),
        options: options.clone(),
        guest: guest.clone(),
        sessions: 0,
    });
    let mut nodes: JoinSet<()> = nodes.map(Node::work).collect();
    nodes.join_next().await;
}

/// Where the system cannot have the address (only Linux has all of 127.0.0.0/8), the machine lives on without a health check.
async fn serve_health(options: &NodeOptions) -> std::io::Result<()> {
    let address = SocketAddr::new(options.address, options.health_port);
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => {
            eprintln!("no health check on {address}: {error}");
            return Ok(());
        }
        Err(error) => return Err(std::io::Error::new(error.kind(), format!("{address}: {error}"))),
    };
    let (id, path) = (options.id.clone(), format!("/{}", options.health_path.trim_start_matches('/')));
    // Compared as it is: a router would read braces and colons as parameters.
    let answer = move |uri: Uri| async move {
        let healthy = Json(json!({"status": "ok", "instance_id": id}));
        if uri.path() == path { Ok(healthy) } else { Err(StatusCode::NOT_FOUND) }
    };
    tokio::spawn(axum::serve(listener, Router::new().fallback(answer)).into_future());
    Ok(())
}

/// What speaks to the pool for one session of the machine.
struct Node {
    slot: InstanceId,
    options: NodeOptions,
    guest: watch::Receiver<Guest>,
    http: reqwest::Client,
    /// Made anew by each boot, as DESIGN says of a node that starts again.
    key: String,
    sessions: u32,
}

impl Node {
    /// Never returns.
    async fn work(mut self) {
        self.register(None).await;
        loop {
            tokio::time::sleep(Duration::from_millis(self.options.heartbeat_ms)).await;
            let _ = self.guest.wait_for(|guest| guest.heartbeats).await;
            self.heartbeat().await;
        }
    }

    /// Calls `ready` until the control plane takes it. It may not know the instance yet, as launches are recorded after they happen.
    async fn register(&mut self, cleaned_epoch: Option<u64>) {
        let mut body = json!({"boot_id": self.options.boot_id, "key": self.key});
        if let Some(epoch) = cleaned_epoch {
            body["cleaned_epoch"] = epoch.into();
        }
        let mut said = String::new();
        while let Err(why) = self.ready(&body).await {
            // Said once for each reason, not each second.
            if !why.is_empty() && why != said {
                eprintln!("cannot register: {why}");
            }
            said = why;
            tokio::time::sleep(Duration::from_millis(self.options.retry_ms)).await;
        }
    }

    /// One call of `ready`; the error is empty for a refusal that is expected to pass.
    async fn ready(&self, body: &Value) -> Result<(), String> {
        let response = self.post("ready", body).await.map_err(|error| error.to_string())?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        if status.is_server_error() || matches!(status, StatusCode::NOT_FOUND | StatusCode::CONFLICT) {
            return Err(String::new());
        }
        Err(format!("{status}: {}", response.text().await.unwrap_or_default()))
    }

    async fn heartbeat(&mut self) {
        let guest = self.guest.borrow().clone();
        let (cpu_percent, memory_percent) =
            if self.sessions > 0 { (guest.busy_percent.unwrap_or(40), 50) } else { (3, 20) };
        let body = json!({"healthy": guest.healthy, "cpu_percent": cpu_percent, "memory_percent": memory_percent, "sessions": self.sessions});
        let orders = match self.post("heartbeat", &body).await {
            Ok(response) if response.status().is_success() => response.json::<Orders>().await,
            Ok(response) => {
                return eprintln!(
                    "heartbeat refused: {}: {}",
                    response.status(),
                    response.text().await.unwrap_or_default()
                );
            }
            Err(error) => Err(error),
        };
        let orders = match orders {
            Ok(orders) => orders,
            Err(error) => return eprintln!("heartbeat without an answer: {error}"),
        };
        self.sessions = u32::from(orders.lease.is_some());
        if orders.command == Command::Register {
            // Everything below the floor is cleaned away: this machine keeps nothing of a session.
            self.register(orders.epoch_floor.checked_sub(1)).await;
        }
    }

    async fn post(&self, call: &str, body: &Value) -> reqwest::Result<reqwest::Response> {
        let url = format!("{}/v1/instances/{}/{call}", self.options.api, self.slot);
        let authorization = identity::unverified_header(&self.options.id);
        self.http.post(url).timeout(REQUEST_LIMIT).header("authorization", authorization).json(body).send().await
    }
}
