# Needs git, make, Python 3.11 or 3.12 and Java 17 or newer; everything else it fetches.

FITS = -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' 2>/dev/null
PYTHON ?= $(or $(shell for p in python3 python3.11 python3.12; do $$p $(FITS) && echo $$p && break; done),python3)
VENV := .venv
DEEP := .venv-deep
BIN := $(VENV)/bin
UV := $(BIN)/uv
LOCK := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url
COMMA := ,
FAILED = { echo "error: $(1)" >&2; exit 1; }
PYTEST_ARGS ?=
DEMO_ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup preflight jars archive test quick test-long test-deep test-lake test-compose fuzz chaos lint format docs lock demo clean distclean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: preflight $(VENV)/.compiled archive ## create the environment .venv with the command .venv/bin/aimaas, and fetch the jars

# two files at once, in the order of tests/conftest.py: each test waits half of its time for an engine
test: setup ## run all tests but the long ones, on real engines (a part: PYTEST_ARGS="-k broker")
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not long" $(PYTEST_ARGS)

quick: setup ## run the tests that start no engine: a first answer while you edit
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not broker and not spark and not airflow and not long and not rendered" -q $(PYTEST_ARGS)

test-long: setup ## run the tests of a minute or more: kills at every step, whole passes over the lake, searches, Airflow programs
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m long $(PYTEST_ARGS)

test-deep: setup $(DEEP)/.project ## run the tests of sequence models, in an environment of their own with PyTorch (some 7 GB on Linux)
	$(DEEP)/bin/python -m pytest tests/deep $(PYTEST_ARGS)

test-compose: setup ## run the Compose stack on a real Docker engine, from devices to a champion; AIMAAS_TEST_CONTAINERS names stand-ins for the images
	$(BIN)/python -m pytest tests/deploy/full_compose.py -x -q -s

test-lake: setup ## kill the lake's jobs, fill their disks, tear their files, run them on clusters, rebuild by a backfill: the tables must be the same
	$(BIN)/python -m pytest tests/lake_faults/kills.py tests/lake_faults/disks.py tests/lake_faults/clusters.py tests/lake_faults/machines.py tests/dags/full_backfill.py tests/secured/lake.py -q

fuzz: setup ## send 100,000 random records through the scorer: each must get one answer
	$(BIN)/python -m pytest tests/stream/fuzz/full_fuzz.py -q

chaos: setup ## kill, freeze and replace scorers and brokers under load: each event must get one answer
	$(BIN)/python -m pytest tests/chaos/full.py -q -s --show-capture=no

demo: setup ## run the whole pipeline, from devices to predictions (another fleet: DEMO_ARGS="--fleet mill")
	$(BIN)/aimaas demo $(DEMO_ARGS)

lint: $(VENV)/.project ## check style, types and import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.project ## format all files
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

docs: $(VENV)/.project ## build the documentation as a site in site/; a broken link or anchor fails
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "open site/index.html"

lock: $(VENV)/.packages ## write the lock files from pyproject.toml (newer versions: UPGRADE=--upgrade)
	$(LOCK) $(UPGRADE) requirements/bootstrap.in -o requirements/bootstrap.lock
	$(LOCK) $(UPGRADE) --group dev pyproject.toml -o requirements/dev.lock
	$(LOCK) --extra deep --group dev --constraint requirements/dev.lock pyproject.toml -o requirements/deep.lock
	$(LOCK) --extra postgres --constraint requirements/dev.lock pyproject.toml requirements/run.in -o requirements/run.lock

# the compiled kernel is kept beside its source: made once here instead of in several processes at their first event
$(VENV)/.compiled: $(VENV)/.project aimaas/kernel/features.py aimaas/admission/judge.py aimaas/records/nesting.py aimaas/admission/order_keys.py aimaas/kernel/state.py aimaas/alerts/machine.py
	@echo "compiling the feature kernel"
	@$(BIN)/python -m aimaas.precompile
	@touch $@

clean: ## stop the local stack, delete its data and the caches
	@if [ -x $(BIN)/aimaas ] && [ -d var ]; then $(BIN)/aimaas down; fi
	rm -rf var build dist site *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './$(VENV)*/*' -prune -exec rm -rf {} +

distclean: clean ## clean, and delete the environments and the jars
	rm -rf $(VENV) $(DEEP) jars

preflight:
	@$(PYTHON) $(FITS) || $(call FAILED,$(PYTHON) is not Python 3.11 or 3.12: install one$(COMMA) or name it: make setup PYTHON=…)
	@$(PYTHON) -m local.install.preflight

jars: $(VENV)/.packages
	@$(BIN)/python -m local.install.jars

# Spark starts in two thirds of the processor time with its classes archived
archive: jars $(VENV)/.project
	@$(BIN)/python -m local.install.spark_archive

$(VENV)/.bootstrap: requirements/bootstrap.lock | preflight
	@echo "making the environment $(VENV)"
	@$(PYTHON) -m venv $(VENV) || $(call FAILED,$(PYTHON) could not make $(VENV))
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $< \
		|| $(call FAILED,the first package could not be fetched: is there a network?)
	@touch $@

# bytecode is written now: dozens of short Python processes (Airflow's tasks) start twice as fast with it
$(VENV)/.packages: requirements/dev.lock | $(VENV)/.bootstrap
	@echo "fetching the Python packages (a minute or two)"
	@$(UV) pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode $< \
		|| $(call FAILED,the packages could not be fetched: no network or a full disk (see the lines above))
	@touch $@

$(VENV)/.project: pyproject.toml $(VENV)/.packages
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable . \
		|| $(call FAILED,the project itself could not be installed (see the lines above))
	@touch $@

# apart from $(VENV), so that the other tests show that scoring needs no PyTorch
$(DEEP)/.packages: requirements/deep.lock | $(VENV)/.bootstrap
	@echo "making the environment $(DEEP): PyTorch takes some minutes"
	@[ -x $(DEEP)/bin/python ] || $(UV) venv --quiet --python $(BIN)/python $(DEEP)
	@$(UV) pip sync --quiet --python $(DEEP)/bin/python --require-hashes --compile-bytecode $< \
		|| $(call FAILED,the packages could not be fetched: no network or a full disk (see the lines above))
	@touch $@

$(DEEP)/.project: pyproject.toml $(DEEP)/.packages
	@$(UV) pip install --quiet --python $(DEEP)/bin/python --no-deps --no-build-isolation --editable . \
		|| $(call FAILED,the project itself could not be installed (see the lines above))
	@touch $@
