# What ec2-conversation.sh says to each server; it sets ENDPOINT, AWS (the CLI) and ANSWERS (where the transcript goes).
# shellcheck shell=bash
# Single quotes keep JMESPath's backticks and EC2's $Latest as they are; ANSWERS comes from the caller.
# shellcheck disable=SC2016,SC2153
#
# Rule: an answer is one line, and what only chance decides is taken out of it: a known id becomes its name, another
# id its kind, a time or an address the word for it. So equal lines mean equal answers.
set -euo pipefail

KNOWN=()

# say NAME ARGUMENTS…: one call, its normal answer or its error's code into the transcript and into ANSWER.
say() {
  local name=$1
  shift
  if ANSWER=$("$AWS" ec2 --endpoint-url "$ENDPOINT" --output text "$@" 2>"$ANSWERS.errors"); then
    ANSWER=$(printf '%s' "$ANSWER" | tr '\t\n' ' ;')
  else
    ANSWER="error $(sed -nE 's/.*An error occurred \(([^)]*)\).*/\1/p' "$ANSWERS.errors")"
    if grep -q 'Unable to parse response' "$ANSWERS.errors"; then ANSWER='error that is not XML'; fi
    # Anything else is a mistake of this script's and no answer of the server's.
    if [[ $ANSWER == 'error ' ]]; then echo "$name:" | cat - "$ANSWERS.errors" >&2; exit 1; fi
  fi
  local normal=$ANSWER pair
  for pair in "${KNOWN[@]}"; do normal=${normal//"${pair#*=}"/"${pair%%=*}"}; done
  normal=$(printf '%s' "$normal" | sed -E \
    -e 's/\b(i|lt|r|sir|subnet|vpc|fleet)-[0-9a-f][0-9a-f-]{6,}/<\1>/g' \
    -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(Z|\+00:00)/<time>/g' \
    -e 's/\b[0-9]{1,3}(\.[0-9]{1,3}){3}\b/<address>/g')
  printf '%s\t%s\n' "$name" "$normal" >>"$ANSWERS"
}

# know NAME: from here on the last answer, an id, is called so.
know() {
  printf -v "$1" '%s' "$ANSWER"
  KNOWN+=("$1=$ANSWER")
}

# wait_for ID STATE: until describe-instances shows it.
wait_for() {
  local state
  for _ in {1..100}; do
    state=$("$AWS" ec2 --endpoint-url "$ENDPOINT" --output text describe-instances --instance-ids "$1" \
      --query 'Reservations[].Instances[].State.Name')
    if [[ $state == "$2" ]]; then return; fi
  done
  echo "calls.sh: $1 is $state and not $2 at $ENDPOINT" >&2
  exit 1
}

IMAGE=ami-12c6146b
: >"$ANSWERS"

# --- Subnets
say subnet-a describe-subnets --filters Name=availability-zone,Values=us-east-1a --query 'Subnets[].SubnetId'
know SUBNET_A
say subnet-b describe-subnets --filters Name=availability-zone,Values=us-east-1b --query 'Subnets[].SubnetId'
know SUBNET_B
say subnet-facts describe-subnets --subnet-ids "$SUBNET_A" \
  --query 'Subnets[].[State,AvailabilityZone,DefaultForAz,MapPublicIpOnLaunch]'
say subnet-unknown describe-subnets --subnet-ids subnet-0123456789abcdef0

# --- Launch templates
DATA='{"ImageId":"'$IMAGE'","InstanceType":"t3.medium","InstanceInitiatedShutdownBehavior":"terminate",
  "TagSpecifications":[{"ResourceType":"instance","Tags":[{"Key":"Service","Value":"ec2-pool"}]}]}'
say template-create create-launch-template --launch-template-name node --launch-template-data "$DATA" \
  --query 'LaunchTemplate.[LaunchTemplateName,DefaultVersionNumber,LatestVersionNumber]'
say template-id describe-launch-templates --launch-template-names node --query 'LaunchTemplates[].LaunchTemplateId'
know TEMPLATE
say template-name-taken create-launch-template --launch-template-name node --launch-template-data "$DATA"
say template-version create-launch-template-version --launch-template-id "$TEMPLATE" --source-version 1 \
  --version-description two --launch-template-data InstanceType=t2.medium \
  --query 'LaunchTemplateVersion.[VersionNumber,DefaultVersion,VersionDescription,LaunchTemplateData.InstanceType]'
say template-source-version describe-launch-template-versions --launch-template-id "$TEMPLATE" --versions 2 \
  --query 'LaunchTemplateVersions[].LaunchTemplateData.ImageId'
say template-latest describe-launch-template-versions --launch-template-id "$TEMPLATE" --versions '$Latest' \
  --query 'LaunchTemplateVersions[].[VersionNumber,LaunchTemplateData.InstanceType]'
say template-default describe-launch-template-versions --launch-template-id "$TEMPLATE" --versions '$Default' \
  --query 'LaunchTemplateVersions[].[VersionNumber,LaunchTemplateData.InstanceType,LaunchTemplateData.TagSpecifications[].Tags[].Key|[0]]'
say template-versions describe-launch-template-versions --launch-template-id "$TEMPLATE" \
  --query 'sort(LaunchTemplateVersions[].VersionNumber)'
say template-unknown-id describe-launch-templates --launch-template-ids lt-0123456789abcdef0
say template-unknown-name describe-launch-templates --launch-template-names other
say template-unknown-version describe-launch-template-versions --launch-template-id "$TEMPLATE" --versions 9 \
  --query 'LaunchTemplateVersions[].VersionNumber'

# --- RunInstances
POOL='ResourceType=instance,Tags=[{Key=ec2-pool:pool,Value=blue}]'
say run run-instances --image-id "$IMAGE" --instance-type t3.medium --subnet-id "$SUBNET_A" \
  --tag-specifications "$POOL" --client-token first --query 'Instances[].InstanceId'
know FIRST
wait_for "$FIRST" running
FACTS='[State.Code,State.Name,InstanceType,ImageId,Placement.AvailabilityZone,SubnetId,InstanceLifecycle,ClientToken'
FACTS+=',PrivateIpAddress,PublicIpAddress,LaunchTime,Architecture,VirtualizationType,StateReason.Code||`none`]'
say run-facts describe-instances --instance-ids "$FIRST" --query "Reservations[].Instances[].$FACTS"
say run-spot run-instances --image-id "$IMAGE" --instance-type t2.medium --instance-market-options MarketType=spot \
  --subnet-id "$SUBNET_B" --client-token spot --query 'Instances[].InstanceId'
know SPOT
wait_for "$SPOT" running
say run-spot-facts describe-instances --instance-ids "$SPOT" --query "Reservations[].Instances[].$FACTS"
say run-state run-instances --image-id "$IMAGE" --instance-type t3.medium --subnet-id "$SUBNET_A" \
  --query 'Instances[].State.[Code,Name]'
say run-third run-instances --image-id "$IMAGE" --instance-type t3.medium --query 'Instances[].InstanceId'
know THIRD
say run-fourth run-instances --image-id "$IMAGE" --instance-type t3.medium --query 'Instances[].InstanceId'
know FOURTH
say run-several run-instances --image-id "$IMAGE" --instance-type t3.medium --subnet-id "$SUBNET_A" --count 2:3 \
  --query 'length(Instances)'
say run-by-template run-instances --launch-template LaunchTemplateName=node --subnet-id "$SUBNET_A" \
  --query 'Instances[].InstanceId'
know BY_TEMPLATE
say run-by-template-facts describe-instances --instance-ids "$BY_TEMPLATE" \
  --query 'Reservations[].Instances[].[InstanceType,ImageId,Tags[?Key==`Service`].Value|[0]]'
say run-by-template-tags describe-instances --instance-ids "$BY_TEMPLATE" \
  --query 'sort(Reservations[].Instances[].Tags[?starts_with(Key,`aws:`)].Key|[])'
say run-by-version run-instances --launch-template LaunchTemplateName=node,Version='$Latest' --subnet-id "$SUBNET_A" \
  --image-id "$IMAGE" --query 'Instances[].InstanceType'
say run-dry run-instances --image-id "$IMAGE" --instance-type t3.medium --dry-run
say run-no-image run-instances --instance-type t3.medium --query 'length(Instances)'
say run-bad-image run-instances --image-id image --instance-type t3.medium --query 'length(Instances)'
say run-bad-type run-instances --image-id "$IMAGE" --instance-type huge --query 'length(Instances)'
say run-bad-counts run-instances --image-id "$IMAGE" --instance-type t3.medium --count 3:2 --query 'length(Instances)'
say run-bad-subnet run-instances --image-id "$IMAGE" --instance-type t3.medium --subnet-id subnet-0123456789abcdef0
say run-bad-template run-instances --launch-template LaunchTemplateId=lt-0123456789abcdef0

# --- ClientToken
say token-repeat run-instances --image-id "$IMAGE" --instance-type t3.medium --subnet-id "$SUBNET_A" \
  --tag-specifications "$POOL" --client-token first --query 'Instances[].[InstanceId,State.Name]'
say token-mismatch run-instances --image-id "$IMAGE" --instance-type t2.medium --subnet-id "$SUBNET_A" \
  --tag-specifications "$POOL" --client-token first --query 'Instances[].InstanceId'
say token-other-zone run-instances --image-id "$IMAGE" --instance-type t3.medium --subnet-id "$SUBNET_B" \
  --client-token first --query 'Instances[].InstanceId'
know OTHER_ZONE
say token-filter describe-instances --filters Name=client-token,Values=first \
  --query 'length(Reservations[].Instances[])'

# --- CreateFleet
CONFIG='{"LaunchTemplateSpecification":{"LaunchTemplateId":"'$TEMPLATE'","Version":"1"},"Overrides":[
  {"InstanceType":"t2.medium","SubnetId":"'$SUBNET_A'"},{"InstanceType":"t3.medium","SubnetId":"'$SUBNET_B'"}]}'
fleet() {
  say "$1" create-fleet --type instant --launch-template-configs "$CONFIG" --tag-specifications \
    'ResourceType=instance,Tags=[{Key=ec2-pool:launch,Value=fleet}]' --client-token "$1" "${@:2}"
}
fleet fleet-on-demand --target-capacity-specification TotalTargetCapacity=2,DefaultTargetCapacityType=on-demand \
  --query '[length(Instances[].InstanceIds[]),Instances[].Lifecycle|[0],length(Errors||`[]`)]'
fleet fleet-spot --target-capacity-specification TotalTargetCapacity=1,DefaultTargetCapacityType=spot \
  --query '[length(Instances[].InstanceIds[]),Instances[].Lifecycle|[0],FleetId]'
fleet fleet-mixed --query '[length(Instances[].InstanceIds[]),length(Instances[?Lifecycle==`spot`].InstanceIds[])]' \
  --target-capacity-specification TotalTargetCapacity=3,OnDemandTargetCapacity=1,SpotTargetCapacity=2,DefaultTargetCapacityType=spot
say fleet-tags describe-instances --filters Name=tag:ec2-pool:launch,Values=fleet \
  --query 'Reservations[].Instances[]|[length(@),length([?InstanceLifecycle==`spot`])]'
say fleet-template-tags describe-instances --filters Name=tag:ec2-pool:launch,Values=fleet \
  --query 'Reservations[].Instances[]|[0].Tags[?Key==`Service`].Value'
say fleet-own-tags describe-instances --filters Name=tag:ec2-pool:launch,Values=fleet \
  --query 'sort(Reservations[].Instances[]|[0].Tags[?starts_with(Key,`aws:ec2launchtemplate:`)].Key)'
say fleet-repeat create-fleet --type instant --launch-template-configs "$CONFIG" --tag-specifications \
  'ResourceType=instance,Tags=[{Key=ec2-pool:launch,Value=fleet}]' --client-token fleet-on-demand \
  --target-capacity-specification TotalTargetCapacity=2,DefaultTargetCapacityType=on-demand \
  --query 'length(Instances[].InstanceIds[])'
say fleet-repeat-count describe-instances --filters Name=tag:ec2-pool:launch,Values=fleet \
  --query 'length(Reservations[].Instances[])'
say fleet-bad-template create-fleet --type instant \
  --target-capacity-specification TotalTargetCapacity=1,DefaultTargetCapacityType=spot --launch-template-configs \
  '{"LaunchTemplateSpecification":{"LaunchTemplateId":"lt-0123456789abcdef0","Version":"1"}}'
say fleet-bad-version create-fleet --type instant \
  --target-capacity-specification TotalTargetCapacity=1,DefaultTargetCapacityType=spot --launch-template-configs \
  '{"LaunchTemplateSpecification":{"LaunchTemplateId":"'"$TEMPLATE"'","Version":"9"}}'

# --- Describing
say filter-tag describe-instances --filters Name=tag:ec2-pool:pool,Values=blue Name=instance-state-name,Values=running \
  Name=instance-id,Values="$FIRST" --query 'Reservations[].Instances[].InstanceId'
say filter-tag-wild describe-instances --filters Name=tag:ec2-pool:pool,Values='bl*' Name=instance-id,Values="$FIRST" \
  --query 'Reservations[].Instances[].InstanceId'
say filter-tag-key describe-instances --filters Name=tag-key,Values=ec2-pool:pool Name=instance-id,Values="$FIRST,$SPOT" \
  --query 'Reservations[].Instances[].InstanceId'
say filter-none describe-instances --filters Name=tag:ec2-pool:pool,Values=red --query 'Reservations[].Instances[]'
say filter-lifecycle describe-instances --filters Name=instance-lifecycle,Values=spot Name=instance-id,Values="$FIRST,$SPOT" \
  --query 'Reservations[].Instances[].InstanceId'
say filter-unknown describe-instances --filters Name=colour,Values=red
say describe-unknown describe-instances --instance-ids i-0123456789abcdef0
say describe-malformed describe-instances --instance-ids instance
say describe-one-unknown describe-instances --instance-ids "$FIRST" i-0123456789abcdef0
SIX="$FIRST,$SPOT,$BY_TEMPLATE,$THIRD,$FOURTH,$OTHER_ZONE"
say page-first describe-instances --no-paginate --max-results 5 --filters Name=instance-id,Values="$SIX" \
  --query '[length(Reservations[].Instances[]),NextToken!=`null`]'
say page-all describe-instances --page-size 5 --filters Name=instance-id,Values="$SIX" --output json \
  --query 'length(Reservations[].Instances[])'
say page-bad-token describe-instances --no-paginate --max-results 5 --next-token '!'
say page-with-ids describe-instances --no-paginate --max-results 5 --instance-ids "$FIRST" \
  --query 'Reservations[].Instances[].InstanceId'
say status describe-instance-status --instance-ids "$FIRST" \
  --query 'InstanceStatuses[].[InstanceState.Name,InstanceStatus.Status,SystemStatus.Status,AvailabilityZone]'

# --- Tags
say tag-create create-tags --resources "$FIRST" --tags Key=colour,Value='<&> ü' --query '@'
say tag-describe describe-tags --filters Name=resource-id,Values="$FIRST" Name=key,Values=colour \
  --query 'Tags[].[ResourceId,ResourceType,Key,Value]'
say tag-replace create-tags --resources "$FIRST" --tags Key=colour,Value=red --query '@'
say tag-filter describe-instances --filters Name=tag:colour,Values=red --query 'Reservations[].Instances[].InstanceId'
say tag-reserved create-tags --resources "$FIRST" --tags Key=aws:colour,Value=red
say tag-unknown create-tags --resources i-0123456789abcdef0 --tags Key=colour,Value=red

# --- Stop, start, terminate
CHANGES='Instances[].[InstanceId,PreviousState.Name]'
say stop-dry stop-instances --instance-ids "$FIRST" --dry-run
say stop-spot stop-instances --instance-ids "$SPOT" --query "Stopping$CHANGES"
say stop stop-instances --instance-ids "$FIRST" --query "Stopping$CHANGES"
wait_for "$FIRST" stopped
say stopped describe-instances --instance-ids "$FIRST" \
  --query 'Reservations[].Instances[].[State.Code,State.Name,StateReason.Code||`none`,PublicIpAddress]'
say stopped-status describe-instance-status --instance-ids "$FIRST" --query 'InstanceStatuses[]'
say stopped-status-all describe-instance-status --instance-ids "$FIRST" --include-all-instances \
  --query 'InstanceStatuses[].[InstanceState.Name,InstanceStatus.Status]'
say stop-again stop-instances --instance-ids "$FIRST" --query "Stopping$CHANGES"
say start start-instances --instance-ids "$FIRST" --query "Starting$CHANGES"
wait_for "$FIRST" running
say started describe-instances --instance-ids "$FIRST" \
  --query 'Reservations[].Instances[].[State.Code,State.Name,StateReason.Code||`none`,PublicIpAddress]'
say start-again start-instances --instance-ids "$FIRST" --query "Starting$CHANGES"
say terminate-one-unknown terminate-instances --instance-ids "$FIRST" i-0123456789abcdef0
say terminate-one-unknown-after describe-instances --instance-ids "$FIRST" \
  --query 'Reservations[].Instances[].State.Name'
say terminate-dry terminate-instances --instance-ids "$FIRST" --dry-run
say terminate terminate-instances --instance-ids "$FIRST" --query "Terminating$CHANGES"
wait_for "$FIRST" terminated
say terminated describe-instances --instance-ids "$FIRST" \
  --query 'Reservations[].Instances[].[State.Code,State.Name,StateReason.Code,PublicIpAddress]'
say terminate-again terminate-instances --instance-ids "$FIRST" --query "Terminating$CHANGES"
say terminated-start start-instances --instance-ids "$FIRST" --query "Starting$CHANGES"
say terminated-stop stop-instances --instance-ids "$FIRST" --query "Stopping$CHANGES"
say terminate-unknown terminate-instances --instance-ids i-0123456789abcdef0
say terminate-malformed terminate-instances --instance-ids instance
rm -f "$ANSWERS.errors"
