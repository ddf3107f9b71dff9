#!/usr/bin/env bash
# Drives real Chromiums with Playwright through the whole of a lease, against `cargo local --browser`: tests/browser.
# Names of test files choose some of them: bash tests/browser.sh lease clean
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/tools.sh
source tests/tools.sh

install_tool chromium
install_tool playwright
build_all
files=()
for name in "${@:-*}"; do
  # The star stands for every file.
  # shellcheck disable=SC2206
  files+=("$BROWSER_TESTS"/$name.test.mjs)
done
node --test --test-concurrency=1 "${files[@]}"
