# Two commands are enough on a fresh machine: `make run` and `make test`. Nothing is needed first but Python >= 3.11 and make.
# The first that runs and is new enough: a name on the PATH may be a shim of nothing.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared
export DNA_DATA ?= $(abspath $(DATA))

.PHONY: setup run test lint bench torture clean

$(VENV)/.ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Decision DNA needs Python 3.11 or newer: set PYTHON to one"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[solana,test]'
	@touch $@

setup: $(VENV)/.ready

run: setup
	@$(BIN)/dna run

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: lint
	$(BIN)/python -m pytest -n 2 $(TESTS)

bench: setup
	$(BIN)/python -m benchmarks $(BENCH)

torture: setup
	$(BIN)/python -m pytest -n 2 -m torture tests $(TORTURE)

clean:
	rm -rf $(VENV) build dist run .mypy_cache .ruff_cache .pytest_cache
