#!/usr/bin/env bash
# Installs the tools that the checks need, each only if it is missing: bash tests/tools.sh NAME…
# Names: sam, emulator, shellcheck, docker, debootstrap, jq, valgrind, chromium, playwright, cargo-deny, cfn-guard, checkov. Sourced, it only makes what is
# installed reachable (PATH) and gives the functions; `build_all` builds the project into BINARIES.
#
# Rule: nothing of the project's own is changed; all that is not Debian's lands in one cache directory.
set -euo pipefail

EC2_POOL_CACHE=${EC2_POOL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/ec2-pool}
VENV=$EC2_POOL_CACHE/venv
export PATH="$VENV/bin:$EC2_POOL_CACHE/cargo/bin:$PATH:/usr/sbin:/sbin"
export SAM_CLI_TELEMETRY=0

has() { command -v "$1" >/dev/null; }

# The package lists are fetched once a run, and only when something is missing.
apt_install() {
  if [[ -z ${APT_UPDATED:-} ]]; then
    apt-get update -qq
    APT_UPDATED=1
  fi
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# install_venv DIRECTORY PACKAGE…: a virtual environment with exactly these, made anew when others are wanted.
install_venv() {
  local venv=$1 wanted="${*:2}"
  shift
  [[ $(cat "$venv/installed" 2>/dev/null) == "$wanted" ]] && return
  python3 -m venv --clear "$venv" || { apt_install python3-venv && python3 -m venv --clear "$venv"; }
  "$venv/bin/pip" install -q --disable-pip-version-check "$@"
  echo "$wanted" >"$venv/installed"
}

# SAM CLI, cfn-lint and cargo-lambda (which brings zig).
install_sam() { install_venv "$VENV" 'aws-sam-cli==1.170.*' 'cfn-lint==1.*' 'cargo-lambda==1.9.2'; }

# An emulator of AWS that deploys CloudFormation and runs functions without Docker, and the AWS CLI.
EMULATOR=$EC2_POOL_CACHE/emulator
install_emulator() {
  install_venv "$EMULATOR" 'ministack[full]==1.5.33' 'awscli==1.*'
  export PATH="$EMULATOR/bin:$PATH"
  { has zip && has strip; } || apt_install zip binutils
}

install_shellcheck() { has shellcheck || apt_install shellcheck; }
install_debootstrap() { has debootstrap || apt_install debootstrap; }
install_docker() { { has dockerd && has docker && has iptables; } || apt_install docker.io iptables; }
install_jq() { has jq || apt_install jq; }
install_chromium() { has chromium || apt_install chromium; }

# Playwright without browsers of its own, and the tests that use it: Node.js finds packages only beside what wants them.
BROWSER_TESTS=$EC2_POOL_CACHE/browser-tests
install_playwright() {
  { has node && has npm; } || apt_install nodejs npm
  mkdir -p "$BROWSER_TESTS"
  cp tests/browser/* "$BROWSER_TESTS"
  npm install --prefix "$BROWSER_TESTS" --no-audit --no-fund --silent
}
install_valgrind() { has valgrind || apt_install valgrind; }

# A build from source, minutes long; it stays out of the project's own target directory.
install_from_source() {
  has "$1" || CARGO_TARGET_DIR="$EC2_POOL_CACHE/tools-target" nice cargo install --locked --quiet \
    --root "$EC2_POOL_CACHE/cargo" "$1"
}

# It wants other versions than SAM of what both need.
CHECKOV=$EC2_POOL_CACHE/checkov
install_checkov() {
  install_venv "$CHECKOV" 'checkov==3.3.*'
  export PATH="$CHECKOV/bin:$PATH"
}

# Everything, in one set of features; a choice of packages or targets would have cargo build the SDKs anew with others.
build_all() {
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$EC2_POOL_CACHE/target}
  cargo build --quiet --workspace --all-targets
  export BINARIES=$CARGO_TARGET_DIR/debug
}

install_tool() {
  case $1 in
    sam) install_sam ;;
    emulator) install_emulator ;;
    shellcheck) install_shellcheck ;;
    debootstrap) install_debootstrap ;;
    docker) install_docker ;;
    jq) install_jq ;;
    valgrind) install_valgrind ;;
    chromium) install_chromium ;;
    playwright) install_playwright ;;
    cargo-deny | cfn-guard) install_from_source "$1" ;;
    checkov) install_checkov ;;
    *) echo "tools.sh: no tool is called $1; see its first lines" >&2; return 2 ;;
  esac
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
  for tool in "$@"; do
    install_tool "$tool"
    echo "tools.sh: $tool is installed"
  done
fi
