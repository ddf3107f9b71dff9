//! One Chrome: started, found, ended.
//!
//! Rule: a Chrome has a home of its own and serves one lease. Its DevTools port is on loopback, drawn anew each time, and nothing but
//! the gateway is told of it.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};

use crate::options::Options;

/// How long a Chrome and all it started may take to end once told to. They are killed, so it takes milliseconds.
const END: Duration = Duration::from_secs(20);

/// What Chrome says once its DevTools answer.
const LISTENING: &str = "DevTools listening on ws://";

/// Where Chrome and Chromium are on the systems that nodes run, and on laptops.
const PLACES: [&str; 7] = [
    "/usr/local/bin/pool-browser",
    "/usr/lib/chromium/chromium",
    "/usr/bin/google-chrome-stable",
    "/usr/bin/google-chrome",
    "/usr/bin/chromium",
    "/usr/bin/chromium-browser",
    "/snap/bin/chromium",
];

/// A Chrome did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is none.
    #[error("no Chrome or Chromium is installed; name it with --chromium PATH")]
    NoChrome,
    /// Two sessions would have the same user, and each could see and end the other.
    #[error("{0} sessions need as many users of their own; give --browser-user for each")]
    NoUser(u64),
    /// The operating system refused.
    #[error("{what}: {source}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// Why it was not.
        source: io::Error,
    },
    /// It ended before its DevTools answered.
    #[error("Chrome ended before it answered: {0}")]
    Ended(String),
    /// Its DevTools did not answer in time.
    #[error("Chrome did not answer within {0} seconds")]
    Late(u64),
}

/// Where a Chrome's DevTools are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevTools {
    /// Host and port, on loopback.
    pub authority: String,
    /// Path of the WebSocket of the whole browser.
    pub path: String,
}

/// How a Chrome is started.
#[derive(Debug)]
pub struct Launcher {
    keeper: PathBuf,
    chrome: PathBuf,
    homes: PathBuf,
    user: Option<String>,
    limit_seconds: u64,
    started: u64,
}

/// A Chrome that runs.
#[derive(Debug)]
pub struct Chrome {
    /// Where its DevTools are.
    pub devtools: DevTools,
    keeper: Child,
    lifeline: ChildStdin,
}

impl Launcher {
    /// Starts the Chromes of a slot, the first of which is 0, by the options; `keeper` is this program.
    ///
    /// # Errors
    /// When there is no Chrome, no place for its homes, or no user for this slot alone.
    pub fn new(options: &Options, slot: usize, keeper: PathBuf) -> Result<Self, StartError> {
        let user = options.browser_user.get(slot).cloned();
        if user.is_none() && !options.browser_user.is_empty() {
            return Err(StartError::NoUser(options.sessions));
        }
        let found = || PLACES.map(Path::new).into_iter().find(|place| place.is_file()).map(Path::to_owned);
        let chrome = options.chromium.clone().or_else(found).ok_or(StartError::NoChrome)?;
        // Chrome's user passes through it, and sees nothing there but what he has been given.
        let homes = options.state_directory.join(format!("session-{}", slot + 1));
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&homes);
        made.map_err(|source| StartError::System { what: "cannot make the directory of --state-directory", source })?;
        Ok(Self { keeper, chrome, homes, user, limit_seconds: options.limits.start_seconds_max, started: 0 })
    }

    /// Starts a Chrome that has seen nothing yet.
    ///
    /// # Errors
    /// When it does not answer; then nothing of it is left.
    pub async fn start(&mut self) -> Result<Chrome, StartError> {
        self.started += 1;
        let home = self.homes.join(format!("lease-{}", self.started));
        let mut keeper = Command::new(&self.keeper);
        keeper.arg("keep").arg("--directory").arg(&home);
        if let Some(user) = &self.user {
            keeper.arg("--user").arg(user);
        }
        keeper.arg("--").arg(&self.chrome).args(arguments(&home));
        keeper.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let failed = |source| StartError::System { what: "cannot start the keeper of a Chrome", source };
        let mut child = keeper.spawn().map_err(failed)?;
        let taken = child.stdin.take().zip(child.stderr.take());
        let (lifeline, said) = taken.ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let mut said = BufReader::new(said).lines();
        let limit = Duration::from_secs(self.limit_seconds);
        let found = tokio::time::timeout(limit, find(&mut said)).await;
        let found = found.unwrap_or(Err(StartError::Late(self.limit_seconds)));
        match found {
            Ok(devtools) => {
                tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
                Ok(Chrome { devtools, keeper: child, lifeline })
            }
            Err(error) => {
                end(child, lifeline).await;
                Err(error)
            }
        }
    }
}

impl Chrome {
    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) {
        // An error means that there is nothing to wait for.
        let _ = self.keeper.wait().await;
    }

    /// Ends it with all that it started, and wipes its home.
    pub async fn end(self) {
        end(self.keeper, self.lifeline).await;
    }
}

async fn end(mut keeper: Child, lifeline: ChildStdin) {
    drop(lifeline);
    if tokio::time::timeout(END, keeper.wait()).await.is_err() {
        tracing::error!(limit_seconds = END.as_secs(), "a Chrome does not end");
        let _ = keeper.kill().await;
    }
}

/// Reads what Chrome says until it says where its DevTools are.
async fn find(said: &mut Lines<BufReader<ChildStderr>>) -> Result<DevTools, StartError> {
    let mut last = "it said nothing".to_owned();
    while let Some(line) = said.next_line().await.ok().flatten() {
        if let Some((authority, path)) = line.strip_prefix(LISTENING).and_then(|rest| rest.split_once('/')) {
            return Ok(DevTools { authority: authority.to_owned(), path: format!("/{path}") });
        }
        if !line.is_empty() {
            last = line;
        }
    }
    Err(StartError::Ended(last))
}

/// Chrome's arguments: a fresh profile, DevTools on loopback, and nothing that calls home by itself.
fn arguments(home: &Path) -> Vec<OsString> {
    let mut profile = OsString::from("--user-data-dir=");
    profile.push(home.join("profile"));
    let fixed = [
        "--headless=new",
        "--remote-debugging-port=0",
        "--no-first-run",
        "--no-default-browser-check",
        "--disable-background-networking",
        "--disable-breakpad",
        "--disable-component-update",
        "--disable-default-apps",
        "--disable-dev-shm-usage",
        "--disable-sync",
        "--hide-scrollbars",
        "--mute-audio",
        "--password-store=basic",
        "--window-size=1280,720",
        "about:blank",
    ];
    std::iter::once(profile).chain(fixed.map(OsString::from)).collect()
}
