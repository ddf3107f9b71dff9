#!/usr/bin/env bash
# Requests that schemathesis makes of openapi.yaml, right and wrong ones, against the whole system as `cargo local` runs it:
# bash tests/schemathesis.sh
#
# Every answer must be one that the file documents, with the body and the headers that it documents; what is wrong must be
# refused, what is right accepted, and what was released must be gone. schemathesis.toml says which checks are off, and why.
# The functions log all they can, and no line may have a secret in it: a node's key, an access token, a signature.
#
# Rule: it fails on any finding. Needs Rust and Python 3; schemathesis goes into a virtual environment in the cache, at a
# fixed version, with a fixed seed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/tools.sh
source tests/tools.sh

ROOT=$PWD
SCHEMATHESIS=$EC2_POOL_CACHE/schemathesis
SEED=20261123
# Beside the time to build and to boot, and for callers and nodes each.
SECONDS_EACH=45
SIGNATURE=ca11ab1eca11ab1eca11ab1eca11ab1eca11ab1eca11ab1eca11ab1eca11ab1e
OUT=$(mktemp -d)
LOCAL=

say() { echo "schemathesis: $*"; }

finish() {
  if [[ -n $LOCAL ]]; then
    kill "$LOCAL" 2>/dev/null || true
    wait "$LOCAL" || true
  fi
  rm -rf "$OUT"
}
trap finish EXIT

# The limits are the highest that there are, which are those that openapi.yaml has.
start_local() {
  build_all
  RUST_LOG=trace POOL_MAX=6 POOL_MIN_AVAILABLE=3 POOL_QUEUE_MAX=4 POOL_LEASE_TTL_MAX_SECONDS=2592000 \
    POOL_WAIT_MAX_SECONDS=3600 "$BINARIES/pool-local" --binaries "$BINARIES" \
    --port 0 --dynamodb-port 0 --ec2-port 0 --lambda-port 0 --boot-seconds 0 --time-scale 10 --logs "$OUT/logs" \
    >"$OUT/local.log" 2>&1 &
  LOCAL=$!
}

# The address in the line of the banner that names this part.
address_of() { sed -n "s|.*$1 .*\(http://127\.0\.0\.1:[0-9]*\).*|\1|p" "$OUT/local.log" | head -n 1; }

header() { echo "Authorization: AWS4-HMAC-SHA256 Credential=$1/20260101/us-east-1/execute-api/aws4_request, SignedHeaders=host, Signature=$SIGNATURE"; }

pool() { curl -fsS --max-time 10 -H "$(header caller)" "$API$1"; }

# Ids of the instances that are free.
free_instances() { pool /v1/pool | grep -o '"instance_id":"[^"]*","shard":[0-9]*,"state":"free"' | cut -d '"' -f 4; }

await_instances() {
  for _ in {1..600}; do
    API=$(address_of 'HTTP API')
    if [[ -n $API ]] && INSTANCE=$(free_instances | head -n 1) && [[ -n $INSTANCE ]]; then return; fi
    kill -0 "$LOCAL" 2>/dev/null || break
    sleep 0.2
  done
  say "FAILED: no instance became free:"
  cat "$OUT/local.log"
  return 1
}

# check NAME CREDENTIAL OPTIONS…: one run by this caller.
check() {
  local name=$1 credential=$2
  shift 2
  say "as $name"
  # It keeps files of its own where it runs.
  (
    cd "$OUT"
    "$SCHEMATHESIS/bin/schemathesis" --no-color --config-file "$name.toml" run "$ROOT/openapi.yaml" --url "$API" \
      --header "$(header "$credential")" --mode all --seed "$SEED" --generation-database none \
      --max-time "$SECONDS_EACH" --request-timeout 35 --output-sanitize false --continue-on-failure --workers 1 "$@"
  ) || failed=1
}

# Node keys as they stand in the table, and as nodes and tokens have them: without the digest of a certificate, in hexadecimal.
node_keys() {
  curl -fsS --max-time 10 "$(address_of DynamoDB)" -H 'x-amz-target: DynamoDB_20120810.Scan' \
    -H 'content-type: application/x-amz-json-1.0' --aws-sigv4 aws:amz:us-east-1:dynamodb --user local:local -d '{"TableName": "ec2-pool"}' |
    grep -o '"k": *{"B": *"[^"]*"' | cut -d '"' -f 6 | sed '/^$/d' | while read -r stored; do
      echo "$stored"
      base64 -d <<<"$stored" | tail -c 16 | od -An -v -tx1 | tr -d ' '
    done
}

look_for_secrets() {
  local secrets=$OUT/secrets
  node_keys >"$secrets"
  [[ -s $secrets ]] || { say "FAILED: the table has no node keys to look for"; failed=1; }
  echo "$SIGNATURE" >>"$secrets"
  [[ -s $OUT/logs/acquire.log ]] || { say "FAILED: there are no log lines"; failed=1; }
  if grep -rhF -f "$secrets" "$OUT/logs" || grep -rhE 'v1\.[0-9]+\.[0-9]+\.[A-Za-z0-9_-]{43}' "$OUT/logs"; then
    say "FAILED: the lines above have secrets in them"
    failed=1
  else
    say "$(cat "$OUT"/logs/*.log | wc -l) log lines, and none of $(wc -l <"$secrets") secrets and no access token in them"
  fi
}

install_venv "$SCHEMATHESIS" 'schemathesis==4.32.5'
start_local
await_instances
failed=0
cp tests/schemathesis.toml "$OUT/callers.toml"
# A node speaks of itself, so the only id that leads anywhere is its own.
{ printf 'parameters = { "path.id" = "%s" }\n' "$INSTANCE"; cat tests/schemathesis.toml; } >"$OUT/nodes.toml"
check callers caller --exclude-tag nodes
check nodes "$INSTANCE" --include-tag nodes
look_for_secrets
exit "$failed"
