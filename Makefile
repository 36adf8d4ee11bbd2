# Headwater. `make help` lists what there is. Every target sets up its own .venv when it is missing or out of date.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
READY := .venv/.ready
TEST_WORKERS ?= 2  # tests at a time: most of their time is waiting
PYTEST := $(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist worksteal

.PHONY: help run test test-long test-engines check bench bench-batch soak soak-engines soak-answers test-away lock clean setup browser engines engines-up compose-up compose-down

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(READY) ## start the embedded platform on a sample shop, ask it questions, check the answers
	@$(BIN)/headwater demo --once

test: $(READY) ## run every test, but for those of the two targets below
	@$(PYTEST) -m "not long and not engines"

test-long: $(READY) ## run those that take minutes (45 days of all tiers, killed Dagster runs, Dagster's pages in a browser) and those that show that a test can fail
	@$(PYTEST) -m "long and not engines"

test-engines: $(READY) ## run those on real engines, which are killed, paused and broken too: Kafka, OpenSearch and S3 (needs Java 17, Maven and Go; says what it skips)
	@$(PYTEST) -m "engines and not alone"
	@$(BIN)/python -m pytest -m alone

check: $(READY) ## what pre-commit runs: black, isort, ruff, mypy --strict, the layer test
	@$(BIN)/black --check --quiet . || { $(BIN)/black --diff --quiet . ; exit 1; }
	@$(BIN)/isort --check-only --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/python -m mypy
	@$(BIN)/python -m pytest tests/test_structure.py

bench: $(READY) ## a small end-to-end benchmark and the stage benchmarks, as tables
	@$(BIN)/python -m benchmarks

bench-batch: $(READY) ## the batch tiers on 5 million records of three days, as a table with floors
	@$(BIN)/python -m benchmarks.batch

soak: $(READY) ## the crash test, longer: SOAK_KILLS kills (default 200)
	@HEADWATER_SOAK_KILLS=$${SOAK_KILLS:-200} $(BIN)/python -m pytest tests/e2e/test_crash.py -k soak -s

soak-engines: $(READY) ## the same on Kafka, OpenSearch and S3, which are killed and paused too: SOAK_FAULTS (default 120); then stores that are away: SOAK_AWAY_S seconds each (default 600)
	@HEADWATER_SOAK_FAULTS=$${SOAK_FAULTS:-120} $(BIN)/python -m pytest tests/real/test_promise.py -k soak -s
	@HEADWATER_SOAK_AWAY_S=$${SOAK_AWAY_S:-600} $(BIN)/python -m pytest tests/real/test_away.py -k soak -s

test-away: $(READY) ## OpenSearch and S3 away in turn and together under load on Kafka, with a table of how far each store is behind (about three minutes)
	@HEADWATER_AWAY=1 $(BIN)/python -m pytest tests/real/test_away.py -s

soak-answers: $(READY) ## random queries over Tantivy, OpenSearch, SQL and the row matcher against a reference: SOAK_ROUNDS rounds of 200 (default 100)
	@HEADWATER_SOAK_ANSWERS=$${SOAK_ROUNDS:-100} $(BIN)/python -m pytest tests/lakehouse/test_same_answers.py tests/real/test_same_answers.py -k soak

browser: ## a Chromium for the test that opens Dagster's pages, where there is none (apt-get, as root)
	@scripts/browser

engines: $(READY) ## install Kafka, OpenSearch and an S3 server for `make test-engines`, once, outside this folder
	@$(BIN)/python -m scripts.engines install

engines-up: $(READY) ## run these three until Ctrl-C and print what to export; BROKERS=3 for three of Kafka
	@$(BIN)/python -m scripts.engines up --brokers $${BROKERS:-1}

compose-up: ## start the stack of docker-compose.yml: Kafka, OpenSearch, S3, Grafana and the services
	@deploy/compose up

compose-down: ## stop it; the data stays
	@deploy/compose down

lock: ## resolve dependencies again and write requirements.lock (needs uv)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-strip-extras --quiet --output-file requirements.lock

setup: $(READY) ## only set up .venv

$(READY): requirements.lock pyproject.toml
	@scripts/setup

clean: ## remove .venv, caches and ./data
	rm -rf .venv data build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
