#!/usr/bin/env bash
# The same conversation with the embedded DynamoDB, on which everything here is tested, and with moto, a DynamoDB by other
# people; where the two answer differently, AWS's documentation must have been asked: bash tests/dynamodb-conversation.sh
# How it works is said in conversation.sh. Needs Rust, Python 3, curl and jq.
#
# AWS_ENDPOINT_URL_DYNAMODB=http://… bash tests/dynamodb-conversation.sh NAME takes another engine instead of moto. Its
# differences are listed in differences-NAME.txt; without such a list they are shown and are no failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
SCRIPTS=tests/dynamodb-conversation
# shellcheck source=tests/conversation.sh
source tests/conversation.sh
install_tool jq

build_all
start dynoxide "$BINARIES/examples/dynamodb"
DYNOXIDE=$ADDRESS

if [[ -z ${AWS_ENDPOINT_URL_DYNAMODB:-} ]]; then
  OTHER=moto LIST=$SCRIPTS/differences.txt
  start_moto
else
  OTHER=${1:-other} LIST=$SCRIPTS/differences-${1:-other}.txt
  ADDRESS=${AWS_ENDPOINT_URL_DYNAMODB%/}
fi

converse dynoxide "$DYNOXIDE" "$OTHER" "$ADDRESS"
if [[ -e $LIST ]]; then
  compare dynoxide "$OTHER" "$LIST"
else
  compare dynoxide "$OTHER" /dev/null || echo "${0##*/}: there is no $LIST, so this is no failure"
fi
