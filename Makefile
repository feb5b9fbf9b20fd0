# The only door to this repository. `make` alone lists what there is. The work is done by the scripts in scripts/.
# Kept to what GNU make 3.81 knows (the one that comes with macOS).

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
PREFIX  := github.com/expo-free-agent/freeagent
LDFLAGS := -s -w -X $(PREFIX)/shared/version.Version=$(VERSION)
GOBUILD  = GOWORK=off go build -ldflags '$(LDFLAGS)'
TOOLS   := .bin/.tools
HELPERS := .bin/.helpers

# What a user may set on the command line.
EXECUTOR ?= shell
FUZZTIME ?= 20s
ARGS     ?=
# Of `make cluster` and `make chaos`.
PORT     ?= 3000
REPLICAS ?= 2
WORKERS  ?= 4
BUILDS   ?= 100
FOR      ?= 2m
FAULTS   ?= 1000
SEED     ?=
SCRIPT   ?=
S3       ?= versitygw
export S3
IMAGES   ?= freeagent
PUSH     ?=
REPORT   ?=
# Of `make test`.
PKG      ?=
RUN      ?=

GOTOOLCHAIN ?= local
export GOTOOLCHAIN
# One set of flags for programs and tests (see scripts/lib.sh).
CGO_ENABLED ?= 0
GOFLAGS     ?= -trimpath
export CGO_ENABLED GOFLAGS

.PHONY: help check cluster chaos failover kills chaos-selftest soak test-e2e fmt test test-deployments release-check tests-ci projects broken-projects matrix race cover bench fuzz generate verify build images run demo clean tools

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

check: $(TOOLS) $(HELPERS) ## format, lint, prose, import rules, generated code unchanged, each module builds alone
	@scripts/check.sh

fmt: $(TOOLS) ## format what is ours
	@scripts/each.sh format

test: $(HELPERS) ## every test over real parts; PKG=./services/scheduler RUN=TestX tests one package, or one test of it
	@$(if $(PKG)$(RUN),scripts/test-one.sh "$(PKG)" "$(RUN)",scripts/test.sh)

test-deployments: $(HELPERS) ## check chart, compose files, images and units with the libraries of Helm, Compose and BuildKit
	@TEST_MODULES=deployments TEST_OUT=.cache/test-deployments scripts/test.sh

race: $(HELPERS) ## the same with the race detector (needs a C compiler)
	@scripts/test.sh -race

cover: $(HELPERS) ## the same with coverage for each module; the page is coverage/index.html
	@scripts/test.sh -cover

tests-ci: $(HELPERS)
	@scripts/test.sh -race -cover

bench: ## the benchmarks of every module
	@scripts/each.sh bench

fuzz: ## every fuzz test for FUZZTIME (20s)
	@FUZZTIME=$(FUZZTIME) scripts/each.sh fuzz

generate: $(TOOLS) ## generate Go from the contracts in proto-events
	@scripts/generate.sh

verify: $(TOOLS) ## fail if generated code differs from its source
	@scripts/generate.sh -verify

build: ## dist/freeagent and one small binary for each service
	@mkdir -p dist
	cd services/standalone && $(GOBUILD) -o ../../dist/freeagent ./cmd/freeagent
	cd services/ingest && $(GOBUILD) -o ../../dist/freeagent-ingest ./cmd/ingest
	cd services/scheduler && $(GOBUILD) -o ../../dist/freeagent-scheduler ./cmd/scheduler
	cd services/monitor && $(GOBUILD) -o ../../dist/freeagent-monitor ./cmd/monitor
	cd services/artifact && $(GOBUILD) -o ../../dist/freeagent-artifact ./cmd/artifact

images: ## every container image, as IMAGES/<name>:VERSION; with PUSH=1 they are pushed; needs Docker
	@for name in ingest scheduler monitor artifact freeagent worker; do \
	  docker build -f deployments/images/Dockerfile --target $$name --build-arg VERSION=$(VERSION) -t $(IMAGES)/$$name:$(VERSION) . || exit 1; \
	  [ -z "$(PUSH)" ] || docker push $(IMAGES)/$$name:$(VERSION) || exit 1; \
	done

dist/freeagent: FORCE
	@mkdir -p dist
	@cd services/standalone && $(GOBUILD) -o ../../dist/freeagent ./cmd/freeagent

run: dist/freeagent ## start everything here with a worker, data in .cache/run; ARGS="--port 3000" and the like
	dist/freeagent up --data-dir .cache/run --with-worker $(ARGS)

demo: $(HELPERS) ## build the example app for real, from submit to download; EXECUTOR=fake needs no Node
	@EXECUTOR=$(EXECUTOR) scripts/demo.sh

cluster: ## a distributed installation as processes of this machine; PORT, REPLICAS, WORKERS, S3=minio
	@scripts/chaos.sh cluster -port $(PORT) -replicas $(REPLICAS) -workers $(WORKERS) -s3 $(S3) $(ARGS)

chaos: ## break such an installation while it builds, and check it; BUILDS, FOR, FAULTS, SEED, WORKERS, REPLICAS, SCRIPT
	@scripts/chaos.sh run -builds $(BUILDS) -for $(FOR) -faults $(FAULTS) -workers $(WORKERS) -replicas $(REPLICAS) -s3 $(S3) \
		$(if $(SEED),-seed $(SEED)) $(if $(SCRIPT),-script $(SCRIPT)) $(ARGS)

failover: ## how long clients are not served when each part dies
	@scripts/chaos.sh failover

kills: ## kill a standalone server at random moments, RUNS (20) times from SEED (1) on, 45 kills and 200 builds each
	@FREEAGENT_PG_BIN=$$(scripts/need-postgres.sh) FREEAGENT_KILL_RUNS=$(or $(RUNS),20) FREEAGENT_KILL_SEED=$(or $(SEED),1) \
		FREEAGENT_KILL_BUILDS=200 FREEAGENT_KILL_KILLS=45 scripts/kills.sh

projects: dist/freeagent $(HELPERS) ## build the example app twice as npm app, npm and pnpm workspace (needs Node, the npm registry)
	@scripts/projects.sh

broken-projects: dist/freeagent ## build each project below PROJECTS and print what its build says, as in docs/errors.md (needs Node, the npm registry)
	@scripts/broken-projects.sh "$(PROJECTS)"

matrix: dist/freeagent $(HELPERS) ## build each project below PROJECTS twice and print results, sizes, times and CPU (Linux; needs Node, the npm registry)
	@scripts/matrix.sh $(wildcard $(PROJECTS)/*/)

chaos-selftest: ## show that the checker catches a scheduler that is broken on purpose
	@scripts/chaos.sh selftest

soak: dist/freeagent ## a standalone server under a steady mixed load for FOR (30m): memory, goroutines and files stay flat (Linux); REPORT=file
	@mkdir -p .bin/cluster && cd e2e && GOWORK=off go build -o ../.bin/cluster/ ./cmd/freeagent-soak
	@.bin/cluster/freeagent-soak -bin dist/freeagent -for $(if $(filter command line environment,$(origin FOR)),$(FOR),30m) \
		$(if $(REPORT),-report $(REPORT)) $(ARGS)

test-e2e: $(HELPERS) ## tests over such an installation, a storm of a minute among them, and the self-test of the checker
	@scripts/chaos.sh test
	@scripts/chaos.sh selftest

release-check: ## check .goreleaser.yaml and build a snapshot of every platform into dist/release; needs goreleaser
	@command -v goreleaser >/dev/null || { echo "goreleaser is missing: go install github.com/goreleaser/goreleaser/v2@v2.15.0"; exit 1; }
	goreleaser check
	GOFLAGS= goreleaser release --snapshot --clean

clean: ## remove what was built; keeps the tools and PostgreSQL in .bin and .cache
	rm -rf dist coverage .bin/cluster-chaos_broken_fence .cache/test .cache/run examples/hello-expo/dist
	rm -f .bin/testsum .bin/covsum .bin/jsonfield .bin/prose $(HELPERS)

tools: $(TOOLS) ## install the pinned tools into .bin (a few minutes, once)

# The pinned tools: built once for each change of tools/go.mod.
$(TOOLS): tools/go.mod tools/go.sum $(wildcard tools/protoc-gen-*/*.go)
	@echo "building the pinned tools into .bin (once; a few minutes)"
	@mkdir -p .bin
	@cd tools && CGO_ENABLED=0 GOWORK=off GOBIN="$(CURDIR)/.bin" go install tool ./protoc-gen-natsrpc ./protoc-gen-asyncapi
	@touch $@

# Our own small helpers of the scripts: standard library only, a second to build.
$(HELPERS): tools/go.mod tools/testsum/main.go tools/testsum/summary.go tools/covsum/main.go tools/jsonfield/main.go \
		tools/registrycache/main.go $(wildcard tools/prose/*.go)
	@mkdir -p .bin
	@cd tools && CGO_ENABLED=0 GOWORK=off GOBIN="$(CURDIR)/.bin" go install ./testsum ./covsum ./jsonfield ./prose ./registrycache
	@touch $@

FORCE:
