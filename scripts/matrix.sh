#!/usr/bin/env bash
# Builds projects with a server and a worker of their own: once, again, and with a line of JavaScript changed. Prints a table of result, size, time and CPU.
#   scripts/matrix.sh DIR...   each DIR is an app, or a workspace with one
# PLATFORMS="android ios"; UP_FLAGS has more flags of "freeagent up". Linux only: CPU seconds are read from /proc.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
[ $# -gt 0 ] || die "usage: scripts/matrix.sh DIR..."
[ "$(uname)" = Linux ] || die "scripts/matrix.sh reads CPU times from /proc, which only Linux has"
need_node ""
PLATFORMS=${PLATFORMS:-android ios}
bin=${BIN:-$ROOT/dist/freeagent}
field() { "$ROOT/.bin/jsonfield" "$1"; }
[ -x "$bin" ] || die "$bin is missing: make build"

work=$(mktemp -d "${TMPDIR:-/tmp}/freeagent-matrix.XXXXXX")
# shellcheck disable=SC2086 # several flags
"$bin" up --port 0 --bus-listen 127.0.0.1:0 --data-dir "$work/data" --with-worker --ready-file "$work/ready.json" ${UP_FLAGS:-} >"$work/server.log" 2>&1 &
server=$!
end() {
  kill "$server" 2>/dev/null && wait "$server" 2>/dev/null
  [ -n "${KEEP:-}" ] && echo "kept: $work" >&2 || rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM
for _ in $(seq 300); do [ -s "$work/ready.json" ] && break; kill -0 "$server" 2>/dev/null || break; sleep 0.1; done
[ -s "$work/ready.json" ] || die "the server did not start: $(tail -n 3 "$work/server.log")"
FREEAGENT_URL=$(field url <"$work/ready.json")
FREEAGENT_API_KEY_FILE=$(field key_file <"$work/ready.json")
export FREEAGENT_URL FREEAGENT_API_KEY_FILE

# cpu prints the CPU seconds of the server and of all that it has waited for, in hundredths.
cpu() { sed 's/.*) //' "/proc/$server/stat" | awk '{ print $12 + $13 + $14 + $15 }'; }

# app DIR: the directory to submit: the one of a workspace that depends on expo or react-native.
app() {
  local p
  for p in "$1" "$1"/app "$1"/apps/* "$1"/packages/*; do
    if grep -qs '"\(expo\|react-native\)": *"' "$p/package.json"; then echo "$p"; return; fi
  done
  echo "$1"
}

# build DIR PLATFORM: prints state|bytes|wall seconds|CPU seconds|error
build() {
  local begin ends before after state
  begin=$(date +%s%N) before=$(cpu)
  "$bin" submit "$1" --platform "$2" --follow --json ${PROFILE:+--profile "$PROFILE"} >"$work/out.json" 2>"$work/out.log" || true
  ends=$(date +%s%N) after=$(cpu)
  cp "$work/out.log" "$work/$(basename "$3").$2.$4.log"
  state=$(node -e '
    const text = require("fs").readFileSync(process.argv[1], "utf8"), docs = [];
    let depth = 0, from = 0, quoted = false;
    for (let i = 0; i < text.length; i++) {
      const c = text[i];
      if (quoted) { if (c === "\\") i++; else if (c === "\"") quoted = false; continue; }
      if (c === "\"") quoted = true;
      if (c === "{") { if (depth++ === 0) from = i; }
      if (c === "}" && --depth === 0) docs.push(JSON.parse(text.slice(from, i + 1)));
    }
    const b = docs.pop() || {};
    console.log([b.status || "not submitted", b.result ? b.result.size : "", (b.error || "").replace(/[|\n]/g, " ").slice(0, 200)].join("|"));
  ' "$work/out.json")
  [ "${state%%|*}" != "not submitted" ] || state="not submitted||$(tail -n 1 "$work/out.log" | tr '|' ' ' | cut -c1-200)"
  echo "$state|$(awk "BEGIN { printf \"%.1f\", ($ends - $begin) / 1e9 }")|$(awk "BEGIN { printf \"%.1f\", ($after - $before) / 100 }")"
}

ratio() { awk "BEGIN { printf \"%.1f\", $1 / ($2 + 0.01) }"; }

# source_of APP: a file that the bundle has for sure.
source_of() {
  local f
  for f in App.js App.tsx index.js index.ts app/index.tsx app/_layout.tsx "app/(tabs)/index.tsx" src/app/index.tsx src/app/_layout.tsx; do
    if [ -f "$1/$f" ]; then echo "$1/$f"; return; fi
  done
  die "no source of $1 is known"
}

# changed DIR PLATFORM: a build with a line more, which is taken back.
changed() {
  local file ends
  file=$(source_of "$(app "$1")")
  cp -p "$file" "$work/unchanged"
  echo 'globalThis.changedLine = 1;' >>"$file"
  ends=$(build "$(app "$1")" "$2" "$1" 3)
  cp -p "$work/unchanged" "$file"
  echo "$ends"
}

printf '| project | platform | result | MB | first: s | CPU s | second: s | CPU s | ratio of CPU | changed: s | CPU s | ratio |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n'
for dir in "$@"; do
  for platform in $PLATFORMS; do
    IFS='|' read -r state size error wall1 cpu1 <<<"$(build "$(app "$dir")" "$platform" "$dir" 1)"
    IFS='|' read -r state2 _ error2 wall2 cpu2 <<<"$(build "$(app "$dir")" "$platform" "$dir" 2)"
    IFS='|' read -r state3 _ error3 wall3 cpu3 <<<"$(changed "$dir" "$platform")"
    [ "$state" = "$state2" ] || state="$state, then $state2: $error2"
    [ "$state" = "$state3" ] || state="$state, changed $state3: $error3"
    [ -z "$error" ] || state="$state: $error"
    printf '| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n' "$(basename "$dir")" "$platform" "$state" \
      "$(awk "BEGIN { printf \"%.1f\", ${size:-0} / 1e6 }")" "$wall1" "$cpu1" "$wall2" "$cpu2" "$(ratio "$cpu1" "$cpu2")" "$wall3" "$cpu3" "$(ratio "$cpu1" "$cpu3")"
  done
done
