# Assay. `make` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo up chromium qemu test check forge-test attacks bench-gas vectors artifacts clean
.PHONY: halmos slither coverage-contracts soak-contracts bench-contracts-assurance bench-box bench-exact bench-gpu bench-adversaries bench-native bench-house bench-escape

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-18s %s\n", $$1, $$2}'

# torch, which takes gigabytes, is only for GPUs, for work in floats and for the tests.
CUDA := $(shell nvidia-smi >/dev/null 2>&1 && echo '[cuda]')
PIP = $(BIN)/pip install --progress-bar off -c constraints.txt
# Of what pip says: what it downloads from a megabyte on, and what goes wrong.
SHOWN = 2> >(grep -v '^WARNING: Location' >&2) | sed -nE 's/^ *Downloading ([^ /]+) \((.*[MG]B)\)/  \1, \2/p; s/^(Installing (build|collected|backend)[a-z ]*).*/  \1/p; s/^ *(Building editable).*/  \1 (compiling the kernels)/p'

$(VENV)/run: pyproject.toml setup.py constraints.txt $(wildcard node_agent/execution/exact/kernels/*.[ch])
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing what running needs into $(VENV): about 350 MB$(if $(CUDA), and torch for the NVIDIA GPU: 5 GB more)"
	@$(PIP) -e '.$(CUDA)' $(SHOWN)
	@du -sm $(VENV) | awk '{print "installed: " $$1 " MB in " $$2}'
	@touch $@

$(VENV)/dev: $(VENV)/run
	@echo "installing what testing needs into $(VENV), torch among it ..."
	@$(PIP) -e '.[dev]' $(SHOWN)
	@touch $@

contracts/node_modules/.installed: contracts/package.json contracts/package-lock.json
	@echo "installing forge, anvil, solc and OpenZeppelin into contracts/node_modules ..."
	@cd contracts && npm ci --silent --no-audit --no-fund
	@touch $@

tests/browser/node_modules/.installed: tests/browser/package.json tests/browser/package-lock.json
	@echo "installing what the browser tests compare with into tests/browser/node_modules ..."
	@cd tests/browser && npm ci --silent --no-audit --no-fund
	@touch $@

chromium:  ## the browser of the page tests: the one on the PATH, else Debian's if this is root
	@command -v chromium >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing chromium ..."; apt-get update -qq >/dev/null; \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	  else echo "the page tests need chromium on the PATH; as root: apt-get install chromium" >&2; exit 1; fi; }

qemu:  ## the CPUs that `make soak` emulates, Debian's if this is root; without them those tests say so and are skipped
	@command -v qemu-aarch64-static qemu-aarch64 >/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "installing qemu-user-static ..."; apt-get update -qq >/dev/null; \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends qemu-user-static >/dev/null; \
	  else echo "no qemu on the PATH: other CPUs are skipped; as root: apt-get install qemu-user-static" >&2; fi; }

demo: $(VENV)/run  ## the main job end to end on embedded parts: jobs, checks, a cheat slashed, payments audited
	@$(BIN)/assay models pull smollm2-135m-exact && $(BIN)/assay models pull minilm-l6-v2-exact
	@$(BIN)/assay demo $(DEMO)

up: $(VENV)/run contracts/node_modules/.installed  ## a network to play with, kept in .assay-net until `assay up --reset`
	@$(BIN)/assay models pull smollm2-135m-exact
	@$(BIN)/assay models pull minilm-l6-v2-exact
	@$(BIN)/assay up $(UP)

# Tests share the cores, so an engine in one computes on one thread: two would wait for each other.
PYTEST = ASSAY_THREADS=1 $(BIN)/python -m pytest -q
# Tests on chains mostly wait for blocks and windows, so three share two cores. Files that take longest come first.
ON_CHAINS = -n 3 --dist loadfile --no-loadscope-reorder
# Two processes, of which one imports torch: pytest-xdist would import everything in each.
UNIT = unit-engines unit-rest
ENGINES = tests/unit/node_agent/execution tests/unit/verifier/test_engines.py
QUICK = -m 'not model and not process'
SLOWEST = tests/survival tests/readme tests/integration/deploy tests/integration/node_agent tests/browser tests/bad_input
WITH_LONG_FORMS = tests/e2e tests/survival tests/bad_input/test_openapi.py tests/differential tests/integration/verifier \
  tests/integration/backend/worker/test_crashes.py tests/unit

test: $(VENV)/dev contracts/node_modules/.installed chromium tests/browser/node_modules/.installed models  ## everything: lint, forge, pytest, and the demo on Anvil (`make demo` is on the other chain)
	@$(MAKE) --no-print-directory -j3 -Otarget $(UNIT) types forge-test-after-lint
	@$(PYTEST) -n 2 tests/unit -m 'model or process'
	@$(MAKE) --no-print-directory -j2 -Otarget escape-as-root escape-as-user
	@$(PYTEST) $(ON_CHAINS) $(SLOWEST) tests/integration tests/attacks tests/differential tests/gpu
	@$(PYTEST) tests/e2e/test_demo.py

check: $(VENV)/dev contracts/node_modules/.installed  ## fast: lint, types, import rules, formats, unit tests (a minute and a half on two cores)
	@$(MAKE) --no-print-directory -j3 -Otarget $(UNIT) types lint

soak: $(VENV)/dev contracts/node_modules/.installed models qemu  ## the long forms of the tests: both demos, native work on its model, fuzz, outages, kills, other CPUs: an hour
	@ASSAY_SOAK=1 $(PYTEST) -n 2 --dist loadfile $(WITH_LONG_FORMS)

.PHONY: soak models
models: $(VENV)/run
	@$(BIN)/assay models pull smollm2-135m-exact && $(BIN)/assay models pull minilm-l6-v2-exact

.PHONY: lint types $(UNIT)
lint:
	@$(BIN)/ruff check -q . && $(BIN)/ruff format --check -q .
	@$(BIN)/lint-imports --no-logo | grep -vE 'KEPT|^-|^$$|Analyzed'
	@cd contracts && $(FORGE) fmt --check
	@$(BIN)/python contracts/tools/export_artifacts.py --digests
	@echo "lint, import rules, formats, artifacts: ok"

types:
	@$(BIN)/mypy --no-error-summary
	@echo "types: ok"

unit-engines:
	@$(PYTEST) $(ENGINES) $(QUICK)

unit-rest:
	@$(PYTEST) tests/unit $(addprefix --ignore=,$(ENGINES)) $(QUICK)

# Root's probes beside all else, so that each user's are tried outside and in both cages once.
.PHONY: escape-as-root escape-as-user
escape-as-root:
	@$(PYTEST) tests/escape -k 'root]'

escape-as-user:
	@$(PYTEST) tests/escape -k 'not root]'

.PHONY: forge-test-after-lint
forge-test-after-lint: lint  # both build into contracts/out
	@$(MAKE) --no-print-directory forge-test
	@$(BIN)/python contracts/tools/export_artifacts.py --check

FORGE = $(abspath $(firstword $(wildcard contracts/node_modules/@foundry-rs/forge-*/bin/forge)))

forge-test: contracts/node_modules/.installed  ## the Solidity tests
	@cd contracts && FORGE_SNAPSHOT_CHECK=true $(FORGE) test

PROOFS := .venv-proofs
$(PROOFS)/.installed: contracts/requirements-proofs.txt
	@test -x $(PROOFS)/bin/python || $(PYTHON) -m venv $(PROOFS)
	@echo "installing halmos and Slither into $(PROOFS) ..."
	@$(PROOFS)/bin/pip install -q --no-deps -r contracts/requirements-proofs.txt 2> >(grep -v '^WARNING: Location' >&2)
	@touch $@

halmos: $(PROOFS)/.installed contracts/node_modules/.installed  ## properties of the contracts, proved for all inputs
	@$(PROOFS)/bin/python -m contracts.tools.prove

slither: $(PROOFS)/.installed contracts/node_modules/.installed  ## static analysis of the contracts, against what is explained
	@$(PROOFS)/bin/python -m contracts.tools.static_analysis

coverage-contracts: contracts/node_modules/.installed  ## lines and branches of the contracts that the tests reach
	@$(PYTHON) -m contracts.tools.coverage

soak-contracts: $(VENV)/dev $(PROOFS)/.installed contracts/node_modules/.installed  ## the long form of the contracts' tests: hours
	@$(PROOFS)/bin/python -m contracts.tools.prove --twins
	@$(MAKE) --no-print-directory slither coverage-contracts
	@$(BIN)/python -m contracts.tools.mutation defences
	@$(BIN)/python -m contracts.tools.mutation mutants
	@$(BIN)/python -m contracts.tools.fuzz_long
	@$(BIN)/python -m tests.differential.soak
	@$(BIN)/python -m contracts.tools.campaign --out bench/results/raw/invariant-campaign.json
	@$(MAKE) --no-print-directory bench-contracts-assurance

attacks: $(VENV)/dev  ## which tests show which attack of ATTACKS (ids A01..A66), and which are missing
	@$(BIN)/python -m tests.attacks.table

bench-gas: $(VENV)/dev contracts/node_modules/.installed  ## gas of epochs and of every single act, from receipts on Anvil
	@$(BIN)/python -m bench.gas

bench-box: $(VENV)/dev models  ## what a stranger's machine sees: set-up, demo, commands, tests, the engine's speed (an hour and a half); BOX='speed'
	@$(BIN)/python -m bench.box $(BOX)

bench-escape: $(VENV)/dev models  ## the confined process as root: what denies each attempt to leave it, and its cost (5 minutes)
	@$(BIN)/python -m bench.escape

bench-house: $(VENV)/run  ## the house by counting: lines, names for two things, log readers, longest file (seconds)
	@$(BIN)/python -m bench.house

bench-exact: $(VENV)/dev  ## the exact engine: one hash in every setting, quality and speed beside transformers (over an hour)
	@$(BIN)/assay models pull smollm2-135m-exact && $(BIN)/assay models pull smollm2-135m
	@$(BIN)/python -m bench.exact

bench-gpu: $(VENV)/dev  ## the exact engine on a GPU: the CPU's hash, speed beside transformers there; GPU='--cpu-hashes FILE'
	@$(BIN)/python -m bench.gpu $(GPU)

bench-adversaries: $(VENV)/dev  ## every way to cheat on the real model: how often it is caught, and what it earns
	@$(BIN)/assay models pull smollm2-135m-exact
	@$(BIN)/python -m bench.adversaries exact

bench-native: $(VENV)/dev  ## float work between numeric classes: thresholds, and who is caught by them (an hour)
	@$(BIN)/assay models pull smollm2-135m
	@$(BIN)/python -m bench.native

bench-contracts-assurance: $(VENV)/dev  ## what the long tests of the contracts showed, gathered from bench/results/raw
	@$(BIN)/python -m bench.assurance

vectors: $(VENV)/run  ## write the golden vectors anew
	@$(BIN)/python -m contracts.vectors.make && $(BIN)/python -m contracts.vectors.make_record

artifacts: contracts/node_modules/.installed  ## build the contracts and write ABIs and bytecode anew
	@$(BIN)/python contracts/tools/export_artifacts.py

clean:  ## remove what was installed and built
	@rm -rf $(VENV) $(PROOFS) contracts/node_modules contracts/out contracts/out-* contracts/cache tests/browser/node_modules
