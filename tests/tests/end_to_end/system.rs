//! The whole system as `cargo local` starts it: the real binaries as processes, reached by HTTP and by `poolctl`.
//!
//! Rule: a test sees what a user sees, waits for what it wants to see, and gives up after two minutes with the last
//! picture. Time passes faster (`--time-scale`), so how long anything took says nothing.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};

/// How much faster time passes: an hour takes a minute.
pub(crate) const TIME_SCALE: u64 = 60;

/// A busy machine that runs the tests is no reason to take a node for dead or to give up a wait.
const PATIENT: [(&str, &str); 5] = [
    ("POOL_HEARTBEAT_MISSES", "100"),
    ("POOL_WAIT_MAX_SECONDS", "3600"),
    ("POOL_LEASE_TTL_SECONDS", "7200"),
    ("POOL_CLAIM_SECONDS", "600"),
    ("POOL_SCALE_OUT_PERIOD_SECONDS", "60"),
];

const LOOK_AGAIN: Duration = Duration::from_millis(50);
const LOOKS_MAX: usize = 2_400;

/// A running system.
pub(crate) struct System {
    child: Child,
    api: String,
    ec2: String,
    http: Client,
    logs: PathBuf,
}

/// An answer of the API.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// A text of the body; empty when it has no such text.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }
}

/// The directory of the binaries, which are up to date afterwards.
#[expect(clippy::disallowed_methods, reason = "cargo must not find what the test runner has told this test")]
pub(crate) fn binaries() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--workspace", "--all-targets"]).current_dir(pool_tests::request::root());
    // Cargo takes what was compiled under other values of these for out of date.
    let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_", "CARGO_TARGET_TMPDIR"];
    for (name, _) in std::env::vars().filter(|(name, _)| told.iter().any(|prefix| name.starts_with(prefix))) {
        cargo.env_remove(name);
    }
    assert!(cargo.status().expect("cargo runs").success(), "the binaries could not be built");
    let directory = Path::new(env!("CARGO_BIN_EXE_pool-tests")).parent().expect("a directory");
    assert!(
        directory.ends_with("debug"),
        "these tests run the binaries of the dev profile, not those in {}",
        directory.display()
    );
    directory.to_owned()
}

impl System {
    /// Starts a system under a policy, with a port of its own for its machines. A test may say otherwise than [`PATIENT`].
    pub(crate) async fn start(policy: &[(&str, &str)]) -> Self {
        let binaries = binaries();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let health_port = free.local_addr().expect("an address").port();
        drop(free);
        let logs = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("end-to-end-{health_port}"));
        let mut command = Command::new(binaries.join("pool-local"));
        command.arg("--binaries").arg(&binaries).args(["--time-scale", &TIME_SCALE.to_string()]);
        command.args(["--boot-seconds", "5", "--logs"]).arg(&logs);
        for port in ["--port", "--lambda-port", "--dynamodb-port", "--ec2-port"] {
            command.args([port, "0"]);
        }
        command.env_remove("AWS_ENDPOINT_URL_DYNAMODB").env_remove("AWS_ENDPOINT_URL_EC2");
        command.env("POOL_HEALTH_PORT", health_port.to_string()).envs(PATIENT).envs(policy.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("pool-local starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let mut address_after = |name: &str| {
            let line = lines.find(|line| line.contains(name)).expect("the banner names every part");
            line.split_whitespace().find(|word| word.starts_with("http")).expect("an address").to_owned()
        };
        let (api, ec2) = (address_after("HTTP API"), address_after("EC2"));
        let system = Self { child, api, ec2, http: Client::new(), logs };
        system.until("scale has made the shards", |pool| total(pool, "capacity") > 0).await;
        system
    }

    /// A request of `user`, who is taken at his word here.
    pub(crate) async fn call(&self, user: &str, method: Method, path: &str, body: Option<Value>) -> Answer {
        let credential = format!("{user}/20260101/us-east-1/execute-api/aws4_request");
        let signature = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=0");
        let mut request = self.http.request(method, format!("{}{path}", self.api)).header("authorization", signature);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.expect("the API answers");
        let status = answer.status().as_u16();
        Answer { status, body: answer.json().await.unwrap_or_default() }
    }

    pub(crate) async fn pool(&self) -> Value {
        self.call("olga", Method::GET, "/v1/pool", None).await.body
    }

    /// Waits until the pool looks as wanted.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..LOOKS_MAX {
            last = self.pool().await;
            if is_so(&last) {
                return last;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        panic!("waited in vain until {what}; logs in {}; the pool: {last:#}", self.logs.display());
    }

    /// Asks for a lease that may wait for as long as may be.
    pub(crate) async fn acquire(&self, user: &str) -> Answer {
        let answer = self.call(user, Method::POST, "/v1/leases", Some(json!({"wait_seconds": 3_600}))).await;
        assert!(matches!(answer.status, 201 | 202), "{answer:?}");
        answer
    }

    /// Waits until the lease looks as wanted.
    pub(crate) async fn until_lease(&self, user: &str, id: &str, is_so: impl Fn(&Answer) -> bool) -> Answer {
        let mut last = None;
        for _ in 0..LOOKS_MAX {
            let answer = self.call(user, Method::GET, &format!("/v1/leases/{id}"), None).await;
            if is_so(&answer) {
                return answer;
            }
            last = Some(answer);
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        panic!(
            "waited in vain for {id}; logs in {}; last {last:?}; the pool: {:#}",
            self.logs.display(),
            self.pool().await
        );
    }

    /// Waits until all of these leases, each of one user, are in use. Whoever does not look loses what it was handed, so
    /// all look in turn.
    pub(crate) async fn until_active(&self, asked: &[(&str, &Answer)]) -> Vec<Answer> {
        let mut last = Vec::new();
        for _ in 0..LOOKS_MAX {
            last.clear();
            for (user, lease) in asked {
                last.push(self.call(user, Method::GET, &format!("/v1/leases/{}", lease.text("lease_id")), None).await);
            }
            if last.iter().all(|lease| lease.text("state") == "active") {
                return last;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        panic!(
            "waited in vain for leases; logs in {}; last {last:#?}; the pool: {:#}",
            self.logs.display(),
            self.pool().await
        );
    }

    /// A lease in use.
    pub(crate) async fn lease(&self, user: &str) -> Answer {
        let asked = self.acquire(user).await;
        self.until_active(&[(user, &asked)]).await.remove(0)
    }

    pub(crate) async fn release(&self, user: &str, id: &str) {
        let answer = self.call(user, Method::DELETE, &format!("/v1/leases/{id}"), None).await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// Waits until something has happened to an instance, and answers when and why.
    pub(crate) async fn until_happened(&self, instance: &str, what: &str) -> Value {
        let mut story = Value::Null;
        for _ in 0..LOOKS_MAX {
            story = self.call("olga", Method::GET, &format!("/v1/instances/{instance}"), None).await.body;
            let happened = story["history"].as_array().into_iter().flatten().find(|entry| entry["what"] == what);
            if let Some(entry) = happened {
                return entry.clone();
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        panic!("{what} never happened to {instance}; logs in {}: {story:#}", self.logs.display());
    }

    /// Orders of the simulated EC2's admin route.
    pub(crate) async fn ec2_put(&self, path: &str, body: Value) {
        let answer =
            self.http.put(format!("{}/_admin/{path}", self.ec2)).json(&body).send().await.expect("EC2 answers");
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap_or_default());
    }

    pub(crate) async fn ec2_happens(&self, instance: &str, what: &str) {
        let url = format!("{}/_admin/instances/{instance}/{what}", self.ec2);
        let answer = self.http.post(url).send().await.expect("EC2 answers");
        assert!(answer.status().is_success(), "{what}: {}", answer.text().await.unwrap_or_default());
    }

    /// A call of EC2's own API.
    pub(crate) async fn ec2_call(&self, form: &str) {
        let request =
            self.http.post(format!("{}/", self.ec2)).header("content-type", "application/x-www-form-urlencoded");
        let answer = request.body(form.to_owned()).send().await.expect("EC2 answers");
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap_or_default());
    }

    /// Instances that EC2 has, each with its state.
    pub(crate) async fn ec2_instances(&self) -> Vec<Value> {
        let answer = self.http.get(format!("{}/_admin/instances", self.ec2)).send().await.expect("EC2 answers");
        let mut body: Value = answer.json().await.expect("JSON");
        serde_json::from_value(body["instances"].take()).expect("a list")
    }

    /// Those that are not terminated.
    pub(crate) async fn alive(&self) -> Vec<String> {
        let alive = self.ec2_instances().await.into_iter().filter(|one| one["state"] != "terminated");
        alive.map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
    }

    /// `poolctl` against this system.
    pub(crate) async fn poolctl(&self, arguments: &[&str]) -> Output {
        let directory = Path::new(env!("CARGO_BIN_EXE_pool-tests")).with_file_name("poolctl");
        let mut command = Command::new(directory);
        command.args(["--endpoint", &self.api]).args(arguments).env("AWS_ACCESS_KEY_ID", "olga");
        command.env("AWS_SECRET_ACCESS_KEY", "secret").env_remove("AWS_PROFILE");
        let ran = tokio::task::spawn_blocking(move || command.output()).await.expect("it is not cancelled");
        let output = ran.expect("poolctl runs");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        output
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // Asked to stop, it takes its functions and machines with it.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.logs);
        }
    }
}

impl System {
    /// The lines of a function's log.
    pub(crate) fn log(&self, function: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.logs.join(format!("{function}.log"))).expect("the function has a log");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until a log has a line as wanted, and answers it.
    pub(crate) async fn until_logged(&self, function: &str, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..LOOKS_MAX {
            if let Some(line) = self.log(function).into_iter().find(&is_it) {
                return line;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        panic!("{function} never logged {what}; logs in {}", self.logs.display());
    }
}

/// A count of the pool.
pub(crate) fn total(pool: &Value, name: &str) -> u64 {
    pool["totals"][name].as_u64().unwrap_or_default()
}

/// The instances of the pool of which a field has this value.
pub(crate) fn those<'a>(pool: &'a Value, field: &str, value: &str) -> Vec<&'a str> {
    let instances = pool["instances"].as_array().into_iter().flatten();
    instances.filter(|one| one[field] == value).filter_map(|one| one["instance_id"].as_str()).collect()
}
