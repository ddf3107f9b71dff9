//! A demand trace: who comes when, and for how long each uses an instance.
//!
//! It is a CSV file with the columns `arrival_seconds` and `duration_seconds`, as decimal numbers, the first counted from
//! the beginning of the trace. The rows may be in any order.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::{BadFile, BadInput};

/// The longest trace, in seconds: a leap year.
const SECONDS_MAX: f64 = 366.0 * 86_400.0;
/// The names of the columns, in order.
const COLUMNS: [&str; 2] = ["arrival_seconds", "duration_seconds"];
/// Lines that begin so are no rows.
const COMMENT: u8 = b'#';

/// One caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrival {
    /// When it comes, from the beginning of the trace.
    pub at_seconds: u64,
    /// For how long it uses an instance.
    pub duration_seconds: u64,
}

/// A trace, in the order of coming.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The callers.
    pub arrivals: Vec<Arrival>,
    /// How long it lasts.
    pub seconds: u64,
}

impl Trace {
    /// A trace of these callers that lasts for so long, or until the last of them has come.
    #[must_use]
    pub fn new(mut arrivals: Vec<Arrival>, seconds: u64) -> Self {
        arrivals.sort_unstable();
        let last = arrivals.last().map_or(0, |arrival| arrival.at_seconds + 1);
        Self { arrivals, seconds: seconds.max(last) }
    }

    /// Reads a trace from a file.
    ///
    /// # Errors
    /// Names the line and the field of what cannot be read.
    pub fn read(path: &Path) -> Result<Self, BadFile> {
        let file = File::open(path).map_err(|error| bad(path, 0, "file", error.to_string()))?;
        Self::parse(path, file)
    }

    /// Reads a trace from anything; `path` is how errors call it.
    ///
    /// # Errors
    /// Names the line and the field of what cannot be read.
    pub fn parse(path: &Path, mut source: impl Read) -> Result<Self, BadFile> {
        let mut text = Vec::new();
        source.read_to_end(&mut text).map_err(|error| bad(path, 0, "file", error.to_string()))?;
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(COMMENT)).from_reader(&text[..]);
        let header = reader.headers().map_err(|error| unreadable(path, &text, &error))?.clone();
        let mut places = [0; 2];
        for (place, name) in places.iter_mut().zip(COLUMNS) {
            let found = header.iter().position(|column| column == name);
            let problem = format!("there is no such column in the header {:?}", header.iter().collect::<Vec<_>>());
            *place = found.ok_or_else(|| bad(path, 1, name, problem))?;
        }
        let mut arrivals = Vec::new();
        for record in reader.records() {
            let record = record.map_err(|error| unreadable(path, &text, &error))?;
            let line = line_of(&text, record.position());
            let [at, duration] = [0, 1].map(|column| number(record.get(places[column]).unwrap_or_default()));
            let at = at.map_err(|problem| bad(path, line, COLUMNS[0], problem))?;
            let duration = duration.map_err(|problem| bad(path, line, COLUMNS[1], problem))?;
            let arrival = Arrival { at_seconds: whole(at.floor()), duration_seconds: whole(duration.ceil()).max(1) };
            arrivals.push(arrival);
        }
        if arrivals.is_empty() {
            return Err(bad(path, 1, COLUMNS[0], "the trace has no rows".to_owned()));
        }
        Ok(Self::new(arrivals, 0))
    }

    /// Writes the trace as [`Trace::read`] reads it.
    ///
    /// # Errors
    /// Those of `target`.
    pub fn write(&self, target: impl Write) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(target);
        writer.write_record(COLUMNS)?;
        for arrival in &self.arrivals {
            writer.write_record([arrival.at_seconds.to_string(), arrival.duration_seconds.to_string()])?;
        }
        writer.flush()
    }

    /// Instances that a pool without any limit would have had leased, at the end of each of `step_seconds`.
    #[must_use]
    pub fn demand(&self, step_seconds: u64) -> Vec<u64> {
        let steps = usize::try_from(self.seconds / step_seconds.max(1)).unwrap_or(0) + 1;
        let mut changes = vec![0_i64; steps + 1];
        let step_of = |seconds: u64| usize::try_from(seconds / step_seconds.max(1)).unwrap_or(steps).min(steps);
        for arrival in &self.arrivals {
            changes[step_of(arrival.at_seconds + step_seconds - 1)] += 1;
            changes[step_of(arrival.at_seconds + arrival.duration_seconds + step_seconds - 1)] -= 1;
        }
        let sums = changes.iter().take(steps).scan(0_i64, |sum, change| {
            *sum += change;
            Some(u64::try_from(*sum).unwrap_or(0))
        });
        sums.collect()
    }
}

fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.0..=SECONDS_MAX).contains(&number) => Ok(number),
        _ => Err(format!("{text:?} is not a number of seconds from 0 to {SECONDS_MAX}")),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "number() let through 0 to a year only")]
fn whole(seconds: f64) -> u64 {
    seconds as u64
}

/// The line on which a row is. The CSV library says where it began to look for the row, which is before blank lines and
/// comments.
fn line_of(text: &[u8], position: Option<&csv::Position>) -> usize {
    let Some(position) = position else { return 1 };
    let from = usize::try_from(position.byte()).unwrap_or(text.len()).min(text.len());
    let is_no_row = |line: &&[u8]| line.trim_ascii().is_empty() || line.first() == Some(&COMMENT);
    let skipped = text[from..].split(|byte| *byte == b'\n').take_while(is_no_row).count();
    usize::try_from(position.line()).unwrap_or(0) + skipped
}

fn unreadable(path: &Path, text: &[u8], error: &csv::Error) -> BadFile {
    let line = line_of(text, error.position());
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} fields, the header has {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    bad(path, line, "row", problem)
}

fn bad(path: &Path, line: usize, field: &str, problem: String) -> BadFile {
    BadFile(vec![BadInput { file: path.to_owned(), line, field: field.to_owned(), problem }])
}
