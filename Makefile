# Everything here works on a fresh clone with Python 3.11+, make and git; the first command sets up .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev
# pip compiles what it installs on one core; this does it on all, without tests, and with our own modules. What does not compile (a
# package's templates, say) is left to whoever imports it.
COMPILE := $(BIN)/python -m compileall -qq -j 0 -x '/(tests?|testing|_inductor)/' $(VENV)/lib src || true
export HF_HUB_OFFLINE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Threads that spin while they wait ruin each other when several processes share the cores, as tests do.
test slow e2e: export GOMP_SPINCOUNT ?= 0

.PHONY: help run test slow check fix lint types imports bench e2e clean

help:  ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

run: $(INSTALLED)  ## set up and run the main job: the quickstart, from examples to three served models
	$(BIN)/fettle quickstart

test: $(INSTALLED_DEV)  ## set up and run the everyday tests
	$(BIN)/python -m pytest -q -n 3 --dist worksteal -m "not slow"

slow: $(INSTALLED_DEV)  ## the tests that take long, and that CI runs too: many processes, PostgreSQL, every write that can fail, what few rows teach
	$(BIN)/python -m pytest -q -n 3 --dist worksteal -m slow

check: lint types imports test  ## lint, types, imports, then the tests

lint: $(INSTALLED_DEV)  ## style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED_DEV)  ## mypy, strict
	$(BIN)/mypy

imports: $(INSTALLED_DEV)  ## the layers: who may import whom
	$(BIN)/lint-imports

fix: $(INSTALLED_DEV)  ## format, and refresh the generated documents
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/python scripts/generate_docs.py

bench: $(INSTALLED_DEV)  ## NAME=serving or NAME=tuning: measure beside the peers and record
	$(BIN)/python -m pip install -q -c constraints.txt -e ".[peers]"
	$(BIN)/python benchmarks/$(NAME)/bench.py $(ARGS)

e2e: $(INSTALLED_DEV)  ## only the tests that start real processes
	$(BIN)/python -m pytest -q -m e2e

clean:  ## remove what was set up
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --no-compile -c constraints.txt -e ".[quickstart]"
	@$(COMPILE)
	@touch $@

$(INSTALLED_DEV): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --no-compile -c constraints.txt -e ".[dev]"
	@$(COMPILE)
	@touch $(INSTALLED) $@
