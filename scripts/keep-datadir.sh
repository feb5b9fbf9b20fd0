#!/usr/bin/env bash
# Usage: scripts/keep-datadir.sh VERSION [COMMIT]
# Makes the data directory of a release that later versions must open (services/standalone/testdata/VERSION), by a real run of
# that commit: builds that completed and failed, one that was cancelled, one that waits; their logs and results. Also adds the
# commit's migrations to the list of those that must not change. FREEAGENT_BINARY names a binary of the commit, if there is one.
# The metadata of objects is kept in files, not in extended attributes, so that every file system can hold the copy.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

version=${1:?usage: scripts/keep-datadir.sh VERSION [COMMIT]}
commit=$(git rev-parse --verify "${2:-HEAD}^{commit}")
need_go
need git "install git (Debian: sudo apt-get install -y git, macOS: xcode-select --install)"
need jq "install jq (Debian: sudo apt-get install -y jq, macOS: brew install jq)"

work=$(mktemp -d "${TMPDIR:-/tmp}/freeagent-datadir.XXXXXX")
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

binary=${FREEAGENT_BINARY:-}
if [ -z "$binary" ]; then
  git archive "$commit" | tar -x -C "$work" --one-top-level=source
  binary=$work/freeagent
  (cd "$work/source" && go build -o "$binary" ./services/standalone/cmd/freeagent)
fi

export FREEAGENT_API_KEY=key-of-the-kept-farm
export FREEAGENT_URL
data=$work/data
mkdir -p -m 700 "$data/objects/attributes" # decides that metadata lies in files

# await FILE-OR-COMMAND...: polls a command until it succeeds, at most a minute.
await() {
  local deadline=$((SECONDS + 60))
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || die "gave up waiting for: $*"
    sleep 0.2
  done
}

"$binary" up --port 0 --data-dir "$data" --ready-file "$work/ready.json" 2>"$work/server.log" &
server=$!
pids+=("$server")
await test -s "$work/ready.json"
FREEAGENT_URL=$(jq -r .url "$work/ready.json")

mkdir "$work/app"
echo '{"name":"kept","dependencies":{"expo":"*"}}' >"$work/app/package.json"
echo '{}' >"$work/app/package-lock.json"
echo '{"expo":{"name":"Kept","slug":"kept"}}' >"$work/app/app.json"
head -c 100000 /dev/urandom >"$work/app/picture" # more than what lies in the database

submit() { "$binary" submit "$work/app" --platform android --no-git --json "$@" | jq -r .id; }
in_state() { [ "$("$binary" status "$1" --json | jq -r .status)" = "$2" ]; }

# builds ID... EXECUTOR-KNOBS are run by a worker of their own.
run_worker() {
  "$binary" worker --server "$FREEAGENT_URL" --name "$1" --state-dir "$work/$1" --executor fake --fake "$2" 2>"$work/$1.log" &
  worker=$!
  pids+=("$worker")
}
stop() { kill -TERM "$1" && { wait "$1" || die "process $1 did not stop well: see the logs"; }; }

small=$(submit --project kept)
rm "$work/app/picture"
large=$(submit --project kept-too --branch main)
run_worker worker-1 size=100KiB
await in_state "$small" completed
await in_state "$large" completed
stop "$worker"
failed=$(submit --project kept)
run_worker worker-2 fail
await in_state "$failed" failed
stop "$worker"
cancelled=$(submit --project kept)
"$binary" cancel "$cancelled" >/dev/null
waiting=$(submit --project kept)

target=services/standalone/testdata/$version
mkdir -p "$target"
for id in "$small" "$large" "$failed" "$cancelled" "$waiting"; do
  "$binary" status "$id" --json |
    jq --arg lines "$("$binary" logs "$id" | wc -l)" '{id, status, project, sha256: (.result.sha256 // ""), log_lines: ($lines | tonumber)}'
done | jq -s --arg commit "$commit" '{commit: $commit, builds: .}' >"$target/builds.json"
stop "$server"
rm -f "$data"/*.lock "$data"/lock
tar -C "$data" --owner=0 --group=0 --numeric-owner --sort=name -czf "$target/datadir.tar.gz" .

# The migrations of a release stay as they are: see services/standalone/migrations_test.go.
list=services/standalone/testdata/migrations.sha256
git ls-tree -r --name-only "$commit" -- services | grep '/internal/store/migrations/.*\.sql$' | while read -r file; do
  printf '%s  %s\n' "$(git show "$commit:$file" | sha256sum | cut -d' ' -f1)" "$file"
done >"$work/migrations"
sort -u -k2 "$work/migrations" ${list:+$([ -f "$list" ] && echo "$list")} >"$work/merged"
mv "$work/merged" "$list"
ls -l "$target"
