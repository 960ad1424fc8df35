# Everything a fresh machine with Python 3.11 needs; `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3.11
CORES ?= all
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# pip installs what the lock files name and nothing else, and only files that have one of their hashes.
PIP_INSTALL := -m pip install --quiet --quiet --disable-pip-version-check --no-deps
LOCKED := $(PIP_INSTALL) --require-hashes --requirement
# Whether the torch that pip has chosen is a build for CUDA, which needs more packages.
FOR_CUDA := import importlib.metadata as m, sys; sys.exit(not any(r.startswith(("nvidia", "cuda")) for r in m.requires("torch")))

.venv/ready: requirements.lock requirements-slurm.lock requirements-cuda.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; name a Python 3.11 with 'make PYTHON=/path/to/python'" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python $(LOCKED) requirements.lock
	if .venv/bin/python -c '$(FOR_CUDA)'; then .venv/bin/python $(LOCKED) requirements-cuda.lock; fi
	.venv/bin/python $(LOCKED) requirements-slurm.lock
	.venv/bin/python $(PIP_INSTALL) --no-build-isolation --editable .
	touch $@

setup: .venv/ready ## make the environment .venv

.venv-waymo/ready: requirements-waymo.lock
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; name a Python 3.11 with 'make PYTHON=/path/to/python'" >&2; exit 1; }
	$(PYTHON) -m venv .venv-waymo
	.venv-waymo/bin/python $(LOCKED) requirements-waymo.lock
	touch $@

waymo-env: .venv-waymo/ready ## make the environment of the Waymo package, .venv-waymo (2.8 GB)

tables: .venv/ready ## run config/toy.yaml and print its tables: no data, no GPU
	snakemake --cores $(CORES) all_tables all_figures
	@cmcr show results/toy

smoke: .venv/ready ## the whole workflow in its smallest form, in minutes
	snakemake --cores $(CORES) --configfile config/smoke.yaml -- all_tables all_figures
	@cmcr show results/smoke

report: .venv/ready ## results/toy/report.html, and snakemake_report.html beside it
	snakemake --cores $(CORES) report
	snakemake --report results/toy/snakemake_report.html -- report

# A process for each core; the tests of a file stay together, for they share what is costly to make.
TESTS := pytest --numprocesses=$(if $(filter all,$(CORES)),$(shell env -u OMP_NUM_THREADS nproc),$(CORES)) --dist=loadfile

test: .venv/ready ## all tests; fails where they run less of cmcr/ than pyproject.toml asks for
	$(TESTS) --cov --cov-report=term:skip-covered

test-fast: .venv/ready ## the tests that take seconds
	$(TESTS) -m "not slow"

torture: .venv/ready ## ten thousand damaged files for each reader, 25 kills of the smoke run and the same run on 1, 2, 4 cores
	CMCR_TORTURE=1 $(TESTS) -m torture

lint: .venv/ready ## style, types, and the workflow's own lint
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	mypy
	snakemake --lint

format: .venv/ready ## bring all code into its form
	ruff check --fix .
	ruff format .
	snakefmt Snakefile workflow

bench: .venv/ready ## time the parts beside what they replace
	python -m bench

docs: .venv/ready ## print the config reference, and the answers to bad input, from the code
	cmcr config-docs
	python tests/damage.py

site: .venv/ready ## build the documentation's pages into site/
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict

.venv/mutants: .venv/ready requirements-mutants.lock
	.venv/bin/python $(LOCKED) requirements-mutants.lock
	touch $@

# Tests that start processes of their own are left out: these would not see the change. So is what Waymo's package
# counts, in an environment of its own, and, where the folder with official numbers is not beside the checkout, the
# tests that need it.
ONLY ?= *
mutants: .venv/mutants ## change losses, metrics and pairing a little; count what no test notices (ONLY='cmcr.data.pairs*')
	if [ -d ../shared ]; then ln -sfn ../shared shared; fi
	OMP_NUM_THREADS=1 mutmut run '$(ONLY)'
	mutmut results

supply: ## add hashes to the lock files and write docs/licences.md; asks the package index
	$(PYTHON) -m venv .venv-supply
	.venv-supply/bin/python -m pip install --quiet --disable-pip-version-check pip==26.3
	.venv-supply/bin/python -m supply

clean: ## remove what the toy and smoke runs have made, and the caches of all tools
	rm -rf site mutants results/toy results/smoke .snakemake .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage

.PHONY: help setup waymo-env tables smoke report test test-fast torture mutants supply lint format bench docs site clean
