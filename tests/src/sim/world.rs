//! The world of one run: engines, time, chance, what is deployed, and the record of it all.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use aws_sdk_dynamodb::config::retry::RetryPartition;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use dynoxide::Database;
use ec2_sim::{Answer, Config, Ec2, Faults};
use pool_core::control::Control;
use pool_core::ids::{Epoch, InstanceId, Token};
use pool_core::time::Timestamp;
use pool_fleet::Fleet;
use pool_function::environment::Environment;
use pool_function::settings::{Ec2Settings, Settings};
use pool_store::Store;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::random::Random;
use crate::request::{ACCOUNT_ID, NODE_ROLE_ID};
use crate::sim::history::History;
use crate::sim::judge::Judge;
use crate::sim::network::{Call, Engine, Network};
use crate::sim::plan::{Plan, Rates};
use crate::sim::planted::{self, Postponed};
use crate::sim::trace::Trace;
use crate::sim::{background, engines};
use crate::stage::POOL;
use crate::table::TABLE;

/// When every run begins, in Unix seconds.
const START_SECONDS: u64 = 1_795_435_200;

/// Clocks of processes differ from the true time by these seconds.
const SKEWS: [i64; 3] = [0, 1, -1];

/// The tag with the token of an instance's launch.
const LAUNCH_TAG: &str = "ec2-pool:launch";

/// The world of one run.
pub struct World {
    /// What kind of run it is.
    pub plan: Plan,
    /// What was found wrong.
    pub judge: Mutex<Judge>,
    /// What happened.
    pub trace: Mutex<Trace>,
    /// What callers saw of each key.
    pub history: Mutex<History>,
    /// The epoch below which the node of a machine refuses work.
    pub floors: Mutex<BTreeMap<InstanceId, Epoch>>,
    /// What a planted bug puts off.
    pub postponed: Postponed,
    /// Told when something is found wrong, which ends the run.
    pub over: Notify,
    database: Database,
    ec2: Mutex<Ec2>,
    random: Mutex<Random>,
    weather: Mutex<Weather>,
    deployments: Mutex<Vec<Arc<Deployment>>>,
    launch_template_id: String,
    started: Instant,
    numbers: AtomicU64,
    me: Weak<World>,
}

/// What goes wrong at the moment.
struct Weather {
    rates: Rates,
    down_until_ms: u64,
    throttled_until_ms: u64,
    quiet: bool,
}

/// Functions as deployed: processes with clocks of their own, and what they need.
pub struct Deployment {
    /// In which functions run; which one serves is chance.
    pub environments: Vec<Environment>,
    /// EC2, as the functions know it.
    pub fleet: Fleet,
    /// Their settings.
    pub ec2_settings: Ec2Settings,
}

impl fmt::Debug for World {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("World").field("plan", &self.plan).finish_non_exhaustive()
    }
}

impl World {
    /// A world in which nothing has happened yet. The runtime's time must be paused.
    #[must_use]
    pub fn new(plan: Plan) -> Arc<Self> {
        let config = Config { seed: plan.seed, describe_lag_ms: 700, pending_ms: 4_000, ..Config::default() };
        let mut ec2 = Ec2::new(config);
        let launch_template_id = engines::launch_template(&mut ec2, START_SECONDS * 1_000);
        let first = plan.caps.first().copied().unwrap_or(4);
        let world = Arc::new_cyclic(|me| Self {
            judge: Mutex::default(),
            trace: Mutex::default(),
            history: Mutex::default(),
            floors: Mutex::default(),
            postponed: Mutex::default(),
            over: Notify::new(),
            database: engines::database(),
            ec2: Mutex::new(ec2),
            random: Mutex::new(Random::new(plan.seed)),
            weather: Mutex::new(Weather { rates: plan.rates, down_until_ms: 0, throttled_until_ms: 0, quiet: false }),
            deployments: Mutex::default(),
            launch_template_id,
            started: Instant::now(),
            numbers: AtomicU64::new(0),
            me: me.clone(),
            plan,
        });
        world.deploy(first);
        world
    }

    /// The true time in Unix milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        START_SECONDS * 1_000 + u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The true time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(self.now_ms() / 1_000)
    }

    /// A number below `limit`, drawn.
    pub fn below(&self, limit: u64) -> u64 {
        self.random().number() % limit.max(1)
    }

    /// Whether a fault of this kind happens now; counted when it does.
    pub fn happens(&self, kind: &'static str, rate: impl Fn(&Rates) -> u64) -> bool {
        let happens = self.below(1_000) < rate(&self.weather().rates);
        if happens {
            self.fault(kind);
        }
        happens
    }

    /// Counts a fault.
    pub fn fault(&self, kind: &'static str) {
        lock(&self.trace).fault(kind);
    }

    /// A number that nothing else in this run has.
    #[must_use]
    pub fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a step.
    pub fn step(&self) {
        lock(&self.trace).steps += 1;
    }

    /// Adds a line to the trace.
    pub fn line(&self, text: &str) {
        lock(&self.trace).line(self.now_ms() - START_SECONDS * 1_000, text);
    }

    /// Something does not hold: the run is over.
    pub fn broken(&self, what: &str) {
        self.line(&format!("BROKEN: {what}"));
        lock(&self.judge).found(what);
        self.over.notify_one();
    }

    /// How often things go wrong now.
    #[must_use]
    pub fn rates(&self) -> Rates {
        self.weather().rates
    }

    /// From now on nothing goes wrong, and callers ask for nothing new.
    pub fn end_faults(&self) {
        *self.weather() = Weather { rates: Rates::NONE, down_until_ms: 0, throttled_until_ms: 0, quiet: true };
        self.ec2(|ec2, _| ec2.set_faults(Faults::default()));
        self.retire();
    }

    /// Whether callers ask for nothing new.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.weather().quiet
    }

    /// Neither engine answers for so long.
    pub fn take_down(&self, seconds: u64) {
        self.line("the engines are down");
        self.weather().down_until_ms = self.now_ms() + seconds * 1_000;
    }

    /// The table refuses everything for so long.
    pub fn throttle(&self, seconds: u64) {
        self.line("the table throttles");
        self.weather().throttled_until_ms = self.now_ms() + seconds * 1_000;
    }

    /// Whether neither engine answers.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.now_ms() < self.weather().down_until_ms
    }

    /// Whether the table refuses everything.
    #[must_use]
    pub fn is_throttled(&self) -> bool {
        self.now_ms() < self.weather().throttled_until_ms
    }

    /// EC2 itself.
    pub fn ec2<T>(&self, act: impl FnOnce(&mut Ec2, u64) -> T) -> T {
        act(&mut lock(&self.ec2), self.now_ms())
    }

    /// What the pool launches from.
    #[must_use]
    pub fn launch_template_id(&self) -> &str {
        &self.launch_template_id
    }

    /// An item of the table as it is.
    #[must_use]
    pub fn item(&self, key: &str) -> Option<pool_store::codec::Item> {
        engines::item(&self.database, key)
    }

    /// Carries out a request that has arrived, as it is or as a planted bug would have written it.
    pub fn apply(&self, call: &Call) -> (u16, String) {
        match self.plan.planted {
            Some(planted) => planted::carry_out(self, &planted.bug, call),
            None => self.carry_out(call),
        }
    }

    /// Carries out a request, and looks at what it did.
    pub fn carry_out(&self, call: &Call) -> (u16, String) {
        let (status, body) = match call.engine {
            Engine::Table => engines::dynamodb(&self.database, &call.operation, &call.body),
            Engine::Ec2 => {
                let form = String::from_utf8_lossy(&call.body).into_owned();
                // The lock must be open again before something is found to be broken.
                let looked = lock(&self.judge).before_ec2(self.now(), &call.operation, &form);
                looked.unwrap_or_else(|what| self.broken(&what));
                let Answer { status, body } = self.ec2(|ec2, now_ms| ec2.call(now_ms, &form));
                (status, body)
            }
        };
        let name = crate::sim::invocation::Invocation::current().map(|one| one.name.to_string()).unwrap_or_default();
        {
            let mut trace = lock(&self.trace);
            trace.requests += 1;
            trace.steps += 1;
            let service = if call.engine == Engine::Table { "dynamodb" } else { "ec2" };
            let function = name.split('#').next().unwrap_or_default().to_owned();
            trace.asked.insert((function, format!("{service}:{}", call.operation)));
        }
        self.line(&format!("{name} {} {} {status}", call.operation, call.key));
        if status == 200
            && call.key == pool_store::names::WAKE
            && call.operation == "UpdateItem"
            && let Some(world) = self.me.upgrade()
        {
            background::woken(&world);
        }
        let looked = match call.engine {
            Engine::Table if status == 200 && matches!(call.operation.as_str(), "UpdateItem" | "PutItem") => {
                self.look_at(&call.key)
            }
            Engine::Ec2 => self.count_instances(),
            Engine::Table => Ok(()),
        };
        looked.unwrap_or_else(|what| self.broken(&what));
        (status, body)
    }

    fn look_at(&self, key: &str) -> Result<(), String> {
        if !key.starts_with("shard#") {
            return Ok(());
        }
        let item = self.item(key).ok_or_else(|| format!("{key} is gone"))?;
        let shard = pool_store::codec::decode(&item).map_err(|damage| format!("{key}: {damage}"))?;
        lock(&self.judge).shard_written(self.now(), &shard)
    }

    /// The control record; the default one before the first write.
    pub fn control(&self) -> Control {
        let item = self.item(pool_store::names::CONTROL);
        let json = item.as_ref().and_then(|item| item.get(pool_store::names::CONTROL_JSON)?.as_s().ok());
        json.map(|json| serde_json::from_str(json).expect("the store wrote it")).unwrap_or_default()
    }

    fn count_instances(&self) -> Result<(), String> {
        let launched = self.ec2(|ec2, _| {
            let alive = ec2.instances().filter(|one| machines_count(one)).count();
            (alive as u64, ec2.instances().map(|one| one.tags.get(LAUNCH_TAG).cloned()).collect::<Vec<_>>())
        });
        let judge = lock(&self.judge);
        judge.alive(launched.0)?;
        judge.launched(launched.1)
    }

    /// Deploys a cap: new processes with new settings. Old ones go on for a while, as Lambda's do.
    pub fn deploy(&self, cap: u64) {
        self.line(&format!("a cap of {cap} is deployed"));
        lock(&self.judge).capped(cap);
        let deployment = Arc::new(self.deployment_of(cap));
        let mut deployments = lock(&self.deployments);
        deployments.insert(0, deployment);
        deployments.truncate(2);
    }

    /// Old processes are gone.
    pub fn retire(&self) {
        lock(&self.deployments).truncate(1);
    }

    /// A process that serves an invocation now: mostly of the last deployment.
    #[must_use]
    pub fn process(&self) -> (Arc<Deployment>, usize) {
        let old = self.below(10) == 0;
        let deployments = lock(&self.deployments);
        let deployment = Arc::clone(&deployments[usize::from(old).min(deployments.len() - 1)]);
        drop(deployments);
        let count = deployment.environments.len() as u64;
        (deployment, usize::try_from(self.below(count)).expect("a small number"))
    }

    /// What the last deployment is told.
    #[must_use]
    pub fn settings(&self) -> Settings {
        lock(&self.deployments)[0].environments[0].settings.clone()
    }

    fn deployment_of(&self, cap: u64) -> Deployment {
        let subnets = Config::default().subnets.into_iter().map(|subnet| subnet.id).collect::<Vec<_>>().join(",");
        let mut variables = self.plan.variables.clone();
        let own = [
            ("POOL_TABLE", TABLE.to_owned()),
            ("POOL_NAME", POOL.to_owned()),
            ("POOL_ACCOUNT_ID", ACCOUNT_ID.to_owned()),
            ("POOL_NODE_ROLE_ID", NODE_ROLE_ID.to_owned()),
            ("POOL_LAUNCH_TEMPLATE_ID", self.launch_template_id.clone()),
            ("POOL_SUBNETS", subnets),
            ("POOL_MAX", cap.to_string()),
        ];
        variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
        for (name, value) in &mut variables {
            // A plan's minimum may be above a small cap, which a person could not deploy either.
            if (name == "POOL_MIN" || name == "POOL_MIN_AVAILABLE") && value.parse().is_ok_and(|least: u64| least > cap)
            {
                *value = cap.to_string();
            }
        }
        let settings = Settings::parse(&variables).expect("a plan's variables are sound");
        let fleet = Fleet::new(self.ec2_client(), POOL, settings.policy.endpoint_address);
        let store = Store::new(self.table_client(), TABLE);
        let environments = SKEWS.map(|skew| self.environment(settings.clone(), store.clone(), skew)).into();
        let ec2_settings = Ec2Settings::parse(&variables).expect("a plan's variables are sound");
        Deployment { environments, fleet, ec2_settings }
    }

    fn environment(&self, settings: Settings, store: Store, skew_seconds: i64) -> Environment {
        let (clock_of, random_of) = (self.me.clone(), self.me.clone());
        let clock = move || {
            let now = clock_of.upgrade().map_or(START_SECONDS, |world| world.now().0);
            Timestamp(now.saturating_add_signed(skew_seconds))
        };
        let random = move || {
            let mut bytes = [0; Token::BYTES];
            if let Some(world) = random_of.upgrade() {
                bytes.copy_from_slice(&world.random().bytes(Token::BYTES));
            }
            bytes
        };
        Environment::new(settings, store, Arc::new(clock), Arc::new(random))
    }

    fn table_client(&self) -> aws_sdk_dynamodb::Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .timeout_config(pool_function::boot::table_timeouts())
            .retry_config(pool_function::boot::table_retries())
            .retry_partition(own_retries())
            .http_client(Network::to(Engine::Table, self.me.clone()))
            .endpoint_url("http://table.simulation");
        aws_sdk_dynamodb::Client::from_conf(config.build())
    }

    fn ec2_client(&self) -> aws_sdk_ec2::Client {
        let config = aws_sdk_ec2::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .timeout_config(pool_function::boot::timeouts())
            .retry_partition(own_retries())
            .http_client(Network::to(Engine::Ec2, self.me.clone()))
            .endpoint_url("http://ec2.simulation");
        aws_sdk_ec2::Client::from_conf(config.build())
    }

    fn random(&self) -> MutexGuard<'_, Random> {
        lock(&self.random)
    }

    fn weather(&self) -> MutexGuard<'_, Weather> {
        lock(&self.weather)
    }
}

/// Retries that are limited for one client alone. The SDK limits those of all clients of a process together, by this name
/// (<https://docs.rs/aws-smithy-runtime/latest/aws_smithy_runtime/client/retries/struct.RetryPartition.html>), and then a world would
/// retry less while another beside it has faults.
fn own_retries() -> RetryPartition {
    static CLIENTS: AtomicU64 = AtomicU64::new(0);
    RetryPartition::new(format!("client {} of simulations", CLIENTS.fetch_add(1, Ordering::Relaxed)))
}

/// Whether an instance takes a place under the cap: it is the pool's and neither ends nor has ended.
fn machines_count(instance: &ec2_sim::Instance) -> bool {
    matches!(instance.state.name(), "pending" | "running" | "stopping" | "stopped")
}

/// Locks, whoever panicked before: a broken run is reported, not hidden behind a poisoned lock.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
