# The front door. `make up` needs Debian or Ubuntu, root, Python 3.11 or later and make; it installs the rest.
PYTHON ?= python3
LAB ?= demo
VENV := .venv
BIN := $(VENV)/bin
INVENTORY := inventory/lab
LABCTL := $(PYTHON) tests/lab/lab.py
PLAY := $(BIN)/ansible-playbook -i $(INVENTORY)
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help up down status test check unit lint conformance page fuzz molecule e2e bench docs lock deps testdeps browser
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: deps $(VENV)/.ready ## from a fresh clone to three balanced servers on a lab node
	@$(LABCTL) up $(LAB) --inventory $(INVENTORY)/hosts.yml
	@$(PLAY) site.yml
	@tests/lab/next-steps $(INVENTORY)

status: $(VENV)/.ready ## one table: servers, balancer, tester
	@test -f $(INVENTORY)/hosts.yml || { echo "No lab runs; make up starts one." >&2; exit 1; }
	@$(PLAY) playbooks/status.yml

down: ## remove the lab and all that belongs to it
	@$(LABCTL) down $(LAB)
	@rm -f $(INVENTORY)/hosts.yml

check: testdeps $(VENV)/.ready ## the quick proof: style, types, unit tests
	@$(MAKE) --no-print-directory -j2 --output-sync=target lint unit

lint: $(VENV)/.ready
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/yamllint --strict .
	@$(BIN)/ansible-lint -q
	@$(BIN)/python tests/docs.py --check

unit: $(VENV)/.ready
	@$(BIN)/pytest tests/unit

test: testdeps browser $(VENV)/.ready tests/node_modules/.ready ## everything that proves it: check, conformance, molecule for every role, a fleet end to end
	@$(BIN)/python tests/run.py

conformance: testdeps $(VENV)/.ready tests/node_modules/.ready ## the official suites of MCP, on one server and on a balanced fleet
	@$(BIN)/pytest tests/conformance

page: testdeps browser $(VENV)/.ready tests/node_modules/.ready ## the hub's page in a real browser
	@$(BIN)/pytest tests/page

fuzz: testdeps $(VENV)/.ready ## a million datagrams at the hub, minutes
	@HUB_FUZZ_DATAGRAMS=1000000 $(BIN)/pytest tests/hub -k generated

molecule: testdeps $(VENV)/.ready ## every role in containers, and all of them as a fleet
	@$(BIN)/python tests/run.py molecule

e2e: testdeps $(VENV)/.ready tests/node_modules/.ready ## the promises of the README on real nodes
	@$(BIN)/python tests/run.py e2e

bench: testdeps browser $(VENV)/.ready ## speed, as ratios measured in one run
	@$(BIN)/python tests/bench/bench.py

docs: $(VENV)/.ready ## bring the generated tables of the READMEs up to date
	@$(BIN)/python tests/docs.py

lock: $(VENV)/.ready ## renew requirements.txt, app/requirements.lock and tests/package-lock.json
	@cd app && uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --upgrade --custom-compile-command "make lock" -o requirements.lock pyproject.toml
	@uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-emit-find-links --upgrade --custom-compile-command "make lock" -o requirements.txt requirements.in
	@npm update --prefix tests --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund --loglevel=error

deps:
	@$(LABCTL) deps

# The unit tests let HAProxy and Prometheus themselves judge their configuration.
testdeps:
	@$(LABCTL) deps haproxy prometheus

browser:
	@$(LABCTL) deps chromium

$(VENV)/.ready: requirements.txt app/pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(0 if sys.version_info >= (3, 11) else f"Python {v} is too old; set PYTHON to 3.11 or later, as in: make PYTHON=python3.12")'
	@echo "Creating $(VENV) and installing what the controller needs (about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

tests/node_modules/.ready: tests/package.json tests/package-lock.json
	@$(LABCTL) deps npm
	@echo "Installing what the official suites of MCP need in tests/node_modules (half a minute)"
	@npm ci --prefix tests --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
