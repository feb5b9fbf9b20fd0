#!/usr/bin/env bash
# Runs the benchmarks (each.sh bench) or, one after the other, the fuzz tests (each.sh fuzz) of every module.
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

case ${1:-} in
  bench | fuzz) ;;
  *) die "usage: each.sh bench|fuzz" ;;
esac
for module in $(modules); do
  has_packages "$module" || continue
  cd "$ROOT/$module"
  "$1"
done
