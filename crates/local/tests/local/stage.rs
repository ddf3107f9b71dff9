//! What the tests need around them: a directory of binaries, running functions, an HTTP front, a way to kill and to wait.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use pool_local::{
    clock, front,
    functions::{Function, Functions, Settings},
    invoke,
    logs::Logs,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A directory that is gone after the test.
pub(crate) struct Directory(pub(crate) PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("pool-local-{}", clock::random_hex::<8>()));
        std::fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }

    /// One in which the actor has the name of every function.
    pub(crate) fn of_actors() -> Self {
        let directory = Self::new();
        let built = Path::new(env!("CARGO_BIN_EXE_pool-local")).with_file_name("examples").join("actor");
        for function in Function::ALL {
            std::os::unix::fs::symlink(&built, directory.0.join(function.name())).expect("a link to the actor");
        }
        directory
    }

    pub(crate) fn names(&self) -> Vec<String> {
        let entries = self.0.read_dir().expect("the directory is there");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Functions with servers in front of them.
pub(crate) struct Stage {
    pub(crate) functions: Arc<Functions>,
    pub(crate) api: String,
    pub(crate) lambda: String,
    pub(crate) http: reqwest::Client,
    _binaries: Directory,
}

impl Stage {
    pub(crate) async fn new(settings: Settings) -> Self {
        Self::with_variables(settings, &[]).await
    }

    pub(crate) async fn with_variables(settings: Settings, variables: &[(&str, &str)]) -> Self {
        let binaries = Directory::of_actors();
        let variables: BTreeMap<_, _> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let logs = Logs::new(false, None).expect("no directory is needed");
        let functions = Functions::new(&binaries.0, variables, &settings, Arc::clone(&logs));
        let (listener, api) = port().await;
        let service = front::router(Arc::clone(&functions), logs).into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(axum::serve(listener, service).into_future());
        let (listener, lambda) = port().await;
        tokio::spawn(axum::serve(listener, invoke::router(Arc::clone(&functions))).into_future());
        Self { functions, api, lambda, http: reqwest::Client::new(), _binaries: binaries }
    }

    /// Invokes `status` and gives the answer as JSON.
    pub(crate) async fn status(&self, order: &Value) -> Value {
        let answer = self.functions.send(Function::Status, order).await.expect("an answer");
        serde_json::from_slice(&answer).expect("JSON")
    }

    /// An order to wait, in `directory`, for more processes than there will be.
    pub(crate) fn forever(directory: &Directory) -> Value {
        json!({"do": "meet", "directory": directory.0, "count": 1000})
    }
}

async fn port() -> (TcpListener, String) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    (listener, url)
}

/// Waits until `condition` gives something, and gives up after a minute.
pub(crate) async fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    for _ in 0..6000 {
        if let Some(found) = condition() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {what}");
}

/// The process that came to the meeting in `directory` first.
pub(crate) async fn pid_in(directory: &Directory) -> u32 {
    let name = wait_for("a process at the meeting", || directory.names().pop()).await;
    name.parse().expect("files are named by process")
}

pub(crate) fn signal(signal: &str, pid: u32) {
    let status = Command::new("kill").arg(signal).arg(pid.to_string()).status().expect("kill runs");
    assert!(status.success(), "no process {pid}");
}

/// Whether there is a process of this id that is no zombie.
pub(crate) fn is_alive(pid: u32) -> bool {
    let state = state_of(pid);
    !state.is_empty() && !state.starts_with('Z')
}

/// Whether there is a process of this id that is alive or that its parent has not asked about since it died.
pub(crate) fn exists(pid: u32) -> bool {
    !state_of(pid).is_empty()
}

fn state_of(pid: u32) -> String {
    let output = Command::new("ps").args(["-o", "stat=", "-p", &pid.to_string()]).output().expect("ps runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
