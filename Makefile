# Two commands do everything: `make demo` and `make test`. Each sets up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= -n 2 --dist worksteal
COVERED := tests/attacks tests/e2e tests/ledger tests/property tests/verifier
OTHERS := tests/cli tests/docs tests/producers tests/projections

.PHONY: demo test lint types imports bench clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: $(STAMP) ## train a small GPT under the gate, record, project, verify, tamper
	$(BIN)/ledger demo --dir demo-run

test: $(STAMP) ## all tests, with the coverage gate on ledger/ and verifier/
	$(BIN)/python -m coverage erase
	$(BIN)/python -m pytest $(WORKERS) --cov --cov-report=term $(COVERED)
	$(BIN)/python -m pytest $(WORKERS) $(OTHERS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

imports: $(STAMP)
	$(BIN)/lint-imports

bench: $(STAMP) ## the speed and memory table; minutes
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m benchmarks.run

clean:
	rm -rf $(VENV) demo-run .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis
