//! What each part of `docs/performance.md` says, out of what was measured.

use std::path::Path;

use pool_core::time::Timestamp;

use crate::bars::{self, Bar};
use crate::baseline::Choice;
use crate::claim::{Claim, Situation};
use crate::contention::{CALLERS, Outcome};
use crate::pieces::Piece;
use crate::plans::{Picture, Task};
use crate::report::{Section, table};
use crate::sizes::Size;
use crate::starts::Starts;
use crate::throughput::Throughput;

/// How much of the pool is in use, in percent.
pub const IN_USE_PERCENT: [u32; 4] = [10, 50, 90, 99];

/// Requests and units of acquires, renewals and releases. `measured` has each situation once.
#[must_use]
pub fn claims(measured: &[(Situation, Claim)]) -> Section {
    let of = |keyed: bool| {
        let mut rows = Vec::new();
        let mut situations: Vec<(u32, u32)> = measured.iter().map(|(it, _)| (it.shards, it.size)).collect();
        situations.dedup();
        for (shards, size) in situations {
            let all = || measured.iter().filter(move |(it, _)| (it.shards, it.size, it.keyed) == (shards, size, keyed));
            let requests = IN_USE_PERCENT.map(|percent| {
                let claim = all().find(|(it, _)| it.in_use_percent == percent);
                claim.map_or_else(String::new, |(_, claim)| format!("{:.2}", claim.acquire.requests))
            });
            let claim = all().find(|(it, _)| it.in_use_percent == 90).map(|(_, claim)| *claim);
            let units = claim.map_or_else(Vec::new, |claim| {
                let Claim { acquire, renew, release, .. } = claim;
                let one = |write: f64, read: f64| format!("{write:.2} + {read:.2}");
                vec![
                    one(acquire.write_units, acquire.read_units),
                    format!("{:.2}, {}", renew.requests, one(renew.write_units, renew.read_units)),
                    format!("{:.2}, {}", release.requests, one(release.write_units, release.read_units)),
                ]
            });
            rows.push([vec![format!("{shards} x {size}")], requests.to_vec(), units].concat());
        }
        let header = [
            "shards x instances",
            "requests at 10 % in use",
            "50 %",
            "90 %",
            "99 %",
            "units at 90 %: write + read",
            "renewal at 90 %: requests, units",
            "release at 90 %: requests, units",
        ];
        table(&header, &rows)
    };
    let text = format!("Acquire without an idempotency key:\n\n{}\n\nWith one:\n\n{}", of(false), of(true));
    Section::of_text("claims", text)
}

/// Sizes of items.
#[must_use]
pub fn sizes(measured: &[Size]) -> Section {
    let rows = measured.iter().map(|size| {
        vec![
            size.members.to_string(),
            size.waiters.to_string(),
            size.bytes.to_string(),
            format!("{:.0}", size.write_units),
            format!("{:.1}", size.read_units),
            format!("{:.0}", size.writes_per_second),
            size.empty_homes_percent.map_or_else(String::new, |percent| format!("{percent:.1} %")),
            size.keyed_acquire_requests.map_or_else(String::new, |requests| format!("{requests:.2}")),
        ]
    });
    let header = [
        "instances, all leased",
        "waiters",
        "bytes",
        "units of a write",
        "of a reading",
        "writes a second of one item",
        "homes with nothing free",
        "requests of a keyed acquire",
    ];
    Section::of_text("sizes", table(&header, &rows.collect::<Vec<_>>()))
}

/// Whose outcome it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// This project's, over so many shards.
    Sharded(u32),
    /// An item for each instance.
    ItemPerInstance(Choice),
}

impl Way {
    /// What it is called.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Sharded(1) => "one shard".to_owned(),
            Self::Sharded(shards) => format!("{shards} shards"),
            Self::ItemPerInstance(Choice::First) => "item per instance, first of the list".to_owned(),
            Self::ItemPerInstance(Choice::Random) => "item per instance, random choice".to_owned(),
        }
    }
}

/// Who got what when all came at once.
#[must_use]
pub fn contention(measured: &[(Way, Outcome)]) -> Section {
    let rows = measured.iter().map(|(way, outcome)| {
        let granted = f64::from(outcome.granted);
        let (fewest, most) = outcome.requests_of_granted;
        vec![
            format!("{} free, {}", outcome.free, way.name()),
            outcome.granted.to_string(),
            outcome.false_none.to_string(),
            if fewest == most { fewest.to_string() } else { format!("{fewest} to {most}") },
            format!("{:.1}", outcome.in_all.requests / granted),
            format!("{:.1}", outcome.in_all.write_units / granted),
            format!("{:.1}", outcome.in_all.read_units / granted),
            outcome.taken_after_ms.to_string(),
            format!(
                "{:.0}",
                granted / f64::from(u32::try_from(outcome.taken_after_ms.max(1)).unwrap_or(u32::MAX)) * 1e3
            ),
        ]
    });
    let header = [
        "",
        "granted",
        "told \"none\" too early",
        "requests of one who was granted",
        "requests of all for each grant",
        "write units for each",
        "read units for each",
        "all taken after, ms",
        "grants a second until then",
    ];
    let text = format!("{CALLERS} callers at once:\n\n{}", table(&header, &rows.collect::<Vec<_>>()));
    let bars = measured.iter().map(|(way, outcome)| {
        let requests = outcome.in_all.requests / f64::from(outcome.granted);
        let early = match outcome.false_none {
            0 => String::new(),
            callers => format!("; {callers} told \"none\""),
        };
        Bar {
            name: format!("{} free, {}", outcome.free, way.name()),
            value: requests,
            label: format!("{requests:.0}{early}"),
            is_ours: matches!(way, Way::Sharded(_)),
        }
    });
    let title = format!("Requests of all for each grant, {CALLERS} callers at once");
    let picture = Some(bars::chart(&title, &bars.collect::<Vec<_>>()));
    Section { name: "contention", text, picture }
}

/// How fast leases come and go.
#[must_use]
pub fn throughput(apart: Throughput, inside_pairs_per_second: f64) -> Section {
    let Throughput { pairs_per_second, own_cpu_us, functions_cpu_us } = apart;
    let rows = [
        ["in one process", &format!("{inside_pairs_per_second:.0}"), "", ""],
        [
            "as processes, all by HTTP",
            &format!("{pairs_per_second:.0}"),
            &format!("{functions_cpu_us:.0}"),
            &format!("{own_cpu_us:.0}"),
        ],
    ];
    let header = [
        "",
        "leases granted and given back, a second",
        "processor time of the functions for each, us",
        "of the engine, the Runtime API and the callers, us",
    ];
    let rows = rows.map(|row| row.map(str::to_owned).to_vec());
    let text = format!("{}\n\n{}", machine(), table(&header, &rows));
    Section::of_text("throughput", text)
}

/// How functions start.
#[must_use]
pub fn starts(measured: &[Starts]) -> Section {
    let rows = measured.iter().map(|starts| {
        vec![
            starts.name.clone(),
            format!("{:.1}", starts.next_ms),
            format!("{:.1}", starts.reply_ms),
            format!("{:.1}", megabytes(starts.peak_kb * 1_024)),
            format!("{:.2}", megabytes(starts.zip_bytes)),
        ]
    });
    let header = ["", "asks for work after, ms", "has answered after, ms", "memory at most, MB", "zip, MB"];
    let text = format!("{}\n\n{}", machine(), table(&header, &rows.collect::<Vec<_>>()));
    let bars = measured.iter().map(|starts| Bar {
        name: starts.name.clone(),
        value: starts.reply_ms,
        label: format!("{:.0} ms, {:.0} MB", starts.reply_ms, megabytes(starts.peak_kb * 1_024)),
        is_ours: starts.ours,
    });
    let picture =
        Some(bars::chart("Milliseconds from its start until a function has answered", &bars.collect::<Vec<_>>()));
    Section { name: "starts", text, picture }
}

fn megabytes(bytes: u64) -> f64 {
    f64::from(u32::try_from(bytes / 1_024).unwrap_or(u32::MAX)) / 1_024.0
}

/// What our own code takes of the processor, by this program of the bench.
///
/// # Errors
/// When Valgrind is not there or did not count, in words.
pub fn instructions(program: &Path) -> Result<Section, String> {
    let row = |piece: Piece| Ok(vec![piece.name().to_owned(), piece.instructions(program)?.to_string()]);
    let rows = Piece::ALL.map(row).into_iter().collect::<Result<Vec<_>, String>>()?;
    Ok(Section::of_text("instructions", table(&["", "instructions"], &rows)))
}

/// How long plans take.
#[must_use]
pub fn plans() -> Section {
    const INSTANCES: [u32; 5] = [1_000, 10_000, 25_000, 50_000, 100_000];
    let pictures = INSTANCES.map(Picture::of);
    let rows = Task::ALL.map(|task| {
        let times = pictures.each_ref().map(|picture| picture.time(task).as_secs_f64() * 1e3);
        let [.., half, whole] = times;
        let cells = times.map(|ms| format!("{ms:.2}"));
        [vec![task.name().to_owned()], cells.to_vec(), vec![format!("{:.1}", whole / half)]].concat()
    });
    let header = [
        "milliseconds over so many instances",
        "1,000",
        "10,000",
        "25,000",
        "50,000",
        "100,000",
        "the last over the one before",
    ];
    Section::of_text("plans", format!("{}\n\n{}", machine(), table(&header, &rows)))
}

/// The machine and the day, as a line.
fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let named = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let seconds = std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs());
    let day = Timestamp(seconds).to_string();
    let day = day.split('T').next().unwrap_or_default();
    format!("Measured on {day} with {cores} cores of {}.", named.unwrap_or("an unknown processor").trim())
}
