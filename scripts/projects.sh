#!/usr/bin/env bash
# Builds the example app twice in each layout: npm, an npm workspace and a pnpm workspace, with a profile of eas.json, hooks, and a package of the
# workspace. The bundle must have the profile's variable and the package's code, and the second build the install of the first. What npm's
# registry sends is kept in REGISTRY_CACHE for the next run. The last line is "N passed, N failed", which is also left in .cache/test/projects.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
need_node ""
bin=${BIN:-$ROOT/dist/freeagent}
[ -x "$bin" ] || die "$bin is missing: make build"
REGISTRY_CACHE=${REGISTRY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/freeagent/registry}
field() { "$ROOT/.bin/jsonfield" "$1"; }

work=$(mktemp -d "${TMPDIR:-/tmp}/freeagent-projects.XXXXXX")
pids=()
end() {
  local pid
  for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap end EXIT
trap 'exit 130' INT TERM

# await FILE PID: the process wrote the file.
await() {
  local deadline=$((SECONDS + 30))
  until [ -s "$1" ]; do
    kill -0 "$2" 2>/dev/null && [ $SECONDS -lt $deadline ] || die "$1 was not written"
    sleep 0.1
  done
}

"$ROOT/.bin/registrycache" -dir "$REGISTRY_CACHE" -ready "$work/registry" -upstream "$(npm config get registry)" &
pids+=($!)
await "$work/registry" $!
npm_config_registry=$(cat "$work/registry")
export npm_config_registry npm_config_audit=false npm_config_fund=false
"$bin" up --port 0 --bus-listen 127.0.0.1:0 --data-dir "$work/data" --with-worker --ready-file "$work/ready.json" >"$work/server.log" 2>&1 &
pids+=($!)
await "$work/ready.json" $!
FREEAGENT_URL=$(field url <"$work/ready.json")
FREEAGENT_API_KEY_FILE=$(field key_file <"$work/ready.json")
export FREEAGENT_URL FREEAGENT_API_KEY_FILE

# app DIR: the example without freeagent.json, with a profile and a hook.
app() {
  mkdir -p "$1"
  (cd "$ROOT/examples/hello-expo" && cp -R app.json assets index.js package.json src "$1")
  cat >"$1/eas.json" <<'JSON'
{ "build": { "base": { "env": { "EXPO_PUBLIC_FLAVOR": "flavour of base" } }, "preview": { "extends": "base", "env": { "EXPO_PUBLIC_FLAVOR": "flavour of preview" } } } }
JSON
  echo 'globalThis.flavour = process.env.EXPO_PUBLIC_FLAVOR;' >>"$1/index.js"
  edit "$1/package.json" 'p.scripts["eas-build-post-install"] = "echo the hook of $EAS_BUILD_PROFILE ran"'
}

# edit FILE EXPRESSION over p, its JSON.
edit() { node -e 'const fs = require("fs"), f = process.argv[1], p = JSON.parse(fs.readFileSync(f)); eval(process.argv[2]); fs.writeFileSync(f, JSON.stringify(p, null, 2) + "\n")' "$1" "$2"; }

commit() { (cd "$1" && printf 'node_modules\n' >.gitignore && git init -q && git add -A && git -c user.name=t -c user.email=t@example.com -c commit.gpgsign=false commit -qm first); }

npm_app() {
  app "$1"
  cp "$ROOT/examples/hello-expo/package-lock.json" "$1"
  commit "$1"
}

# workspace DIR: the app in apps/hello, a package beside it that the app imports.
workspace() {
  app "$1/apps/hello"
  mkdir -p "$1/packages/marker"
  echo '{ "name": "@hello/marker", "version": "1.0.0", "private": true, "main": "index.js" }' >"$1/packages/marker/package.json"
  echo 'export const marker = "code of the package";' >"$1/packages/marker/index.js"
  echo 'import { marker } from "@hello/marker"; globalThis.marker = marker;' >>"$1/apps/hello/index.js"
  echo '{ "name": "hello", "private": true, "workspaces": ["apps/*", "packages/*"] }' >"$1/package.json"
}

npm_workspace() {
  workspace "$1"
  edit "$1/apps/hello/package.json" 'p.dependencies["@hello/marker"] = "*"'
  cp "$ROOT/examples/hello-expo/package-lock.json" "$1"
  edit "$1/package-lock.json" '
    const own = p.packages[""], at = JSON.parse(fs.readFileSync(require("path").dirname(f) + "/apps/hello/package.json"));
    p.name = "hello"; delete p.version;
    p.packages[""] = { name: "hello", workspaces: ["apps/*", "packages/*"] };
    p.packages["apps/hello"] = { ...own, dependencies: at.dependencies };
    p.packages["node_modules/hello-expo"] = { resolved: "apps/hello", link: true };
    p.packages["packages/marker"] = { name: "@hello/marker", version: "1.0.0" };
    p.packages["node_modules/@hello/marker"] = { resolved: "packages/marker", link: true };'
  commit "$1"
}

pnpm_workspace() {
  workspace "$1"
  edit "$1/apps/hello/package.json" 'p.dependencies["@hello/marker"] = "workspace:*"'
  edit "$1/package.json" 'p.packageManager = "pnpm@9.15.9"; delete p.workspaces'
  printf 'packages: ["apps/*", "packages/*"]\n' >"$1/pnpm-workspace.yaml"
  printf 'node-linker=hoisted\n' >"$1/.npmrc"
  (cd "$1" && npm exec --yes -- pnpm@9.15.9 install --lockfile-only --ignore-scripts >"$work/pnpm.log" 2>&1) || die "$(tail -n 3 "$work/pnpm.log")"
  commit "$1"
}

passed=0 failed=0
check() { # TITLE COMMAND...
  local title=$1
  shift
  if "$@"; then passed=$((passed + 1)); else
    failed=$((failed + 1))
    echo "FAILED: $title" >&2
  fi
}

# build NAME APP N: submits, follows, downloads and unpacks.
build() {
  "$bin" submit "$2" --platform android --profile preview --follow --json >"$work/$1.$3.json" 2>"$work/$1.$3.log" || { tail -n 20 "$work/$1.$3.log" >&2; return 1; }
  "$bin" download "$(sed -n 's/.*"id": *"\([^"]*\)".*/\1/p' "$work/$1.$3.json" | head -n 1)" -o "$work/$1.$3.tgz" >/dev/null &&
    mkdir "$work/$1.$3" && tar xzf "$work/$1.$3.tgz" -C "$work/$1.$3"
}
bundle_has() { grep -raqF "$2" --include='*.hbc' "$work/$1"; }
log_has() { grep -qF "$2" "$work/$1.log"; }

for layout in npm_app npm_workspace pnpm_workspace; do
  began=$SECONDS dir=$work/$layout.src
  "$layout" "$dir"
  at=$dir
  [ ! -d "$dir/apps" ] || at=$dir/apps/hello
  for n in 1 2; do
    check "$layout: build $n" build "$layout" "$at" "$n"
    check "$layout: build $n has the variable of its profile" bundle_has "$layout.$n" "flavour of preview"
    check "$layout: the hook of build $n" log_has "$layout.$n" "the hook of preview ran"
    [ "$layout" = npm_app ] || check "$layout: build $n has the package of its workspace" bundle_has "$layout.$n" "code of the package"
  done
  check "$layout: the second install is from the cache" log_has "$layout.2" "install from the cache"
  printf '%s: %d s\n' "$layout" $((SECONDS - began))
done
mkdir -p "$ROOT/.cache/test"
printf '%d passed, %d failed\n' "$passed" "$failed" | tee "$ROOT/.cache/test/projects"
[ "$failed" = 0 ]
