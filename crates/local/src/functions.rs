//! The functions, and the pool of environments behind each: AWS Lambda's part of the system.
//!
//! Rule: as on Lambda, an environment serves one invocation at a time, an idle one is used again (the latest first), more are started on
//! demand up to a limit, and one that failed with work in hand is never used again. An invocation runs to its end even if whoever asked
//! has gone.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::body::Bytes;
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    environment::{Broken, Environment, Keepers, Recipe},
    logs::Logs,
    stop::{self, Stop, Stopper},
};

/// How often idle environments are looked at.
const SWEEP_PERIOD: Duration = Duration::from_secs(5);
/// An environment that was dead before it took the work costs another try, so many at most.
const TRIES_MAX: u32 = 3;

/// A function of the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Function {
    /// Grants, shows and renews leases.
    Acquire,
    /// Ends leases.
    Release,
    /// Takes the nodes' ready calls and heartbeats.
    Register,
    /// Shows the pool.
    Status,
    /// Takes the operator's orders.
    Operate,
    /// Adds instances.
    Scale,
    /// Removes instances.
    ReapIdle,
    /// Hears EC2's events.
    OnInstanceStateChange,
}

impl Function {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Acquire,
        Self::Release,
        Self::Register,
        Self::Status,
        Self::Operate,
        Self::Scale,
        Self::ReapIdle,
        Self::OnInstanceStateChange,
    ];

    /// Name of the crate, the binary and, here, the Lambda function.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Acquire => "acquire",
            Self::Release => "release",
            Self::Register => "register",
            Self::Status => "status",
            Self::Operate => "operate",
            Self::Scale => "scale",
            Self::ReapIdle => "reap-idle",
            Self::OnInstanceStateChange => "on-instance-state-change",
        }
    }

    /// Logical id in `template.yaml`.
    #[must_use]
    pub fn sam_id(self) -> &'static str {
        match self {
            Self::Acquire => "Acquire",
            Self::Release => "Release",
            Self::Register => "Register",
            Self::Status => "Status",
            Self::Operate => "Operate",
            Self::Scale => "Scale",
            Self::ReapIdle => "ReapIdle",
            Self::OnInstanceStateChange => "OnInstanceStateChange",
        }
    }

    /// The function that an invoker calls by this name, SAM id or ARN, with a version or alias or not.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = name.rsplit_once(":function:").map_or(name, |(_, name)| name);
        let name = name.split(':').next().unwrap_or(name);
        Self::ALL.into_iter().find(|function| function.name() == name || function.sam_id() == name)
    }

    /// Does API Gateway call it? It waits 30 s at most.
    fn is_behind_http(self) -> bool {
        matches!(self, Self::Acquire | Self::Release | Self::Register | Self::Status | Self::Operate)
    }
}

/// Why an invocation brought no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Failure {
    /// The function answered with an error document.
    #[error("the function failed: {}", String::from_utf8_lossy(.0))]
    Function(Bytes),
    /// Its process ended with the work in hand.
    #[error("the function's process ended: {0}")]
    Exited(String),
    /// It took too long and was killed.
    #[error("Task timed out after {:.2} seconds", .0.as_secs_f64())]
    TimedOut(Duration),
    /// Its process does not come up.
    #[error("{0}")]
    Init(String),
    /// As many environments as allowed were busy for as long as an invocation may take.
    #[error("every environment of the function is busy")]
    Throttled,
    /// The system is being stopped.
    #[error("the system is being stopped")]
    Stopped,
}

impl Failure {
    /// The document that Lambda answers an invocation with.
    #[must_use]
    pub fn document(&self) -> Bytes {
        let kind = match self {
            Self::Function(document) => return document.clone(),
            Self::Exited(_) => "Runtime.ExitError",
            Self::TimedOut(_) => "Sandbox.Timedout",
            Self::Init(_) => "Runtime.InitError",
            Self::Throttled => "TooManyRequestsException",
            Self::Stopped => "ServiceException",
        };
        Bytes::from(json!({"errorType": kind, "errorMessage": self.to_string()}).to_string())
    }
}

/// How the functions run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Environments of one function at once.
    pub concurrency: usize,
    /// How long an invocation of a function behind the HTTP API may take.
    pub http_limit: Duration,
    /// How long one of the others may take.
    pub background_limit: Duration,
    /// How long an environment beside the first may be idle.
    pub idle_limit: Duration,
    /// Pauses before an invocation that nobody waits for, and that failed, is tried again; Lambda's are one and two minutes
    /// (<https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html>).
    pub retry_pauses: [Duration; 2],
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            concurrency: 64,
            http_limit: Duration::from_secs(30),
            background_limit: Duration::from_mins(1),
            idle_limit: Duration::from_mins(1),
            retry_pauses: [Duration::from_mins(1), Duration::from_mins(2)],
        }
    }
}

/// All functions. Stop it with [`Functions::stop`], which waits for the processes; dropping it kills them without waiting.
#[derive(Debug)]
pub struct Functions {
    pools: BTreeMap<Function, Arc<Pool>>,
    keepers: Arc<Keepers>,
    stopper: Stopper,
    stop: Stop,
    logs: Arc<Logs>,
    retry_pauses: [Duration; 2],
}

impl Functions {
    /// The functions whose binaries are in the directory `binaries`, each to be started with `variables`. No process runs yet.
    #[must_use]
    pub fn new(
        binaries: &Path,
        variables: BTreeMap<String, String>,
        settings: &Settings,
        logs: Arc<Logs>,
    ) -> Arc<Self> {
        let (stopper, stop) = stop::pair();
        let keepers = Arc::new(Keepers::new());
        let variables = Arc::new(variables);
        let pool = |function: Function| {
            let recipe = Recipe {
                function,
                program: binaries.join(function.name()),
                variables: Arc::clone(&variables),
                logs: Arc::clone(&logs),
            };
            let limit = if function.is_behind_http() { settings.http_limit } else { settings.background_limit };
            Arc::new(Pool {
                recipe,
                limit,
                idle_limit: settings.idle_limit,
                idle: Mutex::default(),
                places: Semaphore::new(settings.concurrency),
                keepers: Arc::clone(&keepers),
                stop: stop.clone(),
            })
        };
        let pools: BTreeMap<_, _> = Function::ALL.into_iter().map(|function| (function, pool(function))).collect();
        for pool in pools.values() {
            tokio::spawn(Arc::clone(pool).sweep());
        }
        Arc::new(Self { pools, keepers, stopper, stop, logs, retry_pauses: settings.retry_pauses })
    }

    /// Starts one environment of each function, so that the first calls are fast.
    ///
    /// # Errors
    /// The first [`Failure`] of a function that does not come up.
    pub async fn warm(&self) -> Result<(), Failure> {
        let starts: Vec<_> = self.pools.values().map(|pool| tokio::spawn(Arc::clone(pool).warm())).collect();
        for start in starts {
            start.await.unwrap_or(Err(Failure::Stopped))?;
        }
        Ok(())
    }

    /// Invokes a function and waits for its answer.
    ///
    /// # Errors
    /// A [`Failure`]; it has been written to the log.
    pub async fn invoke(&self, function: Function, payload: Bytes) -> Result<Bytes, Failure> {
        let pool = Arc::clone(&self.pools[&function]);
        // A task of its own: the invocation must not be torn down when the connection that wanted it is.
        let answer = tokio::spawn(pool.invoke(payload)).await.unwrap_or(Err(Failure::Stopped));
        if let Err(failure) = &answer
            && !matches!(failure, Failure::Stopped)
        {
            self.logs.warn(function.name(), &failure.to_string());
        }
        answer
    }

    /// Invokes a function with an event.
    ///
    /// # Errors
    /// As [`Functions::invoke`].
    pub async fn send(&self, function: Function, event: &Value) -> Result<Bytes, Failure> {
        self.invoke(function, Bytes::from(event.to_string())).await
    }

    /// Invokes a function for which nobody waits. What fails is tried twice more, as Lambda does, so a function may see one event several
    /// times.
    pub async fn invoke_asynchronously(&self, function: Function, payload: Bytes) {
        for pause in self.retry_pauses.map(Some).into_iter().chain([None]) {
            if let Ok(_) | Err(Failure::Stopped) = self.invoke(function, payload.clone()).await {
                return;
            }
            let Some(pause) = pause else { return };
            tokio::select! {
                () = self.stop.clone().wanted() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Ends every invocation with [`Failure::Stopped`], kills every process and waits until none is left.
    pub async fn stop(&self) {
        self.stopper.stop();
        for pool in self.pools.values() {
            pool.idle().clear();
        }
        self.keepers.close().await;
    }
}

/// The environments of one function.
#[derive(Debug)]
struct Pool {
    recipe: Recipe,
    limit: Duration,
    idle_limit: Duration,
    /// The one used last is at the end.
    idle: Mutex<Vec<Environment>>,
    places: Semaphore,
    keepers: Arc<Keepers>,
    stop: Stop,
}

impl Pool {
    async fn warm(self: Arc<Self>) -> Result<(), Failure> {
        let environment = tokio::select! {
            biased;
            () = self.stop.clone().wanted() => return Err(Failure::Stopped),
            environment = self.environment() => environment?,
        };
        self.put_back(environment);
        Ok(())
    }

    async fn invoke(self: Arc<Self>, payload: Bytes) -> Result<Bytes, Failure> {
        tokio::select! {
            biased;
            () = self.stop.clone().wanted() => Err(Failure::Stopped),
            answer = self.invoke_in_place(payload) => answer,
        }
    }

    /// Waits for a place among the concurrent ones, then for an environment, then for the answer.
    async fn invoke_in_place(&self, payload: Bytes) -> Result<Bytes, Failure> {
        let place = tokio::time::timeout(self.limit, self.places.acquire()).await;
        let _place = place.map_err(|_| Failure::Throttled)?.map_err(|_| Failure::Stopped)?;
        for _ in 0..TRIES_MAX {
            let mut environment = self.environment().await?;
            match environment.run(self.recipe.function, self.limit, payload.clone()).await {
                Ok(answer) => {
                    self.put_back(environment);
                    return answer.map_err(Failure::Function);
                }
                Err(Broken::NotTaken) => {}
                Err(Broken::InHand(failure)) => return Err(failure),
            }
        }
        Err(Failure::Init(format!("{} ends before it takes any work", self.recipe.function.name())))
    }

    /// An idle environment, or a new one.
    async fn environment(&self) -> Result<Environment, Failure> {
        let idle = {
            let mut idle = self.idle();
            idle.retain(Environment::is_alive);
            idle.pop()
        };
        match idle {
            Some(environment) => Ok(environment),
            None => Environment::start(&self.recipe, &self.keepers).await,
        }
    }

    fn put_back(&self, mut environment: Environment) {
        environment.idle_since = Instant::now();
        let mut idle = self.idle();
        // Asked under the lock: `Functions::stop` empties the list under it, after it has told everyone.
        if !self.stop.is_wanted() {
            idle.push(environment);
        }
    }

    /// Ends, until it is time to stop, environments that nobody has needed for a while; the last idle one stays.
    async fn sweep(self: Arc<Self>) {
        let mut timer = tokio::time::interval(SWEEP_PERIOD.min(self.idle_limit.max(Duration::from_millis(1))));
        loop {
            tokio::select! {
                () = self.stop.clone().wanted() => return,
                _ = timer.tick() => {}
            }
            let mut idle = self.idle();
            let needed = idle.pop();
            idle.retain(|environment| environment.is_alive() && environment.idle_since.elapsed() < self.idle_limit);
            idle.extend(needed);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Environment>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_their_names_sam_ids_and_arns() {
        for function in Function::ALL {
            assert_eq!(Function::named(function.name()), Some(function));
            assert_eq!(Function::named(function.sam_id()), Some(function));
            let arn = format!("arn:aws:lambda:us-east-1:000000000000:function:{}:live", function.name());
            assert_eq!(Function::named(&arn), Some(function));
        }
        assert_eq!(Function::named("reapidle"), None);
        assert_eq!(Function::named(""), None);
    }
}
