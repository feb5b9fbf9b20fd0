#!/usr/bin/env bash
# Tests one package of any module: test-one.sh PACKAGE [TEST]. PACKAGE is a path from here, such as ./services/scheduler or
# ./shared/...; TEST is a pattern of go test -run. Without a package the test is looked for in every module.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_go
package=${1:-} pattern=${2:-}
FREEAGENT_PG_BIN=$("$ROOT/scripts/need-postgres.sh")
export FREEAGENT_PG_BIN GOWORK=off

run() {
  local module=$1 path=$2
  cd "$ROOT/$module"
  go test ${pattern:+-run "$pattern"} "$path"
}

if [ -z "$package" ]; then
  for module in $(modules); do
    if grep -rqE --include='*_test.go' "^func ${pattern%%/*}" "$ROOT/$module"; then (run "$module" ./...); fi
  done
  exit
fi

package=${package#./}
package=${package%/}
for module in $(modules) tools; do
  case $package in
    "$module") run "$module" . ; exit ;;
    "$module"/*) run "$module" "./${package#"$module"/}"; exit ;;
  esac
done
die "no module holds $package: name a package from the top of the repository, such as PKG=./services/scheduler"
