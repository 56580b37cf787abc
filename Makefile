# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types chaos bench fuzz audit lowest

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

fuzz: $(BIN)/pytest
	$(BIN)/python -m pip install -q --disable-pip-version-check schemathesis
	$(BIN)/python -m benchmarks.fuzz --seconds 600

audit: $(BIN)/pytest
	$(BIN)/python -m pip install -q --disable-pip-version-check pip-audit
	$(BIN)/pip-audit --skip-editable

# The lowest versions that pyproject.toml allows, in an environment of their own, and the tests that need no cluster.
lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install -q --disable-pip-version-check uv
	.venv-lowest/bin/uv pip install -q --python .venv-lowest/bin/python --resolution lowest-direct -e . \
		'pytest>=8' 'pytest-timeout>=2.3' 'hypothesis>=6.100' pandas polars scikit-learn httpx
	.venv-lowest/bin/python -m pytest -q tests/test_local.py tests/test_verbs.py tests/test_tables.py tests/test_files.py \
		tests/test_http_api.py tests/test_secrets.py tests/unit/test_types.py tests/unit/test_bundle.py
