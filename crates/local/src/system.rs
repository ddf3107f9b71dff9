//! Puts the parts together, in the order in which they need each other, and takes them apart again.
//!
//! Rule: ports are opened before anything slow happens; the system counts as started when its API answers; and when [`System::stop`]
//! returns, no child process is left.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use ec2_sim::Ec2;
use serde_json::Value;
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};

use crate::{
    banner::Addresses,
    browser::Browser,
    bus,
    clock::Clock,
    compile,
    dynamodb::{self, DynamoDb},
    ec2, front,
    functions::{self, Function, Functions},
    invoke,
    listen::{listen, local_url},
    live::{self, Live},
    logs::Logs,
    nodes::{self, Nodes},
    options::Options,
    schedule,
    stop::{self, Stop, Stopper},
    stream::{self, Reader},
    variables::{Ec2Variables, Variables},
};

/// How long servers may take to finish what they are doing when told to stop; after that they are cut off.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// Why the system does not start, in words for whoever started it.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is the error it wraps, and says so itself")]
pub enum StartError {
    #[error(transparent)]
    Listen(#[from] crate::listen::ListenError),
    #[error(transparent)]
    Variable(#[from] crate::variables::VariableError),
    #[error(transparent)]
    Compile(#[from] compile::CompileError),
    #[error(transparent)]
    DynamoDb(#[from] dynamodb::DynamoDbError),
    #[error("a function does not come up: {0}")]
    Function(#[from] functions::Failure),
    #[error("{0}")]
    Other(String),
}

/// What the process that starts the system knows about itself.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Its environment.
    pub variables: Variables,
    /// Its own binary, which also plays the nodes.
    pub own_binary: PathBuf,
    /// Cargo, to build the functions with.
    pub cargo: OsString,
}

/// A running system.
#[derive(Debug)]
pub struct System {
    /// Where it is reached.
    pub addresses: Addresses,
    /// Its functions.
    pub functions: Arc<Functions>,
    stopper: Stopper,
    /// Servers, schedules and the rest, which end by themselves once told to.
    tasks: JoinSet<()>,
    /// Ends its processes before it ends.
    nodes: Option<JoinHandle<()>>,
}

/// The ports, opened.
struct Ports {
    front: TcpListener,
    lambda: TcpListener,
    dynamodb: Option<TcpListener>,
    ec2: Option<TcpListener>,
}

/// The simulated EC2.
struct Simulator {
    ec2: Arc<Mutex<Ec2>>,
    variables: Ec2Variables,
}

impl System {
    /// Starts everything and returns when the API answers. `progress` takes a line for the user now and then.
    ///
    /// # Errors
    /// A [`StartError`]; nothing is left running then.
    pub async fn start(
        options: &Options,
        surroundings: &Surroundings,
        progress: impl Fn(&str),
    ) -> Result<Self, StartError> {
        let (stopper, stop) = stop::pair();
        let mut tasks = JoinSet::new();
        let variables = &surroundings.variables;
        let clock = Clock::new(options.time_scale);
        let node_settings = node_settings(options, surroundings, clock)?;
        let ports = Ports::open(options, variables)?;
        let logs_directory = options.logs.clone().or_else(|| options.data.as_ref().map(|data| data.join("logs")));
        let logs = Logs::new(options.verbose, logs_directory)
            .map_err(|error| StartError::Other(format!("cannot write logs: {error}")))?;

        let addresses = ports.addresses(variables).map_err(|error| StartError::Other(error.to_string()))?;
        let binaries = binaries(options, surroundings, &progress).await?;

        progress("Starting DynamoDB and EC2 …");
        if let Some(listener) = ports.dynamodb {
            let database = dynamodb::open(options.data.as_deref()).map_err(StartError::Other)?;
            tasks.spawn(dynamodb::sweep_expired(database.clone(), stop.clone()));
            tasks.spawn(report("DynamoDB", dynamodb::serve(listener, database, stop.clone())));
        }
        let dynamodb = DynamoDb::new(reqwest::Client::new(), addresses.dynamodb.clone());
        dynamodb.create_table(variables.table()).await?;
        let stream = Reader::at_end(dynamodb.clone(), dynamodb.stream_arn(variables.table()).await?).await?;
        let (simulator, events) = simulator(ports.ec2, clock, &mut tasks, &stop)?;

        progress("Starting the functions …");
        let settings = functions::Settings::default();
        let settings = functions::Settings {
            concurrency: options.concurrency as usize,
            retry_pauses: settings.retry_pauses.map(|pause| clock.lasts(pause)),
            ..settings
        };
        let functions = Functions::new(
            &binaries,
            function_variables(variables, &addresses, simulator.as_ref(), clock, options.browser),
            &settings,
            Arc::clone(&logs),
        );
        if let Err(failure) = functions.warm().await {
            functions.stop().await;
            return Err(failure.into());
        }
        tasks.spawn(serve_front(ports.front, Arc::clone(&functions), Arc::clone(&logs), stop.clone()));
        tasks.spawn(serve_invoke(ports.lambda, Arc::clone(&functions), stop.clone()));
        tasks.spawn(bus::run(events, Arc::clone(&functions), stop.clone()));
        tasks.spawn(stream::follow(stream, Arc::clone(&functions), Arc::clone(&logs), stop.clone()));
        for (function, delay) in [(Function::Scale, Duration::ZERO), (Function::ReapIdle, schedule::PERIOD)] {
            tasks.spawn(schedule::run(Arc::clone(&functions), function, clock, delay, stop.clone()));
        }
        let nodes = simulator.map(|simulator| {
            let browser = Browser::of_options(options, &binaries);
            let settings = nodes::Settings { api: addresses.api.clone(), browser, ..node_settings };
            tokio::spawn(Nodes::new(settings, simulator.ec2, logs).run(stop))
        });
        Ok(Self { addresses, functions, stopper, tasks, nodes })
    }

    /// Stops everything and returns when the last child process is gone.
    pub async fn stop(mut self) {
        self.stopper.stop();
        self.functions.stop().await;
        if let Some(nodes) = self.nodes.take() {
            // An error is a panic of that task, which has dropped, and so killed, its processes.
            let _ = nodes.await;
        }
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_LIMIT, all_ended).await.is_err() {
            self.tasks.shutdown().await;
        }
    }
}

impl Ports {
    /// The engines that the environment names are somewhere else, so they need no port here.
    fn open(options: &Options, variables: &Variables) -> Result<Self, StartError> {
        let front = listen(options.bind, options.port, "--port")?;
        let lambda = listen(options.bind, options.lambda_port, "--lambda-port")?;
        let dynamodb = match variables.get("AWS_ENDPOINT_URL_DYNAMODB") {
            Some(_) => None,
            None => Some(listen(options.bind, options.dynamodb_port, "--dynamodb-port")?),
        };
        let ec2 = match variables.get("AWS_ENDPOINT_URL_EC2") {
            Some(_) => None,
            None => Some(listen(options.bind, options.ec2_port, "--ec2-port")?),
        };
        Ok(Self { front, lambda, dynamodb, ec2 })
    }

    fn addresses(&self, variables: &Variables) -> std::io::Result<Addresses> {
        let url = |listener: &TcpListener| listener.local_addr().map(local_url);
        let engine = |listener: Option<&TcpListener>, variable: &str| match listener {
            Some(listener) => url(listener),
            None => Ok(variables.get(variable).unwrap_or_default().to_owned()),
        };
        Ok(Addresses {
            api: url(&self.front)?,
            lambda: url(&self.lambda)?,
            dynamodb: engine(self.dynamodb.as_ref(), "AWS_ENDPOINT_URL_DYNAMODB")?,
            ec2: engine(self.ec2.as_ref(), "AWS_ENDPOINT_URL_EC2")?,
            ec2_is_simulated: self.ec2.is_some(),
        })
    }
}

/// Everything of [`nodes::Settings`] but the API's URL, which is known later.
fn node_settings(options: &Options, surroundings: &Surroundings, clock: Clock) -> Result<nodes::Settings, StartError> {
    let variables = &surroundings.variables;
    let health_port = variables.number("POOL_HEALTH_PORT", 3000, 1, u64::from(u16::MAX))?;
    Ok(nodes::Settings {
        program: surroundings.own_binary.clone(),
        api: String::new(),
        clock,
        boot_ms: u64::from(options.boot_seconds) * 1000,
        heartbeat_seconds: variables.number("POOL_HEARTBEAT_SECONDS", 30, 1, 3600)?,
        health_port: u16::try_from(health_port).unwrap_or(u16::MAX),
        health_path: variables.get("POOL_HEALTH_PATH").unwrap_or("/health").to_owned(),
        browser: None,
    })
}

async fn binaries(
    options: &Options,
    surroundings: &Surroundings,
    progress: &impl Fn(&str),
) -> Result<PathBuf, StartError> {
    if let Some(directory) = &options.binaries {
        return Ok(compile::check(directory, options.browser)?);
    }
    progress("Building the functions (the first time takes some minutes) …");
    Ok(compile::build(&surroundings.cargo, &surroundings.own_binary, options.browser).await?)
}

/// Starts the simulated EC2 if it has a port. The receiver has its events, or nothing when there is none.
fn simulator(
    listener: Option<TcpListener>,
    clock: Clock,
    tasks: &mut JoinSet<()>,
    stop: &Stop,
) -> Result<(Option<Simulator>, mpsc::UnboundedReceiver<Value>), StartError> {
    let (sender, events) = mpsc::unbounded_channel();
    let Some(listener) = listener else { return Ok((None, events)) };
    let (ec2, variables) = ec2::simulated(clock).map_err(StartError::Other)?;
    tasks.spawn(report("EC2", ec2::serve(listener, Arc::clone(&ec2), clock, sender, stop.clone())));
    Ok((Some(Simulator { ec2, variables }), events))
}

fn function_variables(
    variables: &Variables,
    addresses: &Addresses,
    simulator: Option<&Simulator>,
    clock: Clock,
    with_browser: bool,
) -> BTreeMap<String, String> {
    let ec2 = simulator.map(|simulator| &simulator.variables);
    let mut all = variables.for_functions(&addresses.dynamodb, &addresses.ec2, ec2, clock);
    if with_browser {
        // As the template has it for nodes that clean themselves.
        all.entry("POOL_AFTER_RELEASE".to_owned()).or_insert_with(|| "reset".to_owned());
    }
    all
}

async fn serve_front(listener: TcpListener, functions: Arc<Functions>, logs: Arc<Logs>, stop: Stop) {
    let live = Live::new(Arc::clone(&functions));
    let looking = Arc::clone(&live).look(stop.clone());
    let routes = front::router(functions, logs).merge(live::router(live, stop.clone()));
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, service).with_graceful_shutdown(stop.wanted());
    let served = report("the HTTP API", async { served.await.map_err(|error| error.to_string()) });
    tokio::join!(served, looking);
}

async fn serve_invoke(listener: TcpListener, functions: Arc<Functions>, stop: Stop) {
    let served = axum::serve(listener, invoke::router(functions)).with_graceful_shutdown(stop.wanted());
    report("Lambda's Invoke API", async { served.await.map_err(|error| error.to_string()) }).await;
}

async fn report(part: &str, served: impl Future<Output = Result<(), String>>) {
    if let Err(error) = served.await {
        eprintln!("{part} failed: {error}");
    }
}
