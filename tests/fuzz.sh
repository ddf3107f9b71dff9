#!/usr/bin/env bash
# Runs every fuzzer of tests/tests/hostile for so long each, two at a time: bash tests/fuzz.sh [SECONDS]
#
# 60 seconds each when not told. The inputs are drawn by bolero, which prints the seed of one that fails and makes it
# smaller; BOLERO_RANDOM_SEED=… tries that one again. It is the test binary of the ordinary runs, so nothing is built anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/tools.sh
source tests/tools.sh
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$EC2_POOL_CACHE/target}

TARGETS=(events ids headers items)
AT_ONCE=2
export POOL_FUZZ_SECONDS=${1:-60}
OUT=$(mktemp -d)
trap 'rm -rf "$OUT"' EXIT

# --workspace as in the test run: a choice of packages would build the SDKs anew with other features.
cargo test --workspace --test hostile --no-run 2>"$OUT/build.log" || { cat "$OUT/build.log"; exit 1; }
binary=$(sed -n 's/.*(\(.*\/hostile-[0-9a-f]*\)).*/\1/p' "$OUT/build.log")

# The corpus is found from the directory of the package.
fuzz() {
  local target=$1
  if (cd tests && "$binary" --nocapture "$target::") >"$OUT/$target.log" 2>&1; then
    grep -h 'executions$' "$OUT/$target.log" | sed "s/\$/ in $POOL_FUZZ_SECONDS s/"
  else
    echo "fuzz.sh: $target FAILED:"
    cat "$OUT/$target.log"
    return 1
  fi
}

failed=0
running=()
for target in "${TARGETS[@]}"; do
  fuzz "$target" &
  running+=("$!")
  if ((${#running[@]} == AT_ONCE)); then
    for job in "${running[@]}"; do wait "$job" || failed=1; done
    running=()
  fi
done
exit "$failed"
