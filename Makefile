# Latchkey. `make` or `make help` lists the targets. Works with GNU make 3.81 and later.
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null)
BIN := .venv/bin
# Commands on the running stack: its secrets are in .latchkey/, development is said here.
MANAGE := DEBUG=true LOG_FORMAT=text $(BIN)/python manage.py

# mypy's Django plugin loads the settings, which have no defaults for secrets.
CHECKING := DEBUG=true SECRET_KEY=typecheck-only KEY_PEPPER=typecheck-only

# 5,000 subscriptions with planted differences.
PROOF := tests/scenarios/test_reconciliation_proof.py

# Rate limits of 10, 100 and 1,000 a minute on four processes, for so many minutes each.
LIMITS_PROOF := tests/keystore/test_limit_proof.py

# Processes that share the tests, each with servers of its own.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help build run up down test prove explore bench bench-docs lint typecheck ci demo demo-history manage superuser \
	reset drill requirements browser up-docker down-docker

help: ## List the targets
	@grep -hE '^[a-z-]+( [a-z-]+)*:.*## ' $(MAKEFILE_LIST) | sort | \
		awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

run up: .venv/.ok ## Run everything in this terminal; Ctrl-C stops it (PORT=8000)
	@$(BIN)/python -m config.supervisor $(if $(PORT),--port $(PORT))

down: .venv/.ok ## Stop the stack that runs in this checkout
	@$(BIN)/python -m config.supervisor --down

build: .venv/.ok ## Make the virtual environment with the pinned requirements

test: .venv/.ok ## Run all tests with servers of their own (ARGS="-k name", WORKERS=1)
	@$(call logged,test,$(BIN)/python -m pytest -q -rs -n $(WORKERS) --dist worksteal $(ARGS))

prove: .venv/.ok ## Kill and starve everything 20 times over, print the promises (KILLS=20 SEED=n)
	@$(call logged,prove,KILLS=$(or $(KILLS),20) $(BIN)/python -m pytest -q tests/faults $(ARGS) \
		&& TRIALS=$(or $(TRIALS),1000) PAUSE=60 DIFFERENTIAL_REQUESTS=5000 \
		$(BIN)/python -m pytest -q -s --timeout 1800 tests/hotway \
		&& QUOTA_ROUNDS=500 $(BIN)/python -m pytest -q tests/races/test_quotas.py \
		&& RECONCILED=5000 $(BIN)/python -m pytest -q $(PROOF) \
		&& PROVE_MINUTES=$(or $(PROVE_MINUTES),1.5) $(BIN)/python -m pytest -q -s $(LIMITS_PROOF))

bench: .venv/.ok .venv/bench/.ok ## Measure every path beside bare granian and other designs (FULL=1, ARGS="verify")
	@$(call logged,bench,$(BIN)/python -m bench $(if $(FULL),--size full) $(ARGS))

bench-docs: .venv/.ok ## Write the tables of the last bench into docs/performance.md
	@$(BIN)/python -m bench.report

lint: .venv/.ok ## Check style and format with ruff
	@$(call logged,lint,$(BIN)/ruff check . && $(BIN)/ruff format --check .)

typecheck: .venv/.ok ## Check types with mypy
	@$(call logged,typecheck,$(CHECKING) $(BIN)/python -m mypy .)

ci: ## What must pass before a change lands: lint, typecheck, test
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory typecheck
	@$(MAKE) --no-print-directory test

explore: .venv/.ok ## Walk hundreds of orders, losses and repetitions of events (about an hour)
	@$(call logged,explore,API_TRIES=20 HYPOTHESIS_PROFILE=long $(BIN)/python -m pytest -q --timeout 7200 \
		tests/scenarios/test_events_property.py tests/scenarios/test_seeded_defects.py tests/races \
		tests/scenarios/test_api_clients.py)

demo: .venv/.ok ## Put the demo data into the running stack again
	@$(MANAGE) demo

demo-history: .venv/.ok ## Add a quarter of a year of business to the running stack
	@$(MANAGE) demo --history

manage: .venv/.ok ## Any command on the running stack (ARGS="catalog diff", ARGS=help)
	@$(MANAGE) $(ARGS)

superuser: .venv/.ok ## Make a staff login with every right on the running stack
	@$(MANAGE) createsuperuser

drill: .venv/.ok ## Dump the running stack's database, restore the dump beside it, check it
	@$(MANAGE) restore_drill $(ARGS)

reset: .venv/.ok ## Delete the embedded database, secrets and caches (asks; FORCE=1 does not)
	@$(BIN)/python -m config.supervisor --reset $(if $(FORCE),--force)

requirements: .venv/.ok ## Pin requirements*.in into requirements*.txt again (needs uv)
	@command -v uv >/dev/null || { echo "This needs uv: https://docs.astral.sh/uv/"; exit 1; }
	uv pip compile -q --upgrade $(PINNING) requirements.in -o requirements.txt
	uv pip compile -q --upgrade $(PINNING) requirements-dev.in -o requirements-dev.txt
	uv pip compile -q --upgrade $(PINNING) -c requirements-dev.txt requirements-bench.in \
		-o requirements-bench.txt

PINNING := --universal --no-emit-index-url --no-header --no-annotate --python-version 3.11

browser: ## Say which browser the browser tests will use
	@found=$$(command -v chromium-headless-shell || command -v chromium || \
		command -v chromium-browser || command -v google-chrome); \
	if [ -n "$$found" ]; then echo "The browser tests use $$found."; else \
	echo "No Chromium: the browser tests are skipped. Debian: apt-get install chromium"; fi

up-docker: ## Run everything in containers (needs docker compose)
	docker compose up --build --detach --wait

down-docker: ## Stop the containers, keep their data
	docker compose down

# Show a command's output, keep it in artifacts/NAME.log, and exit as the command did.
define logged
mkdir -p artifacts; { { $(2); } 2>&1; echo $$? > artifacts/$(1).exit; } | tee artifacts/$(1).log; \
	code=$$(cat artifacts/$(1).exit); rm -f artifacts/$(1).exit; exit $$code
endef

# The programs that Latchkey is measured against; nothing else needs them.
.venv/bench/.ok: requirements-bench.txt | .venv/.ok
	@if [ -n "$(UV)" ]; then \
		$(UV) pip install -q --python $(BIN)/python --target .venv/bench -r requirements-bench.txt; \
	else \
		$(BIN)/python -m pip install -q --disable-pip-version-check --target .venv/bench \
			-r requirements-bench.txt; \
	fi
	@touch $@

.venv/.ok: requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Latchkey needs Python 3.11 or newer; this is $$($(PYTHON) --version 2>&1)." \
			"Name another one: make PYTHON=python3.12 ..."; exit 1; }
	@if [ -n "$(UV)" ]; then \
		echo "Installing with uv."; \
		test -x $(BIN)/python || $(UV) venv -q --python "$$(command -v $(PYTHON))" .venv && \
		VIRTUAL_ENV="$(CURDIR)/.venv" $(UV) pip install -q -r requirements-dev.txt; \
	else \
		echo "Installing with pip; this takes about a minute."; \
		$(PYTHON) -c 'import ensurepip' 2>/dev/null || { \
			echo "This Python lacks ensurepip. Debian: apt-get install python3-venv"; exit 1; }; \
		{ test -x $(BIN)/pip || $(PYTHON) -m venv .venv; } && \
		$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-dev.txt; \
	fi
	@touch $@
