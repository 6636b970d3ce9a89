# Everything a user or a developer types. Each target does its own set-up.

VENV        := .venv
DECODE_VENV := .venv-decode
PYTHON      := $(VENV)/bin/python
BUILD       := build/cmake
# Debian's paraview-dev, for a plugin that is optional.
PARAVIEW_SDK := $(wildcard /usr/lib/*/cmake/paraview-*/paraview-config.cmake)
# A worker for each core, with a thread each: the tests' volumes are too small for more. The tests
# of a file stay on one worker, for they share costly fixtures. Hypothesis draws the same examples
# in every run; pytest called without a seed draws new ones.
PYTEST      := OMP_NUM_THREADS=1 $(PYTHON) -m pytest -n auto --dist loadfile --hypothesis-seed=0

INPUTS := pyproject.toml constraints.txt scripts/make-venv.sh

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

# ---------------------------------------------------------------- set-up

.PHONY: env
env: packages $(VENV)/.up-to-date ## install what is missing and build .venv

.PHONY: packages
packages:
	@scripts/system-packages.sh run

.PHONY: test-packages
test-packages:
	@scripts/system-packages.sh test

$(VENV)/.up-to-date: $(INPUTS) | packages
	@scripts/make-venv.sh full $(VENV)
	@touch $@

$(DECODE_VENV)/.up-to-date: $(INPUTS) | packages
	@scripts/make-venv.sh decode $(DECODE_VENV)
	@touch $@

# ---------------------------------------------------------------- use

.PHONY: demo
demo: env ## encode a real volume, open it in ParaView, write a picture and a table
	@$(PYTHON) demo/run.py

# ---------------------------------------------------------------- checks

.PHONY: test
test: env lint test-install test-compiled ## every check and every test
	@$(PYTEST)

.PHONY: test-unit
test-unit: env ## the tests that start neither ParaView nor a window
	@$(PYTEST) -m "not paraview and not gui"

.PHONY: test-paraview
test-paraview: env ## the tests that start ParaView's programs
	@$(PYTEST) -m "paraview or gui"

.PHONY: test-paraview-next
test-paraview-next: ## the same in a Debian 13 of its own, with ParaView 5.13 (root, slow)
	@SUITE=trixie scripts/check-fresh-debian.sh test-paraview

.PHONY: test-no-torch
test-no-torch: $(DECODE_VENV)/.up-to-date ## decode where torch is not installed
	@! $(DECODE_VENV)/bin/python -c 'import torch' 2>/dev/null \
	    || { echo "inrvis: torch can be imported from $(DECODE_VENV)" >&2; exit 1; }
	@$(DECODE_VENV)/bin/python -m pytest -m decode_only

.PHONY: test-install
test-install: test-packages $(VENV)/.up-to-date ## install with CMake and load the plugin in pvpython
	@cmake -S . -B $(BUILD) >/dev/null
	@ctest --test-dir $(BUILD) --output-on-failure

.PHONY: test-compiled
test-compiled: $(VENV)/.up-to-date ## build the compiled plugin and load it, where ParaView's SDK is
ifneq ($(PARAVIEW_SDK),)
	@cmake -S . -B $(BUILD)-compiled -DINRVIS_BUILD_PLUGIN=ON >/dev/null
	@cmake --build $(BUILD)-compiled >/dev/null
	@ctest --test-dir $(BUILD)-compiled --output-on-failure
else
	@echo "inrvis: ParaView's development files are not installed: no test of the compiled plugin"
endif

.PHONY: lint
lint: env ## style, types and the direction of imports
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

.PHONY: format
format: env ## let ruff rewrite the sources
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

# ---------------------------------------------------------------- tidy

.PHONY: clean
clean: ## remove environments, builds and caches
	rm -rf $(VENV) $(DECODE_VENV) build dist .hypothesis .import_linter_cache .mypy_cache \
	    .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
