# Two commands for a fresh machine with Python 3.11 or newer: `make studio` opens it, `make test` proves it.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
PROMPT ?= A lighthouse keeper finds a talking seal.
PORT   ?= 8321
OPTIONS ?=

.PHONY: studio story test check fast page setup setup-dev model clean

studio: setup model page  ## set everything up and open the studio in the browser
	@$(BIN)/storyteller studio --port $(PORT) $(OPTIONS)

story: setup model  ## set everything up and tell a story
	@$(BIN)/storyteller write "$(PROMPT)"

test: setup-dev model page  ## set everything up and pass all tests, those that need the real model too
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal --durations 15

fast: setup-dev  ## the tests that need no real model
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow"

check: setup-dev  ## style, types, and the direction of imports
	$(BIN)/ruff check src tests benchmarks scripts
	$(BIN)/ruff format --check src tests benchmarks scripts
	$(BIN)/mypy
	$(BIN)/lint-imports

page: src/storyteller/studio/page/index.html  ## the studio's page, built anew only when its source changed

src/storyteller/studio/page/index.html: $(BIN)/python scripts/build_page.py $(shell find web -type f -not -path '*/node_modules/*')
	$(BIN)/python scripts/build_page.py

setup: $(VENV)/.installed
setup-dev: $(VENV)/.installed-dev

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Storyteller needs Python 3.11 or newer; name one with: make PYTHON=python3.11 ..."; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing Storyteller into $(VENV) (some minutes the first time) ..."
	$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) install --constraint constraints.txt --editable '.[dev]'
	@touch $@

model: setup
	@$(BIN)/storyteller models pull smollm2-135m-instruct

clean:
	rm -rf $(VENV) build dist
