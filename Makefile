# What one does here. Each target prepares what it needs; nothing is prepared twice.

PYTHON := .venv/bin/python
QUICK := not integration and not interop and not chaos

.PHONY: help run setup lint check test chaos bench lock

help:
	@echo 'make run     start Parcours with a homeserver of its own and fictional people; Ctrl-C stops it'
	@echo 'make check   style, types, layers and the tests that need no server'
	@echo 'make test    everything: check, and the tests with real homeservers, databases, clients and browser'
	@echo 'make chaos   only the tests of what fails around the hub, for longer (COMMANDS=1000 KILLS=40 EVENTS=10000'
	@echo '             SEED=0); the figures are shown in the end, and lie in build/chaos.json'
	@echo 'make bench   how fast, against a bare baseline of the same run (BENCH="--only round-trip,crowd")'
	@echo 'make lock    lock the versions that pyproject.toml asks for (UPGRADE=--upgrade: the newest ones)'

run:
	@ops/setup.sh python
	@$(PYTHON) -m hub up --demo

setup:
	@ops/setup.sh

lint:
	@ops/setup.sh python
	@$(PYTHON) -m ruff check --quiet .
	@$(PYTHON) -m ruff format --check --quiet .
	@$(PYTHON) -m mypy --no-error-summary
	@.venv/bin/lint-imports --no-logo

check: lint
	@$(PYTHON) -m pytest -q -m '$(QUICK)'

test: setup lint
	@$(PYTHON) -m pytest

# The long form; with SEED, as once before.
COMMANDS := 1000
KILLS := 40
EVENTS := 10000
SEED := 0

chaos: setup
	@PARCOURS_CHAOS_COMMANDS=$(COMMANDS) PARCOURS_CHAOS_KILLS=$(KILLS) PARCOURS_CHAOS_EVENTS=$(EVENTS) \
		PARCOURS_CHAOS_SEED=$(SEED) PARCOURS_CHAOS_REPORT=build/chaos.json $(PYTHON) -m pytest -m chaos

BENCH :=

bench:
	@ops/setup.sh
	@$(PYTHON) -m tests.bench $(BENCH)

# Hashes for every file, and no word of where the packages came from.
COMPILE := $(PYTHON) -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras --all-build-deps \
	--no-header --annotation-style=line --no-emit-options --no-emit-index-url --no-emit-trusted-host \
	--no-emit-find-links

lock:
	@ops/setup.sh python
	@$(COMPILE) $(UPGRADE) --output-file=requirements.lock pyproject.toml
	@$(COMPILE) $(UPGRADE) --extra=dev --constraint=requirements.lock --output-file=requirements-dev.lock pyproject.toml
