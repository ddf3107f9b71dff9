# What dynamodb-conversation.sh says to each engine; it sets ENDPOINT and ANSWERS (where the transcript goes).
# shellcheck shell=bash
# ENDPOINT and ANSWERS come from the caller.
# shellcheck disable=SC2153
#
# Rule: an answer is one line: the HTTP status, then the body with sorted keys, or of an error its type without the
# namespace and its item; the error's message is a column of its own. What only chance decides is taken out, and so is
# ConsumedCapacity, which nothing asks for, so equal lines mean equal answers.
# Rule: the expressions are those of crates/store, word for word, and each group of calls begins with an item of its own,
# so that one difference does not cause the next.
set -euo pipefail

# Its own, so that a kept engine can be asked twice.
TABLE=conversation-$$
ITEM='shard#0'

# An engine wants the headers of a signed request, and none of these checks the signature.
HEADERS=(-H 'content-type: application/x-amz-json-1.0' -H 'x-amz-date: 20260101T000000Z' -H "authorization: AWS4-HMAC-SHA256 \
Credential=local/20260101/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature=0000")

# post OPERATION BODY: leaves the answer in a file and prints the HTTP status.
post() {
  printf '%s' "$2" | curl -sS "${HEADERS[@]}" -H "x-amz-target: DynamoDB_20120810.$1" --data-binary @- \
    -o "$ANSWERS.body" -w '%{http_code}' "$ENDPOINT/"
}

# say NAME OPERATION BODY [FILTER]: one call, its normal answer into the transcript. FILTER is jq for a success.
say() {
  local name=$1 status answer
  status=$(post "$2" "$3")
  # Two lines in the case of an error, of which the second is the message.
  answer=$(jq -Sc --argjson status "$status" "if \$status == 200 then (${4:-.} | del(.ConsumedCapacity?)) else
    ({type: (.__type | sub(\".*#\"; \"\")), item: .Item} | del(.[] | nulls)), (.message // .Message) end" "$ANSWERS.body" \
    2>/dev/null) || answer='not JSON'
  # A success that cannot be read is a mistake of this script's and no answer of the engine's.
  if [[ "$status $answer" == '200 not JSON' ]]; then echo "$name:" | cat - "$ANSWERS.body" >&2; exit 1; fi
  answer=${answer//"$TABLE"/TABLE}
  printf '%s\t%s %s\n' "$name" "$status" "${answer/$'\n'/$'\t'}" >>"$ANSWERS"
}

# Values are written below as plain JSON; this makes them DynamoDB's.
TYPED='def typed: if type == "string" then {S: .} elif type == "number" then {N: tostring} elif type == "boolean" then
  {BOOL: .} elif type == "null" then {NULL: true} elif type == "array" then {L: map(typed)} elif keys == ["B"] then . else {M: map_values(typed)} end;'

# given ATTRIBUTES: from here on ITEM is an empty shard but for these.
given() { compose "$EMPTY_SHARD" "$1"; }

# given_only ATTRIBUTES: from here on ITEM is this and nothing else.
given_only() { compose '{}' "$1"; }

compose() {
  GIVEN=$(jq -nc --arg table "$TABLE" --arg pk "$ITEM" --argjson whole "$1" --argjson attributes "$2" "$TYPED"'
    {TableName: $table, Item: ({pk: $pk} + $whole + $attributes | map_values(typed))}')
  given_again
}

EMPTY_SHARD='{"epoch_no":10,"sequence_no":0,"room_left":0,"cap_share":0,"layout_no":1,"free_ids":[],"wait_ids":[],
  "member_map":{},"lease_instance":{},"lease_epoch":{},"lease_terms":{},"wait_terms":{},"claim_until":{},"boot_epoch":{},
  "stop_phase":{},"reset_epoch":{},"leaving_map":{},"intent_map":{},"transfer_map":{},"tombstone_map":{}}'

# given_again: ITEM is once more as it was given last.
given_again() {
  local status
  status=$(post PutItem "$GIVEN")
  if [[ $status != 200 ]]; then echo "calls.sh: no item could be put at $ENDPOINT:" | cat - "$ANSWERS.body" >&2; exit 1; fi
}

# update NAME UPDATE CONDITION NAMES VALUES [MORE-VALUES]: UpdateItem of ITEM as Store::apply asks for it. FILTER is as for
# say.
update() {
  local body
  body=$(jq -nc --arg table "$TABLE" --arg pk "$ITEM" --arg update "$2" --arg condition "$3" \
    --argjson names "$4" --argjson values "$5" --argjson more "${6:-null}" "$TYPED"'
    {TableName: $table, Key: {pk: {S: $pk}}, UpdateExpression: $update, ReturnValues: "ALL_NEW",
     ReturnValuesOnConditionCheckFailure: "ALL_OLD"}
    + if $condition == "" then {} else {ConditionExpression: $condition} end
    + if $names == {} then {} else {ExpressionAttributeNames: $names} end
    + ($values + $more | if . == {} then {} else {ExpressionAttributeValues: map_values(typed)} end)')
  say "$1" UpdateItem "$body" "${FILTER:-.}"
}

# transition NAME SETS REMOVES CONDITION NAMES VALUES: the same, with the epoch's rise as every transition has it.
transition() {
  update "$1" "SET $2${2:+, }epoch_no = epoch_no + :one${3:+ REMOVE $3}" "$4" "$5" "$6" '{":one":1}'
}

# check NAME CONDITION NAMES VALUES: whether a condition holds for ITEM; an update that changes nothing of weight asks it.
check() { update "$1" 'SET asked_no = :asked' "$2" "$3" "$4" '{":asked":1}'; }

# key PK: a key in DynamoDB's JSON.
key() { printf '{"pk":{"S":"%s"}}' "$1"; }

# The named fragments of crates/store/src/expression/mod.rs.
FREE='attribute_exists(free_ids[0])'
NONE_FREE='attribute_not_exists(free_ids[0])'
NOBODY_WAITS='attribute_not_exists(wait_ids[0])'
NEW='attribute_not_exists(lease_instance.#t) AND attribute_not_exists(wait_terms.#t)'
MINE='lease_instance.#t = :i AND lease_epoch.#t = :e'
OWN='lease_terms.#t.o = :o'
DROP='lease_instance.#t, lease_epoch.#t, lease_terms.#t, claim_until.#t'
STAY='attribute_exists(member_map.#i) AND attribute_not_exists(leaving_map.#i)'
LEFT='(attribute_exists(leaving_map.#i) OR attribute_not_exists(member_map.#i))'
HEAD='wait_ids[0] = :w AND wait_terms.#w.x >= :now AND attribute_not_exists(lease_instance.#w)'
TO='lease_instance.#w = :i, lease_epoch.#w = epoch_no + :one, lease_terms.#w = wait_terms.#w, claim_until.#w = :c'

# Entries as the codec writes them; a member has empty strings before its node is known.
MEMBER='{"a":"","k":{"B":""},"b":0,"s":100,"n":0,"w":"1/s/us-east-1a/t3.medium"}'
TERMS='{"o":"ann","x":160,"h":700,"t":60}'
LEAVING='{"y":"idle","d":900}'
TOMBSTONE='{"w":100,"f":"gone"}'
INTENT='{"n":2,"l":"{\"instance_types\":[\"t3.medium\"]}","s":100}'
TRANSFER='{"t":1,"x":"x1","s":100}'
LEASED='"lease_instance":{"t1":"i1"},"lease_epoch":{"t1":10},"lease_terms":{"t1":'$TERMS'}'
WAITING='"wait_ids":["t2","t3"],"wait_terms":{"t2":'$TERMS',"t3":'$TERMS'}'

: >"$ANSWERS"

# --- Table
TABLE_BODY='{"TableName":"'$TABLE'","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],
  "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}],
  "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}'
TABLE_FACTS='[.KeySchema, .AttributeDefinitions, .BillingModeSummary.BillingMode, .ItemCount, .StreamSpecification,
  (.LatestStreamArn // "none" | sub("dynamodb:[^/]*/"; "") | sub("/[^/]*$"; ""))]'
say table-create CreateTable "$TABLE_BODY" ".TableDescription | $TABLE_FACTS"
say table-create-again CreateTable "$TABLE_BODY" '"created"'
say table-describe DescribeTable '{"TableName":"'"$TABLE"'"}' ".Table | $TABLE_FACTS + [.TableStatus]"
say table-unknown DescribeTable '{"TableName":"conversation-of-nobody"}'
say table-bad-name DescribeTable '{"TableName":"a b"}'
say ttl-none DescribeTimeToLive '{"TableName":"'"$TABLE"'"}'
say ttl-enable UpdateTimeToLive '{"TableName":"'"$TABLE"'","TimeToLiveSpecification":{"AttributeName":"ttl","Enabled":true}}'
say ttl-describe DescribeTimeToLive '{"TableName":"'"$TABLE"'"}'
say ttl-other-name UpdateTimeToLive '{"TableName":"'"$TABLE"'","TimeToLiveSpecification":{"AttributeName":"end","Enabled":true}}'

# --- PutItem and GetItem
SHARD='{"pk":{"S":"shard#7"},"epoch_no":{"N":"0"},"free_ids":{"L":[]},"member_map":{"M":{}},"address":{"S":""}}'
put() { say "$1" PutItem '{"TableName":"'"$TABLE"'","Item":'"$2${3:+,$3}"'}'; }
get() { say "$1" GetItem '{"TableName":"'"$TABLE"'","Key":'"$2${3:+,$3}"'}'; }
put put-if-absent "$SHARD" '"ConditionExpression":"attribute_not_exists(epoch_no)"'
put put-if-absent-again "$SHARD" '"ConditionExpression":"attribute_not_exists(epoch_no)"'
put put-if-absent-item "$SHARD" \
  '"ConditionExpression":"attribute_not_exists(epoch_no)","ReturnValuesOnConditionCheckFailure":"ALL_OLD"'
get get-consistent "$(key 'shard#7')" '"ConsistentRead":true'
get get "$(key 'shard#7')"
get get-missing "$(key 'shard#8')" '"ConsistentRead":true'
CONTROL='{"pk":{"S":"control"},"control_json":{"S":"{\"shards\":1}"},"version_no":{"N":"1"}}'
put control-first "$CONTROL" '"ConditionExpression":"attribute_not_exists(version_no)"'
put control-stale "$CONTROL" '"ConditionExpression":"version_no = :seen","ExpressionAttributeValues":{":seen":{"N":"0"}}'
put control-next "${CONTROL/\"N\":\"1\"/\"N\":\"2\"}" \
  '"ConditionExpression":"version_no = :seen","ExpressionAttributeValues":{":seen":{"N":"1"}}'
put control-absent '{"pk":{"S":"nothing"}}' \
  '"ConditionExpression":"version_no = :seen","ExpressionAttributeValues":{":seen":{"N":"1"}}'
put put-no-key '{"epoch_no":{"N":"0"}}'
put put-number-as-key '{"pk":{"N":"0"}}'
put put-empty-key '{"pk":{"S":""}}'
put put-empty-set '{"pk":{"S":"types"},"a":{"SS":[]}}'
get get-no-key '{}'
get get-other-key '{"epoch_no":{"N":"0"}}'
get get-key-and-more '{"pk":{"S":"shard#7"},"epoch_no":{"N":"0"}}'
get get-number-as-key '{"pk":{"N":"0"}}'
get get-empty-key "$(key '')"
for operation in GetItem DeleteItem UpdateItem; do
  say "unknown-table-$operation" "$operation" '{"TableName":"conversation-of-nobody","Key":{"pk":{"S":"shard#7"}}}'
done
say unknown-table-PutItem PutItem '{"TableName":"conversation-of-nobody","Item":{"pk":{"S":"shard#7"}}}'

# --- Numbers: 38 significant digits, from 1E-130 to 9.99…E+125
number() {
  say "number-$1" UpdateItem '{"TableName":"'"$TABLE"'","Key":{"pk":{"S":"number"}},"UpdateExpression":"SET a = :n",
    "ExpressionAttributeValues":{":n":{"N":"'"$2"'"}},"ReturnValues":"ALL_NEW"}'
}
number negative -42
number leading-zeros 007
number trailing-zeros 1.500
number u64-max 18446744073709551615
number i64-min -9223372036854775808
number float 12.345678901234567
number digits-38 12345678901234567890123456789012345678
number digits-39 123456789012345678901234567890123456789
number digits-39-ending-in-zero 123456789012345678901234567890123456780
number too-large 1E+126
number too-small 1E-131
number words NaN
number empty ''
put number-reset '{"pk":{"S":"number"},"a":{"N":"18446744073709551615"},"b":{"N":"0.1"},"c":{"S":"1"}}'
ITEM=number
update number-add-beyond-u64 'SET a = a + :one' '' '{}' '{":one":1}'
update number-add-tenths 'SET b = b + :fifth' '' '{}' '{":fifth":0.2}'
update number-below-zero 'SET b = b - :one' 'b < :one' '{}' '{":one":1}'
update number-add-negative 'SET b = b + :less' 'b < :less' '{}' '{":less":-0.5}'
update number-add-to-text 'SET c = c + :one' '' '{}' '{":one":1}'
update number-add-text 'SET a = a + :one' '' '{}' '{":one":"1"}'
update number-add-to-missing 'SET d = d + :one' '' '{}' '{":one":1}'
check number-and-text-are-unequal 'c = :one' '{}' '{":one":1}'
check number-and-text-have-no-order 'c < :two' '{}' '{":two":2}'
check number-equals-by-value 'a = :same' '{}' '{":same":18446744073709551616}'
ITEM='shard#0'

# --- Batches
batch() {
  say "$1" BatchGetItem '{"RequestItems":{"'"$TABLE"'":{"Keys":['"$2"']'"${3:+,$3}"'}}}' \
    '.Responses |= map_values(sort_by(.pk.S) | map(.pk.S))'
}
keys() { seq -f '{"pk":{"S":"batch#%g"}}' -s, "$1"; }
batch batch "$(key 'shard#7'),$(key control)"
batch batch-consistent "$(key 'shard#7'),$(key control)" '"ConsistentRead":true'
batch batch-one-missing "$(key 'shard#7'),$(key 'shard#8')"
batch batch-all-missing "$(key 'shard#8')"
batch batch-duplicates "$(key 'shard#7'),$(key 'shard#7')"
batch batch-none ''
batch batch-100 "$(keys 100)"
batch batch-101 "$(keys 101)"
batch batch-bad-key '{"other":{"S":"shard#7"}}'
say batch-unknown-table BatchGetItem '{"RequestItems":{"conversation-of-nobody":{"Keys":[{"pk":{"S":"shard#7"}}]}}}'

# --- Grant and enqueue
GRANT='lease_instance.#t = free_ids[0], lease_epoch.#t = epoch_no + :one, lease_terms.#t = :m'
grant() {
  transition "$1" "$GRANT" 'free_ids[0]' "$FREE AND $NEW AND layout_no <= :g" '{"#t":"'"$2"'"}' '{":g":'"$3"',":m":'"$TERMS"'}'
}
enqueue() {
  transition "$1" 'wait_ids = list_append(wait_ids, :tl), wait_terms.#t = :m' '' \
    "$NONE_FREE AND $NEW AND layout_no <= :g AND size(wait_ids) < :max" '{"#t":"'"$2"'"}' \
    '{":g":1,":tl":["'"$2"'"],":m":'"$TERMS"',":max":2}'
}
given '{"free_ids":["i1","i2"],"member_map":{"i1":'"$MEMBER"',"i2":'"$MEMBER"'}}'
enqueue enqueue-though-free t1
grant grant t1 1
grant grant-again t1 1
grant grant-old-layout t2 0
grant grant-last t2 1
grant grant-none-free t3 1
enqueue enqueue t3
enqueue enqueue-again t3
enqueue enqueue-holder t1
enqueue enqueue-second t4
enqueue enqueue-full t5
ITEM='shard#8'
grant grant-missing t1 1
enqueue enqueue-missing t1
ITEM='shard#0'

# --- Confirm and renew
confirm() {
  transition "$1" 'lease_terms.#t.x = :x, lease_terms.#t.h = :h' 'claim_until.#t' \
    "$MINE AND $OWN AND attribute_exists(claim_until.#t) AND lease_terms.#t.h >= :h AND $STAY" '{"#t":"t1","#i":"i1"}' \
    '{":i":"i1",":e":10,":o":"'"$2"'",":x":200,":h":650}'
}
renew() {
  transition "$1" 'lease_terms.#t.x = :x' 'claim_until.#t' "$MINE AND $OWN AND lease_terms.#t.x >= :now AND \
lease_terms.#t.x <= :x AND lease_terms.#t.h >= :x AND attribute_exists(member_map.#i) AND \
(attribute_not_exists(leaving_map.#i) OR leaving_map.#i.d >= :x)" '{"#t":"t1","#i":"i1"}' \
    '{":i":"i1",":e":'"$3"',":o":"ann",":x":'"$2"',":now":100}'
}
given '{'"$LEASED"',"claim_until":{"t1":300},"member_map":{"i1":'"$MEMBER"'}}'
confirm confirm-foreign bob
confirm confirm ann
confirm confirm-again ann
renew renew 300 10
renew renew-back 250 10
renew renew-beyond-end 900 10
renew renew-other-epoch 300 9
given '{'"$LEASED"',"member_map":{"i1":'"$MEMBER"'},"leaving_map":{"i1":'"$LEAVING"'}}'
renew renew-leaving 500 10
confirm confirm-leaving ann
ITEM='shard#8'
confirm confirm-missing ann
renew renew-missing 300 10
ITEM='shard#0'

# --- Release, expiry, hand-over
SERVED='member_map.#i.n = member_map.#i.n + :one'
ENDS='{"#t":"t1","#i":"i1"}'
HELD='":i":"i1",":e":10'
to_free() {
  transition "$1" "$SERVED, member_map.#i.s = :now, free_ids = list_append(:il, free_ids)" "$DROP" \
    "$MINE AND $2 AND $STAY AND $NOBODY_WAITS" "$ENDS" '{'"$HELD"',":now":200,":il":["i1"]'"$3"'}'
}
to_waiter() {
  transition "$1" "$SERVED, member_map.#i.s = :now, $TO" "wait_ids[0], wait_terms.#w, $DROP" \
    "$MINE AND $OWN AND $STAY AND $HEAD" '{"#t":"t1","#i":"i1","#w":"'"$2"'"}' \
    '{'"$HELD"',":o":"ann",":now":'"$3"',":w":"'"$2"'",":c":230}'
}
given '{'"$LEASED"',"free_ids":["i2"],"member_map":{"i1":'"$MEMBER"'}}'
to_free release-foreign "$OWN" ',":o":"bob"'
to_free release "$OWN" ',":o":"ann"'
to_free release-again "$OWN" ',":o":"ann"'
given '{'"$LEASED"',"member_map":{"i1":'"$MEMBER"'},'"$WAITING"'}'
to_free release-though-one-waits "$OWN" ',":o":"ann"'
to_waiter hand-over-to-second t3 150
to_waiter hand-over-too-late t2 161
to_waiter hand-over t2 150
to_waiter hand-over-again t2 150
given '{'"$LEASED"',"member_map":{"i1":'"$MEMBER"'}}'
to_free expire-early 'lease_terms.#t.x < :now AND attribute_not_exists(claim_until.#t)' ',":now":160'
to_free expire 'lease_terms.#t.x < :now AND attribute_not_exists(claim_until.#t)' ',":now":161'
given '{'"$LEASED"',"claim_until":{"t1":180},"member_map":{"i1":'"$MEMBER"'}}'
to_free expire-claimed 'lease_terms.#t.x < :now AND attribute_not_exists(claim_until.#t)' ',":now":200'
to_free unclaimed 'claim_until.#t < :now' ',":now":200'
given '{'"$LEASED"',"member_map":{"i1":'"$MEMBER"'}}'
transition reset "$SERVED, reset_epoch.#i = lease_epoch.#t, member_map.#i.s = :now" "$DROP" \
  "$MINE AND $OWN AND $STAY" "$ENDS" '{'"$HELD"',":o":"ann",":now":200}'
given '{'"$LEASED"',"member_map":{"i1":'"$MEMBER"'}}'
transition recycle 'leaving_map.#i = :l' "$DROP" "$MINE AND $OWN AND $STAY" "$ENDS" '{'"$HELD"',":o":"ann",":l":'"$LEAVING"'}'
for left in leaving vanished stays; do
  case $left in
    leaving) given '{'"$LEASED"',"member_map":{"i1":'"$MEMBER"'},"leaving_map":{"i1":'"$LEAVING"'}}' ;;
    vanished) given '{'"$LEASED"'}' ;;
    stays) given '{'"$LEASED"',"member_map":{"i1":'"$MEMBER"'}}' ;;
  esac
  transition "release-of-one-that-is-$left" '' "$DROP" "$MINE AND $OWN AND $LEFT" "$ENDS" '{'"$HELD"',":o":"ann"}'
done
ITEM='shard#8'
to_free release-missing "$OWN" ',":o":"ann"'
ITEM='shard#0'

# --- Waiting
given '{'"$LEASED"',"claim_until":{"t1":180},'"$WAITING"'}'
transition requeue 'wait_ids = list_append(:tl, wait_ids), wait_terms.#t = lease_terms.#t' "$DROP" \
  "$MINE AND attribute_exists(claim_until.#t) AND $LEFT AND $NONE_FREE" "$ENDS" '{'"$HELD"',":tl":["t1"]}'
given '{'"$LEASED"',"claim_until":{"t1":180},"free_ids":["i2","i3"]}'
transition swap 'lease_instance.#t = free_ids[0], lease_epoch.#t = epoch_no + :one, claim_until.#t = :c' 'free_ids[0]' \
  "$MINE AND attribute_exists(claim_until.#t) AND $LEFT AND $FREE" "$ENDS" '{'"$HELD"',":c":300}'
give_up() {
  transition "$1" '' "wait_ids[$2], wait_terms.#t" "wait_ids[$2] = :t AND wait_terms.#t.x = :x" '{"#t":"t3"}' '{":t":"t3",":x":160}'
}
given '{'"$WAITING"'}'
give_up give-up-elsewhere 0
give_up give-up-beyond-the-list 5
give_up give-up 1
give_up give-up-again 1
drop_past() {
  transition "$1" '' "$2" \
    'wait_ids[0] = :u AND wait_ids[1] = :t AND wait_terms.#u.x < :now AND wait_terms.#t.x < :now' \
    '{"#u":"t2","#t":"t3"}' '{":u":"t2",":t":"t3",":now":'"$3"'}'
}
given '{"wait_ids":["t2","t3","t4"],"wait_terms":{"t2":'"$TERMS"',"t3":'"$TERMS"',"t4":'"$TERMS"'}}'
drop_past drop-past-early 'wait_ids[1], wait_ids[0], wait_terms.#u, wait_terms.#t' 160
drop_past drop-past 'wait_ids[1], wait_ids[0], wait_terms.#u, wait_terms.#t' 161
given '{"wait_ids":["t2","t3","t4"],"wait_terms":{"t2":'"$TERMS"',"t3":'"$TERMS"',"t4":'"$TERMS"'}}'
drop_past drop-past-lower-index-first 'wait_ids[0], wait_ids[1], wait_terms.#u, wait_terms.#t' 161

# --- Launches
intend() {
  transition "$1" 'intent_map.#k = :m, room_left = room_left - :n, sequence_no = sequence_no + :one' '' \
    'sequence_no = :s AND room_left >= :n' '{"#k":"k1"}' '{":m":'"$INTENT"',":n":'"$2"',":s":'"$3"'}'
}
# adopt NAME INSTANCES: as many as this at once.
adopt() {
  local name=$1 count=$2 n sets='room_left = room_left + :short' only='attribute_exists(intent_map.#k)'
  local names='"#k":"k1"' values='":short":-1'
  for ((n = 0; n < count; n++)); do
    sets+=", boot_epoch.#i$n = epoch_no + :one, member_map.#i$n = :f$n"
    only+=" AND attribute_not_exists(member_map.#i$n) AND attribute_not_exists(tombstone_map.#i$n)"
    names+=",\"#i$n\":\"i-$n\""
    values+=",\":f$n\":$MEMBER"
  done
  transition "$name" "$sets" 'intent_map.#k' "$only" "{$names}" "{$values}"
}
settle() {
  transition "$1" 'room_left = room_left + intent_map.#k.n' 'intent_map.#k' 'attribute_exists(intent_map.#k)' '{"#k":"k1"}' '{}'
}
given '{"room_left":3}'
intend intend 2 0
intend intend-again 2 0
intend intend-without-room 2 1
adopt adopt 2
adopt adopt-again 2
settle settle-none
given '{"room_left":-3,"intent_map":{"k1":'"$INTENT"'}}'
settle settle
given '{"intent_map":{"k1":'"$INTENT"'},"tombstone_map":{"i-1":'"$TOMBSTONE"'}}'
adopt adopt-a-dead-one 2
# As many as one launch may have, the largest condition below DynamoDB's 4 KB, and the smallest above.
given '{"intent_map":{"k1":'"$INTENT"'}}'
for count in 16 46 47; do
  given_again
  FILTER='.Attributes.member_map.M | length' adopt "adopt-$count" "$count"
done
orphan() {
  transition "$1" 'boot_epoch.#i = epoch_no + :one, member_map.#i = :f, room_left = room_left - :one' '' \
    "attribute_not_exists(member_map.#i) AND attribute_not_exists(tombstone_map.#i) AND \
attribute_not_exists(intent_map.#k) AND room_left >= :one AND sequence_no = :s" \
    '{"#i":"i1","#k":"k1"}' '{":f":'"$MEMBER"',":s":0}'
}
doom() {
  transition "$1" 'tombstone_map.#i = :d' '' \
    'sequence_no = :s AND attribute_not_exists(member_map.#i) AND attribute_not_exists(intent_map.#k)' \
    '{"#i":"i1","#k":"k1"}' '{":d":'"$TOMBSTONE"',":s":0}'
}
given '{"room_left":1}'
orphan adopt-orphan
orphan adopt-orphan-again
doom doom-member
given '{}'
orphan adopt-orphan-without-room
doom doom
ITEM='shard#8'
intend intend-missing 2 0
adopt adopt-missing 1
settle settle-missing
orphan adopt-orphan-missing
doom doom-missing
ITEM='shard#0'

# --- Nodes
I1='{"#i":"i1"}'
locate() {
  transition "$1" 'member_map.#i.a = :a, member_map.#i.w = :w' '' 'attribute_exists(member_map.#i)' "$I1" \
    '{":a":"10.0.0.1",":w":"1/s/us-east-1a/t3.medium"}'
}
ready() {
  transition "$1" 'member_map.#i.k = :k, member_map.#i.b = :b, member_map.#i.s = :now, free_ids = list_append(:il, free_ids)' \
    'boot_epoch.#i' "boot_epoch.#i = :be AND $STAY AND $NOBODY_WAITS" "$I1" \
    '{":k":"key",":b":1,":now":200,":il":["i1"],":be":'"$2"'}'
}
ready_again() {
  transition "$1" 'member_map.#i.k = :k, member_map.#i.b = :b' '' \
    'member_map.#i.b < :b AND attribute_not_exists(boot_epoch.#i) AND attribute_not_exists(transfer_map.#i)' "$I1" \
    '{":k":"new key",":b":2}'
}
given '{"member_map":{"i1":'"$MEMBER"'},"boot_epoch":{"i1":9}}'
locate locate
ready ready-other-boot 8
ready ready 9
ready ready-repeated 9
ready_again ready-again
ready_again ready-again-repeated
given '{}'
locate locate-no-member
ready_again ready-again-no-member
given '{"member_map":{"i1":'"$MEMBER"'},"boot_epoch":{"i1":9},'"$WAITING"'}'
transition ready-to-waiter "member_map.#i.k = :k, member_map.#i.b = :b, member_map.#i.s = :now, $TO" \
  'boot_epoch.#i, wait_ids[0], wait_terms.#w' "boot_epoch.#i = :be AND $STAY AND $HEAD" '{"#i":"i1","#w":"t2"}' \
  '{":k":"key",":b":1,":now":150,":be":9,":w":"t2",":i":"i1",":c":230}'
reset_done() {
  transition "$1" 'member_map.#i.s = :now, free_ids = list_append(:il, free_ids)' 'reset_epoch.#i' \
    "reset_epoch.#i <= :clean AND $STAY AND $NOBODY_WAITS" "$I1" '{":now":200,":il":["i1"],":clean":'"$2"'}'
}
given '{"member_map":{"i1":'"$MEMBER"'},"reset_epoch":{"i1":9}}'
reset_done reset-done-earlier 8
reset_done reset-done 9
reset_done reset-done-again 9
ITEM='shard#8'
locate locate-missing
ready ready-missing 9
ready_again ready-again-missing
reset_done reset-done-missing 9
ITEM='shard#0'

# --- Out of service
fence() {
  transition "$1" 'leaving_map.#i = :l' "free_ids[$2]" "free_ids[$2] = :i AND size(free_ids) > :keep" "$I1" \
    '{":l":'"$LEAVING"',":i":"i1",":keep":'"$3"'}'
}
mark() {
  transition "$1" 'leaving_map.#i = :l' '' "attribute_exists(member_map.#i) AND \
(attribute_not_exists(leaving_map.#i) OR leaving_map.#i.d > :d) AND NOT contains(free_ids, :i) AND \
attribute_not_exists(transfer_map.#i)" "$I1" '{":l":{"y":"spot","d":'"$2"'},":d":'"$2"',":i":"i1"}'
}
gone() {
  transition "$1" 'tombstone_map.#i = :d, room_left = room_left + :one' \
    'leaving_map.#i, member_map.#i, boot_epoch.#i, stop_phase.#i, reset_epoch.#i' \
    'attribute_exists(leaving_map.#i) AND attribute_exists(member_map.#i) AND attribute_not_exists(transfer_map.#i)' \
    "$I1" '{":d":'"$TOMBSTONE"'}'
}
given '{"free_ids":["i2","i1","i3"],"member_map":{"i1":'"$MEMBER"'}}'
mark mark-free 800
fence fence-elsewhere 0 0
fence fence-beyond-the-list 9 0
fence fence-too-many 1 3
fence fence 1 2
mark mark-later 950
mark mark-sooner 800
gone gone
gone gone-again
for apart in boot_epoch stop_phase reset_epoch; do
  given '{"member_map":{"i1":'"$MEMBER"'},"'"$apart"'":{"i1":9}}'
  transition "fence-$apart" 'leaving_map.#i = :l' "$apart.#i" "attribute_exists($apart.#i)" "$I1" '{":l":'"$LEAVING"'}'
done
stop() {
  transition "$1" 'stop_phase.#i = :phase' 'free_ids[0]' 'free_ids[0] = :i AND size(free_ids) > :keep' "$I1" \
    '{":phase":{"p":"stopping","s":200},":i":"i1",":keep":0}'
}
stopped() {
  transition "$1" 'stop_phase.#i = :phase' '' 'stop_phase.#i.p = :stopping' "$I1" \
    '{":phase":{"p":"stopped","s":300},":stopping":"stopping"}'
}
start() {
  transition "$1" 'boot_epoch.#i = epoch_no + :one, member_map.#i.s = :now, member_map.#i.a = :nowhere' 'stop_phase.#i' \
    "stop_phase.#i.p = :stopped AND stop_phase.#i.s < :old AND $STAY" "$I1" \
    '{":now":400,":nowhere":"",":stopped":"stopped",":old":'"$2"'}'
}
given '{"free_ids":["i1"],"member_map":{"i1":'"$MEMBER"'}}'
stopped stopped-before-stop
stop stop
stop stop-again
start start-before-stopped 301
stopped stopped
stopped stopped-again
start start-early 300
start start 301
start start-again 301
ITEM='shard#8'
fence fence-missing 0 0
mark mark-missing 800
gone gone-missing
stop stop-missing
stopped stopped-missing
start start-missing 301
ITEM='shard#0'

# --- Among shards
give() {
  transition "$1" 'transfer_map.#i = :m, sequence_no = sequence_no + :one' 'free_ids[0]' \
    "free_ids[0] = :i AND sequence_no = :s AND $NOBODY_WAITS" "$I1" '{":i":"i1",":m":'"$TRANSFER"',":s":0}'
}
# take NAME ITS-EPOCH CONDITION-ON-THE-EPOCH VALUE…
take() {
  update "$1" "SET tombstone_map.#x = :d, member_map.#i = :f, free_ids = list_append(:il, free_ids), epoch_no = $2" \
    "$3 AND attribute_not_exists(tombstone_map.#x) AND attribute_not_exists(tombstone_map.#i) AND \
attribute_not_exists(member_map.#i) AND size(member_map) < :limit AND $NOBODY_WAITS" '{"#x":"x1","#i":"i1"}' \
    '{":d":'"$TOMBSTONE"',":f":'"$MEMBER"',":il":["i1"],":limit":1,'"$4"'}'
}
finish_transfer() { transition "$1" '' 'transfer_map.#i, member_map.#i' 'transfer_map.#i.x = :x' "$I1" '{":x":"x1"}'; }
back() {
  transition "$1" 'free_ids = list_append(free_ids, :il)' 'transfer_map.#i' "transfer_map.#i.x = :x AND $NOBODY_WAITS" \
    "$I1" '{":x":"x1",":il":["i1"]}'
}
cancel() {
  transition "$1" 'tombstone_map.#x = :d' '' 'attribute_exists(epoch_no) AND attribute_not_exists(tombstone_map.#x)' \
    '{"#x":"x1"}' '{":d":'"$TOMBSTONE"'}'
}
prune() { transition "$1" '' 'tombstone_map.#x' 'tombstone_map.#x.w < :old' '{"#x":"x1"}' '{":old":'"$2"'}'; }
resize() {
  transition "$1" 'room_left = room_left + :d, cap_share = cap_share + :d, layout_no = :g' '' \
    'layout_no < :g AND cap_share = :from' '{}' '{":from":'"$2"',":d":'"$3"',":g":'"$4"'}'
}
given '{"free_ids":["i1","i2"],"member_map":{"i1":'"$MEMBER"'}}'
give give
give give-again
finish_transfer transfer-done
finish_transfer transfer-done-again
back back-after-transfer-done
given '{"transfer_map":{"i1":'"$TRANSFER"'},"free_ids":["i2"]}'
back back
given '{"transfer_map":{"i1":'"$TRANSFER"'},'"$WAITING"'}'
back back-though-one-waits
given '{}'
take take-lower-epoch 'epoch_no + :one' 'epoch_no >= :src' '":one":1,":src":11'
take take 'epoch_no + :one' 'epoch_no >= :src' '":one":1,":src":10'
take take-again 'epoch_no + :one' 'epoch_no >= :src' '":one":1,":src":10'
given '{}'
take take-lifted ':lifted' 'epoch_no < :src' '":src":20,":lifted":21'
given '{"member_map":{"i2":'"$MEMBER"'}}'
take take-full 'epoch_no + :one' 'epoch_no >= :src' '":one":1,":src":10'
cancel cancel
cancel cancel-again
prune prune-early 100
prune prune 101
prune prune-again 101
resize resize-down 0 -4 2
resize resize-again 0 -4 2
resize resize-up -4 6 3
ITEM='shard#8'
give give-missing
take take-missing 'epoch_no + :one' 'epoch_no >= :src' '":one":1,":src":10'
finish_transfer transfer-done-missing
back back-missing
cancel cancel-missing
prune prune-missing 101
resize resize-missing 0 4 2
ITEM='shard#0'

# --- The wake item and the record of an instance
say wake-first UpdateItem '{"TableName":"'"$TABLE"'","Key":{"pk":{"S":"wake"}},"UpdateExpression":"SET woken_at = :now",
  "ConditionExpression":"attribute_not_exists(woken_at) OR woken_at <= :long_ago",
  "ExpressionAttributeValues":{":now":{"N":"100"},":long_ago":{"N":"95"}}}'
say wake-soon UpdateItem '{"TableName":"'"$TABLE"'","Key":{"pk":{"S":"wake"}},"UpdateExpression":"SET woken_at = :now",
  "ConditionExpression":"attribute_not_exists(woken_at) OR woken_at <= :long_ago",
  "ExpressionAttributeValues":{":now":{"N":"104"},":long_ago":{"N":"99"}}}'
ITEM='instance#i1'
note() {
  update "$1" 'SET history_list = list_append(if_not_exists(history_list, :none), :line), #ttl = :ttl, shard_no = :shard' \
    'attribute_not_exists(history_list) OR size(history_list) < :max' '{"#ttl":"ttl"}' \
    '{":none":[],":line":[{"at":100,"what":"leaves","why":""}],":max":2,":ttl":700,":shard":0}'
}
note note-first
note note-second
note note-full
update heartbeat "SET is_healthy = :healthy, cpu_percent = :cpu, memory_percent = :memory, session_count = :sessions, \
beat_at = :now, #ttl = :ttl" '' '{"#ttl":"ttl"}' '{":healthy":true,":cpu":12.5,":memory":0,":sessions":3,":now":200,":ttl":800}'
ITEM='instance#i2'
update heartbeat-first 'SET is_healthy = :healthy, #ttl = :ttl' '' '{"#ttl":"ttl"}' '{":healthy":false,":ttl":800}'
ITEM='shard#0'

# --- Conditions
given_only '{"epoch_no":10,'"$LEASED"',"free_ids":["i1","i2"]}'
check between 'epoch_no BETWEEN :low AND :high' '{}' '{":low":10,":high":10}'
check between-outside 'epoch_no BETWEEN :low AND :high' '{}' '{":low":11,":high":12}'
check between-reversed 'epoch_no BETWEEN :low AND :high' '{}' '{":low":12,":high":10}'
check in-list 'epoch_no IN (:low, :high)' '{}' '{":low":9,":high":10}'
check contains-list 'contains(free_ids, :i)' '{}' '{":i":"i2"}'
check contains-not-part-of-member 'contains(free_ids, :i)' '{}' '{":i":"i"}'
check not-contains 'NOT contains(free_ids, :i)' '{}' '{":i":"i2"}'
check not-contains-of-missing-list 'NOT contains(other_ids, :i)' '{}' '{":i":"i2"}'
check contains-other-type 'contains(free_ids, :i)' '{}' '{":i":1}'
check size-of-map 'size(lease_terms) = :one' '{}' '{":one":1}'
check size-of-text 'size(pk) = :seven' '{}' '{":seven":7}'
check size-of-missing 'size(other_ids) < :one' '{}' '{":one":1}'
check exists-beyond-the-list 'attribute_exists(free_ids[2])' '{}' '{}'
check exists-in-text 'attribute_exists(pk[0])' '{}' '{}'
check exists-below-text 'attribute_exists(pk.a)' '{}' '{}'
check exists-below-missing 'attribute_not_exists(other_map.a.b)' '{}' '{}'
check missing-is-not-less 'other_no < :one' '{}' '{":one":1}'
check missing-is-unequal 'other_no <> :one' '{}' '{":one":1}'
check not-of-missing 'NOT other_no = :one' '{}' '{":one":1}'
check map-equals 'lease_terms.t1 = :m' '{}' '{":m":{"x":160,"o":"ann","t":60,"h":700}}'
check list-equals 'free_ids = :l' '{}' '{":l":["i1","i2"]}'
check and-before-or 'epoch_no = :no OR epoch_no = :yes AND epoch_no = :no' '{}' '{":no":0,":yes":10}'
check not-before-and 'NOT epoch_no = :no AND epoch_no = :yes' '{}' '{":no":0,":yes":10}'
check literal-key 'attribute_exists(lease_terms.t1.o)' '{}' '{}'
check key-with-dots 'attribute_not_exists(lease_terms.#t)' '{"#t":"t1.o"}' '{}'
check words-in-lower-case 'attribute_exists(pk) and not attribute_exists(other_no)' '{}' '{}'
check function-in-capitals 'ATTRIBUTE_EXISTS(pk)' '{}' '{}'
check reserved-word 'status = :one' '{}' '{":one":1}'
check reserved-word-in-path 'lease_terms.token.x = :one' '{}' '{":one":1}'
check reserved-word-by-name '#s = :one' '{"#s":"status"}' '{":one":1}'
check bad-syntax 'epoch_no = = :one' '{}' '{":one":1}'
check unknown-function 'length(free_ids) = :one' '{}' '{":one":1}'
check value-not-given 'epoch_no = :other' '{}' '{}'
check name-not-given '#other = :one' '{}' '{":one":1}'
check value-unused 'attribute_exists(pk)' '{}' '{":other":1}'
check name-unused 'attribute_exists(pk)' '{"#other":"other"}' '{}'
check name-without-mark 'attribute_exists(pk)' '{"other":"other"}' '{}'
check value-without-mark 'attribute_exists(pk)' '{}' '{"other":1}'
ITEM='shard#9'
check missing-item-refused 'attribute_exists(pk)' '{}' '{}'
check missing-item-not 'NOT other_no = :one' '{}' '{":one":1}'
ITEM='shard#10'
check missing-item-attribute-not-exists 'attribute_not_exists(other_no)' '{}' '{}'
ITEM='shard#0'

# --- Updates, each of the same item
try() {
  given_again
  update "$@"
}
given_only '{"epoch_no":10,"layout_no":1,"free_ids":["i1","i2","i3","i4"],"member_map":{"i1":{"n":1},"i2":{"n":2}}}'
try set-below-missing-map 'SET other_map.#i = :one' '' "$I1" '{":one":1}'
try set-below-missing-member 'SET member_map.#i.n = :one' '' '{"#i":"i9"}' '{":one":1}'
try set-below-missing-refused 'SET other_map.#i = :one' 'attribute_exists(other_map)' "$I1" '{":one":1}'
try remove-below-missing-map 'REMOVE other_map.#i' '' "$I1" '{}'
try remove-missing-member 'REMOVE member_map.#i' '' '{"#i":"i9"}' '{}'
try remove-below-missing-member 'REMOVE member_map.#i.n' '' '{"#i":"i9"}' '{}'
try remove-beyond-the-list 'REMOVE free_ids[9]' '' '{}' '{}'
try remove-in-map-by-index 'REMOVE member_map[0]' '' '{}' '{}'
try remove-two-of-list 'REMOVE free_ids[0], free_ids[2]' '' '{}' '{}'
try set-beyond-the-list 'SET free_ids[9] = :i' '' '{}' '{":i":"i9"}'
try set-in-text 'SET pk.a = :one' '' '{}' '{":one":1}'
try copy-missing 'SET epoch_no = other_no' '' '{}' '{}'
try copy-beyond-the-list 'SET first_id = free_ids[9]' '' '{}' '{}'
try append-to-missing 'SET other_ids = list_append(other_ids, :l)' '' '{}' '{":l":["i1"]}'
try append-to-number 'SET epoch_no = list_append(epoch_no, :l)' '' '{}' '{":l":["i1"]}'
try append-text 'SET free_ids = list_append(free_ids, :i)' '' '{}' '{":i":"i1"}'
try append-nothing 'SET free_ids = list_append(free_ids, :l)' '' '{}' '{":l":[]}'
try swap-attributes 'SET epoch_no = layout_no, layout_no = epoch_no' '' '{}' '{}'
try set-and-remove-in-one-list 'SET first_id = free_ids[0] REMOVE free_ids[0]' '' '{}' '{}'
try set-in-and-remove-of-one-list 'SET free_ids[1] = :i REMOVE free_ids[0]' '' '{}' '{":i":"i9"}'
try overlap-same 'SET member_map.#i = :m, member_map.#i = :m' '' "$I1" '{":m":{}}'
try overlap-set-below 'SET member_map.#i = :m, member_map.#i.n = :one' '' "$I1" '{":m":{},":one":1}'
try overlap-set-and-remove 'SET member_map.#i.n = :one REMOVE member_map.#i' '' "$I1" '{":one":1}'
try overlap-by-two-names 'REMOVE member_map.#i, member_map.#j' '' '{"#i":"i1","#j":"i1"}' '{}'
try overlap-list-and-index 'SET free_ids = list_append(free_ids, :l) REMOVE free_ids[0]' '' '{}' '{":l":["i5"]}'
try overlap-index-twice 'REMOVE free_ids[0], free_ids[0]' '' '{}' '{}'
try overlap-though-refused 'SET member_map.#i = :m, member_map.#i.n = :one' 'attribute_exists(other_no)' "$I1" '{":m":{},":one":1}'
try conflict-index-and-key 'SET member_map.a = :one, member_map[0] = :one' '' '{}' '{":one":1}'
try two-sets 'SET a_no = :one SET b_no = :one' '' '{}' '{":one":1}'
try remove-before-set 'REMOVE layout_no SET a_no = :one' '' '{}' '{":one":1}'
try words-in-lower-case-update 'set a_no = :one remove b_no' '' '{}' '{":one":1}'
try nested-function 'SET free_ids = list_append(:l, list_append(free_ids, :l))' '' '{}' '{":l":["i8"]}'
try if-not-exists 'SET a_no = if_not_exists(other_no, :one) + :one' '' '{}' '{":one":1}'
try reserved-word-update 'SET status = :one' '' '{}' '{":one":1}'
try reserved-word-below 'SET member_map.owner = :one' '' '{}' '{":one":1}'
try bad-syntax-update 'SET a_no :one' '' '{}' '{":one":1}'
try empty-text 'SET member_map.i1.a = :none, note_text = :none' '' '{}' '{":none":""}'
try empty-list-and-map 'SET other_ids = :l, other_map = :m' '' '{}' '{":l":[],":m":{}}'
try null-value 'SET a_no = :none' '' '{}' '{":none":null}'
try change-key 'SET pk = :k' '' '{}' '{":k":"shard#1"}'
try change-key-to-itself 'SET pk = :k' '' '{}' '{":k":"shard#0"}'
try remove-key 'REMOVE pk' '' '{}' '{}'
try value-unused-in-update 'REMOVE a_no' '' '{}' '{":one":1}'
try name-unused-in-update 'SET a_no = :one' '' '{"#i":"i1"}' '{":one":1}'
ITEM='shard#11'
update set-below-missing-item 'SET member_map.#i = :m' '' "$I1" '{":m":{}}'
ITEM='shard#12'
update set-on-missing-item 'SET a_no = :one' '' '{}' '{":one":1}'
ITEM='shard#0'
# raw NAME MORE: an UpdateItem that the functions above cannot say.
raw() { say "$1" UpdateItem '{"TableName":"'"$TABLE"'","Key":{"pk":{"S":"shard#0"}},'"$2"'}'; }
raw empty-names '"UpdateExpression":"REMOVE a_no","ExpressionAttributeNames":{}'
raw empty-values '"UpdateExpression":"REMOVE a_no","ExpressionAttributeValues":{}'
raw empty-update '"UpdateExpression":""'
raw names-without-expression '"ExpressionAttributeNames":{"#i":"i1"}'
raw return-none '"UpdateExpression":"REMOVE a_no"'
raw refused-without-item '"UpdateExpression":"REMOVE a_no","ConditionExpression":"attribute_exists(other_no)"'
raw refused-none '"UpdateExpression":"REMOVE a_no","ConditionExpression":"attribute_exists(other_no)",
  "ReturnValuesOnConditionCheckFailure":"NONE"'
say update-key-and-more UpdateItem \
  '{"TableName":"'"$TABLE"'","Key":{"pk":{"S":"shard#0"},"epoch_no":{"N":"1"}},"UpdateExpression":"REMOVE a_no"}'

# --- Sizes: an item has at most 400 KB, its names and values together
of_length() { printf "%${1}s" '' | tr ' ' x; }
put size-at-limit '{"pk":{"S":"size"},"a":{"S":"'"$(of_length 409593)"'"}}'
put size-above-limit '{"pk":{"S":"size"},"a":{"S":"'"$(of_length 409594)"'"}}'
put size-below-limit '{"pk":{"S":"size"},"a":{"S":"'"$(of_length 400000)"'"}}'
say size-update-above-limit UpdateItem '{"TableName":"'"$TABLE"'","Key":{"pk":{"S":"size"}},"UpdateExpression":"SET b = :b",
  "ExpressionAttributeValues":{":b":{"S":"'"$(of_length 10000)"'"}}}'
put key-at-limit '{"pk":{"S":"'"$(of_length 2048)"'"}}'
put key-above-limit '{"pk":{"S":"'"$(of_length 2049)"'"}}'

# --- The end
say delete-absent DeleteItem '{"TableName":"'"$TABLE"'","Key":{"pk":{"S":"shard#99"}}}'
say delete DeleteItem '{"TableName":"'"$TABLE"'","Key":{"pk":{"S":"shard#7"}},"ReturnValues":"ALL_OLD"}'
get get-deleted "$(key 'shard#7')"
say table-delete DeleteTable '{"TableName":"'"$TABLE"'"}' '"deleted"'
rm -f "$ANSWERS.body"
