#!/usr/bin/env bash
# Builds each project below a directory on a farm of its own and prints what its build says, as a table. The projects are broken in one typical way
# each; the table shows whether the line names the cause. Usage: scripts/broken-projects.sh DIRECTORY. It needs dist/freeagent, git, Node and the
# npm registry.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
projects=$(cd "${1:?usage: $0 DIRECTORY}" && pwd)
work=$(mktemp -d "${TMPDIR:-/tmp}/broken.XXXXXX")
farm=
end() {
  [ -z "$farm" ] || { kill "$farm" && wait "$farm"; } 2>/dev/null || true
  rm -rf "$work"
}
trap end EXIT
"$ROOT/dist/freeagent" up --with-worker --data-dir "$work/data" --port 0 --drain-timeout 1s --ready-file "$work/ready" >"$work/log" 2>&1 &
farm=$!
until [ -s "$work/ready" ]; do
  kill -0 "$farm" 2>/dev/null || { cat "$work/log"; exit 1; }
  sleep 0.1
done
FREEAGENT_URL=$(grep -o "http://[^\" ]*" "$work/ready" | head -n 1)
export FREEAGENT_URL FREEAGENT_API_KEY_FILE=$work/data/admin.key
echo "| project | line shown |"
echo "|---|---|"
for dir in "$projects"/*/; do
  name=$(basename "$dir")
  if "$ROOT/dist/freeagent" submit "$dir" --platform android --follow >"$work/out" 2>&1; then
    line=completed
  else # a message may go on over several lines
    line=$(grep '^freeagent: ' "$work/out" | tail -n 1)
  fi
  echo "| $name | ${line//|/\\|} |"
done
