# `make help` lists the targets. A fresh machine needs Python >= 3.11 with venv, nothing else.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := check

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# uv lives beside the project's environment, not in it: `uv sync` removes what the lock does not name.
UV := .uv/bin/uv
RUN := $(UV) run --frozen --no-sync

.PHONY: help
help: ## List the targets.
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1|/' | column -t -s '|'

$(UV):
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r trainer/image-tools.txt

$(BIN)/scaling: $(UV) uv.lock pyproject.toml
	UV_LINK_MODE=$${UV_LINK_MODE:-hardlink} $(UV) sync --frozen --compile-bytecode --python $(PYTHON)
	@touch $(BIN)/scaling

.PHONY: setup
setup: $(BIN)/scaling ## Make .venv with the `scaling` command (PyTorch is a 2.8 GB download, once).

.PHONY: fuzz-specs
fuzz-specs: setup ## Check, plan and ask 10,000 generated specs (an hour or so).
	FUZZ_SPECS=10000 $(RUN) pytest -q tests/unit/validation/test_generated_documents.py -k can_be_run

.PHONY: fuzz
fuzz: setup ## Try every reader of what others write by chance: FUZZ_SECONDS (60) each, seeds from FUZZ_SEED (0) on.
	FUZZ_SECONDS=$(or $(FUZZ_SECONDS),60) FUZZ_SEED=$(or $(FUZZ_SEED),0) \
	$(RUN) python -m pytest -q --timeout 0 --tb short --show-capture no tests/fuzz

.PHONY: run
run: setup ## Run the case study and draw its report: runs/case-study/report.html.
	$(BIN)/scaling run manifests/samples/case-study.yaml --out runs/case-study

.PHONY: check
check: setup ## Lint, types, import rules and the quick tests, side by side.
	@$(MAKE) --no-print-directory --output-sync=target --jobs=2 lint imports types quick

.PHONY: lint
lint: setup ## Check format and style.
	$(RUN) ruff format --check
	$(RUN) ruff check

.PHONY: types
types: setup ## Check types.
	$(RUN) pyright

.PHONY: imports
imports: setup ## Check who may import whom.
	$(RUN) lint-imports

.PHONY: quick
quick: setup ## Run the unit tests that take no seconds, with 20 generated examples instead of 100.
	$(RUN) python -m pytest -q tests/unit -m 'not benchmark and not slow' -n auto --hypothesis-profile quick

.PHONY: unit
unit: setup ## Run all unit tests.
	$(RUN) python -m pytest tests/unit tests/fuzz -m 'not benchmark' -n auto

.PHONY: cluster-binaries
cluster-binaries: setup ## Build Kubernetes, etcd, KWOK and Helm for the tests, once (needs Go; some 20 minutes).
	@if command -v go > /dev/null; then $(RUN) python tests/cluster/build.py; \
	else echo "rings 2 and 3 (tests/cluster, tests/e2e) will be skipped: needs Go to build Kubernetes"; fi

.PHONY: cluster-packages
cluster-packages: setup ## Install what a node, Prometheus' and the browser's tests need of Debian's packages (needs root and apt-get).
	@$(RUN) python tests/e2e/install.py

.PHONY: cluster
cluster: cluster-binaries ## Run the tests that need a Kubernetes API server.
	$(RUN) python -m pytest tests/cluster

.PHONY: e2e
e2e: cluster-binaries cluster-packages ## Run the tests that need a node which runs pods.
	$(RUN) python -m pytest tests/e2e

.PHONY: test
test: setup lint types imports cluster-binaries cluster-packages ## Run lint, types, import rules and all tests.
	$(RUN) python -m pytest -m 'not benchmark' -n auto --dist loadgroup

.PHONY: format
format: setup ## Format the code and fix what can be fixed.
	$(RUN) ruff format
	$(RUN) ruff check --fix

.PHONY: generate
generate: setup ## Render the CRDs and the tables of the documentation from the code.
	$(RUN) python -m scaling_operator.generate

.PHONY: dashboards
dashboards: setup ## Write the Grafana dashboards into the chart.
	PYTHONPATH=tests/chart $(RUN) python -m boards.generate

.PHONY: manifests
manifests: generate ## Render the manifests for kubectl from the chart (needs Go, to build Helm).
	$(RUN) python tests/cluster/render.py

.PHONY: image-tools
image-tools: setup ## Write down, with hashes, what the images and make itself are built with, as uv.lock names it.
	$(UV) export --quiet --frozen --only-group image-tools --no-emit-project --no-annotate --no-header > trainer/image-tools.txt

.PHONY: chart-lint
chart-lint: setup ## Check the chart: lint, values, what it renders (needs Go, to build Helm).
	$(RUN) python -m pytest tests/cluster/test_chart_templates.py

.PHONY: benchmark
benchmark: setup ## Measure the local run against a bare loop on the same work.
	$(RUN) python tests/benchmarks/bench_local.py

.PHONY: benchmark-cluster
benchmark-cluster: cluster-binaries ## Measure the operator against two bare loops on one API server.
	PYTHONPATH=tests/cluster $(RUN) python tests/benchmarks/bench_cluster.py

.PHONY: benchmark-laws
benchmark-laws: setup ## Measure a fit and 1,000 bootstraps on one core.
	PYTHONPATH=tests/unit OPENBLAS_NUM_THREADS=1 $(RUN) python tests/benchmarks/bench_bootstrap.py

.PHONY: benchmark-plan
benchmark-plan: setup ## Measure a plan of 1, 100 and 1,000 live trials, pods and Jobs, its status included.
	PYTHONPATH=tests/unit $(RUN) python tests/benchmarks/bench_plan.py

.PHONY: benchmark-attacks
benchmark-attacks: setup ## Measure the memory of the operator's ports under attack (ATTACK_SECONDS, 600).
	$(RUN) python tests/benchmarks/bench_attacks.py --seconds $(or $(ATTACK_SECONDS),600)

.PHONY: coverage-of-intervals
coverage-of-intervals: setup ## Count how often the laws' intervals hold the truth (minutes).
	PYTHONPATH=tests/unit OPENBLAS_NUM_THREADS=1 $(RUN) python tests/benchmarks/coverage_of_intervals.py

.PHONY: measure-memory
measure-memory: setup ## Measure the transformer's peak memory on a GPU against the estimate (3 sizes x 3 batches).
	$(RUN) python tests/benchmarks/measure_memory.py

.PHONY: clean
clean: ## Remove what was built; runs/ stays.
	rm -rf .venv .uv .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist build
