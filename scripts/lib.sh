# Shared by the scripts beside it: where things are, which modules there are, how to say what went wrong.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export GOTOOLCHAIN=${GOTOOLCHAIN:-local}

# One set of flags for everything that is built, so that tests and programs share their packages in Go's cache. The race detector alone
# needs a C compiler (test.sh -race).
export CGO_ENABLED=${CGO_ENABLED:-0}
case " ${GOFLAGS:-} " in *" -trimpath "*) ;; *) export GOFLAGS="-trimpath${GOFLAGS:+ $GOFLAGS}" ;; esac

# die ends the script with one sentence.
die() {
  echo "$*" >&2
  exit 1
}

# need COMMAND CURE: the command exists, or we say how to get it.
need() {
  command -v "$1" >/dev/null 2>&1 || die "$1 is missing: $2"
}

# need_go: Go is there and not older than go.work asks.
need_go() {
  local want have
  need go "install Go from https://go.dev/dl/ (macOS: brew install go)"
  want=$(awk '$1 == "go" { print $2 }' "$ROOT/go.work")
  have=$(go env GOVERSION | sed 's/^go//; s/ .*//')
  [ "$(printf '%s\n%s\n' "$want" "$have" | sort -t. -k1,1n -k2,2n -k3,3n | head -n 1)" = "$want" ] ||
    die "Go $have is too old: Free Agent needs Go $want or newer, from https://go.dev/dl/"
}

# need_node: Node 20 or newer, with npm.
need_node() {
  local hint="install Node 20 or newer from https://nodejs.org (macOS: brew install node)$1"
  need node "$hint"
  need npm "$hint"
  [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] || die "Node $(node --version) is too old: $hint"
}

# modules prints the folders of our modules, one a line: those of go.work.
modules() {
  awk '/^use \(/ { inside = 1; next } inside && /^\)/ { exit } inside { sub(/^\.\//, "", $1); print $1 }' "$ROOT/go.work"
}


# has_packages MODULE: it holds Go files (those in testdata aside).
has_packages() {
  [ -n "$(find "$ROOT/$1" -name testdata -prune -o -name '*.go' -print | head -n 1)" ]
}
