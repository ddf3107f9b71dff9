//! A service of the operator's, which systemd runs: its health is asked of it, and between two leases it is started anew.
//!
//! Rule: what the service is told stands in files of the run directory, which its group may read: `access-key`, with which it checks
//! access tokens by itself, and `spot-notice`, once EC2 takes the instance back.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::options::WatchOptions;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// The service.
#[derive(Debug)]
pub struct Service {
    http: reqwest::Client,
    health_url: reqwest::Url,
    interval: Duration,
    attempts: u32,
    clean_command: Option<String>,
    run_directory: PathBuf,
}

impl Service {
    /// By the options.
    ///
    /// # Errors
    /// When the client for it cannot be made.
    pub fn new(options: &WatchOptions) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: reqwest::Client::builder().timeout(ANSWER).build()?,
            health_url: options.health_url.clone(),
            interval: Duration::from_secs(options.health_interval_seconds),
            attempts: options.health_attempts,
            clean_command: options.clean_command.clone(),
            run_directory: options.run_directory.clone(),
        })
    }

    /// The sessions that it has open, if it says so (`{"sessions": 1}`).
    ///
    /// # Errors
    /// Why it is not healthy.
    pub async fn health(&self) -> Result<u64, String> {
        let asked = self.http.get(self.health_url.clone()).send().await;
        let answer = asked.map_err(|error| format!("{} does not answer: {}", self.health_url, error.without_url()))?;
        if !answer.status().is_success() {
            return Err(format!("{} answers {}", self.health_url, answer.status()));
        }
        let body = answer.json::<Value>().await.unwrap_or_default();
        Ok(body["sessions"].as_u64().unwrap_or_default())
    }

    /// Waits until it is healthy. What keeps it is said again each time that as many attempts failed as it may take.
    pub async fn ready(&self) {
        let mut failed = 0;
        while let Err(why) = self.health().await {
            failed += 1;
            if failed % self.attempts == 0 {
                tracing::error!(
                    why,
                    failed,
                    "the service is not ready; the pool replaces this machine at its boot deadline"
                );
            }
            tokio::time::sleep(self.interval).await;
        }
    }

    /// Starts it anew and waits until it is healthy.
    pub async fn clean(&self) {
        if let Some(command) = &self.clean_command {
            while let Err(why) = run(command).await {
                tracing::error!(command, why, "the service cannot be started anew");
                tokio::time::sleep(self.interval).await;
            }
        }
        self.ready().await;
    }

    /// Tells it that EC2 takes the instance back, in EC2's words.
    pub fn tell_notice(&self, notice: &str) {
        let path = self.run_directory.join("spot-notice");
        if let Err(error) = write(&path, notice) {
            tracing::error!(%error, path = %path.display(), "the service cannot be told that EC2 takes the instance back");
        }
    }
}

/// Writes a file that its group may read.
///
/// # Errors
/// When the operating system refuses.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    // A reader finds all of it or nothing.
    let unfinished = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(true).write(true).mode(0o640);
    writeln!(options.open(&unfinished)?, "{text}")?;
    fs::rename(unfinished, path)
}

async fn run(command: &str) -> Result<(), String> {
    let ended = Command::new("/bin/sh").arg("-c").arg(command).status().await;
    match ended {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(status.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
