# What can be done with this checkout: `make help`. Everything runs on the Node that `make setup` installs into node_modules.
# Work of more than a line lies in tools/, where it is tested; here is only what is called what.
.DEFAULT_GOAL := help
# Every target that `make help` lists is a name, not a file.
.PHONY: $(shell sed -n 's/^\([a-z0-9-]*\):.*\#\# .*/\1/p' Makefile)

# The programs of node_modules first, Node 24 among them.
RUN := PATH="$(CURDIR)/node_modules/.bin:$$PATH"
MOCHA := $(RUN) mocha
ANSWERS := $(CURDIR)/node_modules/.cache/holdfast/answers.json
UNIT := 'test/unit/**/*.test.ts'
INTEGRATION := 'test/integration/**/*.test.ts'
END_TO_END := 'test/e2e/**/*.test.ts'
# What docs/security.md names; all of it is in the suites above, too.
SECURITY := 'test/unit/operator/certificates/*.test.ts' 'test/unit/agent/identity/*.test.ts' test/unit/edge/tls.test.ts test/unit/tools/local/launches.test.ts \
	test/integration/edge/accounts.test.ts test/integration/edge/tls.test.ts test/integration/edge/http.test.ts test/integration/replication/refusals.test.ts \
	test/integration/operator/signer.test.ts test/integration/operator/api.test.ts test/e2e/security.test.ts

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Start with: make up, or make demo. Parts of the local cluster are built once, the first time, from Go modules."

setup: node_modules/.setup ## install what package-lock.json asks for, if that changed

node_modules/.setup: package.json package-lock.json
	@tools/setup.sh

up: setup ## start the local cluster, or what is missing of it: make up NODES=4 OPERATORS=2
	@$(RUN) NODES="$(NODES)" OPERATORS="$(OPERATORS)" node tools/local/up.ts

down: setup ## stop the local cluster and remove .local/
	@$(RUN) node tools/local/down.ts

demo: setup ## show a failover, from an empty machine to checked data
	@$(RUN) node tools/demo/demo.ts

test: setup ## everything: lint, types, generated files, unit, simulator, integration, end to end, fuzz, history, chaos, csi-sanity, postgres, monitoring, the demo
	@$(RUN) node tools/test/run.ts

test-unit: setup ## what needs no outside parts, in seconds: make test-unit TESTS=test/unit/core/**/*.test.ts
	@$(MOCHA) $(if $(TESTS),'$(TESTS)',$(UNIT))

test-integration: setup ## what needs real parts (etcd, kube-apiserver, NBD clients)
	@$(MOCHA) $(if $(TESTS),'$(TESTS)',$(INTEGRATION))

test-e2e: setup ## whole local clusters as users know them, with everything that can die: make test-e2e TESTS=test/e2e/zombie.test.ts
	@$(MOCHA) --parallel --jobs 2 $(if $(TESTS),'$(TESTS)',$(END_TO_END))

test-outage: setup ## the API server is gone for minutes: volumes serve, agents that die come back, then people see it: make test-outage MINUTES=10
	@OUTAGE_MINUTES="$(or $(MINUTES),1)" $(MOCHA) test/e2e/outage.test.ts

test-upgrade: setup ## a cluster of the version before, rolled to this one and back, under fio that verifies (needs git's history): make test-upgrade FROM=7d73216 SECONDS=10
	@$(RUN) FROM="$(FROM)" SECONDS="$(SECONDS)" node --disable-warning=DEP0123 test/upgrade/run.ts

test-history: setup ## real processes under faults, judged by Porcupine: make test-history MINUTES=10 SEED=7 MUTANT=repliesWithoutLease
	@$(RUN) MINUTES="$(MINUTES)" SEED="$(SEED)" MUTANT="$(MUTANT)" FAULTS="$(FAULTS)" NODES="$(NODES)" VOLUMES="$(VOLUMES)" CLIENTS="$(CLIENTS)" BORDERS="$(BORDERS)" LEASE_MS="$(LEASE_MS)" TOGETHER="$(TOGETHER)" node test/history/run.ts

test-chaos: setup ## anything of a cluster fails by a seed, then all must be well: make test-chaos MINUTES=20 SEED=7 NODES=5 VOLUMES=20 FIO=4 ETCD_MEMBERS=3 SPOIL=0
	@$(RUN) MINUTES="$(MINUTES)" SEED="$(SEED)" NODES="$(NODES)" VOLUMES="$(VOLUMES)" FIO="$(FIO)" ETCD_MEMBERS="$(ETCD_MEMBERS)" SPOIL="$(SPOIL)" node test/chaos/run.ts

fuzz: setup ## hostile bytes and damaged files, by what they reach: make fuzz MINUTES=10 TARGETS=replica SEED=7 KEEP=1
	@$(RUN) MINUTES="$(MINUTES)" TARGETS="$(TARGETS)" SEED="$(SEED)" KEEP="$(KEEP)" node test/fuzz/run.ts

sim: setup ## the protocol under the seeded simulator: make sim SEED=7 RUNS=100 STEPS=20000
	@$(RUN) SEED="$(or $(SEED),1)" RUNS="$(or $(RUNS),1)" STEPS="$(or $(STEPS),20000)" TRACE="$(or $(TRACE),0)" node test/sim/run.ts

sim-soak: setup ## fresh seeds on every core until something is violated: make sim-soak MINUTES=30 JOBS=2
	@$(RUN) MINUTES="$(MINUTES)" JOBS="$(JOBS)" SEED="$(SEED)" FIXED="$(FIXED)" STEPS="$(STEPS)" node test/sim/soak.ts

sim-mutants: setup ## break one rule of the protocol after another, each must be caught: make sim-mutants JOBS=2 NAMES="noPromise" CONTROLS=50
	@$(RUN) JOBS="$(JOBS)" CONTROLS="$(CONTROLS)" node test/sim/mutants.ts $(NAMES)

sim-balance: setup ## machines come and go: what is copied for it, beside the least: make sim-balance NODES=50 VOLUMES=2000 SEED=7
	@$(RUN) NODES="$(NODES)" VOLUMES="$(VOLUMES)" SEED="$(SEED)" node test/balance/run.ts

test-security: setup ## what each credential cannot do, certificates exchanged under I/O, no secret in a log: docs/security.md
	@$(MOCHA) $(SECURITY)

spec: setup ## the protocol's model, every state of it (needs Java): make spec LISTS="configs mutants" NAMES="pair third" SECONDS=1500
	@$(RUN) LISTS="$(LISTS)" NAMES="$(NAMES)" SECONDS="$(SECONDS)" node test/spec/run.ts

bench: setup ## beside qemu's quorum, GlusterFS and one plain copy: make bench WORKS="randwrite-qd16" SYSTEMS="quorum holdfast" SECONDS=6 REPETITIONS=3
	@$(RUN) WORKS="$(WORKS)" SYSTEMS="$(SYSTEMS)" SECONDS="$(SECONDS)" WARM_UP="$(WARM_UP)" REPETITIONS="$(REPETITIONS)" SIZE_MIB="$(SIZE_MIB)" RESYNC_MIB="$(RESYNC_MIB)" AGENT_NODE_OPTIONS="$(AGENT_NODE_OPTIONS)" node test/bench/run.ts

bench-takeover: setup ## how long nobody leads when the leading operator is stopped, killed, stands still or is cut off: make bench-takeover REPETITIONS=20
	@$(RUN) REPETITIONS="$(REPETITIONS)" node test/bench/takeover.ts

bench-move: setup ## how long a writer waits when its volume is moved to another node on purpose: make bench-move REPETITIONS=20
	@$(RUN) REPETITIONS="$(REPETITIONS)" node test/bench/move.ts

bench-failover: setup ## what a writer feels when the primary's node dies, its agent restarts, the volume moves: make bench-failover RUNS=100 KINDS="kill term"
	@$(RUN) RUNS="$(RUNS)" KINDS="$(KINDS)" SECONDS="$(SECONDS)" node --disable-warning=DEP0123 test/bench/failover.ts

bench-pgbench: setup ## PostgreSQL on a mounted claim, beside qemu's quorum mounted the same way: make bench-pgbench SECONDS=10 REPETITIONS=5 CLIENTS=4
	@$(RUN) SYSTEMS="$(SYSTEMS)" SECONDS="$(SECONDS)" WARM_UP="$(WARM_UP)" REPETITIONS="$(REPETITIONS)" CLIENTS="$(CLIENTS)" SCALE="$(SCALE)" SIZE_MIB="$(SIZE_MIB)" AGENT_NODE_OPTIONS="$(AGENT_NODE_OPTIONS)" node --disable-warning=DEP0123 test/bench/pgbench.ts

bench-claims: setup ## how long a claim takes until a pod can use it, and many at once: make bench-claims CLAIMS=20 AT_ONCE=200
	@$(RUN) CLAIMS="$(CLAIMS)" SIZE_GIB="$(SIZE_GIB)" AT_ONCE="$(AT_ONCE)" SIZE_AT_ONCE_GIB="$(SIZE_AT_ONCE_GIB)" node --disable-warning=DEP0123 test/bench/claims.ts

test-chart: setup ## the Helm chart: lint, what it renders, its values, a real API server takes all of it (UPDATE=1 writes what is made from it)
	@UPDATE="$(UPDATE)" $(MOCHA) 'test/chart/**/*.test.ts'

test-monitoring: setup ## a real Prometheus over a cluster under load: every query of every dashboard must have an answer: make test-monitoring SAVE=answers.json
	@$(RUN) SAVE="$(SAVE)" node test/monitoring/run.ts

test-alerts: setup ## every alert by its cause in a real cluster, and silence in maintenance: make test-alerts ONLY="nodes etcd" WRITE=1
	@$(RUN) ONLY="$(ONLY)" WRITE="$(WRITE)" node --disable-warning=DEP0123 test/monitoring/alerts.ts

dashboard-pictures: setup ## docs/dashboards/*.png, drawn by a browser (needs chromium) from what Prometheus answers in make test-monitoring
	@$(RUN) SAVE="$(ANSWERS)" node test/monitoring/run.ts
	@$(RUN) node test/monitoring/pictures.ts "$(ANSWERS)"

test-csi: setup ## the standard tests of CSI drivers against ours, with real parts: make test-csi FOCUS="NodeStage"
	@$(RUN) FOCUS="$(FOCUS)" node test/csi/sanity.ts

test-csi-vm: setup ## devices by the kernel's own nbd, in an emulated machine (needs qemu-system-x86): make test-csi-vm SCENES="ext4 xfs stalled sanity" KERNEL_LOG=7 KERNEL=linux-image-6.12-cloud-amd64
	@$(RUN) SCENES="$(SCENES)" KERNEL_LOG="$(KERNEL_LOG)" KERNEL="$(KERNEL)" node test/vm/run.ts

test-postgres: setup ## PostgreSQL on a claim while agents, a replica, the leader and its node die: make test-postgres SECONDS=30
	@$(RUN) SECONDS="$(SECONDS)" node test/csi/postgres.ts

e2e: setup ## a real Kubernetes in containers, and what people do on it (first run 40 minutes, root): make e2e ONLY="kill freeze" KILLS=10 KEEP=1
	@$(RUN) ONLY="$(ONLY)" KILLS="$(KILLS)" KEEP="$(KEEP)" node test/kind/run.ts

conformance: setup ## Kubernetes' own storage tests against our driver, on that cluster: make conformance FOCUS="volume-expand" PROCESSES=6 KEEP=1
	@$(RUN) FOCUS='$(FOCUS)' SKIP='$(SKIP)' PROCESSES="$(PROCESSES)" REPORTS="$(REPORTS)" KEEP="$(KEEP)" node test/kind/conformance/run.ts

bench-scale: setup ## real operators, etcd and API server with simulated agents: make bench-scale NODES=1000 VOLUMES=10000 STEPS="idle leader start node crowded replace"
	@$(RUN) NODES="$(NODES)" VOLUMES="$(VOLUMES)" STEPS="$(STEPS)" AGENTS_PER_PROCESS="$(AGENTS_PER_PROCESS)" IDLE_SECONDS="$(IDLE_SECONDS)" PLACE_SECONDS="$(PLACE_SECONDS)" FLEET_NODE_OPTIONS="$(FLEET_NODE_OPTIONS)" OPERATOR_NODE_OPTIONS="$(OPERATOR_NODE_OPTIONS)" FIGURES_FILE="$(FIGURES_FILE)" node --disable-warning=DEP0123 test/scale/run.ts

docs: setup ## make docs/ into pages (.local/docs), after every link, object, value and command in them was looked at
	@$(RUN) node tools/docs/main.ts

images: setup ## the images of operator and agent as archives, without a registry (root, buildah): make images ARCH="amd64 arm64" TAG=1.0.0 BASE=debian:bookworm-slim CACHED=1
	@$(RUN) ARCH="$(ARCH)" PROGRAMS="$(PROGRAMS)" TAG="$(TAG)" REGISTRY="$(REGISTRY)" BASE="$(BASE)" MIRROR="$(MIRROR)" OUT="$(OUT)" CACHED="$(CACHED)" node tools/images/main.ts

test-images: setup ## both images twice, which must be the same bytes; then run as a cluster runs them: make test-images ARCH="amd64 arm64"
	@$(RUN) ARCH="$(ARCH)" node test/images/run.ts

generate: setup ## make the types of the API and the chart's copies of its definitions from crds/, the dashboards, the list of metrics
	@$(RUN) node tools/generate/types.ts

check-generated: setup ## fail if generated files are stale
	@$(RUN) node tools/generate/types.ts --check

lint: setup ## style, mistakes, sizes (Biome), and that the rooms stay apart
	@$(RUN) biome check .
	@$(RUN) node tools/lint/rooms.ts

format: setup ## write files as the linter wants them
	@$(RUN) biome check --write .

build: setup ## check the types; the programs run as they are
	@$(RUN) tsc --noEmit

clean: setup ## stop the local cluster, remove .local/ and node_modules/; built programs stay in the cache
	@$(RUN) node tools/local/down.ts
	@rm -rf node_modules
