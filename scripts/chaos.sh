#!/usr/bin/env bash
# Runs a distributed installation as plain processes of this machine, and breaks it.
#   chaos.sh run [ARGS...]     freeagent-chaos: builds while processes are killed, paused, restarted and cut off
#   chaos.sh cluster [ARGS...] freeagent-cluster: the installation alone, until Ctrl-C
#   chaos.sh failover          a script of one fault for each part, one after the other
#   chaos.sh selftest          shows that the checker catches a broken build
#   chaos.sh throughput        fake builds with one and with three processes of each service
#   chaos.sh conformance DIR   a suite of API v1 (BASE_URL, API_KEY) against the installation, S3=minio for one with MinIO
#   chaos.sh test [ARGS...]    the tests of e2e, a storm among them; ARGS go to go test
set -euo pipefail
. "$(dirname "$0")/lib.sh"
BIN=${BIN:-$ROOT/.bin/cluster} # where the programs are

binaries() { FREEAGENT_PG_BIN=$(TAGS=${2:-} "$ROOT/scripts/cluster-binaries.sh" "${1:-$BIN}") && export FREEAGENT_PG_BIN; }

# caught TAG ARGS...: a build with that tag breaks a promise within the run, and the checker says so.
caught() {
  local tag=$1 bin=$BIN-$1 out
  shift
  out=$(mktemp)
  binaries "$bin" "$tag"
  echo "-- $tag: a broken build, which has to be caught"
  if "$bin/freeagent-chaos" -bin "$bin" -forget "$@" >"$out" 2>&1; then
    cat "$out"
    rm -f "$out"
    die "$tag was not caught: the checker cannot fail"
  fi
  # Some other error than a broken promise shows nothing.
  grep -q 'promises were broken' "$out" || { cat "$out"; die "$tag: the run itself failed"; }
  grep -A 4 'broken promises;' "$out"
  rm -f "$out"
  echo "-- $tag: caught"
}

# Workers that are paused longer than their leases come back while another is at their build, and say that they are done.
selftest() {
  caught chaos_broken_fence -builds 24 -for 40s -workers 3 -slots 2 -fake "slow=3s,lines=10" -settle 60s -seed 1 \
    -script pause:worker-1:10s,pause:worker-2:10s,pause:worker-3:10s
}

# One fault each, long enough to be noticed and short enough that what is away is only away.
FAILOVERS=kill:nats-leader:5s,kill:events-leader:5s,kill:queue-leader:5s,restart:nats:2s,pause:nats-leader:5s,kill:all-nats:2s
FAILOVERS+=,kill:postgres:2s,restart:postgres:1s,kill:s3:2s,restart:s3:1s
FAILOVERS+=,kill:scheduler:5s,restart:scheduler:1s,kill:monitor:5s,restart:monitor:1s,kill:artifact:5s,restart:artifact:1s
FAILOVERS+=,kill:ingest:5s,restart:ingest:1s,kill:worker:5s

case ${1:-} in
  failover)
    shift
    binaries
    exec "$BIN/freeagent-chaos" -bin "$BIN" -script "$FAILOVERS" -faults 19 -for 7m -builds 420 "$@"
    ;;
  run)
    shift
    binaries
    exec "$BIN/freeagent-chaos" -bin "$BIN" "$@"
    ;;
  cluster)
    shift
    binaries
    exec "$BIN/freeagent-cluster" -bin "$BIN" "$@"
    ;;
  selftest) selftest ;;
  throughput)
    binaries
    for replicas in 1 3; do
      echo "-- $replicas of each service"
      "$BIN/freeagent-chaos" -bin "$BIN" -replicas $replicas -faults 0 -cancelled 0 -isolate=false -tls=false -builds 600 -clients 16 \
        -for 1ms -workers 4 -slots 16 -fake slow=1ms,lines=1 -seed 1 2>/dev/null
    done
    ;;
  conformance)
    binaries
    suite=$(mktemp -d)
    trap 'rm -rf "$suite"' EXIT
    cp -R "${2:?the directory of the suite}/." "$suite" # it may be read-only
    # shellcheck disable=SC2016 # for the inner shell
    "$BIN/freeagent-cluster" -bin "$BIN" -port 0 -workers 0 -s3 "${S3:-versitygw}" sh -c \
      'cd "$0" && BASE_URL=$FREEAGENT_URL API_KEY=$FREEAGENT_API_KEY STRICT=1 GOWORK=off GOFLAGS="-trimpath -mod=mod" go test -json -count=1 ./...' "$suite" |
      "$ROOT/.bin/testsum"
    ;;
  test)
    binaries
    export FREEAGENT_CLUSTER_BIN=$BIN GOWORK=off
    mkdir -p "$ROOT/.cache/test"
    # One package after the other: two clusters at once would only be slow.
    { (cd "$ROOT/e2e" && go test -json -p 1 -count=1 -timeout=20m -tags e2e "${@:2}" ./...) || echo '{"Action":"module-fail","Package":"e2e"}'; } |
      "$ROOT/.bin/testsum" -totals "$ROOT/.cache/test/e2e"
    ;;
  *) die "usage: chaos.sh run|cluster|failover|selftest|throughput|conformance|test [ARGS...]" ;;
esac
