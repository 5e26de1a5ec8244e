# Two commands are enough on a fresh machine: `make run` and `make test`. Nothing is needed first but Python >= 3.11 and make.
# The first that runs and is new enough: a name on the PATH may be a shim of nothing.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && break; done)
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared
export DNA_DATA ?= $(abspath $(DATA))

.PHONY: setup links run test lint bench torture clean

# Debian's python3 has no ensurepip unless python3-venv is installed: then its own pip puts one into the environment.
MAKE_VENV = if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv --clear $(VENV); else \
	$(PYTHON) -m venv --clear --without-pip $(VENV) && \
	$(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check install --quiet pip; fi

$(VENV)/.ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Decision DNA needs Python 3.11 or newer: set PYTHON to one"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { $(MAKE_VENV); } || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make an environment with pip: install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[solana,test]'
	@touch $@

setup: $(VENV)/.ready

# A build needs no links (decision 1); mypy without them sees one module and passes.
links:
	@test -f decision_dna/ledger/__init__.py || { echo "decision_dna/ has text files in place of its links, which\
 mypy and import-linter need: git config core.symlinks true && git checkout -f decision_dna"; exit 1; }

run: setup
	@$(BIN)/dna run

lint: setup links
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
