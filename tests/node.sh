#!/usr/bin/env bash
# Runs the user data of the nodes whole, in a Debian root of its own, and has the node register with `cargo local` for
# real: an instance that EC2 launched there and that does not boot by itself is booted by this script. What a lease is of is a real
# Chromium first, and a service of the operator's after it.
#
# Only packages are not fetched: what the script would install stands in the root already, or is a stub that says so. There
# is no systemd in a root; a stub of systemctl starts what the units say, as the users they name. Exits 77 where it cannot run.
#
# The metadata service's address is taken off the loopback device again, and the firewall for the browser's user off this machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/tools.sh
source tests/tools.sh
# shellcheck source=tests/programs.sh
source tests/programs.sh

METADATA=169.254.169.254
ROOT=$EC2_POOL_CACHE/node-root
HEALTH_PORT=38080
POOL_HOST=pool.test
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
  nft delete table inet ec2-pool 2>/dev/null || true
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
    debootstrap --variant=minbase --include=ca-certificates,chromium,chromium-sandbox,curl,dbus-x11,git,gpg,jq,nftables,nodejs,procps,python3 bookworm "$ROOT" >"$scratch/debootstrap.log" ||
      { tail -n 20 "$scratch/debootstrap.log"; return 1; }
    touch "$ROOT/complete"
  fi
  rm -rf "$ROOT/stub" "$ROOT"/etc/systemd/system/*.{service,timer} "$ROOT/opt/browser-service" "$ROOT/opt/ec2-pool" "$ROOT/run/ec2-pool" \
    "$ROOT/etc/yum.repos.d" "$ROOT"/etc/apparmor.d/ec2-pool*
  mkdir -p "$ROOT/stub/bin" "$ROOT/etc/systemd/system" "$ROOT/etc/yum.repos.d" "$ROOT/etc/apparmor.d"
  # What would install it is a stub.
  ln -sfn /usr/lib/chromium/chromium "$ROOT/usr/bin/google-chrome-stable"
  # An address by name is no loopback address: the node signs with the credentials of its role.
  echo "127.0.0.1 localhost $POOL_HOST" >"$ROOT/etc/hosts"
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
  stub logger <<<'exec cat'
  stub uname <<<'cat /stub/machine'
  stub npm <<<'echo "npm $*" >>/stub/asked'
  stub systemd-run <<'STUB'
while [[ $1 == --* ]]; do shift; done
exec "$@"
STUB
  stub apparmor_parser <<<'echo "apparmor_parser $*" >>/stub/asked'
  stub journalctl <<<'exec sleep infinity'
  stub systemctl <<'STUB'
echo "systemctl $*" >>/stub/asked
if [[ $1 == restart ]]; then
  kill "$(cat "/stub/$2.pid")"
  set -- enable --now "$2"
  sed -i "/^$3$/d" /stub/running
fi
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
  if [[ -n $runtime ]]; then install -d -m 750 -o "${user:-root}" -g "$group" "/run/$runtime"; fi
  state=$(field StateDirectory)
  if [[ -n $state ]]; then install -d -m 711 "/var/lib/$state"; fi
  if [[ $(field Type) == oneshot ]]; then
    bash -c "$(field ExecStart)" >>"/stub/$unit.log" 2>&1
    continue
  fi
  mapfile -t environment < <(sed -n 's/^Environment=//p' "$file" | tr ' ' '\n')
  (cd "${directory:-/}" && exec setpriv --reuid="${user:-root}" --regid="$group" --clear-groups \
    env "${environment[@]}" bash -c "exec $(field ExecStart)") >>"/stub/$unit.log" 2>&1 </dev/null &
  echo $! | tee "/stub/$unit.pid" >>/stub/pids
done
STUB
  # Only packages and keys of packages are not fetched; all else goes where it should.
  stub curl <<'STUB'
for word in "$@"; do
  case $word in
    *nodesource* | *dl.google.com* | *amazoncloudwatch-agent*) echo "curl $word" >>/stub/asked; exit 0 ;;
  esac
done
# What stands for S3 and Lambda is behind the address of the metadata service.
set -- "${@/https:\/\/s3.us-east-1.amazonaws.com/http://169.254.169.254/s3}"
exec /usr/bin/curl "${@/https:\/\/lambda.us-east-1.amazonaws.com/http://169.254.169.254/lambda}"
STUB
  stub gpg <<<'echo "gpg $*" >>/stub/asked; cat >/dev/null'
  install -D -m 755 "$ROOT/stub/bin/apt-get" "$ROOT/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl"
}

start_local() {
  build_all
  POOL_HEALTH_PORT=$HEALTH_PORT POOL_MIN_AVAILABLE=0 POOL_MAX=1 POOL_AFTER_RELEASE=reset "$BINARIES/pool-local" --binaries "$BINARIES" \
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
        signed = f"Credential={INSTANCE}/" in self.headers.get("authorization", "") and self.headers.get("x-amz-security-token")
        layer = {"Content": {"Location": f"http://{sys.argv[1]}/presigned/node.zip"}}
        if self.path == "/s3/bucket/service.tar.gz":
            return self.say(200, self.file("service.tar.gz")) if signed else self.say(403, "")
        if self.path == "/lambda/2018-10-31/layers/ec2-pool-node/versions/7":
            return self.say(200, json.dumps(layer)) if signed else self.say(403, "")
        if self.path == "/presigned/node.zip":
            return self.say(200, self.file("node.zip"))
        if self.headers.get("x-aws-ec2-metadata-token") != "token":
            return self.say(401, "")
        path = self.path.removeprefix("/latest/meta-data/")
        role = "iam/security-credentials/"
        mac = "network/interfaces/macs/0a:00:00:00:00:01/"
        known = {"instance-id": INSTANCE, "network/interfaces/macs/": "0a:00:00:00:00:01/", mac + "vpc-ipv4-cidr-blocks": "203.0.113.0/24\n10.0.0.0/8",
                 mac + "vpc-ipv6-cidr-blocks": "2001:db8::/56", role: "node",
                 role + "node": json.dumps({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": INSTANCE, "SecretAccessKey": "s", "Token": "t",
                                            "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z"})}
        notice = os.path.join(sys.argv[2], "spot")
        if path == "spot/instance-action" and os.path.exists(notice):
            known[path] = open(notice).read()
        self.say(200, known[path]) if path in known else self.say(404, "")

    def file(self, name):
        return open(os.path.join(sys.argv[2], name), "rb").read()

    def say(self, status, text):
        self.send_response(status)
        # The SDK wants to know how long a token is good.
        self.send_header("x-aws-ec2-metadata-token-ttl-seconds", "21600")
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

# What `sam build` would have built, with the program of the tests.
make_layer() {
  for machine in x86_64 aarch64; do cp "$BINARIES/browser-node" "$scratch/browser-node-$machine"; done
  cp crates/node/machine/install.sh "$scratch"
  (cd "$scratch" && python3 -m zipfile -c metadata/node.zip browser-node-* install.sh)
}

# install_node SYSTEM MACHINE [VARIABLE=VALUE…]: the whole script, as EC2 would run it, pointed at the local API, with short pauses and
# other parameters.
install_node() {
  "$VENV/bin/python" tests/template.py user-data >"$scratch/user-data.sh"
  local variable edits=()
  for variable in "API_URL=http://$POOL_HOST:${api##*:}" "HEALTH_PORT=$HEALTH_PORT" "NODE_SYSTEM=$1" HEARTBEAT_SECONDS=1 "${@:3}"; do
    edits+=(-e "s#^${variable%%=*}=.*#${variable%%=*}='${variable#*=}'#")
  done
  sed "${edits[@]}" "$scratch/user-data.sh" >"$ROOT/stub/user-data.sh"
  echo "$2" >"$ROOT/stub/machine"
  env -i PATH=/stub/bin:/usr/sbin:/usr/bin:/sbin:/bin chroot "$ROOT" /bin/bash /stub/user-data.sh >"$scratch/install.log" 2>&1 ||
    { cat "$scratch/install.log"; return 1; }
}

# Ends what systemd would end with the machine.
end_machine() {
  xargs -r kill <"$ROOT/stub/pids" 2>/dev/null || true
  : >"$ROOT/stub/pids"
  rm -rf "$ROOT/stub/running" "$ROOT/run/ec2-pool"
  await 30 port_is_free
}

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$HEALTH_PORT"); }
asked() { grep -q -- "$1" "$ROOT/stub/asked"; }
never_asked() { ! asked "$1"; }
is_leased() { [[ $(call "$api/v1/leases/$lease" | jq -r .state) == active ]]; }
beats() { [[ $(call "$api/v1/instances/$instance" | jq -r '.beat_at // ""') != "$(cat "$scratch/beat" 2>/dev/null)" ]]; }
remember_beat() { call "$api/v1/instances/$instance" | jq -r '.beat_at // ""' >"$scratch/beat"; }
belongs_to_service() { [[ $(chroot "$ROOT" stat -c %U "$1") == browser ]]; }
renewed() { call "$api/v1/leases/$lease/renew" -d '{}'; }

# browser URL: the browser's user asks for it, as a page would.
browser() { setpriv --reuid="$browser_uid" --clear-groups curl -fsS --max-time 5 -o /dev/null "$1"; }
closed() { ! browser "$1"; }
firewall_has() { nft list table inet ec2-pool | grep -qF "$1"; }

screenshot() {
  local token
  token=$(renewed | jq -r .access_token)
  # Nobody else vouches for its certificate; poolctl pins it.
  curl -kfsS --max-time 60 -H "Authorization: Bearer $token" -d '{"url": "data:text/html,<h1>hello"}' -o "$scratch/picture" \
    "https://127.0.0.1:$HEALTH_PORT/v1/screenshot" && [[ $(head -c 4 "$scratch/picture" | tail -c 3) == PNG ]]
}

for tool in sam jq; do install_tool "$tool"; done
has nft || apt_install nftables
start_local
launch
make_root
make_stubs
start_metadata
make_layer

say "the whole user data, for $instance, on Amazon Linux: a Chrome of the node's"
install_node amazon-linux x86_64
check "it has Chrome" asked 'dnf install -y google-chrome-stable'
check "and no Node.js" never_asked nodejs
check "Chrome works" curl -kfsS "https://127.0.0.1:$HEALTH_PORT/health"
check "it is ready, and its caller has the lease" is_leased
check "the caller gets a picture" screenshot
remember_beat
check "heartbeats arrive" beats
check "its log goes to CloudWatch" grep -q '"log_group_name": "/ec2-pool/ec2-pool/node"' "$ROOT/etc/ec2-pool/cloudwatch.json"
check "the node's word is noted for the dead-man switch" test -s "$ROOT/run/ec2-pool/last-contact"
browser_uid=$(chroot "$ROOT" id -u browser)
check "root reaches the metadata service" curl -fsS "http://$METADATA/presigned/node.zip" -o /dev/null
check "the browser's user does not" closed "http://$METADATA/presigned/node.zip"
check "this network is closed to him, whatever its addresses are" firewall_has 203.0.113.0/24
check "and nothing else is opened by that" firewall_has 169.254.0.0/16
check "root reaches what listens on this machine" curl -fsS "$api/v1/pool" -o /dev/null
check "the browser's user does not" closed "$api/v1/pool"

say "the same once more, on Ubuntu, over HTTP, and with an address that the browser may reach"
end_machine
install_node ubuntu x86_64 ENDPOINT_TLS=false "BROWSER_ALLOWED_CIDRS=127.0.0.0/24,fd00::/8"
check "Chrome works" curl -fsS "http://127.0.0.1:$HEALTH_PORT/health"
check "it asked for its packages" asked 'apt-get install -y -q google-chrome-stable'
check "the browser reaches what it may" browser "http://127.0.0.1:$HEALTH_PORT/health"
check "and nothing else" closed "http://$METADATA/presigned/node.zip"

say "a service of the operator's, from S3"
end_machine
mkdir "$scratch/service"
cat >"$scratch/service/package.json" <<'JSON'
{"name": "service"}
JSON
cat >"$scratch/service/service.js" <<'NODE'
require('node:http').createServer((request, response) => {
  response.writeHead(request.url === process.env.HEALTH_PATH ? 200 : 404, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ sessions: 3 }));
}).listen(Number(process.env.PORT));
NODE
tar -C "$scratch/service" -czf "$scratch/metadata/service.tar.gz" package.json service.js
install_node amazon-linux x86_64 SERVICE_KIND=own SERVICE_S3_URI=s3://bucket/service.tar.gz 'SERVICE_COMMAND=node service.js'
check "it asked for Node.js" asked 'dnf install -y git nodejs22 nodejs22-npm'
check "the service was fetched, for its own user" belongs_to_service /opt/browser-service/package.json
check "and installed" asked 'npm install --no-audit --no-fund'
check "it answers" curl -fsS "http://127.0.0.1:$HEALTH_PORT/health"
remember_beat
check "heartbeats arrive" beats
check "it finds its key" grep -qE '^[0-9a-f]{32}$' "$ROOT/run/ec2-pool/access-key"
call -X DELETE "$api/v1/leases/$lease"
check "it is started anew after its lease" asked 'systemctl restart browser-service.service'

say "and on arm64"
for system in amazon-linux ubuntu; do install_node "$system" aarch64; done
check "there it has Chromium" asked 'npx --yes playwright@1 install --with-deps chromium'
check "and finds it" test -x "$ROOT/opt/chromium/c/chrome" -a "$(readlink "$ROOT/usr/local/bin/pool-browser")" = /opt/chromium/c/chrome
check "which may have a sandbox" asked 'apparmor_parser --replace /etc/apparmor.d/ec2-pool-chromium'

echo '{"action": "terminate", "time": "2026-11-26T12:00:00Z"}' >"$scratch/metadata/spot"
check "the Spot notice is told to the service" grep -q terminate "$ROOT/run/ec2-pool/spot-notice"

# A node that has heard nothing for longer than any lease may last ends itself.
deadman() { chroot "$ROOT" env -i PATH=/stub/bin:/usr/bin:/bin "$@"; }
deadman /usr/local/bin/ec2-pool-deadman
check "a node in contact stays" never_asked poweroff
sed 's#> [0-9]*)#> -999999999)#' "$ROOT/usr/local/bin/ec2-pool-deadman" >"$ROOT/stub/long-after"
chmod 755 "$ROOT/stub/long-after"
deadman /stub/long-after
check "a node without contact shuts down" asked 'systemctl poweroff'

if ((failed)); then
  tail -n 20 "$scratch/install.log" "$ROOT"/stub/*.log "$scratch/local.log"
fi
exit "$failed"
