# patchgate: `make help` tells everything.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help setup demo test test-fast test-broker test-crash test-e2e faults harsher second-law fuzz year mutants contract ci lint format type walls bench up down lock clean

help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## Put everything into .venv (Python 3.11 or newer; nothing else is needed)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "patchgate needs Python 3.11 or newer; $(PYTHON) is older. Name another: make setup PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "python3 cannot make a virtual environment here; on Debian: apt-get install python3-venv"; exit 1; }
	@echo "setup: installing the locked packages into $(VENV)"
	@$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --require-hashes -r requirements.lock \
	    | awk -v all=$$(grep -cE '^[a-z0-9].*==' requirements.lock) \
	        '/^(Collecting|Ignoring|Requirement already)/ { printf "\rsetup: %d of %d packages", ++n, all; fflush() } \
	         /^Installing/ { printf "\nsetup: unpacking them\n"; fflush() }' \
	    || { echo; echo "setup: pip could not install the locked packages; its reason stands above. Is a package registry within reach?"; exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)
	@echo "setup: done"

demo: setup ## Watch the main job in about two minutes: seen, slowed, blocked, explained, released
	@$(BIN)/python -m services.cli demo $(DEMO_ARGS)

test: setup ## Run all tests (real Kafka is started by the suite)
	@$(BIN)/python -m pytest

test-fast: setup ## Only the tests that need no broker and no other process
	@$(BIN)/python -m pytest tests/unit tests/property tests/contract

test-broker: setup ## Tests against real Kafka
	@$(BIN)/python -m pytest tests/broker

test-crash: setup ## Kill processes at each numbered commit step and check the log
	@$(BIN)/python -m pytest tests/crash

faults: setup ## Break a running patchgate N times and check it after each fault: N=60 SEED=… ONLY=fault FAULTS_ARGS="--each --report FILE"
	@$(BIN)/python -m tests.faults -n $(or $(N),60) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY)) $(FAULTS_ARGS)

test-e2e: setup ## Real MTAs, all services
	@$(BIN)/python -m pytest tests/e2e

lint: setup ## ruff: rules and format
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

format: setup ## Let ruff mend what it can
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

type: setup ## mypy, strict, with tests
	@$(BIN)/mypy

walls: setup ## import-linter: services meet only in topics, the core is pure
	@$(BIN)/lint-imports --no-cache

harsher: setup ## A random world: is any edge ever harsher than its policy? STEPS=1000000 SEED=1
	@$(BIN)/python -m tests.model --steps $(or $(STEPS),1000000) --seed $(or $(SEED),1) --jobs 2

second-law: setup ## The law against a second reading of its pages, in made-up lives: STEPS=1000000 SEED=1
	@$(BIN)/python -m tests.second_law --steps $(or $(STEPS),1000000) --seed $(or $(SEED),1) --jobs 2

fuzz: setup ## Fuzz the reader of Received lines: N=10000000 FUZZ_ARGS="-seed=1 -max_len=1024"
	@$(BIN)/python -m tests.fuzz.received -runs=$(or $(N),100000) $(FUZZ_ARGS)

year: setup ## A year of 10,000 servers through real Kafka: SERVERS=10000 DAYS=365 SEED=1
	@$(BIN)/python -m tests.year --servers $(or $(SERVERS),10000) --days $(or $(DAYS),365) --seed $(or $(SEED),1)

mutants: setup ## Change the law in small ways: do its tests notice? ONLY="decide caps" MUTANTS_ARGS=--go-on
	@$(BIN)/python -m tests.mutants $(ONLY) $(MUTANTS_ARGS)

contract: setup ## Make docs/contract anew from the types
	@$(BIN)/patchgate contract --write docs/contract

ci: lint type walls test ## What .ci/run calls

bench: setup ## Run the benchmarks and write docs/benchmarks.md
	@$(BIN)/python -m bench.run $(BENCH_ARGS)

up: setup ## One box: broker and all services, until Ctrl-C
	@$(BIN)/patchgate up

down: setup ## End what `make up` left running
	@$(BIN)/patchgate down

lock: ## Compile requirements.lock anew (hashes, no download address)
	@$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11 --extra all --extra dev pyproject.toml -o requirements.lock

clean: ## Remove .venv, caches and the state directory
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .state
