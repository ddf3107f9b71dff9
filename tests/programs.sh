#!/usr/bin/env bash
# What the checks share that start programs and wait for what these do. Sourced: makes `scratch`, a directory, and
# `started`, the programs, all of which end with the check.
#
# Rule: whatever a check starts it stops, and nothing else.
set -euo pipefail

scratch=$(mktemp -d)
started=()

# Programs end in the reverse order of their start, so that none loses what it works with.
end_started() {
  local index
  for ((index = ${#started[@]} - 1; index >= 0; index--)); do
    kill "${started[index]}" 2>/dev/null || true
    wait "${started[index]}" 2>/dev/null || true
  done
  rm -rf "$scratch"
}
trap end_started EXIT
trap 'exit 130' INT TERM

all_run() {
  local pid
  for pid in "${started[@]}"; do kill -0 "$pid" 2>/dev/null || return 1; done
}

# await SECONDS COMMAND…: until the command succeeds; fails when the time is over or a started program has ended.
await() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    if ((SECONDS >= deadline)) || ! all_run; then return 1; fi
    sleep 0.2
  done
}
