//! What functions and nodes write to their standard output and error: what of it the terminal shows, and the files.
//!
//! The API's access log is a file `api.log` beside those of the functions.
//!
//! Rule: the terminal shows warnings and errors, prefixed with the name of who wrote them, or everything when asked to. Files, where they
//! are wanted, get every line as it was written.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::{Map, Value};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Child,
};

/// Where lines go.
#[derive(Debug)]
pub struct Logs {
    verbose: bool,
    directory: Option<PathBuf>,
    files: Mutex<BTreeMap<String, File>>,
}

impl Logs {
    /// With a directory, which is created, each name gets a file `NAME.log` in it that grows.
    ///
    /// # Errors
    /// When the directory cannot be created.
    pub fn new(verbose: bool, directory: Option<PathBuf>) -> std::io::Result<Arc<Self>> {
        if let Some(directory) = &directory {
            std::fs::create_dir_all(directory)?;
        }
        Ok(Arc::new(Self { verbose, directory, files: Mutex::default() }))
    }

    /// Follows what a child writes to the pipes it was given, until it closes them.
    pub fn follow(self: &Arc<Self>, name: &str, child: &mut Child) {
        if let Some(output) = child.stdout.take() {
            tokio::spawn(Arc::clone(self).read(name.to_owned(), output));
        }
        if let Some(output) = child.stderr.take() {
            tokio::spawn(Arc::clone(self).read(name.to_owned(), output));
        }
    }

    /// A warning of the machine room itself about `name`.
    pub fn warn(&self, name: &str, message: &str) {
        show(name, &format!("WARN  {message}"));
    }

    /// Writes a line to the file of `name`, if there are files; the terminal does not show it.
    pub fn keep(&self, name: &str, line: &str) {
        if let Err(error) = self.write(name, line) {
            show(name, &format!("WARN  cannot write its log file: {error}"));
        }
    }

    async fn read(self: Arc<Self>, name: String, output: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(output).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            self.line(&name, &String::from_utf8_lossy(&line));
        }
    }

    fn line(&self, name: &str, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        self.keep(name, line);
        if let Some(text) = shown(line, self.verbose) {
            show(name, &text);
        }
    }

    fn write(&self, name: &str, line: &str) -> std::io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if !files.contains_key(name) {
            let file = OpenOptions::new().create(true).append(true).open(directory.join(format!("{name}.log")))?;
            files.insert(name.to_owned(), file);
        }
        files.get_mut(name).map_or(Ok(()), |file| writeln!(file, "{line}"))
    }
}

fn show(name: &str, text: &str) {
    eprintln!("{name:>24} | {text}");
}

/// What the terminal shows of a line, if anything. A line that is no JSON log record is a panic or a debugging aid, so it is shown.
fn shown(line: &str, verbose: bool) -> Option<String> {
    let Ok(Value::Object(record)) = serde_json::from_str(line) else { return Some(line.to_owned()) };
    let level = record.get("level").and_then(Value::as_str).unwrap_or("INFO");
    let serious = matches!(level, "WARN" | "ERROR");
    (verbose || serious).then(|| format!("{level:<5} {}", readable(&record)))
}

/// `message key=value …` of a record, flat or with its fields under `fields`.
fn readable(record: &Map<String, Value>) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = record.get("fields").and_then(Value::as_object).unwrap_or(record);
    let mut line = fields.get("message").map(text).unwrap_or_default();
    for (key, value) in fields {
        if !matches!(key.as_str(), "message" | "level" | "timestamp" | "target" | "span" | "spans") {
            line.extend([" ", key, "=", &text(value)]);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_shows_what_matters() {
        let info = r#"{"level":"INFO","fields":{"message":"granted","epoch":7}}"#;
        assert_eq!(shown(info, false), None);
        assert_eq!(shown(info, true).as_deref(), Some("INFO  granted epoch=7"));
        let warning = r#"{"timestamp":"2026","level":"WARN","message":"cool-down","offering":"t3.medium"}"#;
        assert_eq!(shown(warning, false).as_deref(), Some("WARN  cool-down offering=t3.medium"));
        assert_eq!(shown("thread 'main' panicked", false).as_deref(), Some("thread 'main' panicked"));
    }
}
