# make site      everything the guide builds, on three clusters played on this machine, proven by traffic
# make cleanup   takes all of it away again
# make test      lint, unit tests, and the acceptance tests on labs of their own; make unit is the quick part

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

ROOT := $(CURDIR)
VENV := .venv
BIN := $(ROOT)/$(VENV)/bin
STAMP := $(VENV)/.installed
LINK := .cache/collections/ansible_collections/multicluster/gloo

# INVENTORY=path plays against your own clusters; without it the lab is started and used.
LAB_HOME ?= $(ROOT)/.lab
INVENTORY ?=
ARGS ?=
# Workload clusters of the lab; without it as many as it has, or two.
WORKLOADS ?=

# Where site, verify and doctor leave their report.
REPORTS ?= $(ROOT)/reports
REPORT := -e report_path=$(REPORTS)

export LAB_HOME
export PATH := $(BIN):$(PATH)
export ANSIBLE_CONFIG := $(ROOT)/ansible.cfg
unexport ANSIBLE_COLLECTIONS_PATH PYTHONPATH PYTHONHOME VIRTUAL_ENV

ifeq ($(INVENTORY),)
# Nothing on this way may reach the clusters of the user's own kubeconfig.
SITE_ENV := KUBECONFIG=$(LAB_HOME)/kubeconfig \
  GLOO_MESH_LICENSE_KEY="$${GLOO_MESH_LICENSE_KEY:-lab-plays-the-licence}" \
  GLOO_GATEWAY_LICENSE_KEY="$${GLOO_GATEWAY_LICENSE_KEY:-lab-plays-the-licence}"
PLAY := $(SITE_ENV) $(BIN)/ansible-playbook -i $(LAB_HOME)/inventory.yml
NEEDS := lab-up
else
PLAY := $(BIN)/ansible-playbook -i $(INVENTORY)
NEEDS :=
endif

.PHONY: help
help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# --- tools -----------------------------------------------------------------------------------------------------------

# A pyenv shim may exist and not run, so each candidate is tried, newest first.
define find_python
for p in $(if $(PYTHON),$(PYTHON),python3.14 python3.13 python3.12 python3.11 python3); do \
  if "$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
    echo "$$p"; exit 0; \
  fi; \
done; \
echo "no Python 3.11 or newer with venv found $(if $(PYTHON),(PYTHON=$(PYTHON)),on PATH; name one: make PYTHON=/path/to/python3)" >&2; \
exit 1
endef

$(STAMP): requirements.txt
	@python=$$($(find_python)); \
	echo "python: $$("$$python" -c 'import sys; print(sys.version.split()[0], sys.executable)') -> $(VENV)"; \
	rm -rf $(VENV); \
	"$$python" -m venv $(VENV); \
	$(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --no-compile --require-hashes -r requirements.txt
	@touch $@

$(LINK):
	@mkdir -p $(@D) && ln -sfn ../../../.. $@

.PHONY: venv
venv: $(STAMP) $(LINK) ## the Python environment in .venv, from the locked requirements

.PHONY: requirements
requirements: ## lock requirements.in again (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
	  --custom-compile-command "make requirements" requirements.in -o requirements.txt

# --- the guide -------------------------------------------------------------------------------------------------------

.PHONY: site verify doctor failover bundle cleanup
site: venv $(NEEDS) ## build and prove all five steps (ARGS="--tags gateway" for one, INVENTORY= for your clusters)
	@$(PLAY) playbooks/site.yml $(REPORT) $(ARGS)

verify: venv $(NEEDS) ## the proof alone, changes nothing
	@$(PLAY) playbooks/verify.yml $(REPORT) $(ARGS)

doctor: venv $(NEEDS) ## which link of the chain is broken? changes nothing
	@$(PLAY) playbooks/doctor.yml $(REPORT) $(ARGS)

# It takes backends away for a moment; on your own clusters say so yourself: ARGS="-e failover_confirm=true".
failover: venv $(NEEDS) ## prove that traffic goes on without one cluster's backends
	@$(PLAY) playbooks/failover.yml $(if $(INVENTORY),,-e failover_confirm=true) $(ARGS)

bundle: venv $(NEEDS) ## objects, events and logs of all clusters in one redacted archive
	@$(PLAY) playbooks/bundle.yml -e bundle_dest=$(REPORTS) $(ARGS)

# In the lab the vendor's CRDs go too; on your own clusters say so yourself: ARGS="-e cleanup_vendor_crds=true".
cleanup: venv $(NEEDS) ## take all of it away
	@$(PLAY) playbooks/cleanup.yml $(if $(INVENTORY),,-e cleanup_vendor_crds=true) $(ARGS)

.PHONY: lab-up lab-down
lab-up: venv ## start the lab: three control planes on this machine
	@$(BIN)/python -m lab up $(if $(WORKLOADS),--workloads $(WORKLOADS))

lab-down: venv ## stop the lab and remove what it kept, but not its cache of programs
	@$(BIN)/python -m lab down

# --- tests -----------------------------------------------------------------------------------------------------------

.PHONY: test test-full lint unit acceptance molecule bench
# FUZZ=1 lets hypothesis look for new examples; SHARE=2/5 takes this share of the long tests' cells, not today's.
test: venv ## lint, unit tests, acceptance tests; of the longest tests today's share of the cells
	@.ci/test $(ARGS)

test-full: venv ## the same with every cell of every test
	@.ci/test --full $(ARGS)

lint: venv ## ruff, mypy, ansible-lint, ansible-test sanity, collection build
	@.ci/lint

unit: venv ## unit tests without the slow ones
	@$(BIN)/python -m pytest tests/unit -m "not slow" $(ARGS)

acceptance: venv ## the guide on local clusters: built, broken, cleaned up; of the longest tests today's share
	@$(BIN)/python -m pytest tests/integration $(ARGS)

molecule: venv ## molecule's sequence alone
	@$(BIN)/molecule test

bench: venv ## cold and warm figures
	@$(BIN)/python tests/benchmarks/site.py $(ARGS)

.PHONY: clean
clean: ## stop the lab, remove everything made here except the cache of programs outside
	@if [ -x $(BIN)/python ] && [ -d "$(LAB_HOME)" ]; then $(BIN)/python -m lab down; fi
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .ansible *.tar.gz
