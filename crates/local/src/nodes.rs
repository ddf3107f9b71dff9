//! Keeps one machine process for each running instance of the simulated EC2.
//!
//! Rule: the simulator has the truth about instances and the processes follow it, but for one thing: a process that ends by itself is a
//! machine that died, and the simulator is told.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ec2_sim::{Ec2, Guest, Instance, State};
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin, Command},
};

use crate::{browser::Browser, clock::Clock, logs::Logs, stop::Stop};

/// How often the processes are compared with the simulator.
const COMPARE_PERIOD: Duration = Duration::from_millis(100);

/// A machine that the control plane does not take yet tries again so much later, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// What all machines have in common.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This binary.
    pub program: PathBuf,
    /// Base URL of the HTTP API.
    pub api: String,
    /// The system's clock.
    pub clock: Clock,
    /// From running to healthy, unless the simulator says otherwise of one.
    pub boot_ms: u64,
    /// Time between heartbeats.
    pub heartbeat_seconds: u64,
    /// Port of the health check.
    pub health_port: u16,
    /// Path of the health check.
    pub health_path: String,
    /// Makes machines with a real browser instead of simulated ones.
    pub browser: Option<Browser>,
}

/// The machines and the simulator that they follow.
pub struct Nodes {
    settings: Settings,
    ec2: Arc<Mutex<Ec2>>,
    logs: Arc<Logs>,
    machines: BTreeMap<String, Machine>,
}

struct Machine {
    boot_no: u32,
    guest: Guest,
    process: Child,
    orders: ChildStdin,
}

impl Nodes {
    /// No machines yet.
    #[must_use]
    pub fn new(settings: Settings, ec2: Arc<Mutex<Ec2>>, logs: Arc<Logs>) -> Self {
        Self { settings, ec2, logs, machines: BTreeMap::new() }
    }

    /// Follows the simulator until told to stop; returns when no process is left.
    pub async fn run(mut self, stop: Stop) {
        let mut timer = tokio::time::interval(COMPARE_PERIOD);
        loop {
            tokio::select! {
                () = stop.clone().wanted() => break,
                _ = timer.tick() => self.compare().await,
            }
        }
        for machine in self.machines.into_values() {
            machine.end().await;
        }
        if let Some(browser) = &self.settings.browser {
            browser.clear().await;
        }
    }

    async fn compare(&mut self) {
        self.report_the_dead();
        let running: BTreeMap<String, Instance> = {
            let ec2 = lock(&self.ec2);
            ec2.instances().filter(|i| i.state == State::Running).map(|i| (i.id.clone(), i.clone())).collect()
        };
        let is_over = |id: &String, machine: &mut Machine| {
            running.get(id).is_none_or(|instance| instance.boot_no != machine.boot_no)
        };
        let over: Vec<_> = self.machines.extract_if(.., is_over).collect();
        for (_, machine) in over {
            machine.end().await;
        }
        for (id, instance) in running {
            match self.machines.get_mut(&id) {
                Some(machine) if machine.guest == instance.guest => {}
                Some(machine) => machine.order(instance.guest).await,
                None => self.start(&instance).await,
            }
        }
    }

    /// Tells the simulator of every process that has ended. Its own ticker sends the event.
    fn report_the_dead(&mut self) {
        let has_ended = |_: &String, machine: &mut Machine| !matches!(machine.process.try_wait(), Ok(None));
        let dead: Vec<_> = self.machines.extract_if(.., has_ended).collect();
        for (id, _) in dead {
            self.logs.warn(&id, "the machine's process ended, so the instance dies");
            lock(&self.ec2).kill(self.settings.clock.now_ms(), &id);
        }
    }

    async fn start(&mut self, instance: &Instance) {
        match self.machine(instance) {
            Ok(mut machine) => {
                machine.order(instance.guest.clone()).await;
                self.machines.insert(instance.id.clone(), machine);
            }
            Err(error) => self.logs.warn(&instance.id, &format!("cannot start its machine: {error}")),
        }
    }

    fn machine(&self, instance: &Instance) -> std::io::Result<Machine> {
        let settings = &self.settings;
        let mut process = match &settings.browser {
            Some(browser) => browser.machine(instance, settings),
            None => self.simulated(instance),
        };
        process
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // As for the functions: Ctrl-C is for the system, which then ends its machines.
            .process_group(0)
            .kill_on_drop(true);
        let mut process = process.spawn()?;
        self.logs.follow(&instance.id, &mut process);
        let orders = process.stdin.take().ok_or(std::io::ErrorKind::BrokenPipe)?;
        Ok(Machine { boot_no: instance.boot_no, guest: instance.guest.clone(), process, orders })
    }

    fn simulated(&self, instance: &Instance) -> Command {
        let settings = &self.settings;
        let lasts_ms = |time_ms| settings.clock.lasts(Duration::from_millis(time_ms)).as_millis().to_string();
        let mut process = Command::new(&settings.program);
        process
            .arg("node")
            .args(["--id", &instance.id])
            .args(["--boot-id", &instance.boot_no.to_string()])
            .args(["--sessions", sessions(instance)])
            .args(["--address", &IpAddr::V4(instance.private_ip).to_string()])
            .args(["--api", &settings.api])
            .args(["--boot-ms", &lasts_ms(instance.guest.boot_ms.unwrap_or(settings.boot_ms))])
            .args(["--heartbeat-ms", &lasts_ms(settings.heartbeat_seconds * 1000)])
            .args(["--retry-ms", &lasts_ms(RETRY_MS)])
            .args(["--health-port", &settings.health_port.to_string()])
            .args(["--health-path", &settings.health_path]);
        process
    }
}

/// Sessions that an instance was launched for, as the pool has tagged it.
pub(crate) fn sessions(instance: &Instance) -> &str {
    instance.tags.get("ec2-pool:sessions").map_or("1", String::as_str)
}

impl Machine {
    async fn order(&mut self, guest: Guest) {
        if let Ok(line) = serde_json::to_string(&guest) {
            // A machine that cannot hear is dead, which the next comparison finds.
            let _ = self.orders.write_all(format!("{line}\n").as_bytes()).await;
        }
        self.guest = guest;
    }

    async fn end(mut self) {
        // An error means that it has ended already.
        let _ = self.process.kill().await;
    }
}

fn lock(ec2: &Mutex<Ec2>) -> MutexGuard<'_, Ec2> {
    ec2.lock().unwrap_or_else(PoisonError::into_inner)
}
