#!/usr/bin/env bash
# Builds an app on one worker, and then on another with a disk of its own, without and with the farm's shared cache. Prints time and CPU of
# the second worker's first build.
#   scripts/shared-cache.sh APP
# Linux only: CPU seconds are read from /proc.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ $# -eq 1 ] || die "usage: scripts/shared-cache.sh APP"
[ "$(uname)" = Linux ] || die "scripts/shared-cache.sh reads CPU times from /proc, which only Linux has"
need_node ""
bin=${BIN:-$ROOT/dist/freeagent}
field() { "$ROOT/.bin/jsonfield" "$1"; }
[ -x "$bin" ] || die "$bin is missing: make build"

work=$(mktemp -d "${TMPDIR:-/tmp}/freeagent-shared.XXXXXX")
server='' worker=''
stop() { [ -z "$1" ] || { kill "$1" 2>/dev/null && wait "$1" 2>/dev/null; } || true; }
end() { stop "$worker"; stop "$server"; rm -rf "$work"; }
trap end EXIT
trap 'exit 130' INT TERM

# cpu PID: the CPU seconds of a process and of all that it has waited for, in hundredths.
cpu() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 + $14 + $15 }'; }

# start NAME: a worker with a disk of its own.
start() {
  "$bin" worker --server "$FREEAGENT_URL" --key-file "$key_file" --name "$1" --state-dir "$dir/$1" --work-dir "$dir/w-$1" >"$dir/$1.log" 2>&1 &
  worker=$!
}

# build: prints wall seconds|CPU seconds of server and worker.
build() {
  local begin before
  begin=$(date +%s%N) before=$(($(cpu "$server") + $(cpu "$worker")))
  "$bin" submit "$1" --project shared --platform android --follow >"$dir/out.log" 2>&1 || die "the build failed: $(tail -n 3 "$dir/out.log")"
  awk "BEGIN { printf \"%.1f | %.1f\", ($(date +%s%N) - $begin) / 1e9, ($(cpu "$server") + $(cpu "$worker") - $before) / 100 }"
}

printf '| shared cache | first worker: s | CPU s | second worker: s | CPU s |\n|---|---|---|---|---|\n'
for megabytes in 0 10000; do
  dir=$work/$megabytes
  mkdir "$dir"
  unset FREEAGENT_URL FREEAGENT_API_KEY_FILE
  "$bin" up --port 0 --bus-listen 127.0.0.1:0 --data-dir "$dir/data" --ready-file "$dir/ready.json" --shared-cache-mb "$megabytes" >"$dir/server.log" 2>&1 &
  server=$!
  for _ in $(seq 300); do [ -s "$dir/ready.json" ] && break; kill -0 "$server" 2>/dev/null || break; sleep 0.1; done
  [ -s "$dir/ready.json" ] || die "the server did not start: $(tail -n 3 "$dir/server.log")"
  FREEAGENT_URL=$(field url <"$dir/ready.json")
  key_file=$(field key_file <"$dir/ready.json")
  export FREEAGENT_URL FREEAGENT_API_KEY_FILE=$key_file
  start one
  first=$(build "$1")
  if [ "$megabytes" != 0 ]; then
    for _ in $(seq 600); do [ "$(grep -c 'uploaded to the farm' "$dir/one.log")" = 2 ] && break; sleep 0.1; done
  fi
  stop "$worker"
  start two
  printf '| %s | %s | %s |\n' "$([ "$megabytes" = 0 ] && echo off || echo on)" "$first" "$(build "$1")"
  grep -h "farm's cache" "$dir/out.log" >&2 || true
  stop "$worker"; worker=''
  stop "$server"; server=''
done
