# Everything a fresh machine with Python 3.11 needs; `make help` lists it.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
PYTHON ?= python3.11
CORES ?= all
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/ready: requirements.lock requirements-slurm.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; name a Python 3.11 with 'make PYTHON=/path/to/python'" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --requirement requirements.lock
	.venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --requirement requirements-slurm.lock
	.venv/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

setup: .venv/ready ## make the environment .venv

.venv-waymo/ready: requirements-waymo.lock
	@command -v $(PYTHON) >/dev/null || { echo "make: $(PYTHON) not found; name a Python 3.11 with 'make PYTHON=/path/to/python'" >&2; exit 1; }
	$(PYTHON) -m venv .venv-waymo
	.venv-waymo/bin/python -m pip install --quiet --quiet --disable-pip-version-check --no-deps --requirement requirements-waymo.lock
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

test: .venv/ready ## all tests
	pytest

test-fast: .venv/ready ## the tests that take seconds
	pytest -m "not slow"

torture: .venv/ready ## random damage, ten thousand cases for each reader
	CMCR_TORTURE=1 pytest -m torture

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

clean: ## remove what the toy and smoke runs have made, and the caches of all tools
	rm -rf site results/toy results/smoke .snakemake .pytest_cache .ruff_cache .mypy_cache .hypothesis .coverage

.PHONY: help setup waymo-env tables smoke report test test-fast torture lint format bench docs site clean
