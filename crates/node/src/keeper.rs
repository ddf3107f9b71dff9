//! Keeps one Chrome: the process between the node and Chrome, which leaves nothing of it behind.
//!
//! Rule: whatever descends from this process ends before it does. It adopts what a Chrome leaves without a parent
//! (`PR_SET_CHILD_SUBREAPER`, <https://man7.org/linux/man-pages/man2/PR_SET_CHILD_SUBREAPER.2const.html>), and it ends with its standard
//! input, so that a node that was killed leaves no Chrome, either.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Gid, Pid, Uid, User, getpid};

use crate::options::KeepOptions;

/// Where anyone may write, and a lease may have left something.
const SHARED_DIRECTORIES: [&str; 3] = ["/tmp", "/var/tmp", "/dev/shm"];

/// Chrome is ended before the node when memory runs out. Chrome itself sets other ones for its processes where its sandbox has a helper that
/// may, from 0 for the browser to 300 for a page
/// (<https://man7.org/linux/man-pages/man5/proc_pid_oom_score_adj.5.html>).
const OOM_SCORE: &str = "300";

/// Between two looks at whether all have ended.
const PAUSE: Duration = Duration::from_millis(5);

/// Why no Chrome was kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// The user is not one of this machine.
    #[error("there is no user {0:?} on this machine; make one without rights and name it with --browser-user")]
    NoUser(String),
    /// Chrome's sandbox does not work for root.
    #[error("Chrome's sandbox is not for root; name a user without rights with --browser-user")]
    Root,
    /// The operating system refused.
    #[error("{what}: {source}")]
    System {
        /// What was to be done.
        what: String,
        /// Why it was not.
        source: io::Error,
    },
}

/// Runs Chrome until it ends or standard input does, ends what is left of it and wipes its directory.
///
/// # Errors
/// When it cannot be started.
pub fn keep(options: &KeepOptions) -> Result<(), KeepError> {
    let user = options.user.as_deref().map(user).transpose()?;
    if Uid::effective().is_root() && user.as_ref().is_none_or(|user| user.uid.is_root()) {
        return Err(KeepError::Root);
    }
    // When memory runs out, it is Chrome that goes and not the node: a process can always be offered first, and what it starts is, too.
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    prctl::set_child_subreaper(true).map_err(|errno| system("cannot adopt Chrome's processes", errno.into()))?;
    let outcome = make_home(&options.directory, user.as_ref()).and_then(|()| run(options, user.as_ref()));
    end_descendants();
    wipe(&options.directory, user.as_ref());
    outcome
}

fn run(options: &KeepOptions, user: Option<&Account>) -> Result<(), KeepError> {
    let (program, arguments) =
        options.command.split_first().ok_or_else(|| system("nothing to run", io::ErrorKind::InvalidInput.into()))?;
    let home = &options.directory;
    let mut chrome = Command::new(program);
    chrome
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LANG", "C.UTF-8")
        .env("HOME", home)
        .env("TMPDIR", home.join("tmp"))
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0);
    if let Some(user) = user {
        chrome.gid(user.gid.as_raw()).uid(user.uid.as_raw());
    }
    let child = chrome.spawn().map_err(|source| system(&format!("cannot run {}", program.display()), source))?;
    let chrome =
        Pid::from_raw(i32::try_from(child.id()).map_err(|_| system("no process id", io::ErrorKind::Other.into()))?);
    thread::spawn(move || {
        // It says nothing; its end is the order.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        let _ = kill(chrome, Signal::SIGKILL);
    });
    loop {
        match waitpid(None, None) {
            Ok(WaitStatus::Exited(ended, _) | WaitStatus::Signaled(ended, _, _)) if ended == chrome => return Ok(()),
            Err(Errno::ECHILD) => return Ok(()),
            _ => {}
        }
    }
}

/// Whom Chrome runs as.
#[derive(Debug, Clone, Copy)]
struct Account {
    uid: Uid,
    gid: Gid,
}

/// A number needs no entry among the users, and is its own group then.
fn user(name: &str) -> Result<Account, KeepError> {
    if let Ok(number) = name.parse() {
        return Ok(Account { uid: Uid::from_raw(number), gid: Gid::from_raw(number) });
    }
    let found = User::from_name(name).map_err(|errno| system("cannot look for the user", errno.into()))?;
    let User { uid, gid, .. } = found.ok_or_else(|| KeepError::NoUser(name.to_owned()))?;
    Ok(Account { uid, gid })
}

/// A home that only Chrome's user can look into. One that a node left which ended with its machine is wiped first.
fn make_home(home: &Path, user: Option<&Account>) -> Result<(), KeepError> {
    let make = || -> io::Result<()> {
        if home.exists() {
            fs::remove_dir_all(home)?;
        }
        for directory in [home.to_owned(), home.join("tmp")] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
            if let Some(Account { uid, gid }) = user {
                chown(&directory, Some(uid.as_raw()), Some(gid.as_raw()))?;
            }
        }
        Ok(())
    };
    make().map_err(|source| system(&format!("cannot make the home {}", home.display()), source))
}

/// Ends all that descend from this process, and those that they start meanwhile, and takes in their ends.
fn end_descendants() {
    loop {
        let alive = descendants();
        if alive.is_empty() {
            return;
        }
        for pid in alive {
            let _ = kill(pid, Signal::SIGKILL);
        }
        while let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {}
        thread::sleep(PAUSE);
    }
}

/// All that descend from this process, by what the kernel says at this moment.
fn descendants() -> Vec<Pid> {
    let Ok(all) = procfs::process::all_processes() else { return Vec::new() };
    let mut parents: Vec<(i32, i32)> =
        all.flatten().filter_map(|process| process.stat().ok()).map(|stat| (stat.pid, stat.ppid)).collect();
    let mut family = BTreeSet::from([getpid().as_raw()]);
    loop {
        let before = family.len();
        parents.retain(|(pid, parent)| !family.contains(parent) || !family.insert(*pid));
        if family.len() == before {
            break;
        }
    }
    family.remove(&getpid().as_raw());
    family.into_iter().map(Pid::from_raw).collect()
}

/// Removes the home, and what the user owns where anyone may write.
fn wipe(home: &Path, user: Option<&Account>) {
    if let Err(error) = fs::remove_dir_all(home)
        && error.kind() != io::ErrorKind::NotFound
    {
        eprintln!("cannot wipe {}: {error}", home.display());
    }
    let Some(user) = user else { return };
    for shared in SHARED_DIRECTORIES {
        for entry in fs::read_dir(shared).into_iter().flatten().flatten() {
            if entry.metadata().is_ok_and(|metadata| metadata.uid() == user.uid.as_raw()) {
                let path = entry.path();
                let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
                let removed = if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
                if let Err(error) = removed {
                    eprintln!("cannot wipe {}: {error}", path.display());
                }
            }
        }
    }
}

fn system(what: &str, source: io::Error) -> KeepError {
    KeepError::System { what: what.to_owned(), source }
}
