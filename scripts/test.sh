#!/usr/bin/env bash
# Runs every module's tests as the module stands alone (GOWORK=off), in random order, over real parts, and sums them up.
#   -race    with the race detector
#   -cover   with coverage: printed for each module, with a page in coverage/index.html
# Other arguments go to go test (-run, -count, ...). Tests of one module that is all you want: TEST_MODULES="shared".
# The closing line `N passed, N failed` is also left in .cache/test/totals (TEST_OUT: another folder).
set -euo pipefail
. "$(dirname "$0")/lib.sh"

PREFIX=github.com/expo-free-agent/freeagent/
OUT=$ROOT/${TEST_OUT:-.cache/test}
# The checks of deployment files compile Helm, Compose and BuildKit: they have a target of their own, which CI runs besides.
MODULES=${TEST_MODULES:-"$(modules | grep -v '^deployments$' | tr '\n' ' ')tools"}

cover=no
flags=(-shuffle=on -timeout=30m)
for arg in "$@"; do
  case $arg in
    -cover) cover=yes ;;
    -race)
      command -v "$(go env CC)" >/dev/null 2>&1 ||
        die "the race detector needs a C compiler: sudo apt-get install -y gcc libc6-dev (macOS: xcode-select --install)"
      export CGO_ENABLED=1
      flags+=(-race)
      ;;
    *) flags+=("$arg") ;;
  esac
done

need_go
need_node ""
FREEAGENT_PG_BIN=$("$ROOT/scripts/need-postgres.sh")
export FREEAGENT_PG_BIN GOWORK=off
rm -rf "$OUT"
mkdir -p "$OUT"

# test_module MODULE prints go test's events. What fails is in the events; what fails before any event we add.
test_module() {
  local module=$1 extra=()
  if [ "$cover" = yes ]; then
    # A module's tests run code of the modules below it too, and that counts.
    extra=(-covermode=atomic "-coverpkg=${PREFIX}..." "-coverprofile=$OUT/$(echo "$module" | tr / -).cover")
  fi
  cd "$ROOT/$module"
  go test -json "${flags[@]}" ${extra[@]+"${extra[@]}"} ./... ||
    printf '{"Action":"module-fail","Package":"%s"}\n' "$PREFIX$module"
}

test_all() {
  local module
  for module in $MODULES; do
    if has_packages "$module"; then
      (test_module "$module")
    fi
  done
}

# coverage sums the profiles up; the page is made in the workspace, where every module's files are found.
coverage() {
  local profiles=("$OUT"/*.cover)
  [ -e "${profiles[0]}" ] || return 0
  # shellcheck disable=SC2086 # a list of words
  "$ROOT/.bin/covsum" -prefix "$PREFIX" -modules "$(modules | tr '\n' ' ')" "${profiles[@]}"
  mkdir -p "$ROOT/coverage"
  { echo "mode: atomic" && grep -hv '^mode:' "${profiles[@]}" | grep -v -e '\.pb\.go:' -e "^${PREFIX}tools/"; } >"$OUT/all.cover"
  (cd "$ROOT" && GOWORK="$ROOT/go.work" go tool cover -html "$OUT/all.cover" -o coverage/index.html) || true
}

failed=0
test_all | "$ROOT/.bin/testsum" -totals "$OUT/totals" || failed=1
if [ "$cover" = yes ]; then coverage; fi
exit $failed
