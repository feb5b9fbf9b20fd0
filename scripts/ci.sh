#!/usr/bin/env bash
# What a machine runs for each change, from a clean clone: check, every test once with the race detector and coverage, the
# demo's path with the fake executor. Installs what is missing where it may. Every step runs, also after one failed; the
# last line is `N passed, N failed` of the tests, where a failed step counts as one failed more.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

# The HTTP API v1 conformance suite, where it stands beside the clone: both tiers, against a standalone and against the
# services as processes of their own.
CONFORMANCE_DIR=$ROOT/../shared/conformance
# What the original controller itself wrote: the import is tried with it where it is at hand.
LEGACY_DIR=$ROOT/../shared/fixtures/original-controller
[ ! -d "$LEGACY_DIR" ] || export FREEAGENT_LEGACY=$LEGACY_DIR
# eas.json files and trees of ignore files with what Expo's own tools say of them; a part of them is in testdata.
EAS_DIR=$ROOT/../shared/corpus/eas-json
[ ! -d "$EAS_DIR" ] || export FREEAGENT_EAS_CORPUS=$EAS_DIR

OUT=$ROOT/.cache/ci
rm -rf "$OUT"
mkdir -p "$OUT"
steps_failed=0

heading() { printf '\n==== [%4d s] %s\n' "$SECONDS" "$*"; }

# step TITLE COMMAND...
step() {
  local title=$1 began=$SECONDS
  shift
  heading "$title"
  if ("$@"); then
    printf '==== %s: ok, %d s\n' "$title" $((SECONDS - began))
  else
    printf '==== %s: FAILED, %d s\n' "$title" $((SECONDS - began))
    return 1
  fi
}

# must is a step that is not itself a run of tests.
must() { step "$@" || steps_failed=$((steps_failed + 1)); }

# bring installs a Debian package when the command is missing and we may.
bring() {
  local command=$1 packages=$2
  command -v "$command" >/dev/null 2>&1 && return
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    die "$command is missing: sudo apt-get install -y $packages"
  fi
  # shellcheck disable=SC2086 # a list of words
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages
}

prepare() {
  need_go
  # The C compiler is for the race detector, the browser for the tests of the pages.
  bring git git && bring make make && bring "$(go env CC)" "gcc libc6-dev" && bring npm "nodejs npm" && scripts/need-postgres.sh && bring chromium chromium && go version
}

tests() { make --no-print-directory tests-ci; }

# conformance runs the v1 suite against a server of its own.
conformance() (
  make --no-print-directory dist/freeagent || exit 1
  work=$(mktemp -d "${TMPDIR:-/tmp}/freeagent-conformance.XXXXXX")
  dist/freeagent up --port 0 --data-dir "$work/data" --ready-file "$work/ready.json" >"$work/server.log" 2>&1 &
  server=$!
  trap 'kill -TERM $server 2>/dev/null; wait $server || true; rm -rf "$work"' EXIT
  deadline=$((SECONDS + 30))
  until [ -s "$work/ready.json" ]; do
    if ! kill -0 $server 2>/dev/null || [ $SECONDS -ge $deadline ]; then
      cat "$work/server.log" >&2
      die "the server did not get ready"
    fi
    sleep 0.1
  done
  BASE_URL=$(.bin/jsonfield url <"$work/ready.json")
  API_KEY=$(cat "$(.bin/jsonfield key_file <"$work/ready.json")")
  export BASE_URL API_KEY STRICT=1
  # A copy: the suite's folder may be read-only.
  cp -R "$CONFORMANCE_DIR" "$work/suite"
  (cd "$work/suite" && { GOWORK=off GOFLAGS="-trimpath -mod=mod" go test -json -count=1 ./... || printf '{"Action":"module-fail","Package":"conformance"}\n'; }) |
    .bin/testsum -totals "$OUT/conformance"
)

# conformance_distributed has a test of ours start the services and run the suite against them.
conformance_distributed() (
  FREEAGENT_PG_BIN=$(scripts/need-postgres.sh)
  export FREEAGENT_PG_BIN FREEAGENT_CONFORMANCE=$CONFORMANCE_DIR GOWORK=off
  cd services/standalone && go test -count=1 -timeout=5m -run 'TestDistributedConformance' -v . | grep -v '^time='
)

# closing adds the totals up and prints the last line.
closing() {
  cat .cache/test/totals .cache/test-deployments/totals .cache/test/e2e .cache/test/projects "$OUT/conformance" 2>/dev/null |
    awk -v more="$steps_failed" '
      { for (i = 1; i < NF; i++) { n = $i; what = $(i + 1); sub(/,/, "", what); sum[what] += n } }
      END {
        line = sprintf("%d passed, %d failed", sum["passed"], sum["failed"] + more)
        if (sum["skipped"]) line = line sprintf(", %d skipped", sum["skipped"])
        print line
        exit (sum["failed"] + more > 0 || sum["passed"] == 0)
      }'
}

rm -f .cache/test/totals .cache/test-deployments/totals .cache/test/e2e .cache/test/projects
must "what this machine needs" prepare
must "make check" make --no-print-directory check
step "tests, with race detector and coverage" tests || [ -s .cache/test/totals ] || steps_failed=$((steps_failed + 1))
step "chart, compose files, images and units" make --no-print-directory test-deployments || [ -s .cache/test-deployments/totals ] || steps_failed=$((steps_failed + 1))
step "e2e: a cluster of processes, a rolling restart, a region, a storm" scripts/chaos.sh test || [ -s .cache/test/e2e ] || steps_failed=$((steps_failed + 1))
must "make demo EXECUTOR=fake" make --no-print-directory demo EXECUTOR=fake
step "real apps: npm, workspaces, pnpm, each built twice" make --no-print-directory projects || [ -s .cache/test/projects ] || steps_failed=$((steps_failed + 1))
if [ -d "$CONFORMANCE_DIR" ]; then
  step "API v1 conformance, standalone" conformance || [ -s "$OUT/conformance" ] || steps_failed=$((steps_failed + 1))
  must "API v1 conformance, services on PostgreSQL" conformance_distributed
fi
heading "done"
closing
