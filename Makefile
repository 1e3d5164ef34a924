# Every target is a line or two; the work is done in lab/ and tests/.

# The virtualenv is outside of the checkout and named after its requirements, so that a fresh clone reuses it.
REQUIREMENTS := requirements.txt requirements-dev.txt lab/constraints.txt
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/kube-registry-lab
VENV := $(CACHE)/venv-$(shell (python3 -V; cat $(REQUIREMENTS)) | cksum | cut -d' ' -f1)
PYTHON := $(VENV)/bin/python
# Debian has a separate package for a part of Python's venv module.
APT_VENV := apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes python3-venv

# Tests spend much time waiting, so that two cores serve more processes; tests/conftest.py distributes files. Each process
# of test-all has a cluster of two nodes, and the kernel has no inotify instances for more than three (128 by default).
PYTEST := $(PYTHON) -m pytest

.PHONY: help host venv up preview down shell test test-all matrix soak bench lint schema golden relay lock

help: ## Describe the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# With KUBE_CONTEXT=NAME, which Python reads from its environment, these targets use your own cluster and build no tools.
up: $(if $(KUBE_CONTEXT),,host) venv ## Build missing tools, start the lab cluster, deploy the stack and its downstream
	@$(PYTHON) -m lab.demo up

preview: venv ## Show what `make up` would change
	@$(PYTHON) -m lab.demo preview

shell: venv ## Open a shell in which pulumi, kubectl, docker and registryctl use what `make up` deployed
	@$(PYTHON) -m lab shell

down: venv ## Destroy the stacks and remove the lab
	@$(PYTHON) -m lab.demo down

test test-all: private export MAKEFLAGS := # tests that run make must not get its options

test: host venv ## Run the unit tests, and the life of one stack on a real cluster
	@$(PYTHON) -m lab tools
	@$(PYTEST) --numprocesses=4 --ignore=tests/e2e

# The demo runs alone: it stops the Docker engine that the others need.
test-all: host venv ## Run all other tests, which need real clusters and much time
	@$(PYTHON) -m lab tools
	@$(PYTEST) --numprocesses=3 --ignore=tests/e2e/demo tests/e2e
	@$(PYTEST) tests/e2e/demo

matrix: private export MAKEFLAGS :=

matrix: host venv ## Run what depends on versions with the newest and the oldest, and write the results into docs/compatibility.md
	@$(PYTHON) -m tests.matrix

soak: host venv ## Run fault tests for two hours, and write the results into docs/reliability.md
	@$(PYTHON) -m tests.soak

bench: host venv ## Measure against a flat program, and write the results into docs/performance.md
	@$(PYTHON) -m tests.bench

lint: venv ## Check style, format, types, imports, sizes, words and workflows
	@$(VENV)/bin/ruff check && $(VENV)/bin/ruff format --check && $(VENV)/bin/mypy . && $(PYTHON) -m lab.workflows
	@$(VENV)/bin/lint-imports --no-logo --no-cache && $(PYTHON) -m lab.sizes && $(PYTHON) -m lab.words

schema: venv ## Update the generated parts of files that describe settings, commands and errors
	@$(PYTHON) -m kube_registry.generate

golden: venv ## Update tests/golden: the program's resources and the output of its commands, which a test compares
	@$(PYTHON) -m tests.golden.frozen

relay: venv ## Build the relay's programs, which are committed
	@cd kube_registry/docker_daemon/relay && $(PYTHON) -m ziglang cc -target x86_64-linux-musl -static -Os -s -o relay-amd64 relay.c
	@cd kube_registry/docker_daemon/relay && $(PYTHON) -m ziglang cc -target aarch64-linux-musl -static -Os -s -o relay-arm64 relay.c

lock: venv ## Pin the packages of the workflows, with hashes, in requirements.lock
	@$(VENV)/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --only-binary :all: --generate-hashes \
	  --no-annotate --no-emit-index-url --custom-compile-command "make lock" --output-file requirements.lock requirements.txt

host:
	@python3 -m lab.host

venv: $(VENV)/complete ## Create the virtualenv and link it as .venv, unless .venv is a folder
	@test -d .venv -a ! -L .venv || ln -sfn $(VENV) .venv

$(VENV)/complete:
	@python3 -c 'import sys; sys.version_info >= (3, 11) or sys.exit("kube-registry needs Python 3.11 or newer.")'
	@python3 -c 'import ensurepip' 2>/dev/null || test "$$(id -u)" = 0 || \
	  { echo "python3 lacks ensurepip, which creates virtualenvs. Fix: \`sudo apt-get install python3-venv\`" >&2; exit 1; }
	@python3 -c 'import ensurepip' 2>/dev/null || { echo "python3-venv: installing…"; ($(APT_VENV)) >/dev/null; }
	@echo "Python packages: installing…"
	@python3 -m venv --clear $(VENV)
	@$(PYTHON) -m pip install --quiet --upgrade pip # Pulumi runs pip before every command; an old one takes twice as long
	@$(PYTHON) -m pip install --quiet --requirement requirements-dev.txt --constraint lab/constraints.txt
	@touch $@
