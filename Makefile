# make site      run all steps of the guide on the local lab (three clusters) and verify them
# make cleanup   remove everything that make site installed
# make test      run lint, unit tests, and acceptance tests on separate labs
# make help      list all targets

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

ROOT := $(CURDIR)
VENV := .venv
BIN := $(ROOT)/$(VENV)/bin
STAMP := $(VENV)/.installed
DOCS := .cache/docs
DOCS_STAMP := $(DOCS)/venv/.installed
LINK := .cache/collections/ansible_collections/multicluster/gloo

# INVENTORY=path uses your own clusters; without it the lab is started and used.
LAB_HOME ?= $(ROOT)/.lab
INVENTORY ?=
ARGS ?=
# Number of workload clusters in the lab. Empty: as many as the lab has, or two.
WORKLOADS ?=
# Existing site to install on the lab: python -m lab site lists them.
SITE ?=

# Workload cluster for remove-cluster.
CLUSTER ?=

# Report directory of site, verify and doctor.
REPORTS ?= $(ROOT)/reports
REPORT := -e report_path=$(REPORTS)

export LAB_HOME
export PATH := $(BIN):$(PATH)
export ANSIBLE_CONFIG := $(ROOT)/ansible.cfg
unexport ANSIBLE_COLLECTIONS_PATH PYTHONPATH PYTHONHOME VIRTUAL_ENV

ifeq ($(INVENTORY),)
# The lab never uses the user's own kubeconfig.
SITE_ENV := KUBECONFIG=$(LAB_HOME)/kubeconfig \
  GLOO_MESH_LICENSE_KEY="$${GLOO_MESH_LICENSE_KEY:-simulated-licence-key}" \
  GLOO_GATEWAY_LICENSE_KEY="$${GLOO_GATEWAY_LICENSE_KEY:-simulated-licence-key}"
PLAY := $(SITE_ENV) $(BIN)/ansible-playbook -i $(LAB_HOME)/inventory.yml
NEEDS := lab-up
else
PLAY := $(BIN)/ansible-playbook -i $(INVENTORY)
NEEDS :=
endif

.PHONY: help
help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# --- tools -----------------------------------------------------------------------------------------------------------

# Tries each candidate, newest first: a pyenv shim may exist without a Python behind it. Prints the program itself, because
# the first one on PATH may be that of an environment that is about to be replaced.
define find_python
for p in $(if $(PYTHON),$(PYTHON),python3.14 python3.13 python3.12 python3.11 python3); do \
  if "$$p" -c 'import sys, venv, ensurepip; sys.version_info < (3, 11) and sys.exit(1); print(sys._base_executable)' 2>/dev/null; then \
    exit 0; \
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
venv: $(STAMP) $(LINK) ## create the Python environment in .venv from the locked requirements

.PHONY: requirements
requirements: ## update requirements.txt and .ci/docs/requirements.txt from their .in files (needs uv)
	for file in requirements .ci/docs/requirements; do \
	  uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-emit-index-url \
	    --custom-compile-command "make requirements" $$file.in -o $$file.txt; \
	done

# --- the guide -------------------------------------------------------------------------------------------------------

.PHONY: site verify doctor failover bundle remove-cluster cleanup
site: venv $(NEEDS) ## install and verify everything (ARGS="--tags gateway" for one step, INVENTORY=path for your clusters)
	@$(PLAY) playbooks/site.yml $(REPORT) $(ARGS)

verify: venv $(NEEDS) ## verify an installed site (read-only)
	@$(PLAY) playbooks/verify.yml $(REPORT) $(ARGS)

doctor: venv $(NEEDS) ## diagnose all clusters (read-only)
	@$(PLAY) playbooks/doctor.yml $(REPORT) $(ARGS)

# Scales backends down temporarily. On your own clusters confirm it: ARGS="-e failover_confirm=true".
failover: venv $(NEEDS) ## verify failover while one cluster's backends are scaled down
	@$(PLAY) playbooks/failover.yml $(if $(INVENTORY),,-e failover_confirm=true) $(ARGS)

bundle: venv $(NEEDS) ## collect a redacted support bundle from all clusters (read-only)
	@$(PLAY) playbooks/bundle.yml -e bundle_dest=$(REPORTS) $(ARGS)

remove-cluster: venv $(NEEDS) ## take one workload cluster out while the others serve (CLUSTER=name)
	@$(PLAY) playbooks/remove_cluster.yml -e remove_cluster=$(CLUSTER) $(ARGS)

# In the lab the vendors' CRDs are removed, too. On your own clusters add ARGS="-e cleanup_vendor_crds=true".
cleanup: venv $(NEEDS) ## remove everything that site installed
	@$(PLAY) playbooks/cleanup.yml $(if $(INVENTORY),,-e cleanup_vendor_crds=true) $(ARGS)

.PHONY: lab-up lab-down
lab-up: venv ## start the lab: real control planes on this machine (ARGS="--set KEY=VALUE" for a variant, SITE=name for an existing site)
	@$(BIN)/python -m lab up $(if $(WORKLOADS),--workloads $(WORKLOADS)) $(if $(filter lab-up,$(MAKECMDGOALS)),$(ARGS))
	@$(if $(SITE),$(BIN)/python -m lab site $(SITE))

lab-down: venv ## stop the lab and delete its data, except the program cache
	@$(BIN)/python -m lab down

# --- documentation ---------------------------------------------------------------------------------------------------

$(DOCS_STAMP): .ci/docs/requirements.txt
	@python=$$($(find_python)); \
	rm -rf $(DOCS)/venv; \
	"$$python" -m venv $(DOCS)/venv; \
	$(DOCS)/venv/bin/python -m pip --disable-pip-version-check install --quiet --no-compile --require-hashes -r $<
	@touch $@

# A link that leads nowhere and a page in no table of contents are warnings, and warnings are errors. Always built anew, because
# every page has the table of contents.
.PHONY: docs
docs: $(DOCS_STAMP) $(LINK) ## build the documentation as a searchable site in .cache/docs/html
	@mkdir -p docs/reference
	@PATH=$(ROOT)/$(DOCS)/venv/bin:$$PATH antsibull-docs collection --use-current --fail-on-error --squash-hierarchy --no-indexes \
	  --cleanup everything --dest-dir docs/reference multicluster.gloo
	@rm -rf $(DOCS)/html
	@$(DOCS)/venv/bin/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going --conf-dir .ci/docs \
	  --doctree-dir $(DOCS)/doctrees . $(DOCS)/html
	@echo "open $(DOCS)/html/index.html"

# --- tests -----------------------------------------------------------------------------------------------------------

.PHONY: test test-full lint unit acceptance molecule bench
# FUZZ=1: hypothesis searches for new examples. SHARE=2/5: the second of five parts of the longest tests instead of today's.
test: venv ## run lint, unit and acceptance tests (of the longest tests a twentieth, others each day)
	@.ci/test $(ARGS)

test-full: venv ## run the same with the longest tests in full
	@.ci/test --full $(ARGS)

lint: venv ## run ruff, mypy, ansible-lint, ansible-test sanity and a collection build
	@.ci/lint

unit: venv ## run the unit tests, except the slow ones
	@$(BIN)/python -m pytest tests/unit -m "not slow" $(ARGS)

acceptance: venv ## run the acceptance tests on separate labs (molecule/default has the sequence)
	@$(BIN)/python -m pytest tests/integration $(ARGS)

molecule: venv ## run the molecule sequence only
	@$(BIN)/molecule test

bench: venv ## measure cold and warm runs
	@$(BIN)/python tests/benchmarks/site.py $(ARGS)

.PHONY: clean
clean: ## stop the lab and remove all generated files, except the program cache
	@if [ -x $(BIN)/python ] && [ -d "$(LAB_HOME)" ]; then $(BIN)/python -m lab down; fi
	rm -rf $(VENV) .cache docs/reference .mypy_cache .pytest_cache .ruff_cache .hypothesis .ansible *.tar.gz
