#!/usr/bin/env bash
# Deploys template.yaml on an emulator of AWS with the ordinary AWS CLI, and uses the pool as its users would: the schedule
# launches an instance, its node says ready through the API, a caller acquires and releases it; who has no permission is
# refused. The functions are the real binaries, with the permissions of their roles; EC2 is the project's simulator.
#
# tests/template.py says what differs from the template as it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=tests/tools.sh
source tests/tools.sh
# shellcheck source=tests/programs.sh
source tests/programs.sh
for tool in sam emulator jq; do install_tool "$tool"; done

STACK=pool

failed=0

say() { echo "deploy: $*"; }

# check WHAT EXPECTED SEEN
check() {
  if [[ $2 == "$3" ]]; then
    say "ok      $1"
  else
    say "FAILED  $1: expected $2, saw $3"
    failed=1
  fi
}

free_port() { "$EMULATOR/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# With AUTH it looks at the permissions of everyone but the account itself, whose key is its number.
start_engines() {
  local port
  port=$(free_port)
  export AWS_ACCESS_KEY_ID=000000000000 AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION=us-east-1
  unset AWS_PROFILE AWS_SESSION_TOKEN
  endpoint=http://127.0.0.1:$port
  (cd "$scratch" && TMPDIR=$scratch AUTH=true BIND_HOST=127.0.0.1 GATEWAY_PORT=$port IOT_MTLS_ENABLED=0 exec "$EMULATOR/bin/ministack") \
    >"$scratch/emulator.log" 2>&1 &
  started+=("$!")
  "$BINARIES/ec2-sim" --port 0 >"$scratch/ec2.log" 2>&1 &
  started+=("$!")
  await 30 grep -q http "$scratch/ec2.log"
  ec2=$(grep -o 'http[^ ]*' "$scratch/ec2.log")
  await 60 curl -fsS "$endpoint/_ministack/health"
  export AWS_ENDPOINT_URL=$endpoint
}

upload() {
  local name binary
  aws s3 mb s3://code >/dev/null
  while read -r name binary; do
    mkdir "$scratch/$name"
    strip -o "$scratch/$name/bootstrap" "$BINARIES/$binary"
    (cd "$scratch/$name" && zip -q1 "../$name.zip" bootstrap)
    aws s3 cp --quiet "$scratch/$name.zip" "s3://code/$name.zip"
  done <"$scratch/functions"
  mkdir "$scratch/layer"
  strip -o "$scratch/layer/browser-node-$(uname -m)" "$BINARIES/browser-node"
  cp crates/node/machine/install.sh "$scratch/layer"
  (cd "$scratch/layer" && zip -q1 ../NodeLayer.zip ./*)
  aws s3 cp --quiet "$scratch/NodeLayer.zip" s3://code/NodeLayer.zip
}

deploy() {
  local template
  template=$(aws --endpoint-url "$ec2" ec2 create-launch-template --launch-template-name pool \
    --launch-template-data ImageId=ami-0123456789abcdef0 --query LaunchTemplate.LaunchTemplateId --output text)
  # It knows Amazon's public parameters and not Canonical's.
  aws ssm put-parameter --name /ubuntu --type String --value ami-0123456789abcdef0 >/dev/null
  "$VENV/bin/python" tests/template.py deployable code "$endpoint" "$ec2" "$template" \
    subnet-0000000000000000a,subnet-0000000000000000b >"$scratch/template.json"
  create "$STACK" AllowedCidr=10.0.0.0/8 UbuntuImageId=/ubuntu
}

# create STACK PARAMETER=VALUE…
create() {
  aws cloudformation deploy --template-file "$scratch/template.json" --stack-name "$1" --s3-bucket code \
    --capabilities CAPABILITY_IAM --parameter-overrides "${@:2}" >"$scratch/deploy.log" 2>&1
}

# not_created STACK: why it is not there.
not_created() {
  cat "$scratch/deploy.log"
  aws cloudformation describe-stack-events --stack-name "$1" \
    --query "StackEvents[?contains(ResourceStatus,'FAILED')].[LogicalResourceId,ResourceStatusReason]" --output text || true
  say "FAILED: the stack $1 is not there"
}

output() {
  aws cloudformation describe-stacks --stack-name "$STACK" \
    --query "Stacks[0].Outputs[?OutputKey=='$1'].OutputValue" --output text
}

# user NAME [POLICY-OUTPUT…]: makes a user with these policies of the stack (outputs without their Arn); prints its key and secret.
user() {
  local name=$1 policy
  aws iam create-user --user-name "$name" >/dev/null
  for policy in "${@:2}"; do
    aws iam attach-user-policy --user-name "$name" --policy-arn "$(output "${policy}Arn")" >/dev/null
  done
  aws iam create-access-key --user-name "$name" --query 'AccessKey.[AccessKeyId,SecretAccessKey]' --output text | tr '\t' ':'
}

# call CREDENTIALS METHOD PATH [BODY]: prints the status; the answer is in $scratch/answer. Credentials are KEY:SECRET[:TOKEN].
call() {
  local key secret token
  IFS=: read -r key secret token <<<"$1"
  local options=(--aws-sigv4 aws:amz:us-east-1:execute-api --user "$key:$secret")
  if [[ -n $token ]]; then options+=(-H "x-amz-security-token: $token"); fi
  if [[ -n ${4:-} ]]; then options+=(-H 'content-type: application/json' --data "$4"); fi
  curl -sS --max-time 30 -o "$scratch/answer" -w '%{http_code}' -X "$2" "${options[@]}" --resolve "$api_host:127.0.0.1" "http://$api_host$3"
}

answer() { jq -r "$1" "$scratch/answer"; }

launched() { [[ $(call "$operator" GET /v1/pool) == 200 && $(answer '.instances | length') -gt 0 ]]; }
is_ready() { [[ $(call "$node" POST "/v1/instances/$instance/ready" '{"boot_id":1,"key":"00112233445566778899aabbccddeeff"}') == 204 ]]; }

# logs FUNCTION: what it has logged.
logs() {
  aws logs filter-log-events --log-group-name "/ec2-pool/$STACK/$1" --query 'events[].message' --output text | tr '\t' '\n'
}

tells_figures() { logs reap-idle | grep -q '"Namespace":"ec2-pool/.*"Free"'; }

"$VENV/bin/python" tests/template.py functions >"$scratch/functions"
build_all
start_engines
upload
say "cloudformation deploy"
if ! deploy; then
  not_created "$STACK"
  exit 1
fi
# The address of the output, at the emulator.
api_host=$(output ApiUrl | sed 's#https://\([0-9a-z]*\)\..*#\1.execute-api.localhost#'):${endpoint##*:}
caller=$(user caller PoolCaller)
operator=$(user operator PoolOperator)
stranger=$(user stranger)

layer=$(aws lambda list-layer-versions --layer-name "$STACK-node" --query 'LayerVersions[0].LayerVersionArn' --output text)
location=$(aws lambda get-layer-version --layer-name "$STACK-node" --version-number "${layer##*:}" --query Content.Location --output text)
check "nodes find what installs them" 1 "$(curl -fsS "$location" -o "$scratch/fetched.zip" && python3 -m zipfile -l "$scratch/fetched.zip" | grep -c install.sh)"

say "waiting for the schedule to launch an instance"
if ! await 150 launched; then
  say "FAILED: nothing was launched; the pool: $(cat "$scratch/answer")"
  logs scale | tail -n 20
  tail -n 20 "$scratch/emulator.log"
  exit 1
fi
instance=$(answer '.instances[0].instance_id')
role=$(aws iam list-roles --query "Roles[?contains(RoleName,'NodeRole')].Arn" --output text)
node=$(aws sts assume-role --role-arn "$role" --role-session-name "$instance" \
  --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text | tr '\t' ':')

# The first word of a node comes before its address is known and wakes Scale by the table's stream, which finds it.
if await 60 is_ready; then say "ok      $instance is ready"; else check "ready" 204 "$(cat "$scratch/answer")"; fi
check "a caller acquires" 201 "$(call "$caller" POST /v1/leases '{}')"
lease=$(answer .lease_id)
check "the same caller reads the lease" 200 "$(call "$caller" GET "/v1/leases/$lease")"
check "an operator may not acquire" 403 "$(call "$operator" POST /v1/leases '{}')"
check "a stranger may not acquire" 403 "$(call "$stranger" POST /v1/leases '{}')"
check "a caller may not operate" 403 "$(call "$caller" POST /v1/operator/pool '{"order":"resume"}')"
check "a caller may not speak for the node" 403 \
  "$(call "$caller" POST "/v1/instances/$instance/heartbeat" '{"healthy":true,"cpu_percent":1,"memory_percent":1,"sessions":0}')"
check "the node may not acquire" 403 "$(call "$node" POST /v1/leases '{}')"
check "the node's heartbeat" 200 \
  "$(call "$node" POST "/v1/instances/$instance/heartbeat" '{"healthy":true,"cpu_percent":1,"memory_percent":1,"sessions":0}')"
check "the caller renews" 200 "$(call "$caller" POST "/v1/leases/$lease/renew" '{"ttl_seconds":900}')"
lease=$(answer .lease_id)
check "the caller releases" 204 "$(call "$caller" DELETE "/v1/leases/$lease")"
# By default the node cleans itself before the next lease.
beat='{"healthy":true,"cpu_percent":1,"memory_percent":1,"sessions":0}'
call "$node" POST "/v1/instances/$instance/heartbeat" "$beat" >/dev/null
check "the node hears that the lease has ended" register "$(answer .command)"
cleaned="{\"boot_id\":1,\"key\":\"00112233445566778899aabbccddeeff\",\"cleaned_epoch\":$(($(answer .epoch_floor) - 1))}"
check "and says that it is clean" 204 "$(call "$node" POST "/v1/instances/$instance/ready" "$cleaned")"
call "$operator" GET /v1/pool >/dev/null
check "it is free again" 1 "$(answer .totals.free)"

say "waiting for a run of ReapIdle to come to its end"
if await 90 tells_figures; then say "ok      ReapIdle tells the pool's figures"; else check "figures" "a metric" "$(logs reap-idle)"; fi
while read -r _ function; do
  check "$function has not failed" "" "$(logs "$function" | grep 'AccessDenied\|"level":"ERROR"' || true)"
done <"$scratch/functions"
# The emulator speaks without TLS, which the queue's policy forbids even the account.
queue=$(output DeadLettersUrl)
check "nobody reads the dead letters without TLS" 1 "$(aws --endpoint-url "$endpoint" sqs get-queue-attributes \
  --queue-url "$endpoint/${queue#http://*/}" --attribute-names All 2>&1 | grep -c AccessDenied)"

# But for NAT gateways and the budget, which the emulator does not know.
say "the same with every option"
if create other AllowedSecurityGroupId=sg-0123456789abcdef0 VpcZones=3 EncryptWithOwnKey=true XRayTracing=true \
  DeletionProtection=true JwtIssuer=https://issuer.example JwtAudience=pool NodeSystem=ubuntu UbuntuImageId=/ubuntu RootVolumeGigabytes=40 \
  ServiceKind=own ServiceS3Uri=s3://bucket/service.tar.gz SessionManager=false AlarmEmail=ops@example.com; then
  say "ok      it is there"
else
  not_created other
  failed=1
fi
exit "$failed"
