# One command for each thing one does here. `make` alone lists them.

PYTHON ?= python3

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
READY := .venv/.ready

# Committed pages show the quick tier on the embedded flowers, whatever the caller's shell says.
AS_COMMITTED := env -u FLOWERS VIT_TIER=quick
NBVAL := --nbval --nbval-current-env --nbval-cell-timeout=300 \
         --nbval-sanitize-with=notebooks/sanitize.cfg

# A file at a time to each of two processes: most tests keep one core busy.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile

# Progress shows at once, also where the output is a pipe.
export PYTHONUNBUFFERED := 1

.PHONY: help tutorial lab test test-all test-jax notebooks data bench clean

help:  ## list what there is to make
	@sed -nE 's/^([a-z][a-z-]*):[^#]*## *(.*)/  make \1@\2/p' Makefile | awk -F@ '{printf "%-22s %s\n", $$1, $$2}'

tutorial: $(READY)  ## run every notebook in order; pages to read land in build/tutorial/
	@$(BIN)/python notebooks/build.py

lab: $(READY)  ## open JupyterLab on notebooks/
	@if [ -d "$$FLOWERS" ]; then FLOWERS=$$(cd "$$FLOWERS" && pwd); fi; \
	$(BIN)/jupyter lab notebooks

test: $(READY)-dev  ## lint, unit tests, and every notebook against its stored outputs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(PYTEST) tests
	$(if $(wildcard notebooks/*.ipynb),$(AS_COMMITTED) $(PYTEST) $(NBVAL) notebooks)

# In a browser's and in NumPy's tests there is no backend to compare, and export is TensorFlow's.
test-jax: $(READY)-dev $(READY)-peers  ## the tests of layers, models and maps on the JAX backend
	KERAS_BACKEND=jax $(PYTEST) tests/layers tests/models tests/interpret \
	    --ignore=tests/interpret/test_explorer.py --ignore=tests/interpret/test_faithfulness.py \
	    --ignore=tests/models/test_export.py

# Parity with peers is among the unit tests, which leave it out where peers are not installed.
test-all: $(READY)-peers $(READY)-export  ## what `make test` checks, with parity and the JAX backend
	@$(MAKE) --no-print-directory test
	@$(MAKE) --no-print-directory test-jax

notebooks: $(READY)  ## run every notebook again, in place: refreshes the stored outputs
	@$(AS_COMMITTED) $(BIN)/python notebooks/build.py --in-place

data: $(READY)-draw  ## draw the embedded flowers anew
	$(BIN)/python data/procedural_flowers/build.py

bench: $(READY)-peers  ## speed and memory, as ratios within one run
	@set -e; for script in benchmarks/data.py benchmarks/models.py; do echo "== $$script"; $(BIN)/python "$$script"; done

clean:  ## remove build/ and the caches; .venv stays
	rm -rf build .pytest_cache .ruff_cache
	find . -path ./.venv -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is written last: an installation that was interrupted is taken up again.
$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 10) <= v <= (3, 13) or sys.exit( \
	    "Python 3.10 to 3.13 is needed, $(PYTHON) is %d.%d. Try: make PYTHON=python3.12 ..." % v)'
	@echo "Installing what the notebooks need into .venv: once, some minutes, 3 GB on disk ..."
	@$(PYTHON) -m venv .venv
	@$(PIP) --upgrade pip  # an old one can take for ever to choose versions
	@$(PIP) -r requirements.txt
	@touch $@

$(READY)-%: $(READY)
	@echo "Installing the extra '$*' into .venv ..."
	@$(PIP) -e '.[$*]'
	@touch $@
