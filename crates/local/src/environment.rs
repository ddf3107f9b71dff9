//! One environment of a function: its process, its Runtime API and the task that keeps both.
//!
//! Rule: the process lives exactly as long as its `Environment` value. Dropping the value kills the process, and the keeper's task ends
//! only once the process has been waited for; so no child is left behind by any path.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
    time::Instant,
};

use crate::{
    clock,
    functions::{Failure, Function},
    logs::Logs,
    runtime_api::{Invocation, Phase, RuntimeApi},
    variables::{ACCOUNT_ID, REGION},
};

/// Lambda gives a function ten seconds to initialise; a laptop that compiles something meanwhile gives it more.
const INIT_LIMIT: Duration = Duration::from_secs(30);
const MEMORY_MB: &str = "256";

/// How to start an environment of one function.
#[derive(Debug)]
pub(crate) struct Recipe {
    pub(crate) function: Function,
    pub(crate) program: PathBuf,
    pub(crate) variables: Arc<BTreeMap<String, String>>,
    pub(crate) logs: Arc<Logs>,
}

/// The keepers of all environments, so that a stop can wait for the last process.
#[derive(Debug)]
pub(crate) struct Keepers(Mutex<Option<JoinSet<()>>>);

impl Keepers {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Some(JoinSet::new())))
    }

    /// Takes in a keeper, and forgets those that have ended.
    fn spawn(&self, keeper: impl Future<Output = ()> + Send + 'static) -> Result<(), Failure> {
        let mut keepers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let keepers = keepers.as_mut().ok_or(Failure::Stopped)?;
        while keepers.try_join_next().is_some() {}
        keepers.spawn(keeper);
        Ok(())
    }

    /// Takes no more in and waits until every process is gone.
    pub(crate) async fn close(&self) {
        let keepers = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut keepers) = keepers {
            while keepers.join_next().await.is_some() {}
        }
    }
}

/// A function's process that waits for work or does some.
#[derive(Debug)]
pub(crate) struct Environment {
    api: Arc<RuntimeApi>,
    work: mpsc::Sender<Invocation>,
    /// How the process ended, once it has.
    ended: watch::Receiver<Option<String>>,
    /// Dropping it ends the process.
    _end: oneshot::Sender<()>,
    pub(crate) idle_since: Instant,
}

/// Why a run brought no answer.
pub(crate) enum Broken {
    /// The process was gone before it took the work, so the work can go elsewhere.
    NotTaken,
    /// It failed with the work in hand.
    InHand(Failure),
}

impl Environment {
    /// Starts a process and waits until it asks for work.
    pub(crate) async fn start(recipe: &Recipe, keepers: &Keepers) -> Result<Self, Failure> {
        let cannot = |what: &str, why: &dyn std::fmt::Display| {
            Failure::Init(format!("{}: {what}: {why}", recipe.function.name()))
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(|error| cannot("no port for its Runtime API", &error))?;
        let address = listener.local_addr().map_err(|error| cannot("no port for its Runtime API", &error))?;
        let mut child = command(recipe, &address.to_string())
            .spawn()
            .map_err(|error| cannot(&format!("cannot start {}", recipe.program.display()), &error))?;
        recipe.logs.follow(recipe.function.name(), &mut child);

        let (work, queue) = mpsc::channel(1);
        let api = RuntimeApi::new(queue);
        let (end, end_wanted) = oneshot::channel();
        let (ended_sender, ended) = watch::channel(None);
        keepers.spawn(keep(child, listener, Arc::clone(&api), end_wanted, ended_sender))?;

        let mut environment = Self { api, work, ended, _end: end, idle_since: Instant::now() };
        environment.initialised(recipe.function).await?;
        Ok(environment)
    }

    async fn initialised(&mut self, function: Function) -> Result<(), Failure> {
        let name = function.name();
        let mut phase = self.api.phase();
        let reached = tokio::time::timeout(INIT_LIMIT, async {
            tokio::select! {
                biased;
                reached = phase.wait_for(|phase| *phase != Phase::Starting) => reached.map_or(Phase::Starting, |phase| phase.clone()),
                how = ended(&mut self.ended) => Phase::Failed(how),
            }
        });
        match reached.await {
            Ok(Phase::Ready) => Ok(()),
            Ok(Phase::Failed(why)) => Err(Failure::Init(format!("{name} does not start: {why}"))),
            Ok(Phase::Starting) => Err(Failure::Stopped),
            Err(_) => Err(Failure::Init(format!("{name} asked for no work within {} seconds", INIT_LIMIT.as_secs()))),
        }
    }

    /// Has the process still not ended?
    pub(crate) fn is_alive(&self) -> bool {
        self.ended.borrow().is_none()
    }

    /// Runs one invocation to its end. After an error the environment is not to be used again.
    pub(crate) async fn run(
        &mut self,
        function: Function,
        limit: Duration,
        payload: Bytes,
    ) -> Result<Result<Bytes, Bytes>, Broken> {
        let request_id = clock::request_id();
        let (reply, mut answer) = oneshot::channel();
        let invocation = Invocation {
            request_id: request_id.clone(),
            payload,
            deadline_ms: clock::now_ms().saturating_add(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
            function_arn: format!("arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{}", function.name()),
            reply,
        };
        if self.work.try_send(invocation).is_err() {
            return Err(Broken::NotTaken);
        }
        tokio::select! {
            biased;
            Ok(outcome) = &mut answer => Ok(outcome),
            how = ended(&mut self.ended) => Err(if self.api.has_taken(&request_id) {
                Broken::InHand(Failure::Exited(how))
            } else {
                Broken::NotTaken
            }),
            () = tokio::time::sleep(limit) => Err(Broken::InHand(Failure::TimedOut(limit))),
        }
    }
}

/// Waits for the end of the process and says how it ended.
async fn ended(how: &mut watch::Receiver<Option<String>>) -> String {
    let ended = how.wait_for(Option::is_some).await;
    ended.ok().and_then(|how| how.clone()).unwrap_or_else(|| "its keeper is gone".to_owned())
}

/// Serves the Runtime API while the process lives, and ends the process when nobody holds its environment any more.
async fn keep(
    mut child: Child,
    listener: TcpListener,
    api: Arc<RuntimeApi>,
    end: oneshot::Receiver<()>,
    ended: watch::Sender<Option<String>>,
) {
    let server = tokio::spawn(axum::serve(listener, api.router()).into_future());
    let how = tokio::select! {
        status = child.wait() => match status {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        },
        // Nobody ever sends: this resolves when the other half is dropped.
        _ = end => {
            // An error means that the process has already ended, which is what is wanted.
            let _ = child.kill().await;
            "ended by its owner".to_owned()
        }
    };
    ended.send_replace(Some(how));
    server.abort();
}

fn command(recipe: &Recipe, runtime_api: &str) -> Command {
    let name = recipe.function.name();
    let mut command = Command::new(&recipe.program);
    command
        .env_clear()
        .envs(recipe.variables.iter())
        .env("AWS_LAMBDA_RUNTIME_API", runtime_api)
        .env("AWS_LAMBDA_FUNCTION_NAME", name)
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", MEMORY_MB)
        .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
        .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}"))
        .env("AWS_LAMBDA_LOG_STREAM_NAME", format!("local/{}", clock::random_hex::<8>()))
        .env("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
        .env("_HANDLER", "bootstrap")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in a terminal goes to the whole foreground group; the functions are to be stopped in order instead.
        .process_group(0)
        .kill_on_drop(true);
    command
}
