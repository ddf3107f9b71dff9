#!/usr/bin/env bash
# Runs the user data of the nodes whole, in a Debian root of its own, and has the node register with `cargo local` for
# real: an instance that EC2 launched there and that does not boot by itself is booted by this script.
#
# Only packages are not fetched: what the script would install stands in the root already, or is a stub that says so. There
# is no systemd in a root; a stub of systemctl starts what the units say, as the users they name. Exits 77 where it cannot run.
#
# The metadata service's address is taken off the loopback device again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/tools.sh
source tests/tools.sh
# shellcheck source=tests/programs.sh
source tests/programs.sh

METADATA=169.254.169.254
ROOT=$EC2_POOL_CACHE/node-root
HEALTH_PORT=38080
CALLER='Authorization: AWS4-HMAC-SHA256 Credential=caller/20260101/us-east-1/execute-api/aws4_request, SignedHeaders=host, Signature=0'

failed=0
owns_address=

say() { echo "node: $*"; }

cannot() {
  say "SKIPPED: $*"
  exit 77
}

[[ $(uname -s) == Linux && $EUID -eq 0 && -e /etc/debian_version ]] || cannot "it needs root on Debian"

leave() {
  if [[ -e $ROOT/stub/pids ]]; then xargs -r kill <"$ROOT/stub/pids" 2>/dev/null || true; fi
  if [[ -n $owns_address ]]; then ip address del "$METADATA/32" dev lo || true; fi
  # What the script started may still hold them for a moment.
  for place in proc dev; do umount --lazy "$ROOT/$place" 2>/dev/null || true; done
  end_started
}
trap leave EXIT

# check WHAT COMMAND…
check() {
  local what=$1
  shift
  if await 60 "$@"; then
    say "ok      $what"
  else
    say "FAILED  $what"
    failed=1
  fi
}

make_root() {
  if [[ ! -e $ROOT/complete ]]; then
    install_tool debootstrap
    say "making the root"
    rm -rf "$ROOT"
    debootstrap --variant=minbase --include=ca-certificates,curl,git,gpg,jq,nodejs,procps bookworm "$ROOT" >"$scratch/debootstrap.log" ||
      { tail -n 20 "$scratch/debootstrap.log"; return 1; }
    touch "$ROOT/complete"
  fi
  rm -rf "$ROOT/stub" "$ROOT"/etc/systemd/system/*.{service,timer,path} "$ROOT/opt/browser-service" "$ROOT/run/ec2-pool" "$ROOT/etc/yum.repos.d"
  mkdir -p "$ROOT/stub/bin" "$ROOT/etc/systemd/system" "$ROOT/etc/yum.repos.d"
  : >"$ROOT/stub/pids"
  mount -t proc proc "$ROOT/proc" || cannot "a container may not mount"
  mount --bind /dev "$ROOT/dev"
}

# stub NAME: reads its script from standard input.
stub() {
  { echo '#!/bin/bash'; cat; } >"$ROOT/stub/bin/$1"
  chmod 755 "$ROOT/stub/bin/$1"
}

# The stubs say what they were asked; systemctl starts services as their units say, each once.
make_stubs() {
  stub dnf <<<'echo "dnf $*" >>/stub/asked'
  stub npx <<'STUB'
echo "npx $*" >>/stub/asked
install -D -m 755 /dev/null /opt/chromium/c/chrome
STUB
  # The packages are there; a file that was fetched is none.
  stub apt-get <<<'echo "apt-get $*" >>/stub/asked'
  stub logger <<<'exec cat >/dev/null'
  stub uname <<<'cat /stub/machine'
  stub npm <<<'echo "npm $*" >>/stub/asked'
  stub systemd-run <<'STUB'
while [[ $1 == --* ]]; do shift; done
exec "$@"
STUB
  stub journalctl <<<'exec sleep infinity'
  stub systemctl <<'STUB'
echo "systemctl $*" >>/stub/asked
[[ $1 == enable ]] || exit 0
for unit in "${@:3}"; do
  file=/etc/systemd/system/$unit
  [[ $unit == *.service ]] || continue
  if grep -qx "$unit" /stub/running 2>/dev/null; then continue; fi
  echo "$unit" >>/stub/running
  field() { sed -n "s/^$1=//p" "$file" | head -n 1; }
  user=$(field User) group=$(field Group) directory=$(field WorkingDirectory)
  group=${group:-$(id -gn "${user:-root}")}
  runtime=$(field RuntimeDirectory)
  if [[ -n $runtime ]]; then install -d -m 750 -o "$user" -g "$group" "/run/$runtime"; fi
  mapfile -t environment < <(sed -n 's/^Environment=//p' "$file" | tr ' ' '\n')
  (cd "${directory:-/}" && exec setpriv --reuid="${user:-root}" --regid="$group" --clear-groups \
    env "${environment[@]}" bash -c "exec $(field ExecStart)") >>"/stub/$unit.log" 2>&1 </dev/null &
  echo $! >>/stub/pids
done
STUB
  # Only packages and keys of packages are not fetched; all else goes where it should.
  stub curl <<'STUB'
for word in "$@"; do
  case $word in
    *nodesource* | *dl.google.com* | *amazoncloudwatch-agent*) echo "curl $word" >>/stub/asked; exit 0 ;;
  esac
done
# What stands for S3 is behind the address of the metadata service.
exec /usr/bin/curl "${@/https:\/\/s3.us-east-1.amazonaws.com/http://169.254.169.254/s3}"
STUB
  stub gpg <<<'echo "gpg $*" >>/stub/asked; cat >/dev/null'
  install -D -m 755 "$ROOT/stub/bin/apt-get" "$ROOT/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"
}

start_local() {
  build_all
  POOL_HEALTH_PORT=$HEALTH_PORT POOL_MIN_AVAILABLE=0 POOL_MAX=1 "$BINARIES/pool-local" --binaries "$BINARIES" \
    --port 0 --lambda-port 0 --dynamodb-port 0 --ec2-port 0 >"$scratch/local.log" 2>&1 &
  started+=("$!")
  await 60 grep -q 'Ctrl-C' "$scratch/local.log" || { cat "$scratch/local.log"; return 1; }
  api=$(sed -n 's/^ *HTTP API *\(http[^ ]*\).*/\1/p' "$scratch/local.log")
  ec2=$(sed -n 's/^ *EC2 *\(http[^ ]*\).*/\1/p' "$scratch/local.log")
}

call() { curl -sS --max-time 10 -H "$CALLER" "$@"; }

# Has EC2 launch an instance that stays dark.
launch() {
  curl -fsS -X PUT "$ec2/_admin/faults" -H 'content-type: application/json' -d '{"guest": {"boots": false}}' >/dev/null
  lease=$(call "$api/v1/leases" -d '{"wait_seconds": 300}' | jq -r .lease_id)
  await 60 has_instance
}

has_instance() { instance=$(call "$api/v1/pool" | jq -er '.instances[0].instance_id'); }

# The metadata service, version 2 alone: a token first, then what the script asks for.
start_metadata() {
  if ip address add "$METADATA/32" dev lo; then owns_address=yes; fi
  mkdir -p "$scratch/metadata"
  cat >"$scratch/metadata.py" <<'PYTHON'
import http.server, json, os, sys

class Metadata(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):
        self.say(200, "token") if self.path == "/latest/api/token" else self.say(404, "")

    def do_GET(self):
        if self.path == "/s3/bucket/service.tar.gz":
            signed = f"Credential={INSTANCE}/" in self.headers.get("authorization", "") and self.headers.get("x-amz-security-token")
            return self.say(200, open(os.path.join(sys.argv[2], "service.tar.gz"), "rb").read()) if signed else self.say(403, "")
        if self.headers.get("x-aws-ec2-metadata-token") != "token":
            return self.say(401, "")
        path = self.path.removeprefix("/latest/meta-data/")
        role = "iam/security-credentials/"
        known = {"instance-id": INSTANCE, role: "node",
                 role + "node": json.dumps({"AccessKeyId": INSTANCE, "SecretAccessKey": "s", "Token": "t"})}
        notice = os.path.join(sys.argv[2], "spot")
        if path == "spot/instance-action" and os.path.exists(notice):
            known[path] = open(notice).read()
        self.say(200, known[path]) if path in known else self.say(404, "")

    def say(self, status, text):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text if isinstance(text, bytes) else text.encode())

    def log_message(self, *_):
        pass

INSTANCE = sys.argv[3]
http.server.ThreadingHTTPServer((sys.argv[1], 80), Metadata).serve_forever()
PYTHON
  python3 "$scratch/metadata.py" "$METADATA" "$scratch/metadata" "$instance" 2>"$scratch/metadata.log" &
  started+=("$!")
  await 10 curl -fsS -X PUT "http://$METADATA/latest/api/token" || cannot "no metadata service at $METADATA"
}

# install_node SYSTEM MACHINE [S3-URI]: the whole script, as EC2 would run it, pointed at the local API and with short pauses.
install_node() {
  "$VENV/bin/python" tests/template.py user-data >"$scratch/user-data.sh"
  sed -e "s#^API_URL=.*#API_URL='$api'#" -e "s#^HEALTH_PORT=.*#HEALTH_PORT=$HEALTH_PORT#" -e "s#^NODE_SYSTEM=.*#NODE_SYSTEM=$1#" \
    -e "s#^SERVICE_S3_URI=.*#SERVICE_S3_URI='${3:-}'#" -e 's#^HEARTBEAT_SECONDS=.*#HEARTBEAT_SECONDS=1#' "$scratch/user-data.sh" >"$ROOT/stub/user-data.sh"
  echo "$2" >"$ROOT/stub/machine"
  env -i PATH=/stub/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "$ROOT" /bin/bash /stub/user-data.sh >"$scratch/install.log" 2>&1 ||
    { cat "$scratch/install.log"; return 1; }
}

asked() { grep -q -- "$1" "$ROOT/stub/asked"; }
is_leased() { [[ $(call "$api/v1/leases/$lease" | jq -r .state) == active ]]; }
beats() { [[ $(call "$api/v1/instances/$instance" | jq -r '.beat_at // ""') != "$(cat "$scratch/beat" 2>/dev/null)" ]]; }
belongs_to_service() { [[ $(chroot "$ROOT" stat -c %U "$1") == browser ]]; }

for tool in sam jq; do install_tool "$tool"; done
start_local
launch
make_root
make_stubs
start_metadata

say "the whole user data, for $instance, on Amazon Linux"
install_node amazon-linux x86_64
check "it asked for its packages" asked 'dnf install -y git jq tar nodejs22 nodejs22-npm amazon-cloudwatch-agent'
check "it has Chrome" asked 'dnf install -y google-chrome-stable'
check "the service answers as an unprivileged user" curl -fsS "http://127.0.0.1:$HEALTH_PORT/health"
check "it is ready, and its caller has the lease" is_leased
call "$api/v1/instances/$instance" | jq -r '.beat_at // ""' >"$scratch/beat"
check "heartbeats arrive" beats
check "its log goes to CloudWatch" grep -q '"log_group_name": "/ec2-pool/ec2-pool/node"' "$ROOT/etc/ec2-pool/cloudwatch.json"

say "the same once more, on Ubuntu, and with the service from S3"
mkdir "$scratch/service"
echo '{"name": "service"}' >"$scratch/service/package.json"
tar -C "$scratch/service" -czf "$scratch/metadata/service.tar.gz" package.json
install_node ubuntu x86_64 s3://bucket/service.tar.gz
check "the service was fetched, for its own user" belongs_to_service /opt/browser-service/package.json
check "and installed" asked 'npm install --no-audit --no-fund'
check "it asked for its packages" asked 'apt-get install -y -q nodejs'
check "the service still answers" curl -fsS "http://127.0.0.1:$HEALTH_PORT/health"

say "and on arm64"
for system in amazon-linux ubuntu; do install_node "$system" aarch64; done
check "there it has Chromium" asked 'npx --yes playwright@1 install --with-deps chromium'
check "and finds it" test -x "$ROOT/opt/chromium/c/chrome" -a "$(readlink "$ROOT/usr/local/bin/pool-browser")" = /opt/chromium/c/chrome

echo '{"action": "terminate", "time": "2026-11-26T12:00:00Z"}' >"$scratch/metadata/spot"
check "the Spot notice is told to the service" grep -q terminate "$ROOT/run/ec2-pool/spot-notice"

# A node that has heard nothing for longer than any lease may last ends itself.
deadman() { chroot "$ROOT" env -i PATH=/stub/bin:/usr/bin:/bin "$@" deadman; }
deadman /usr/local/bin/ec2-pool-node
if asked poweroff; then check "a node in contact stays" false; else say "ok      a node in contact stays"; fi
sed 's#^LEASE_TTL_MAX_SECONDS=.*#LEASE_TTL_MAX_SECONDS=-999999999#' "$ROOT/usr/local/bin/ec2-pool-node" >"$ROOT/stub/long-after"
chmod 755 "$ROOT/stub/long-after"
deadman /stub/long-after
check "a node without contact shuts down" asked 'systemctl poweroff'

if ((failed)); then
  tail -n 20 "$scratch/install.log" "$ROOT"/stub/*.log "$scratch/local.log"
fi
exit "$failed"
