//! Callers in great number against a system that runs somewhere, such as `cargo local`, while `tests/load.sh` kills its
//! processes. Each acquires under a key, uses its lease for a while, renews and releases it, and asks again under the same
//! key whenever it is told nothing or that something failed.
//!
//! Rule: only what callers see counts. A lease is lost when its holder is told before its end that it is not there, or
//! when a key is never answered; double when two hold an instance at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::random::Random;
use crate::sim::world::lock;

/// The life that leases are asked for, in seconds. Each is renewed in time.
const TTL_SECONDS: u64 = 60;

/// A call is tried again for so long before its key counts as lost.
const PATIENCE: Duration = Duration::from_mins(2);

/// How a load is made.
#[derive(Debug, Clone)]
pub struct Load {
    /// The API's address.
    pub api: String,
    /// Callers at once.
    pub callers: u64,
    /// For so long.
    pub lasts: Duration,
    /// What the callers do is drawn from it.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Figures {
    /// Answers by status; 0 is no answer at all.
    pub statuses: BTreeMap<u16, u64>,
    /// Leases held.
    pub leases: u64,
    /// Keys that were answered for two minutes, and never with a lease.
    pub unserved: u64,
    /// Leases whose instance was taken away.
    pub interrupted: u64,
    /// Milliseconds that grants without a wait took, as their callers saw it.
    pub grants_ms: Vec<u64>,
    /// What must not be.
    pub lost: Vec<String>,
    /// The same.
    pub doubled: Vec<String>,
}

struct Shared {
    client: Client,
    load: Load,
    figures: Mutex<Figures>,
    held: Mutex<BTreeMap<String, Holder>>,
    ends: Instant,
}

/// Who uses an instance.
#[derive(Debug, Clone)]
struct Holder {
    lease_id: String,
    until: Instant,
}

/// An answer, or nothing.
struct Told {
    status: u16,
    body: Value,
}

/// Carries out a load and answers its figures.
///
/// # Errors
/// When no client can be made.
pub async fn run(load: Load) -> Result<Figures, reqwest::Error> {
    let shared = Arc::new(Shared {
        client: Client::builder().timeout(Duration::from_secs(40)).build()?,
        figures: Mutex::default(),
        held: Mutex::default(),
        ends: now() + load.lasts,
        load,
    });
    let callers: Vec<_> = (0..shared.load.callers).map(|who| tokio::spawn(caller(Arc::clone(&shared), who))).collect();
    for caller in callers {
        if let Err(error) = caller.await {
            lock(&shared.figures).lost.push(format!("a caller panicked: {error}"));
        }
    }
    Ok(std::mem::take(&mut *lock(&shared.figures)))
}

#[expect(clippy::disallowed_methods, reason = "a load lives by the clock on the wall")]
fn now() -> Instant {
    Instant::now()
}

async fn caller(shared: Arc<Shared>, who: u64) {
    let mut random = Random::new(shared.load.seed.wrapping_add(who));
    for number in 0.. {
        if now() >= shared.ends {
            return;
        }
        let job = Job { shared: &shared, user: format!("load{who}"), key: format!("{}-{number}", shared.load.seed) };
        job.run(&mut random).await;
        sleep(Duration::from_millis(random.number() % 500)).await;
    }
}

/// One lease of one caller.
struct Job<'a> {
    shared: &'a Shared,
    user: String,
    key: String,
}

impl Job<'_> {
    async fn run(&self, random: &mut Random) {
        let Some(lease) = self.acquire(random).await else { return };
        let id = text(&lease, "lease_id");
        let instance = text(&lease, "instance_id");
        self.shared.hold(&instance, &id);
        let uses = 1 + random.number() % 4;
        for _ in 0..uses {
            sleep(Duration::from_millis(random.number() % 1_500)).await;
            let renew = random.number().is_multiple_of(2);
            let path = if renew { format!("/v1/leases/{id}/renew") } else { format!("/v1/leases/{id}") };
            let body = renew.then(|| json!({"ttl_seconds": TTL_SECONDS}));
            let method = if renew { Method::POST } else { Method::GET };
            let Some(told) = self.until_told(&method, &path, body.as_ref()).await else { return };
            if told.body["state"] == "interrupted" {
                lock(&self.shared.figures).interrupted += 1;
                break;
            }
            if told.status != 200 {
                // A renewal of an interrupted lease is refused; looking at it tells.
                let looked = self.until_told(&Method::GET, &format!("/v1/leases/{id}"), None).await;
                if looked.is_some_and(|looked| looked.body["state"] == "interrupted") {
                    lock(&self.shared.figures).interrupted += 1;
                } else {
                    lock(&self.shared.figures).lost.push(format!("{id}: {} {}", told.status, told.body));
                }
                break;
            }
            self.shared.hold(&instance, &id);
        }
        self.shared.give_back(&instance, &id);
        let told = self.until_told(&Method::DELETE, &format!("/v1/leases/{id}"), None).await;
        if told.is_some_and(|told| told.status != 204) {
            lock(&self.shared.figures).lost.push(format!("{id} cannot be released"));
        }
    }

    /// The lease, when it is there; nothing when the pool refused for good because too many wait.
    async fn acquire(&self, random: &mut Random) -> Option<Value> {
        let began = now();
        let body = json!({"wait_seconds": 60, "ttl_seconds": TTL_SECONDS});
        while now() < began + PATIENCE {
            let sent = now();
            let told = self.until_told(&Method::POST, "/v1/leases", Some(&body)).await?;
            if matches!(told.status, 200 | 201) && told.body["state"] == "active" {
                let mut figures = lock(&self.shared.figures);
                figures.leases += 1;
                let took = u64::try_from(sent.elapsed().as_millis()).unwrap_or(u64::MAX);
                figures.grants_ms.push(took);
                return Some(told.body);
            }
            if told.body["state"] == "interrupted" {
                // Its instance died before it was told of: the key is free for another once this is given back.
                let id = text(&told.body, "lease_id");
                self.until_told(&Method::DELETE, &format!("/v1/leases/{id}"), None).await?;
                continue;
            }
            if told.status == 202
                && let Some(lease) = self.wait(&text(&told.body, "lease_id")).await
            {
                lock(&self.shared.figures).leases += 1;
                return Some(lease);
            }
            sleep(Duration::from_millis(200 + random.number() % 2_000)).await;
        }
        lock(&self.shared.figures).unserved += 1;
        None
    }

    async fn wait(&self, id: &str) -> Option<Value> {
        loop {
            let told = self.until_told(&Method::GET, &format!("/v1/leases/{id}"), None).await?;
            match told.body["state"].as_str() {
                Some("active") => return Some(told.body),
                Some("pending") => sleep(Duration::from_secs(1)).await,
                // The wait is over, or the instance died before it was used: the key asks again.
                _ => return None,
            }
        }
    }

    /// An answer that is none of a failure; what fails is tried again.
    async fn until_told(&self, method: &Method, path: &str, body: Option<&Value>) -> Option<Told> {
        let began = now();
        while now() < began + PATIENCE {
            let told = self.call(method, path, body).await;
            match told {
                Some(told) if told.status < 500 => return Some(told),
                Some(told) if told.status == 503 && *method == Method::POST && path == "/v1/leases" => {
                    return Some(told);
                }
                _ => sleep(Duration::from_millis(300)).await,
            }
        }
        lock(&self.shared.figures).lost.push(format!("{method} {path} under key {} is never answered", self.key));
        None
    }

    async fn call(&self, method: &Method, path: &str, body: Option<&Value>) -> Option<Told> {
        let credential = format!("{}/20260101/us-east-1/execute-api/aws4_request", self.user);
        let mut request = self.shared.client.request(method.clone(), format!("{}{path}", self.shared.load.api)).header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0"),
        );
        if let Some(body) = body {
            request = request.header("idempotency-key", &self.key).json(body);
        }
        let answer = request.send().await.ok();
        let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
        *lock(&self.shared.figures).statuses.entry(status).or_default() += 1;
        let body = answer?.json().await.unwrap_or_default();
        Some(Told { status, body })
    }
}

impl Shared {
    /// A caller was just told that it holds an instance.
    fn hold(&self, instance: &str, lease_id: &str) {
        let mut held = lock(&self.held);
        if let Some(other) = held.get(instance).filter(|other| other.lease_id != lease_id && other.until > now()) {
            lock(&self.figures).doubled.push(format!("{instance}: {} and {lease_id}", other.lease_id));
        }
        let holder = Holder { lease_id: lease_id.to_owned(), until: now() + Duration::from_secs(TTL_SECONDS - 5) };
        held.insert(instance.to_owned(), holder);
    }

    /// A caller stops using it, before it says so.
    fn give_back(&self, instance: &str, lease_id: &str) {
        let mut held = lock(&self.held);
        if held.get(instance).is_some_and(|holder| holder.lease_id == lease_id) {
            held.remove(instance);
        }
    }
}

fn text(body: &Value, field: &str) -> String {
    body[field].as_str().unwrap_or_default().to_owned()
}

impl Figures {
    /// The figures in words; an error when something was lost or double, or the pool failed in a way that it should not.
    ///
    /// # Errors
    /// What must not be.
    pub fn verdict(&mut self) -> Result<String, String> {
        self.grants_ms.sort_unstable();
        let at = |part: usize| self.grants_ms.get(self.grants_ms.len() * part / 1_000).copied().unwrap_or(0);
        let told = format!(
            "{} leases, {} interrupted, {} unserved, {} lost, {} double; answers by status {:?}; grants by the first request: {}, \
             median {} ms, 99 % {} ms, 99.9 % {} ms",
            self.leases,
            self.interrupted,
            self.unserved,
            self.lost.len(),
            self.doubled.len(),
            self.statuses,
            self.grants_ms.len(),
            at(500),
            at(990),
            at(999),
        );
        if self.lost.is_empty() && self.doubled.is_empty() && self.leases > 0 {
            return Ok(told);
        }
        Err(format!("{told}\nlost: {:#?}\ndouble: {:#?}", self.lost, self.doubled))
    }
}
