#!/usr/bin/env bash
# Random kills of a standalone server, seed after seed; see TestRandomKills. The last line is `N passed, N failed`.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
mkdir -p "$ROOT/.cache"
cd "$ROOT/services/standalone"
GOWORK=off go test -count=1 -timeout=3h -run 'TestRandomKills' -json . | "$ROOT/.bin/testsum" -totals "$ROOT/.cache/kills"
