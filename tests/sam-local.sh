#!/usr/bin/env bash
# Builds every function with `sam build` and runs it with `sam local invoke` on the events of events/, against the
# DynamoDB and the EC2 of `cargo local`. Exits 77 when there is no Docker engine to be had, which the caller judges.
#
# EC2_POOL_SAM_IMAGE names an image to run the functions in. Without it a Debian one is made here if this is root on
# Debian, where the public image may be out of reach; elsewhere SAM pulls its own.
#
# Rule: whatever it starts it stops, and nothing else.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/tools.sh
source tests/tools.sh
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$EC2_POOL_CACHE/target}

BASE_IMAGE=ec2-pool/base:bookworm
BUILD_DIR=$EC2_POOL_CACHE/sam-build
# This machine's, or the container could not run what was built.
ARCHITECTURE=$(uname -m | sed 's/aarch64/arm64/')
export ARCHITECTURE
# The ids that stand in the event files; real ones take their place below.
EVENT_INSTANCE=i-0123456789abcdef0
EVENT_LEASE=0.c2FtLWxvY2Fs

scratch=$(mktemp -d)
started=()
failed=0

say() { echo "sam-local: $*"; }

# Jobs end in the reverse order of their start, so that nobody loses what it works with.
stop_all() {
  local index
  for ((index = ${#started[@]} - 1; index >= 0; index--)); do
    kill "${started[index]}" 2>/dev/null || true
    wait "${started[index]}" 2>/dev/null || true
  done
  rm -rf "$scratch"
}
trap stop_all EXIT
trap 'exit 130' INT TERM

# await SECONDS PID COMMAND…: until the command succeeds; fails when the time is over or the process has ended.
await() {
  local deadline=$((SECONDS + $1)) pid=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= deadline)) || ! kill -0 "$pid" 2>/dev/null; then return 1; fi
    sleep 0.2
  done
}

no_docker() {
  say "SKIPPED: $*"
  exit 77
}

# An engine that runs already is used as it is.
start_docker() {
  if docker info >/dev/null 2>&1; then return 0; fi
  [[ $(uname -s) == Linux && $EUID -eq 0 ]] || no_docker "no Docker engine runs, and only root can start one"
  install_tool docker || no_docker "no Docker engine could be installed"
  mkdir -p "$EC2_POOL_CACHE/docker"
  dockerd --data-root "$EC2_POOL_CACHE/docker/data" --pidfile "$scratch/dockerd.pid" \
    >"$EC2_POOL_CACHE/docker/dockerd.log" 2>&1 &
  started+=("$!")
  if ! await 60 "$!" docker info; then
    tail -n 5 "$EC2_POOL_CACHE/docker/dockerd.log"
    no_docker "the Docker engine does not start"
  fi
}

# Sets image_options. The image needs ca-certificates: without them the SDK's TLS refuses to start.
choose_image() {
  image_options=()
  local image=${EC2_POOL_SAM_IMAGE:-}
  if [[ -z $image && -e /etc/debian_version && $EUID -eq 0 ]]; then
    image=$BASE_IMAGE
    if ! docker image inspect "$image" >/dev/null 2>&1; then
      say "making the image $image"
      install_tool debootstrap
      debootstrap --variant=minbase --include=ca-certificates bookworm "$scratch/root" >"$scratch/debootstrap.log" ||
        { tail -n 20 "$scratch/debootstrap.log"; return 1; }
      tar -C "$scratch/root" -c . | docker import - "$image" >/dev/null
      rm -rf "$scratch/root"
    fi
  fi
  if [[ -n $image ]]; then image_options=(--skip-pull-image --invoke-image "$image"); fi
}

# The dummy credentials keep SAM from handing real ones to the containers.
use_dummy_credentials() {
  unset AWS_PROFILE
  export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_SESSION_TOKEN=local
  export AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1
}

# The release profile without optimisation: that of the SDKs takes minutes and changes no answer.
build() {
  say "sam build"
  CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=64 CARGO_PROFILE_RELEASE_OPT_LEVEL=0 \
    sam build --parameter-overrides "Architecture=$ARCHITECTURE" --build-dir "$BUILD_DIR" >"$scratch/build.log" 2>&1 ||
    { tail -n 60 "$scratch/build.log"; return 1; }
}

start_local() {
  gateway=$(docker network inspect bridge --format '{{(index .IPAM.Config 0).Gateway}}')
  # A daemon on its first start does not tell the gateway of the bridge that it has just made.
  [[ -n $gateway ]] || gateway=$(ip -4 -brief address show docker0 | awk '{ sub("/.*", "", $3); print $3 }')
  api=http://$gateway:8080
  say "cargo local --bind $gateway"
  # As `cargo local` does it, but with the features of the test run, so that the SDKs are not built once more.
  build_all
  "$BINARIES/pool-local" --binaries "$BINARIES" --bind "$gateway" >"$scratch/local.log" 2>&1 &
  started+=("$!")
  if ! await 900 "$!" curl -fsS --max-time 2 "$api/v1/pool"; then
    tail -n 40 "$scratch/local.log"
    say "FAILED: cargo local does not answer"
    return 1
  fi
  # The simulated EC2 draws a new id for its launch template at each start.
  template=$(curl -fsS --data 'Action=DescribeLaunchTemplates&Version=2016-11-15' "http://$gateway:8001/" |
    sed -n 's/.*<launchTemplateId>\(lt-[0-9a-f]*\)<.*/\1/p')
  sed -e "s/172\.17\.0\.1/$gateway/g" -e "s/lt-00000000000000001/$template/g" \
    events/local-env.json >"$scratch/env.json"
}

# Prints the id of a free instance, if there is one.
free_instance() {
  curl -fsS --max-time 5 "$api/v1/pool" | jq -er 'first(.instances[] | select(.state == "free")).instance_id'
}

# invoke FUNCTION EVENT JQ-CONDITION: runs the function on the event, keeps its answer in $scratch/answer, and notes
# whether the condition holds for it.
invoke() {
  local function=$1 event=$2 condition=$3
  sed -e "s/$EVENT_INSTANCE/$instance/g" -e "s/$EVENT_LEASE/$lease/g" "events/$event.json" >"$scratch/event.json"
  if sam local invoke "$function" --template "$BUILD_DIR/template.yaml" --event "$scratch/event.json" \
    --env-vars "$scratch/env.json" --parameter-overrides "Architecture=$ARCHITECTURE" "${image_options[@]}" >"$scratch/answer" 2>"$scratch/log" </dev/null &&
    jq -e "$condition" "$scratch/answer" >/dev/null 2>&1; then
    say "ok      $function $event"
  else
    say "FAILED  $function $event: expected $condition"
    sed 's/^/    /' "$scratch/answer"
    tail -n 20 "$scratch/log" | sed 's/^/    /'
    failed=1
  fi
}

start_docker
for tool in sam jq; do install_tool "$tool"; done
use_dummy_credentials
choose_image
build
start_local

no_error='(type != "object") or (has("errorType") | not)'
instance=$EVENT_INSTANCE
lease=$EVENT_LEASE
invoke Scale scale-schedule "$no_error"
invoke Scale scale-stream "$no_error"

say "waiting for an instance that is free"
if ! await 120 "${started[-1]}" free_instance; then
  curl -sS "$api/v1/pool" || true
  tail -n 40 "$scratch/local.log"
  say "FAILED: no instance became free"
  exit 1
fi
instance=$(free_instance)

invoke Status status-pool '.statusCode == 200'
invoke Status status-instance '.statusCode == 200'
invoke Register register-heartbeat '.statusCode == 200'
invoke Acquire acquire '.statusCode == 201 and (.body | fromjson | .state == "active")'
lease=$(jq -r '.body | fromjson | .lease_id' "$scratch/answer" 2>/dev/null) || lease=$EVENT_LEASE
invoke Acquire acquire-get '.statusCode == 200'
invoke Acquire acquire-renew '.statusCode == 200'
invoke Release release '.statusCode == 204'
invoke Register register-ready '.statusCode == 204'
invoke ReapIdle reap-idle "$no_error"
for event in rebalance spot-warning terminated; do
  invoke OnInstanceStateChange "on-instance-state-change-$event" "$no_error"
done

if ((failed)); then
  say "some functions did not answer as expected"
  tail -n 20 "$scratch/local.log"
fi
exit "$failed"
