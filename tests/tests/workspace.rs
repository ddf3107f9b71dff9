//! The rules of the workspace that no compiler checks: what may depend on what, and how files look.

use std::path::{Path, PathBuf};
use std::process::Command;

use pool_tests::request::root;

/// Functions that must start fast and do not call EC2.
const WITHOUT_EC2: [&str; 5] = ["acquire", "release", "register", "status", "operate"];
/// Longer files do more than one job.
const LINES_MAX: usize = 500;

/// Crates that a package needs, by name.
fn needs(package: &str) -> Vec<String> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", package, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).expect("names are text");
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn callers_functions_do_not_link_ec2() {
    for function in WITHOUT_EC2 {
        let needs = needs(function);
        assert!(needs.contains(&"aws-sdk-dynamodb".to_owned()), "{function}: {needs:?}");
        for heavy in ["aws-sdk-ec2", "pool-fleet", "ec2-sim", "dynoxide-rs"] {
            assert!(!needs.contains(&heavy.to_owned()), "{function} needs {heavy}");
        }
    }
}

#[test]
fn the_core_is_pure() {
    let needs = needs("pool-core");
    for other in ["tokio", "tracing", "aws-sdk-dynamodb", "lambda_runtime", "getrandom", "rand"] {
        assert!(!needs.contains(&other.to_owned()), "the core needs {other}");
    }
}

/// Every Rust file of the workspace.
fn rust_files() -> Vec<PathBuf> {
    let mut folders = vec![root().join("crates"), root().join("tests")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the repository") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 50, "the files are elsewhere: {files:?}");
    files
}

/// What is wrong with a file.
fn untidy(path: &Path) -> Vec<String> {
    // Written so that this file does not contain them.
    let forbidden =
        ["#[al low(", "#![al low(", "to do!(", "unimple mented!(", "db g!("].map(|name| name.replace(' ', ""));
    let text = std::fs::read_to_string(path).expect("a text");
    let mut faults = Vec::new();
    let lines = text.lines().count();
    if lines >= LINES_MAX {
        faults.push(format!("{} has {lines} lines, {LINES_MAX} are too many", path.display()));
    }
    if !text.starts_with("//!") {
        faults.push(format!("{} does not begin by saying what it is for", path.display()));
    }
    for (number, line) in text.lines().enumerate() {
        for name in forbidden.iter().filter(|name| line.contains(name.as_str())) {
            faults.push(format!("{}:{}: {name}", path.display(), number + 1));
        }
    }
    faults
}

#[test]
fn every_file_is_tidy() {
    let faults: Vec<String> = rust_files().iter().flat_map(|path| untidy(path)).collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn every_failure_has_a_test() {
    let catalogue = std::fs::read_to_string(root().join("docs/failures.md")).expect("the catalogue is there");
    let number = |line: &str| line.strip_prefix("| ")?.split(' ').next()?.parse::<u32>().ok();
    let rows: Vec<u32> = catalogue.lines().filter_map(number).collect();
    assert!(rows.iter().copied().eq(1..=22), "{rows:?}");
    let texts: Vec<String> = rust_files().iter().map(|path| std::fs::read_to_string(path).expect("a text")).collect();
    for row in rows {
        let name = format!("fn failure_{row:02}_");
        assert!(texts.iter().any(|text| text.contains(&name)), "no test is named {name}…");
    }
}

#[test]
fn every_pain_has_the_test_that_the_catalogue_names() {
    let catalogue = std::fs::read_to_string(root().join("docs/failures.md")).expect("the catalogue is there");
    let texts: Vec<String> = rust_files().iter().map(|path| std::fs::read_to_string(path).expect("a text")).collect();
    let rows: Vec<&str> = catalogue.lines().filter(|line| line.starts_with("| P")).collect();
    for (number, row) in (1..).zip(&rows) {
        let test = row.split('`').nth(1).unwrap_or_default();
        let known = !test.is_empty() && texts.iter().any(|text| text.contains(&format!("fn {test}()")));
        assert!(row.starts_with(&format!("| P{number} ")) && known, "no such test: {row}");
    }
    assert_eq!(rows.len(), 15);
}

#[test]
fn failure_19_the_table_has_no_index_and_nothing_scans_it() {
    let template = std::fs::read_to_string(root().join("template.yaml")).expect("the template is there");
    assert!(!template.contains("SecondaryIndexes"));
    let touches_the_table = ["crates/store/src", "crates/function/src"].map(|folder| root().join(folder));
    for path in rust_files().into_iter().filter(|path| touches_the_table.iter().any(|folder| path.starts_with(folder)))
    {
        let text = std::fs::read_to_string(&path).expect("a text");
        for call in [".scan()", ".query()", ".index_name(", ".transact_write_items()"] {
            assert!(!text.contains(call), "{} calls {call}", path.display());
        }
    }
}
