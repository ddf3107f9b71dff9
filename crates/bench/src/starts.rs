//! The cold starts of every function, beside the same acquire in Node.js and in Python.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynoxide::Database;
use ec2_sim::{Ec2, Instance};
use pool_core::ids::InstanceId;
use pool_core::node::Heartbeat;
use pool_core::shard::Shard;
use pool_core::time::Timestamp;
use pool_local::clock::{self, Clock};
use pool_local::dynamodb::DynamoDb;
use pool_local::functions::Function;
use pool_local::stop;
use pool_local::variables::Ec2Variables;
use pool_store::Store;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::cold_start::{Kind, Start, start};
use crate::engine::{self, TABLE, lock};
use crate::pool;
use crate::processes::variables;
use crate::report::root;
use crate::tls::Tls;

/// Times that each kind of process is started.
const ROUNDS: usize = 15;

/// The pool that they find.
const SHARDS: u32 = 1;
const SIZE: u32 = 16;

/// What was measured of a kind of process.
#[derive(Debug, Clone, PartialEq)]
pub struct Starts {
    /// Its name.
    pub name: String,
    /// It is this project's.
    pub ours: bool,
    /// Half of the starts took at most so long until they asked for work, in milliseconds.
    pub next_ms: f64,
    /// The same until the first answer.
    pub reply_ms: f64,
    /// The most memory that half of them had at most, in KB.
    pub peak_kb: u64,
    /// The size of what is deployed, in bytes.
    pub zip_bytes: u64,
}

/// The table behind HTTPS, and EC2, for as long as this lives. Both know of the same machines, which serve.
pub struct World {
    tls: Tls,
    variables: BTreeMap<String, String>,
    _stopper: stop::Stopper,
    table: SocketAddr,
    machines: Vec<Instance>,
}

impl World {
    /// Starts both. A new connection to the table takes `delay` longer. `directory` takes a file of root certificates.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub async fn start(delay: Duration, directory: &Path) -> Result<Self, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let (stopper, stop) = stop::pair();
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| text(&error))?;
        let table = listener.local_addr().map_err(|error| text(&error))?;
        let url = format!("http://{table}");
        let database = Database::memory().map_err(|error| text(&error))?;
        tokio::spawn(pool_local::dynamodb::serve(listener, database, stop.clone()));
        let made = DynamoDb::new(reqwest::Client::new(), url.clone()).create_table(TABLE).await;
        made.map_err(|error| text(&error))?;

        let clock = Clock::new(1);
        let (ec2, of_ec2) = pool_local::ec2::simulated(clock)?;
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| text(&error))?;
        let ec2_url = format!("http://{}", listener.local_addr().map_err(|error| text(&error))?);
        let (events, mut heard) = mpsc::unbounded_channel();
        tokio::spawn(pool_local::ec2::serve(listener, Arc::clone(&ec2), clock, events, stop));
        // Nobody acts on its events here.
        tokio::spawn(async move { while heard.recv().await.is_some() {} });

        let roots = directory.join("roots.pem");
        let tls = Tls::start(table, delay, &roots).await?;
        let roots = roots.to_string_lossy();
        let mut variables = variables(&tls.url, &ec2_url, &of_ec2);
        variables.insert("POOL_MAX".to_owned(), (SHARDS * SIZE).to_string());
        for name in ["SSL_CERT_FILE", "AWS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"] {
            variables.insert(name.to_owned(), roots.to_string());
        }
        let machines = running(&ec2, &of_ec2, &variables["POOL_NAME"]).await?;
        pool::put(&engine::client_of(&url), shards(&machines), SIZE).await;
        Ok(Self { tls, variables, _stopper: stopper, table, machines })
    }

    /// One start of a kind of process. Before it every instance is free again.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub async fn start_one(&self, kind: &Kind) -> Result<Start, String> {
        self.free_all().await;
        start(kind, &self.variables, self.tls.counter()).await
    }
}

/// A process of a function, asked what its file in `events/` asks.
#[must_use]
pub fn function(function: Function, binaries: &Path) -> Kind {
    let file = match function {
        Function::Acquire => "acquire.json",
        Function::Release => "release.json",
        Function::Register => "register-heartbeat.json",
        Function::Status => "status-pool.json",
        Function::Operate => "operate-pool.json",
        Function::Scale => "scale-schedule.json",
        Function::ReapIdle => "reap-idle.json",
        Function::OnInstanceStateChange => "on-instance-state-change-terminated.json",
    };
    let event = match function {
        // Each wants a lease of its own.
        Function::Acquire => pool::acquire_event(None).to_string(),
        _ => std::fs::read_to_string(root().join("events").join(file)).unwrap_or_default(),
    };
    let program = binaries.join(function.name()).to_string_lossy().into_owned();
    Kind { name: function.name().to_owned(), command: vec![program], directory: binaries.to_owned(), event }
}

/// Starts all functions and both baselines again and again.
///
/// # Errors
/// What went wrong, in words.
pub async fn measure(binaries: &Path, directory: &Path) -> Result<Vec<Starts>, String> {
    let world = World::start(Duration::ZERO, directory).await?;
    let mut kinds: Vec<(Kind, bool, u64)> = Vec::new();
    for of in Function::ALL {
        let zip_bytes = zipped(&binaries.join(of.name()), &directory.join("function.zip"))?;
        kinds.push((function(of, binaries), true, zip_bytes));
    }
    for (kind, packed) in [node(directory).await?, python(directory).await?] {
        let zip_bytes = zipped(&packed, &directory.join("baseline.zip"))?;
        kinds.push((kind, false, zip_bytes));
    }
    let mut starts: Vec<Vec<Start>> = vec![Vec::new(); kinds.len()];
    for _ in 0..ROUNDS {
        for ((kind, _, _), starts) in kinds.iter().zip(&mut starts) {
            starts.push(world.start_one(kind).await?);
        }
    }
    let measured = kinds.into_iter().zip(starts).map(|((kind, ours, zip_bytes), starts)| Starts {
        name: kind.name,
        ours,
        next_ms: median(starts.iter().map(|start| start.next_ms)),
        reply_ms: median(starts.iter().map(|start| start.reply_ms)),
        peak_kb: {
            let mut peaks: Vec<u64> = starts.iter().map(|start| start.peak_kb).collect();
            peaks.sort_unstable();
            peaks.get(peaks.len() / 2).copied().unwrap_or(0)
        },
        zip_bytes,
    });
    Ok(measured.collect())
}

impl World {
    /// Every instance is free again, and has just told that it is well.
    async fn free_all(&self) {
        let client = engine::client_of(&format!("http://{}", self.table));
        for shard in shards(&self.machines) {
            pool::put_shard(&client, &shard).await;
        }
        let store = Store::new(client, TABLE);
        let beat = Heartbeat { healthy: true, cpu_percent: 20.0, memory_percent: 30.0, sessions: 0 };
        for machine in &self.machines {
            store.heartbeat(&id(machine), &beat, None, now()).await.expect("the engine takes a heartbeat");
        }
    }
}

/// The shards of these instances, of which each has served for a minute.
fn shards(machines: &[Instance]) -> Vec<Shard> {
    let size = usize::try_from(SIZE).expect("it is small");
    let shards = (0..SHARDS).zip(machines.chunks(size)).map(|(number, machines)| {
        let mut shard = pool::shard_of(number, machines.iter().map(id).collect());
        (shard.layout, shard.share) = (1, i64::from(SIZE));
        for machine in machines {
            let member = shard.members.get_mut(&id(machine)).expect("it was made of these");
            member.since = now() - 60;
            member.address = machine.private_ip.to_string();
            member.kind.zone.clone_from(&machine.zone);
        }
        shard
    });
    shards.collect()
}

fn id(machine: &Instance) -> InstanceId {
    InstanceId::trusted(machine.id.clone())
}

fn now() -> Timestamp {
    Timestamp(clock::now_ms() / 1_000)
}

/// As many machines of the pool as its shards have, once EC2 shows all of them as running.
async fn running(ec2: &Mutex<Ec2>, of_ec2: &Ec2Variables, pool: &str) -> Result<Vec<Instance>, String> {
    let subnet = of_ec2.subnets.split(',').next().unwrap_or_default();
    let count = SHARDS * SIZE;
    let launch = format!(
        "Action=RunInstances&Version=2016-11-15&LaunchTemplate.LaunchTemplateId={}&SubnetId={subnet}&MinCount={count}&MaxCount={count}\
         &InstanceMarketOptions.MarketType=spot\
         &TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=ec2-pool:pool&TagSpecification.1.Tag.1.Value={pool}",
        of_ec2.launch_template_id
    );
    let running = "Action=DescribeInstances&Version=2016-11-15\
        &Filter.1.Name=instance-state-name&Filter.1.Value.1=running";
    let answer = lock(ec2).call(clock::now_ms(), &launch);
    if answer.status != 200 {
        return Err(format!("the simulated EC2 launches nothing: {}", answer.body));
    }
    while lock(ec2).call(clock::now_ms(), running).body.matches("<instanceId>").count() < count as usize {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let machines = lock(ec2).instances().cloned().collect();
    Ok(machines)
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The baseline in Node.js, its packages installed into `directory`, and what would be deployed.
async fn node(directory: &Path) -> Result<(Kind, PathBuf), String> {
    let place = copied("node", directory)?;
    run("npm", &["install", "--no-audit", "--no-fund", "--loglevel=error"], &place).await?;
    let command = vec!["node".to_owned(), "acquire.mjs".to_owned()];
    Ok((baseline("acquire in Node.js, AWS SDK v3", command, &place), place))
}

/// The same in Python.
async fn python(directory: &Path) -> Result<(Kind, PathBuf), String> {
    let place = copied("python", directory)?;
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--root-user-action=ignore",
        "--target",
        ".",
        "--upgrade",
        "-r",
        "requirements.txt",
    ];
    run("python3", &pip, &place).await?;
    // Lambda's own packages are compiled beforehand, too.
    run("python3", &["-m", "compileall", "-q", "."], &place).await?;
    let command = vec!["python3".to_owned(), "acquire.py".to_owned()];
    Ok((baseline("acquire in Python, boto3", command, &place), place))
}

fn baseline(name: &str, command: Vec<String>, place: &Path) -> Kind {
    let event = pool::acquire_event(None).to_string();
    Kind { name: name.to_owned(), command, directory: place.to_owned(), event }
}

fn copied(name: &str, directory: &Path) -> Result<PathBuf, String> {
    let place = directory.join(name);
    let text = |error: std::io::Error| format!("{}: {error}", place.display());
    std::fs::create_dir_all(&place).map_err(text)?;
    let from = root().join("crates/bench/baselines").join(name);
    for file in std::fs::read_dir(from).map_err(text)? {
        let file = file.map_err(text)?;
        std::fs::copy(file.path(), place.join(file.file_name())).map_err(text)?;
    }
    Ok(place)
}

async fn run(program: &str, arguments: &[&str], directory: &Path) -> Result<(), String> {
    let mut command = Command::new(program);
    let status = command.args(arguments).current_dir(directory).stdin(Stdio::null()).status().await;
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} {}: {status}", arguments.join(" "))),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// Packs a file or a directory as SAM does, and answers the size.
fn zipped(what: &Path, to: &Path) -> Result<u64, String> {
    let text = |error: &dyn std::fmt::Display| format!("{}: {error}", what.display());
    let file = std::fs::File::create(to).map_err(|error| text(&error))?;
    let mut zip = ZipWriter::new(file);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    let mut left = vec![what.to_owned()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).map_err(|error| text(&error))?;
            left.extend(entries.flatten().map(|entry| entry.path()));
            continue;
        }
        let name = path.strip_prefix(what).unwrap_or(&path).to_string_lossy();
        let name = if name.is_empty() { "bootstrap" } else { &name };
        zip.start_file(name, options).map_err(|error| text(&error))?;
        let content = std::fs::read(&path).map_err(|error| text(&error))?;
        zip.write_all(&content).map_err(|error| text(&error))?;
    }
    zip.finish().map_err(|error| text(&error))?;
    Ok(std::fs::metadata(to).map_err(|error| text(&error))?.len())
}
