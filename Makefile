# `make demo` and `make test` are all that a newcomer needs; `make` alone lists the rest.
#
# Everything happens in a virtual environment of its own (.venv), made from the first Python 3.11
# or newer that is found (`make PYTHON=/path/to/python3 demo` names another one).

.DEFAULT_GOAL := help
.PHONY: help demo test test-all fuzz check docs notebooks chaos bench format clean

VENV ?= .venv
BIN := $(VENV)/bin
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c '$(USABLE)' >/dev/null 2>&1 && { echo $$p; break; }; done)
# Warnings of pip about its own configuration are noise to a newcomer; errors still show.
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check
DEMO ?= demo
BENCH ?=
CHAOS_RUNS ?= 20
CHAOS_SEED ?= 1
CHAOS_FAULTS ?=
FUZZ ?= 2000

help:
	@echo "make demo      simulate a night, reduce it, show what came out (folder $(DEMO)/)"
	@echo "make test      the default test suite"
	@echo "make check     format, lint, types and documentation, as CI does"
	@echo "make docs      the documentation, into docs/_build/html"
	@echo "make test-all  the default suite and the slow ones, with what they need"
	@echo "make notebooks  run the notebooks and keep them with what they show"
	@echo "make chaos     nights that are disturbed on purpose: CHAOS_RUNS=20 of each kind, from CHAOS_SEED=1;"
	@echo "               CHAOS_FAULTS='worker killed, cache full' or 'worker.kill@0.3' for some; writes the"
	@echo "               table in docs/design/reliability.md if all kinds are tried"
	@echo "make fuzz      files of any content for all readers (half an hour; FUZZ=$(FUZZ) examples a test)"
	@echo "make bench     all benchmarks of benchmarks/ (an hour); BENCH=night-74 for one of them"
	@echo "make format    let ruff format the code"
	@echo "make clean     remove what make made, $(VENV) included"

demo: $(VENV)/.installed
	@$(BIN)/mirar-dask demo --out $(DEMO)

test: $(VENV)/.installed-test
	@$(BIN)/python -m pytest -m "not slow and not reference and not slurm and not ssh and not netns and not containers and not browser"

test-all: $(VENV)/.installed-test
	@PYTHON=$(BIN)/python .ci/reference_env.sh
	@.ci/slurm.sh || echo "SLURM could not be installed: its tests are skipped"
	@.ci/ssh.sh || echo "sshd could not be installed: its tests are skipped"
	@.ci/containers.sh || echo "Docker could not be installed: its tests are skipped"
	@.ci/browser.sh || echo "Chromium could not be installed: its tests are skipped"
	@$(BIN)/python -m pytest

docs: $(VENV)/.installed-test
	@$(BIN)/sphinx-build -a -W --keep-going -q -d docs/_build/doctrees docs docs/_build/html
	@echo "docs/_build/html/index.html"

notebooks: $(VENV)/.installed-test
	@$(BIN)/python notebooks/refresh.py

# What it finds is kept in .hypothesis and tried first the next time; keep it as an @example too.
fuzz: $(VENV)/.installed-test
	@MIRAR_DASK_FUZZ=$(FUZZ) $(BIN)/python -m pytest -m fuzz --timeout 3600 tests/fuzz

check: $(VENV)/.installed-test docs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@if .ci/compose.sh; then .ci/compose.sh --profile '*' config --quiet; \
		else echo "docker-compose.yml was not checked"; fi
	@$(BIN)/python .ci/audit.py

chaos: $(VENV)/.installed-test
	@.ci/chaos.sh || echo "Not all that faults are made with could be installed: some are skipped"
	@$(BIN)/python -m pytest tests/chaos --chaos-runs $(CHAOS_RUNS) --chaos-seed $(CHAOS_SEED) \
		$(if $(CHAOS_FAULTS),--chaos-faults "$(CHAOS_FAULTS)",--chaos-table docs/design/reliability.md)

bench: $(VENV)/.installed-test
	@$(BIN)/python benchmarks/run.py $(BENCH)

format: $(VENV)/.installed-test
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) $(DEMO) .ci/.cache docs/_build build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find mirar_dask tests benchmarks docs -name __pycache__ -prune -exec rm -rf {} +

$(VENV)/.python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer with its venv module was found." \
		"Install one (Debian: apt install python3-venv) or name it: make PYTHON=... " >&2; exit 1; }
	@$(PYTHON) -c '$(USABLE)' || { echo "$(PYTHON) is older than Python 3.11 or lacks its venv" \
		"module; name another one: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.python
	@echo "Installing mirar_dask and what it needs into $(VENV) (once, about a minute) ..."
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.installed-test: pyproject.toml $(VENV)/.python
	@echo "Installing mirar_dask and its test tools into $(VENV) (once, a minute or two) ..."
	@$(PIP) install --editable '.[all,test,docs]'
	@touch $(VENV)/.installed $@
