#!/usr/bin/env bash
# Builds what a cluster of plain processes needs into .bin/cluster: our programs, nats-server with its
# configuration, and an S3 server.
# TAGS are Go build tags for the scheduler, with which the chaos checker is shown a broken one.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_go
export GOWORK=off CGO_ENABLED=0
to=${1:-$ROOT/.bin/cluster}
mkdir -p "$to"
for service in ingest scheduler monitor artifact; do
  (cd "$ROOT/services/$service" && go build -trimpath -tags "${TAGS:-}" -o "$to/$service" "./cmd/$service")
done
(cd "$ROOT/services/standalone" && go build -trimpath -o "$to/freeagent" ./cmd/freeagent)
cd "$ROOT/e2e"
go build -o "$to/nats-server" github.com/nats-io/nats-server/v2
go build -o "$to/versitygw" github.com/versity/versitygw/cmd/versitygw
go build -o "$to/" ./cmd/...
cp "$ROOT"/deployments/nats/*.conf "$to/"
