# What tests/*-conversation.sh have in common: servers, one conversation with two of them at once, and the comparison of
# what they answered. Sourced; SCRIPTS, the directory of calls.sh and differences.txt, comes from the caller.
# shellcheck shell=bash
# shellcheck disable=SC2153
#
# calls.sh        what is said, one named call after the other; a line of its transcript is the call's name, its normal
#                 answer and, of an error, its message if that is to be compared too
# differences.txt where the answers may differ: both answers, and the page that decides
#
# Rule: it fails on a difference that is not listed, and on a listed one that is not there any more or not as listed.
# moto, an AWS by other people, and the AWS CLI go into a virtual environment in the cache, at fixed versions, because
# differences are between versions.
set -euo pipefail
# shellcheck source=tests/tools.sh
source tests/tools.sh

CONVERSATION_VENV=$EC2_POOL_CACHE/conversation
OUT=$(mktemp -d)
SERVERS=()

finish() {
  for server in "${SERVERS[@]}"; do kill "$server" 2>/dev/null || true; done
  wait || true
  rm -rf "$OUT"
}
trap finish EXIT

# start NAME COMMAND…: a server, and in ADDRESS the address that it prints once it listens.
start() {
  local log=$OUT/$1.log server
  shift
  "$@" >"$log" 2>&1 &
  server=$!
  SERVERS+=("$server")
  for _ in {1..1800}; do
    ADDRESS=$(grep -o -m1 'http://127\.0\.0\.1:[0-9]*' "$log" || true)
    if [[ -n $ADDRESS ]]; then return; fi
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  echo "${0##*/}: the server did not start:" >&2
  cat "$log" >&2
  return 1
}

start_moto() {
  install_venv "$CONVERSATION_VENV" 'moto[server,ec2,dynamodb]==5.2.5' 'awscli==1.*'
  start moto "$CONVERSATION_VENV/bin/moto_server" -H 127.0.0.1 -p 0
}

# converse OURS ADDRESS THEIRS ADDRESS: moto is not safe under concurrency, so each is asked one call at a time; the two
# may speak at once.
converse() {
  local ours theirs
  ENDPOINT=$2 ANSWERS=$OUT/$1.txt bash "$SCRIPTS/calls.sh" & ours=$!
  ENDPOINT=$4 ANSWERS=$OUT/$3.txt bash "$SCRIPTS/calls.sh" & theirs=$!
  wait "$ours"
  wait "$theirs"
}

# compare OURS THEIRS LIST: what differs must be listed exactly so, and what is listed must differ. No page decides the
# wording of a message, so of these only the names of the calls are listed, under messages.
compare() {
  awk -F '\t' -v ours="$1" -v theirs="$2" '
    function listed(name, key) { return ((name, key) in list) ? list[name, key] : "" }
    function wrong(text) { print text; bad = 1 }
    function unlisted(name, what, our, their) {
      wrong("NOT LISTED\n" what ": " name "\n" ours ": " our "\n" theirs ": " their "\n")
    }
    FILENAME == ARGV[1] { order[++calls] = $1; ours_of[$1] = $2; our_words[$1] = $3; next }
    FILENAME == ARGV[2] { theirs_of[$1] = $2; their_words[$1] = $3; next }
    /^#/ || /^$/ { next }
    match($0, /^[a-z0-9-]+: */) {
      key = substr($0, 1, index($0, ":") - 1); text = substr($0, RLENGTH + 1)
      if (key == "call") { name = text; entries[++entry_count] = name }
      else if (key == "messages") { count = split(text, names, " "); for (n = 1; n <= count; n++) worded[names[n]] = 1 }
      else list[name, key] = text
      next
    }
    { wrong("the list of differences: cannot read: " $0) }
    END {
      for (n = 1; n <= calls; n++) {
        name = order[n]
        if (ours_of[name] != theirs_of[name]) {
          differ[name] = 1
          if (listed(name, ours) != ours_of[name] || listed(name, theirs) != theirs_of[name])
            unlisted(name, "call", ours_of[name], theirs_of[name])
          continue
        }
        same++
        if (our_words[name] == their_words[name]) continue
        reworded[name] = 1; reworded_count++
        if (!(name in worded)) unlisted(name, "message", our_words[name], their_words[name])
      }
      for (n = 1; n <= entry_count; n++) {
        name = entries[n]
        if (!(name in ours_of)) wrong("listed, but never called: " name)
        else if (!(name in differ)) wrong("listed, but the answers agree: " name)
        if (listed(name, "decides") == "" || listed(name, "because") == "") wrong("listed without decides and because: " name)
      }
      for (name in worded) if (!(name in reworded)) wrong("listed under messages, but they do not differ in them alone: " name)
      printf "%d calls: %d answered alike%s, %d differently\n", calls, same,
        reworded_count ? " (" reworded_count " of them in other words)" : "", calls - same
      exit bad
    }' "$OUT/$1.txt" "$OUT/$2.txt" "$3"
}
