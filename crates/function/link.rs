//! The build script of every function: a release is linked for a fixed address.
//!
//! A program that may be loaded anywhere has its addresses written into it at each start: 1 MB of tables to read and 1.3 MB of pages to
//! write in a function with both SDKs (docs/performance.md). Its stack and heap stay where the system puts them at random.

use std::env;

#[expect(clippy::disallowed_methods, reason = "Cargo tells a build script by the environment what it builds")]
fn main() {
    let told = |name| env::var(name).unwrap_or_default();
    if told("PROFILE") == "release" && told("CARGO_CFG_TARGET_OS") == "linux" {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
