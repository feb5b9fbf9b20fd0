#!/usr/bin/env bash
# In every module: the benchmarks (each.sh bench), the fuzz tests one after the other (each.sh fuzz), or the formatter
# (each.sh format).
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_go
export GOWORK=off

bench() {
  go test -run '^$' -bench . -benchmem ./...
}

fuzz() {
  local package name
  for package in $(go list ./...); do
    for name in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
      echo "== $package $name"
      go test -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-20s}" "$package"
    done
  done
}

format() {
  "$ROOT/.bin/golangci-lint" fmt --config "$ROOT/.golangci.yml" ./...
}

case ${1:-} in
  bench | fuzz | format) ;;
  *) die "usage: each.sh bench|fuzz|format" ;;
esac
for module in $(modules); do
  has_packages "$module" || continue
  cd "$ROOT/$module"
  "$1"
done
