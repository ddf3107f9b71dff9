#!/usr/bin/env bash
# Many callers against `cargo local` for minutes, while its functions and machines are killed at random:
# bash tests/load.sh [MINUTES [CALLERS]], 10 and 200 unless told otherwise. Ports are given by API_PORT and the three
# after it.
#
# Rule: it fails when a lease is lost or double, a call is never answered, or anything is still held at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/tools.sh
source tests/tools.sh

MINUTES=${1:-10}
CALLERS=${2:-200}
API_PORT=${API_PORT:-8080}
API=http://127.0.0.1:$API_PORT
OUT=$(mktemp -d)
install_tool jq

build_all

POOL_MAX=${POOL_MAX:-64} POOL_MIN_AVAILABLE=4 POOL_QUEUE_MAX=64 POOL_CLAIM_SECONDS=10 POOL_REMOVAL_BUDGET_PERCENT=100 \
  "$BINARIES/pool-local" --binaries "$BINARIES" --boot-seconds 1 --logs "$OUT/logs" --port "$API_PORT" \
  --dynamodb-port $((API_PORT + 1)) --ec2-port $((API_PORT + 2)) --lambda-port $((API_PORT + 3)) >"$OUT/local.log" 2>&1 &
LOCAL=$!
KILLER=
finish() {
  [[ -z $KILLER ]] || kill "$KILLER" 2>/dev/null || true
  kill "$LOCAL" 2>/dev/null || true
  wait || true
  rm -rf "$OUT"
}
trap finish EXIT

for _ in {1..600}; do
  curl -sf -o /dev/null "$API/v1/pool" && break
  kill -0 "$LOCAL" || { cat "$OUT/local.log"; exit 1; }
  sleep 0.1
done

# Twice in five seconds a process that serves dies: any function, and one time in ten a machine of the pool.
kill_at_random() {
  local victim kind
  while sleep 2.5; do
    kind='^(acquire|release|register|status|scale|reap-idle|on-instance-sta)'
    ((RANDOM % 10)) || kind='^pool-local'
    victim=$(pgrep -P "$LOCAL" "$kind" | shuf -n 1)
    [[ -z $victim ]] || ! kill -9 "$victim" 2>/dev/null || echo "$kind" >>"$OUT/killed"
  done
}
kill_at_random &
KILLER=$!

code=0
"$BINARIES/pool-tests" load --api "$API" --callers "$CALLERS" --minutes "$MINUTES" || code=$?
kill "$KILLER"
wait "$KILLER" || true
KILLER=
echo "killed: $(grep -c acquire "$OUT/killed") functions, $(grep -c pool-local "$OUT/killed" || true) machines"

# Whoever was killed may have left a lease or a wait behind; it ends when its time is over.
pool=
is_empty() {
  pool=$(curl -s "$API/v1/pool")
  jq -e '.totals.leased == 0 and .totals.waiting == 0' <<<"$pool" >/dev/null
}
for _ in {1..150}; do
  ! is_empty || break
  sleep 1
done
if is_empty; then
  echo "nothing is held any more"
else
  echo "load.sh: still held after 150 seconds: $pool" >&2
  code=1
fi
((code == 0))
