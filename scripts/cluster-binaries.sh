#!/usr/bin/env bash
# Builds what a cluster of plain processes needs into .bin/cluster, or into the directory named: our programs, nats-server
# with its configuration, and an S3 server. Prints the directory of PostgreSQL's programs.
#   TAGS=chaos_broken_fence   Go build tags of the services, with which the chaos checker is shown a broken one
#   S3=minio                  builds MinIO besides (several minutes, once)
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_go
postgres=$("$ROOT/scripts/need-postgres.sh")
export GOWORK=off
to=${1:-$ROOT/.bin/cluster}
mkdir -p "$to" && to=$(cd "$to" && pwd)

MINIO=v0.0.0-20260212201848-7aac2a2c5b7c # the last release of its community edition, as a module

# isolation: Linux and root give each process a network of its own, if ip is there.
isolation() {
  [ "$(uname -s)" = Linux ] && [ "$(id -u)" = 0 ] || return 0
  command -v ip >/dev/null 2>&1 && return 0
  if command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iproute2 && return 0
  fi
  echo "ip is missing (Debian: apt-get install iproute2): processes share one network, and none can be cut off" >&2
}

build() {
  local module=$1 tags=$2
  shift 2
  (cd "$ROOT/$module" && go build -tags "$tags" -o "$to/" "$@")
}

isolation >&2
cp "$ROOT"/deployments/nats/*.conf "$to/"
for service in ingest scheduler monitor artifact; do build "services/$service" "${TAGS:-}" "./cmd/$service"; done
build services/standalone "" ./cmd/freeagent
build e2e "" ./cmd/... github.com/nats-io/nats-server/v2 github.com/versity/versitygw/cmd/versitygw
if [ "${S3:-}" = minio ] && [ ! -x "$to/minio" ]; then
  echo "building MinIO (once; several minutes)" >&2
  GOBIN=$to go install "github.com/minio/minio@$MINIO"
fi
echo "$postgres"
