# Everything that is done with this project; `make help` lists it.
# The set-up is quick when nothing changed: .venv/.installed says for which lock file it was done.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules
.PHONY: help install jars run sources-demo sources-long test test-fast lint fmt docs bench-domain broker-versions chaos chaos-nodes api-fuzz payouts-long screenshots page-load mutants image-steps bench bench-quick lock clean

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
	@if [ -z "$${REBATE_BROKER:-}" ]; then $(BIN)/python -m rebate_app.cli broker fetch >/dev/null; fi

run: install ## run Kafka, a worker, the sample orders and a tour from a fetched order to money paid, until Ctrl-C
	@$(BIN)/python -m rebate_app.cli.demo --tour

sources-demo: install ## fetch from simulated networks into the broker of `make run`, in another terminal
	@$(BIN)/python -m examples.simulators.demo

sources-long: install ## 30 days of fetching from each simulated network: 100,000 rows, all faults (minutes)
	REBATE_SOURCES_LONG=1 $(BIN)/python -m pytest -q -s tests/sources/test_runs.py -k AllFaults

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

# Needs neither Java nor Maven, so the jars are not fetched.
test-fast: $(STAMP) ## run the quick tests that need no broker, in a minute
	$(BIN)/python -m pytest -q -m "not kafka and not chaos and not slow" -n 2 --dist loadscope --no-loadscope-reorder

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
	$(BIN)/python scripts/draw_rooms.py
	$(BIN)/python -m rebate_app.metrics.page > docs/metrics.md
	$(BIN)/python -m rebate_app.settings_page > docs/configuration.md
	$(BIN)/python -m rebate_app.failures_page > docs/failures.md
	$(BIN)/python -m rebate_app.doctor.page > docs/doctor.md
	$(BIN)/python -m rebate_app.wire.events_page > docs/schemas/rebate-event-1.json
	$(BIN)/python -m rebate_app.wire.facts.schemas docs/schemas
	$(BIN)/python -m rebate_app.wire.asyncapi docs/asyncapi.json
	$(BIN)/python -m rebate_app.web.openapi.document docs/openapi.json
	$(BIN)/python -m rebate_app.web.http_page docs/http.md
	$(BIN)/python -m rebate_app.money_out_page docs/money-out.md

bench: install ## measure everything beside its peers, with a real broker (hours; bench/README.md)
	@$(BIN)/python -m bench.run

bench-quick: install ## the same rows at small size, in a few minutes
	@$(BIN)/python -m bench.run --quick

broker-versions: install ## a short life of a worker on other versions of Apache Kafka (VERSIONS="3.9.1 4.0.0")
	$(BIN)/python -m tests.broker.versions $(VERSIONS)

model: install ## 2,000 sequences of facts about withdrawals against the law written a second time
	MONEY_MODEL_EXAMPLES=2000 $(BIN)/python -m pytest --no-cov tests/money_out/test_model.py

chaos: install ## the long version of the tests that kill and freeze processes, and of all that have one
	REBATE_CHAOS=full $(BIN)/python -m pytest -m "chaos or longer"

chaos-nodes: install ## freeze a random node of three for 5 to 40 s under import, fifty times (an hour)
	NODE_ROUNDS=$${ROUNDS:-50} $(BIN)/python -m pytest -s tests/chaos/test_nodes.py

api-fuzz: install ## send 20,000 valid and invalid requests to two real workers
	REBATE_API_FUZZ_REQUESTS=$${REQUESTS:-20000} $(BIN)/python -m pytest -q -s tests/e2e/test_api_tester.py

payouts-long: install ## 1,000 payouts, 60 kills and freezes, 10 restarts of the broker; each crash point 5 times
	REBATE_PAYOUTS_LONG=1 $(BIN)/python -m pytest -s tests/chaos/test_payouts.py tests/chaos/test_payout_crash_points.py

screenshots: install ## pictures of the page's views for docs/page (needs Chromium)
	$(BIN)/python -m tests.page.screenshots

page-load: install ## how fast the page is with 10,000 users, 100,000 lines and 1,000 dead letters
	@$(BIN)/python -m tests.page.load

mutants: install ## plant each way of going wrong, and prove that a test fails
	$(BIN)/python -m tests.mutants.prove

image-steps: install ## carry out deploy/Dockerfile without Docker (as root, with REBATE_BROKER)
	@folder="$$(mktemp -d)"; trap 'rm -rf "$$folder"' EXIT; chmod 755 "$$folder"; \
	  $(BIN)/python -m tests.image.try_steps "$$folder"

lock: ## resolve pyproject.toml into the lock files again (needs uv)
	@scripts/lock.sh

clean: ## remove what was made; the data of the local broker stays
	@rm -rf .venv build ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.*
