#!/usr/bin/env bash
# Generates Go and the AsyncAPI document from the contracts, with the pinned buf and plugins. With -verify it works on a copy and fails if the
# committed files differ, so it needs no clean work tree and changes nothing.
set -euo pipefail
. "$(dirname "$0")/lib.sh"

export PATH="$ROOT/.bin:$PATH" BUF_CACHE_DIR="$ROOT/.cache/buf"

if [ "${1:-}" != -verify ]; then
  cd "$ROOT/proto-events"
  buf generate
  exit
fi

copy=$(mktemp -d "${TMPDIR:-/tmp}/freeagent-generate.XXXXXX")
trap 'rm -rf "$copy"' EXIT
cp -R "$ROOT/proto-events/." "$copy"
find "$copy" \( -name '*.pb.go' -o -name asyncapi.yaml \) -exec rm {} +
(cd "$copy" && buf generate)
diff -r "$ROOT/proto-events" "$copy" || die "generated code differs from its source: run make generate and commit the result"
