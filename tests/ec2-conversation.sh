#!/usr/bin/env bash
# The same conversation of AWS CLI calls with the simulated EC2 of this project and with moto, an EC2 by other
# people; where the two answer differently, AWS's documentation must have been asked: bash tests/ec2-conversation.sh
#
# ec2-conversation/calls.sh        what is said, one named call after the other
# ec2-conversation/differences.txt where the answers may differ: both answers, and the AWS page that decides
#
# Rule: it fails on a difference that is not listed, and on a listed one that is not there any more or not as listed.
# Needs Rust and Python 3; moto and the AWS CLI go into a virtual environment in the cache, at fixed versions,
# because differences are between versions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=${EC2_POOL_CACHE:-$HOME/.cache/ec2-pool}/ec2-conversation
PACKAGES=('moto[server,ec2]==5.2.5' 'awscli==1.*')
SCRIPTS=tests/ec2-conversation
OUT=$(mktemp -d)
SERVERS=()

finish() {
  for server in "${SERVERS[@]}"; do kill "$server" 2>/dev/null || true; done
  wait || true
  rm -rf "$OUT"
}
trap finish EXIT

install() {
  local wanted="${PACKAGES[*]}"
  [[ $(cat "$VENV/installed" 2>/dev/null) == "$wanted" ]] && return
  python3 -m venv "$VENV"
  "$VENV/bin/pip" install -q --disable-pip-version-check "${PACKAGES[@]}"
  echo "$wanted" >"$VENV/installed"
}

# The address that a server prints once it listens.
address_in() {
  local log=$1 server=$2 address
  for _ in {1..1800}; do
    address=$(grep -o -m1 'http://127\.0\.0\.1:[0-9]*' "$log" || true)
    if [[ -n $address ]]; then echo "$address"; return; fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  echo "ec2-conversation.sh: the server did not start:" >&2
  cat "$log" >&2
  return 1
}

install
cargo build --quiet --package ec2-sim
cargo run --quiet --package ec2-sim -- --seed 1 --pending-ms 300 --ending-ms 300 --describe-lag-ms 0 \
  >"$OUT/ec2-sim.log" 2>&1 &
SERVERS+=($!)
"$VENV/bin/moto_server" -H 127.0.0.1 -p 0 >"$OUT/moto.log" 2>&1 &
SERVERS+=($!)
EC2_SIM=$(address_in "$OUT/ec2-sim.log" "${SERVERS[0]}")
MOTO=$(address_in "$OUT/moto.log" "${SERVERS[1]}")

# Nothing of the machine's own AWS settings may take part.
export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION=us-east-1 AWS_MAX_ATTEMPTS=1
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_PAGER='' AWS_EC2_METADATA_DISABLED=true
unset AWS_PROFILE AWS_ENDPOINT_URL AWS_ENDPOINT_URL_EC2 AWS_SESSION_TOKEN

# moto is not safe under concurrency, so each server is asked one call at a time; the two may speak at once.
talk() { ENDPOINT=$1 ANSWERS=$2 AWS=$VENV/bin/aws bash "$SCRIPTS/calls.sh"; }
talk "$EC2_SIM" "$OUT/ec2-sim.txt" & SIM_TALK=$!
talk "$MOTO" "$OUT/moto.txt" & MOTO_TALK=$!
wait "$SIM_TALK"
wait "$MOTO_TALK"

# Both transcripts, then the list: what differs must be listed exactly so, and what is listed must differ.
awk -F '\t' '
  function listed(name, key) { return ((name, key) in list) ? list[name, key] : "" }
  FILENAME ~ /ec2-sim.txt$/ { order[++calls] = $1; sim[$1] = $2; next }
  FILENAME ~ /moto.txt$/ { moto[$1] = $2; next }
  /^#/ || /^$/ { next }
  match($0, /^[a-z0-9-]+: */) {
    key = substr($0, 1, index($0, ":") - 1); text = substr($0, RLENGTH + 1)
    if (key == "call") { name = text; entries[++entry_count] = name } else list[name, key] = text
    next
  }
  { print "differences.txt: cannot read: " $0; bad = 1 }
  END {
    for (n = 1; n <= calls; n++) {
      name = order[n]
      if (sim[name] == moto[name]) { same++; continue }
      differ[name] = 1
      if (listed(name, "ec2-sim") == sim[name] && listed(name, "moto") == moto[name]) continue
      printf "NOT LISTED\ncall: %s\nec2-sim: %s\nmoto: %s\n\n", name, sim[name], moto[name]; bad = 1
    }
    for (n = 1; n <= entry_count; n++) {
      name = entries[n]
      if (!(name in sim)) { print "listed, but never called: " name; bad = 1 }
      else if (!(name in differ)) { print "listed, but the answers agree: " name; bad = 1 }
      if (listed(name, "decides") == "" || listed(name, "because") == "") { print "listed without decides and because: " name; bad = 1 }
    }
    printf "%d calls: %d answered alike, %d differently\n", calls, same, calls - same
    exit bad
  }' "$OUT/ec2-sim.txt" "$OUT/moto.txt" "$SCRIPTS/differences.txt"
