#!/usr/bin/env bash
# What must hold before a change is shown to anybody. Every check runs, also after one has failed; the end names those
# that did. Takes no argument; BREAKING_AGAINST names the commit whose contracts must still be understood.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_go
export PATH="$ROOT/.bin:$PATH" BUF_CACHE_DIR="$ROOT/.cache/buf" GOWORK=off
cd "$ROOT"

formatted() {
  local bad
  bad=$(git ls-files --cached --others --exclude-standard '*.go' | xargs gofmt -l)
  [ -z "$bad" ] || { echo "not formatted: run gofmt -w on"; echo "$bad"; return 1; }
}

tidy() { go mod tidy -diff; }
builds() { go build ./... && go vet ./...; }
linted() { golangci-lint run --allow-parallel-runners --config "$ROOT/.golangci.yml" ./...; }

# every CHECK runs it in each module that has code yet.
every() {
  local module bad=0
  for module in $(modules); do
    if has_packages "$module"; then
      (cd "$module" && "$1") || { echo "^ $module"; bad=1; }
    fi
  done
  return $bad
}

scripts_build() { (cd tools && go vet ./...); }

imports() { (cd services/standalone && go test -count=1 -run '^TestImports' . && go test -count=1 ./internal/rooms); }

generated() { scripts/generate.sh -verify; }

contracts() { (cd proto-events && buf lint); }

# base prints the commit to compare contracts with: the last release, else where this branch left main, else the parent.
base() {
  local commit
  if [ -n "${BREAKING_AGAINST:-}" ]; then git rev-parse "$BREAKING_AGAINST^{commit}"; return; fi
  if commit=$(git describe --tags --abbrev=0 --match 'v*' HEAD^ 2>/dev/null); then git rev-parse "$commit^{commit}"; return; fi
  commit=$(git merge-base HEAD origin/main 2>/dev/null || true)
  if [ -n "$commit" ] && [ "$commit" != "$(git rev-parse HEAD)" ]; then echo "$commit"; return; fi
  git rev-parse -q --verify HEAD^
}

unbroken() {
  local commit old bad=0
  commit=$(base) || { echo "no earlier commit here to compare the contracts with: not checked"; return 0; }
  if ! git cat-file -e "$commit:proto-events/buf.yaml" 2>/dev/null; then
    echo "no contracts in $commit yet: nothing to compare with"
    return 0
  fi
  old=$(mktemp -d "${TMPDIR:-/tmp}/freeagent-contracts.XXXXXX")
  git archive "$commit" proto-events | tar -x -C "$old"
  (cd proto-events && buf breaking --against "$old/proto-events") || bad=1
  rm -rf "$old"
  return $bad
}

# prose checks how we write, and that the docs name files and sections that exist. Its own tests show that it can fail.
prose_is_ours() {
  (cd tools && go test -count=1 ./prose) || return 1
  git ls-files --cached --others --exclude-standard '*.md' '*.go' '*.proto' 'deployments/*' '.github/*' docker-compose.yml |
    grep -vE '^docs/(upstream|decisions)/|^docs/(glossary|settings)\.md$|\.pb\.go$|(_test|tests)\.go$|/testdata/|\.(svg|png|json)$' |
    xargs prose
}

docs_exist() {
  prose -links README.md CONTRIBUTING.md SECURITY.md CHANGELOG.md docs/*.md docs/decisions/*.md deployments/README.md \
    deployments/helm/freeagent/README.md
}

failed=""
check() {
  local name=$1 began=$SECONDS
  shift
  printf -- '-- %s\n' "$name"
  if ! ("$@"); then failed="$failed
  $name"; fi
  [ $((SECONDS - began)) -lt 10 ] || printf '   (%s s)\n' $((SECONDS - began))
}

check "Go files are formatted" formatted
check "each module builds and vets alone" every builds
check "the helpers of the scripts build" scripts_build
check "go.mod and go.sum are tidy" every tidy
check "import rules" imports
check "prose" prose_is_ours
check "docs name files and sections that exist" docs_exist
check "contracts: style" contracts
check "contracts: nothing that was promised is broken" unbroken
check "generated code is what its source says" generated
check "lint" every linted

[ -z "$failed" ] || die "check failed:$failed"
echo "check: all good"
