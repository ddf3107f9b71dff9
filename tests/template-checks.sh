#!/usr/bin/env bash
# Checks what no compiler sees: template.yaml, the script in it that nodes run, the events and the project's scripts.
# Needs no AWS account. Prints one line a check and fails if any of them fails.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/tools.sh
source tests/tools.sh
for tool in sam shellcheck checkov cfn-guard; do install_tool "$tool"; done

export AWS_DEFAULT_REGION=us-east-1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
failed=0

check() {
  local name=$1
  shift
  # By itself and not in a condition, where the shell would go on after the first failure within it.
  "$@" >"$scratch/output" 2>&1 &
  if wait "$!"; then
    echo "template-checks: ok      $name"
  else
    echo "template-checks: FAILED  $name"
    sed 's/^/    /' "$scratch/output"
    failed=1
  fi
}

# SC2317, the rule against unreachable code, does not see calls by name and from traps.
user_data() {
  "$VENV/bin/python" tests/template.py user-data >"$scratch/user-data.sh"
  shellcheck --shell=bash --external-sources --exclude=SC2317 "$scratch/user-data.sh"
}

scripts() {
  git ls-files --cached --others --exclude-standard -- '*.sh' .ci/run | xargs shellcheck --external-sources --exclude=SC2317
}

transform() { "$VENV/bin/python" tests/template.py transformed >"$scratch/transformed.json"; }
checkov_of() { checkov --config-file tests/checkov.yaml --file "$1" --skip-download; }

check "sam validate --lint" sam validate --lint
check "cfn-lint" cfn-lint template.yaml
check "SAM's transformation" transform
check "checkov of the template as it is" checkov_of template.yaml
check "checkov of the template as transformed" checkov_of "$scratch/transformed.json"
check "cfn-guard: the project's own rules, each with a fixture that breaks it" \
  "$VENV/bin/python" tests/guard.py "$scratch/transformed.json"
check "shellcheck of the nodes' user data" user_data
check "shellcheck of the project's scripts" scripts
check "events: valid JSON, one for each function and route" "$VENV/bin/python" tests/template.py events
exit "$failed"
