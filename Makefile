# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types chaos bench

$(BIN)/flyte-ray: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -e .
	touch $@

$(BIN)/pytest: $(BIN)/flyte-ray
	$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[test]'
	touch $@

demo: $(BIN)/flyte-ray
	$(BIN)/flyte-ray submit examples/census.py census

test: $(BIN)/pytest
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=10

lint: $(BIN)/pytest
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(BIN)/pytest
	$(BIN)/mypy flyte_ray tests benchmarks

chaos: $(BIN)/pytest
	$(BIN)/python -m benchmarks.chaos

bench: $(BIN)/pytest
	$(BIN)/python -m benchmarks
