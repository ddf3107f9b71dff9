//! The command as a person runs it: what it prints, what it writes, and what it says of bad input.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

fn file(name: &str, content: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, content).expect("a file in the target folder");
    path
}

fn poolctl(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_poolctl")).args(arguments).output().expect("poolctl runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_generated_trace_is_read_back_and_reported_as_json() {
    let csv = poolctl(&["trace", "--generate", "steady", "--hours", "2", "--seed", "7"]);
    let trace = file("steady.csv", &text(&csv.stdout));
    let trace = trace.to_str().expect("a path in UTF-8");
    let done = poolctl(&["simulate", "--trace", trace, "--json", "--baselines"]);
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).expect("JSON");
    let kinds: Vec<_> =
        report["reports"].as_array().into_iter().flatten().map(|report| report["kind"].clone()).collect();
    assert_eq!(kinds, ["pool", "fixed", "target-tracking"]);
    assert_eq!(report["trace"]["callers"], text(&csv.stdout).lines().count() - 1);
}

#[test]
fn policies_stand_side_by_side_in_a_page_that_needs_nothing_else() {
    let lean = file("lean.toml", "name = \"lean & <cheap>\"\nmin_available = 0\n");
    let ample = file("ample.toml", "min_available = 5\n[model]\nboot_seconds = 90\n");
    let html = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("report.html");
    let path = |path: &PathBuf| path.to_str().expect("a path in UTF-8").to_owned();
    let arguments = ["simulate", "--generate", "bursty", "--hours", "3", "--policy", &path(&lean), "--compare"];
    let done = poolctl(&[&arguments[..], &[&path(&ample), "--html", &path(&html)]].concat());
    assert!(done.status.success(), "{}", text(&done.stderr));
    let printed = text(&done.stdout);
    assert!(
        printed.contains("lean & <cheap>") && printed.contains("ample") && printed.contains("wait p95"),
        "{printed}"
    );
    let page = fs::read_to_string(&html).expect("the report");
    assert_eq!(page.matches("<svg").count(), 4, "two pools over time, the waits, the cost");
    assert!(page.contains("lean &amp; &lt;cheap&gt;") && !page.contains("<cheap>"));
    assert!(!page.contains("<script") && !page.contains("href=") && !page.contains("src="));
}

#[test]
fn bad_input_is_named_by_file_line_and_field() {
    for (name, content, said) in [
        ("header.csv", "arrival_seconds,duration\n1,2\n", "header.csv:1: duration_seconds: "),
        ("number.csv", "arrival_seconds,duration_seconds\n1,2\n3,soon\n", "number.csv:3: duration_seconds: \"soon\""),
        ("negative.csv", "arrival_seconds,duration_seconds\n-1,2\n", "negative.csv:2: arrival_seconds: \"-1\""),
        ("short.csv", "arrival_seconds,duration_seconds\n1,2\n\n3\n", "short.csv:4: row: has 1 fields"),
        ("empty.csv", "arrival_seconds,duration_seconds\n", "empty.csv:1: arrival_seconds: the trace has no rows"),
        ("syntax.toml", "max_instances = 4\nmin_available = = 2\n", "syntax.toml:2: min_available: "),
        ("key.toml", "max_instances = 4\nmni_available = 2\n", "key.toml:2: mni_available: unknown field"),
        ("type.toml", "\nmax_instances = \"many\"\n", "type.toml:2: max_instances: \"many\": must be a whole number"),
        ("range.toml", "max_instances = 40\nspot_percent = 101\n", "range.toml:2: spot_percent: \"101\": must be"),
        (
            "odds.toml",
            "max_instances = 4\nmin_instances = 5\n",
            "odds.toml:2: min_instances: 5 is more than max_instances = 4",
        ),
        (
            "window.toml",
            "schedule = [\n {cron = \"0 8 * *\", timezone = \"UTC\", duration_minutes = 5},\n]\n",
            "window.toml:1: schedule: window 0: cron",
        ),
        (
            "zone.toml",
            "\nschedule = [{cron = \"0 8 * * *\", timezone = \"Mars\", duration_minutes = 5}]\n",
            "zone.toml:2: schedule: window 0: timezone \"Mars\"",
        ),
        (
            "model.toml",
            "[model]\nboot_seconds = 5\nboot_spread_seconds = 9\n",
            "model.toml:3: model.boot_spread_seconds: ",
        ),
        ("inner.toml", "[model]\nboot_secs = 5\n", "inner.toml:2: boot_secs: unknown field"),
        ("kind.toml", "kind = \"fxied\"\n", "kind.toml:1: kind: unknown variant"),
        ("fixed.toml", "kind = \"fixed\"\n", "fixed.toml:1: fixed: "),
    ] {
        let path = file(name, content);
        let option = if path.extension().is_some_and(|it| it == "csv") { "--trace" } else { "--policy" };
        let mut arguments = vec!["simulate", option, path.to_str().expect("a path in UTF-8")];
        if option == "--policy" {
            arguments.extend(["--generate", "steady", "--hours", "1"]);
        }
        let done = poolctl(&arguments);
        assert_eq!(done.status.code(), Some(2), "{name}");
        assert!(text(&done.stderr).contains(said), "{name}: {}", text(&done.stderr));
    }
}
