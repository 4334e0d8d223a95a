# Everything that is done with this project; `make help` lists it.
# The set-up is quick when nothing changed: .venv/.installed says for which lock file it was done.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
.PHONY: help install jars run test test-fast lint fmt docs bench-domain chaos mutants bench bench-quick lock clean

BIN := .venv/bin
STAMP := .venv/.installed

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

install: $(STAMP) jars ## set up .venv from the lock file, and the jars of the local Apache Kafka

$(STAMP): requirements.lock pyproject.toml scripts/install.sh
	@scripts/install.sh
	@touch $@

# With REBATE_BROKER set, the broker is somebody else's.
jars: $(STAMP)
	@if [ -z "$${REBATE_BROKER:-}" ]; then $(BIN)/python -m rebate_app.broker fetch >/dev/null; fi

run: install ## run a local Apache Kafka, one worker and the sample orders, until Ctrl-C
	@$(BIN)/python -m rebate_app.cli.demo

# Processes that the tests start are measured too: coverage starts itself in them (its .pth file).
# The suite waits for processes more than it computes, so several run at once, each with its own Kafka.
JOBS ?= 4
test: install lint ## run all checks and all tests, with the coverage that we promise
	@rm -f .coverage .coverage.*
	COVERAGE_FILE="$(CURDIR)/.coverage" COVERAGE_PROCESS_START="$(CURDIR)/pyproject.toml" \
	  $(BIN)/coverage run -m pytest -q -n $(JOBS) --dist loadscope --no-loadscope-reorder
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --skip-covered --fail-under=95
	$(BIN)/coverage report --skip-covered --include='rebate_app/domain/*' --fail-under=100

test-fast: install ## run the tests that need no broker
	$(BIN)/python -m pytest -m "not kafka and not chaos"

lint: install ## ruff, mypy --strict, and the arrows between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: install ## format, and repair what can be repaired
	$(BIN)/ruff check --fix . || true
	$(BIN)/ruff format .

bench-domain: install ## measure the pure domain and the codecs, without a broker
	@$(BIN)/python -m bench.domain

docs: install ## write the generated pages anew
	$(BIN)/python -m rebate_app.metrics.page > docs/metrics.md
	$(BIN)/python -m rebate_app.settings_page > docs/configuration.md
	$(BIN)/python -m rebate_app.failures_page > docs/failures.md
	$(BIN)/python -m rebate_app.wire.events_page > docs/schemas/rebate-event-1.json
	$(BIN)/python -m rebate_app.web.catalogue docs/http.md

bench: install ## measure everything beside its peers, with a real broker (hours; bench/README.md)
	@$(BIN)/python -m bench.run

bench-quick: install ## the same rows at small size, in under three minutes
	@$(BIN)/python -m bench.run --quick

chaos: install ## the long version of the tests that kill and freeze processes
	REBATE_CHAOS=full $(BIN)/python -m pytest -m chaos

mutants: install ## plant each way of going wrong, and prove that a test fails
	$(BIN)/python -m tests.mutants.prove

lock: ## resolve pyproject.toml into the lock files again (needs uv)
	@scripts/lock.sh

clean: ## remove what was made; the data of the local broker stays
	@rm -rf .venv build ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.*
