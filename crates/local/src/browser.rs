//! Machines with a real browser: each is a `browser-node` process, as on EC2, with the Chromium of this machine.
//!
//! Rule: a machine knows the pool only through the HTTP API and ends with its standard input, as a simulated one does.

use std::{
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use ec2_sim::Instance;
use pool_core::ids::InstanceId;
use tokio::process::Command;

use crate::{
    compile,
    nodes::{Settings, sessions},
    options::Options,
};

/// Whom Chromiums run as when root starts them, since their sandbox is not for root: numbers that no user has, from here on. Each session of
/// each machine has one of its own, so that none sees another, nor wipes what it has.
const USERS_FROM: u64 = 20_000;
/// How often a directory that is still written to is removed again.
const CLEAR_TRIES: u32 = 100;
/// Between two tries.
const CLEAR_PAUSE: Duration = Duration::from_millis(20);

/// Whom the Chromiums run as.
#[derive(Debug, Clone)]
enum Users {
    /// Whoever started `cargo local`.
    Own,
    /// Those of the command line, for each machine the same.
    Named(Vec<String>),
    /// Numbers that no user has.
    Numbers,
}

/// What the machines with a browser have in common.
#[derive(Debug, Clone)]
pub struct Browser {
    program: PathBuf,
    homes: PathBuf,
    chromium: Option<PathBuf>,
    users: Users,
    tls: bool,
}

/// Numbers for the sessions of a machine, which no other running machine has: they follow from the last byte of its address, which is
/// its own among the first 256.
fn numbers(instance: &Instance) -> String {
    let [.., last] = instance.private_ip.octets();
    let first = USERS_FROM + InstanceId::SLOTS_MAX * u64::from(last);
    let count = sessions(instance).parse().unwrap_or(1);
    (first..first + count).map(|number| number.to_string()).collect::<Vec<_>>().join(",")
}

impl Browser {
    /// By the command line; `None` when it asks for none.
    #[must_use]
    pub fn of_options(options: &Options, binaries: &Path) -> Option<Self> {
        let is_root = || std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        options.browser.then(|| Self {
            program: binaries.join(compile::NODE),
            homes: std::env::temp_dir().join(format!("ec2-pool-{}", std::process::id())),
            chromium: options.chromium.clone(),
            users: match &options.browser_user[..] {
                [] if is_root() => Users::Numbers,
                [] => Users::Own,
                named => Users::Named(named.to_vec()),
            },
            tls: options.tls,
        })
    }

    /// The process that is this instance.
    pub(crate) fn machine(&self, instance: &Instance, settings: &Settings) -> Command {
        let mut process = Command::new(&self.program);
        process
            .arg("serve")
            .args(["--api", &settings.api])
            .args(["--instance-id", &instance.id])
            .args(["--boot-id", &instance.boot_no.to_string()])
            .args(["--bind", &IpAddr::V4(instance.private_ip).to_string()])
            .args(["--port", &settings.health_port.to_string()])
            .args(["--health-path", &settings.health_path])
            .args(["--heartbeat-seconds", &settings.heartbeat_seconds.to_string()])
            .arg("--state-directory")
            .arg(self.homes.join(&instance.id))
            .arg("--until-input-ends")
            // The front reads who signs and checks no signature.
            .env("AWS_ACCESS_KEY_ID", &instance.id)
            .env("AWS_SECRET_ACCESS_KEY", "local");
        if let Some(chromium) = &self.chromium {
            process.arg("--chromium").arg(chromium);
        }
        process.args(["--sessions", sessions(instance)]);
        match &self.users {
            Users::Own => {}
            Users::Named(users) => drop(process.arg("--browser-user").arg(users.join(","))),
            Users::Numbers => drop(process.arg("--browser-user").arg(numbers(instance))),
        }
        if !self.tls {
            process.arg("--plain-http");
        }
        process
    }

    /// Removes what the machines had, which have ended. Their Chromiums end a moment later.
    pub(crate) async fn clear(&self) {
        for _ in 0..CLEAR_TRIES {
            match std::fs::remove_dir_all(&self.homes) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => tokio::time::sleep(CLEAR_PAUSE).await,
                // It is not there when no machine ever ran.
                _ => return,
            }
        }
    }
}
