//! The machine itself: how busy it is, and its end.

use std::path::Path;

use procfs::{Current, CurrentSI, KernelStats, Meminfo, Uptime};
use tokio::process::Command;

/// Tells how busy the machine was since it was last asked.
#[derive(Debug, Default)]
pub struct Load {
    busy: u64,
    all: u64,
}

impl Load {
    /// CPU and memory in use, in percent. What the kernel does not tell is 0.
    pub fn percent(&mut self) -> (u64, u64) {
        (self.cpu(), memory().unwrap_or_default())
    }

    fn cpu(&mut self) -> u64 {
        let Ok(stats) = KernelStats::current() else { return 0 };
        let total = stats.total;
        let idle = total.idle + total.iowait.unwrap_or_default();
        let busy = total.user
            + total.nice
            + total.system
            + total.irq.unwrap_or_default()
            + total.softirq.unwrap_or_default()
            + total.steal.unwrap_or_default();
        let (busy_since, all_since) = (busy.saturating_sub(self.busy), (busy + idle).saturating_sub(self.all));
        (self.busy, self.all) = (busy, busy + idle);
        (100 * busy_since).checked_div(all_since).unwrap_or_default().min(100)
    }
}

fn memory() -> Option<u64> {
    let memory = Meminfo::current().ok()?;
    let used = memory.mem_total.saturating_sub(memory.mem_available?);
    (100 * used).checked_div(memory.mem_total)
}

/// Writes the file by which the machine's own switch, outside this program, knows that the pool knows it.
pub fn note_contact(directory: &Path) {
    let Ok(uptime) = Uptime::current() else { return };
    let path = directory.join("last-contact");
    if let Err(error) = std::fs::write(&path, format!("{}\n", uptime.uptime_duration().as_secs())) {
        tracing::warn!(%error, path = %path.display(), "cannot note that the pool answered");
    }
}

/// Shuts the machine down.
pub async fn shut_down(command: &str) {
    let ended = Command::new("/bin/sh").arg("-c").arg(command).status().await;
    if let Err(error) = ended {
        tracing::error!(%error, "cannot shut the machine down");
    }
}
