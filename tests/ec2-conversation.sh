#!/usr/bin/env bash
# The same conversation of AWS CLI calls with the simulated EC2 of this project and with moto, an EC2 by other
# people; where the two answer differently, AWS's documentation must have been asked: bash tests/ec2-conversation.sh
# How it works is said in conversation.sh. Needs Rust and Python 3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
SCRIPTS=tests/ec2-conversation
# shellcheck source=tests/conversation.sh
source tests/conversation.sh

build_all
start ec2-sim "$BINARIES/ec2-sim" --seed 1 --pending-ms 300 --ending-ms 300 --describe-lag-ms 0
EC2_SIM=$ADDRESS
start_moto
MOTO=$ADDRESS

# Nothing of the machine's own AWS settings may take part.
export AWS=$CONVERSATION_VENV/bin/aws
export AWS_ACCESS_KEY_ID=local AWS_SECRET_ACCESS_KEY=local AWS_DEFAULT_REGION=us-east-1 AWS_MAX_ATTEMPTS=1
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_PAGER='' AWS_EC2_METADATA_DISABLED=true
unset AWS_PROFILE AWS_ENDPOINT_URL AWS_ENDPOINT_URL_EC2 AWS_SESSION_TOKEN

converse ec2-sim "$EC2_SIM" moto "$MOTO"
compare ec2-sim moto "$SCRIPTS/differences.txt"
