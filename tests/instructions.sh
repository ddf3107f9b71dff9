#!/usr/bin/env bash
# Counts the instructions of our own code with Valgrind, which `cargo test` does without.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/tools.sh
source tests/tools.sh
install_tool valgrind
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$EC2_POOL_CACHE/target}

cargo test --quiet --workspace --test instructions -- --ignored --nocapture
