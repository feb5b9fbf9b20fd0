#!/usr/bin/env bash
# The whole path on this machine: builds Free Agent, starts it with a worker on a free port, submits examples/hello-expo
# for android, follows the log, downloads the result and checks it. Leaves the artifact in dist/demo, nothing else.
# EXECUTOR=shell (the default) builds the app for real: npm ci, then Metro and Hermes. EXECUTOR=fake needs no Node: the
# same path through the same services, but the stages only pretend.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

EXECUTOR=${EXECUTOR:-shell}
HERMES_MAGIC=c61fbc03c103191f # the first 8 bytes of Hermes bytecode
OFFER="; or try the same path without a real build: make demo EXECUTOR=fake"

need_registry() {
  local version
  version=$(node -p 'require("./examples/hello-expo/package.json").dependencies.expo')
  npm view "expo@$version" version --fetch-timeout=20000 --fetch-retries=1 >/dev/null 2>&1 ||
    die "the npm registry cannot be reached or lacks expo $version: check the network and npm's settings (npm ping)$OFFER"
}

need_go
need git "install git (Debian: sudo apt-get install -y git, macOS: xcode-select --install)"
case $EXECUTOR in
  shell)
    need_node "$OFFER"
    need_registry
    ;;
  fake) ;;
  *) die "EXECUTOR=$EXECUTOR: it is shell or fake" ;;
esac

step() { printf '\n== %s\n' "$*"; }
field() { "$ROOT/.bin/jsonfield" "$1"; }

sha256() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum "$1"; else shasum -a 256 "$1"; fi | awk '{ print $1 }'
}

artifact=dist/demo/hello-expo-android.tar.gz
work=$(mktemp -d "${TMPDIR:-/tmp}/freeagent-demo.XXXXXX")
server=""

# stop_server asks the server to stop and waits; after 30 s it is killed, which counts as a fault.
stop_server() {
  local pid=$server deadline=$((SECONDS + 30))
  [ -n "$pid" ] || return 0
  server=""
  kill -TERM "$pid" 2>/dev/null || true
  while kill -0 "$pid" 2>/dev/null; do
    if [ $SECONDS -ge $deadline ]; then
      kill -KILL "$pid" 2>/dev/null || true
      wait "$pid" 2>/dev/null || true
      echo "the server did not stop within 30 s of SIGTERM" >&2
      return 1
    fi
    sleep 0.1
  done
  wait "$pid"
}

# clean_up runs however the script ends; the server's own log is worth seeing only when something went wrong.
clean_up() {
  local code=$?
  trap - EXIT
  stop_server || code=1
  if [ "$code" != 0 ] && [ -s "$work/server.log" ]; then
    echo "== the end of the server's log" >&2
    tail -n 40 "$work/server.log" >&2
  fi
  [ "$code" = 0 ] || rm -f "$artifact" # what was not found good is not left lying as if it were
  rm -rf "$work"
  exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start_server() {
  local deadline=$((SECONDS + 30))
  dist/freeagent up --port 0 --data-dir "$work/data" --with-worker --executor "$EXECUTOR" \
    --ready-file "$work/ready.json" >"$work/server.log" 2>&1 &
  server=$!
  until [ -s "$work/ready.json" ]; do
    kill -0 "$server" 2>/dev/null || die "the server ended before it was ready"
    [ $SECONDS -lt $deadline ] || die "the server was not ready within 30 s"
    sleep 0.05
  done
  FREEAGENT_URL=$(field url <"$work/ready.json")
  FREEAGENT_API_KEY_FILE=$(field key_file <"$work/ready.json")
  export FREEAGENT_URL FREEAGENT_API_KEY_FILE
  unset FREEAGENT_API_KEY
}

# check_hash FILE STATUS: the file is the one that the server said it is.
check_hash() {
  local want got
  want=$(field result.sha256 <"$2")
  got=$(sha256 "$1")
  [ "$got" = "$want" ] || die "SHA-256 of the download is $got, the server said $want"
  echo "SHA-256 $got, as the server said"
}

# check_bundle FILE: the archive holds Hermes bytecode.
check_bundle() {
  local name magic
  mkdir "$work/artifact"
  tar -x -z -f "$1" -C "$work/artifact"
  name=$(find "$work/artifact" -name '*.hbc' | head -n 1)
  [ -n "$name" ] || die "the artifact holds no Hermes bundle"
  magic=$(od -An -N8 -tx1 "$name" | tr -d ' \n')
  [ "$magic" = "$HERMES_MAGIC" ] || die "${name##*/} is no Hermes bytecode: it begins with $magic"
  echo "Hermes bundle ${name#"$work/artifact/"}, $(wc -c <"$name" | tr -d ' ') bytes"
}

step "building dist/freeagent"
make --no-print-directory dist/freeagent

step "starting Free Agent with a worker ($EXECUTOR executor)"
start_server
echo "ready at $FREEAGENT_URL"

step "submitting examples/hello-expo for android"
dist/freeagent submit examples/hello-expo --platform android --json >"$work/submitted.json"
id=$(field id <"$work/submitted.json")
echo "build $id"
dist/freeagent logs "$id" --follow
dist/freeagent status "$id" --json >"$work/status.json"
status=$(field status <"$work/status.json")
[ "$status" = completed ] || die "build $id is $status, not completed"

step "downloading and checking the result"
mkdir -p dist/demo
rm -f "$artifact"
dist/freeagent download "$id" --output "$artifact"
check_hash "$artifact" "$work/status.json"
if [ "$EXECUTOR" = shell ]; then
  check_bundle "$artifact"
else
  tar -t -z -f "$artifact" >/dev/null || die "the artifact is not a .tar.gz"
  echo "a whole archive; the fake executor compiles nothing, so there is no Hermes bundle in it"
fi

step "stopping"
stop_server || die "the server did not stop cleanly"
printf '\nThe artifact is %s\n' "$ROOT/$artifact"
