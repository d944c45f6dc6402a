PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CODE := src recording reproduction measurements benchmarks fuzz examples tests

.PHONY: demo test check format lint types imports tests coverage scale docs clean

# What users need; `make demo` stops here.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "memae needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[features]'
	touch $@

# Everything, for development.
$(VENV)/.developing: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[engines,excel,features,log,serve,mlflow,pyod,dev]'
	touch $@

.PHONY: venv
venv: $(VENV)/.developing

demo: $(VENV)/.installed
	$(BIN)/memae demo --out demo

test: venv check tests

check: lint types imports

format: venv
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

lint: venv
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)

types: venv
	$(BIN)/mypy

imports: venv
	$(BIN)/lint-imports

# One process a core, a file of tests each.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --maxprocesses 8 --dist loadfile --durations=10

tests: venv
	$(PYTEST)

# Slower. Subprocesses (the command line, kill tests) are not measured.
coverage: venv
	$(PYTEST) --cov --cov-report term:skip-covered

# Spark (which needs Java 17 besides) and Ray, which are half a gigabyte and no part of `make test`.
SCALE := 'pyspark==4.3.0' 'ray[data]==2.60.0'
$(VENV)/.scaling: $(VENV)/.developing
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(SCALE)
	touch $@

scale: $(VENV)/.scaling
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -rs --durations=10 tests/scale

clean:
	rm -rf $(VENV) demo .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
