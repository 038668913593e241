# Every target sets up .venv by itself; `make demo` and `make test` are all a newcomer needs.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo lto test lint format docs notebooks bench clean
.DELETE_ON_ERROR:

demo: .venv/core
	$(BIN)/python experiments/silica/run.py --out results

lto: .venv/study
	$(BIN)/python -m experiments.lto --out results/lto

test: lint
	$(BIN)/python -m pytest -q -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/test_layers.py

format: .venv/test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

notebooks: .venv/docs .venv/test
	$(BIN)/python docs/tools/notebooks.py

bench: .venv/test
	$(BIN)/python benchmarks/accuracy.py
	$(BIN)/python benchmarks/descriptor.py
	$(BIN)/python benchmarks/latency.py
	$(BIN)/python benchmarks/training.py
	$(BIN)/python benchmarks/prediction.py
	$(BIN)/python benchmarks/tuning.py

# Stamps: installed once, and again when the requirements change.
.venv/core: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/study: .venv/core
	$(BIN)/python -m pip install --quiet --editable '.[study]'
	touch $@

.venv/docs: .venv/core
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

.venv/test: .venv/core
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

clean:
	rm -rf .venv results site build dist .pytest_cache .hypothesis .ruff_cache
