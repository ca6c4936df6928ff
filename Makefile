.DEFAULT_GOAL := help
SHELL := /bin/bash
# Where uv puts the packages; .venv may be a link.
VENV := $(abspath $(or $(UV_PROJECT_ENVIRONMENT),.venv))
export PATH := $(VENV)/bin:$(PATH)

# Python 3.11 or newer with venv; `make demo PYTHON=/path/to/python3.12` names another.
PYTHON ?= python3
# The uv on the PATH, or one installed into .uv.
UV = $(or $(shell command -v uv 2>/dev/null),$(CURDIR)/.uv/bin/uv)
NAME ?= laptop
ARGS ?=

# Every target but files.
.PHONY: $(shell sed -nE 's/^([a-z-]+):.*/\1/p' $(MAKEFILE_LIST))

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-15s %s\n", $$1, $$2}'

install: $(VENV)/installed ## Install uv if it is missing and the locked packages, into .venv

$(VENV)/installed: pyproject.toml uv.lock
	@command -v uv >/dev/null || test -x .uv/bin/uv || \
		{ $(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.5,<1'; }
	$(UV) sync --locked --quiet --compile-bytecode --python $(PYTHON)
	@touch $@

demo: install ## Run the whole pipeline on handwritten digits: minutes, no GPU, no download
	python -m commands.demo

test: install ## Run the quick tests: minutes
	pytest -m "not slow and not series" -n 2

test-slow: install ## Run the other tests that every push has to pass: real DVC, several processes
	pytest -m "slow" -n 2

test-all: install ## Run all tests, the series of many runs too
	pytest -n 2

test-workflow: install ## Walk from a clone to a merged experiment, with git and DVC remotes: some minutes
	pytest tests/pipeline/test_walk.py

fuzz: install ## Feed 100,000 damaged archives and parameter files to their readers (ARGS="--inputs 1000 --seed 1")
	python -m tests.fuzz $(ARGS)

repro: install ## Run the pipeline of params.yaml; what has not changed is not run again
	dvc repro

laptop: install ## Train on real CIFAR-10 on a CPU, in about half an hour (ARGS as for recipe)
	python -m commands.recipe laptop $(ARGS)

recipe: install ## Run experiments/recipes/NAME.yaml as a DVC experiment: make recipe NAME=laptop ARGS="-S train.lr=0.005"
	python -m commands.recipe $(NAME) $(ARGS)

gate: install ## Fail with one line if the last evaluation misses the minimum viable accuracy
	@python -m commands.gate

fresh: install ## Fail, naming each stale stage, if dvc.lock is not what code and parameters give; needs no data
	@python -m commands.fresh

pushed: install ## Fail if an output that dvc.lock names is not in the DVC remote; needs no data
	@dvc remote default
	@status=$$(dvc data status --not-in-remote --json) && ! grep -q '"not_in_remote"' <<< "$$status" || \
		{ dvc data status --not-in-remote; exit 1; }

compare: install ## Judge one run against another: make compare A=main B=laptop (experiments or revisions; ARGS="--split val")
	python -m commands.compare $(or $(A),HEAD) $(or $(B),workspace) $(ARGS)

ablation: install ## Try each idea of experiments/ablation.yaml on its own (ARGS="--jobs 2 -S download.url=…")
	python -m commands.ablate $(or $(FILE),experiments/ablation.yaml) $(ARGS)

sweep: install ## Search experiments/sweep.yaml, or FILE=…, by validation accuracy (ARGS="--trials 20 --jobs 2 -S …")
	python -m commands.sweep $(or $(FILE),experiments/sweep.yaml) $(ARGS)

seeds: install ## Record how far figures spread from seed to seed (ARGS="--recipe laptop --seeds 0 1 2 -S …")
	python -m commands.seeds $(ARGS)

pr-report: install ## Judge a change against BASE, as Markdown: make pr-report BASE=main (HEAD=branch, ARGS="--pictures FOLDER --output FILE")
	@python -m commands.pr_report $(or $(BASE),main) $(or $(HEAD),workspace) $(ARGS)

leaderboard: install ## Experiments and trained commits by validation accuracy, as leaderboard/leaderboard.md and .html
	@python -m commands.leaderboard $(ARGS)

verify: install ## Hash DVC's cache and all outputs anew, and name what is damaged
	python -m commands.verify

# Into the same .venv, beside what is there; the next `make install` after a change of the lock takes it out again.
install-bench: install
	$(UV) sync --locked --quiet --inexact --group bench --python $(PYTHON)

bench: install-bench ## Measure this pipeline against fastai, Lightning, Keras, timm and a torchvision loop, in turn (ARGS="-S …")
	python -m benchmarks.run $(ARGS)

bench-limits: install ## Measure the pipeline against what the machine can do (ARGS="--only step -S …")
	python -m benchmarks.limits $(ARGS)

bench-quick: install ## Fail if the pipeline has become a fifth slower than recorded: minutes, nothing to fetch (ARGS="--record")
	python -m benchmarks.quick $(ARGS)

provenance: install ## Check what a model package says of its origin: make provenance PACKAGE=models/classifier
	@python -m commands.provenance $(or $(PACKAGE),models/classifier)

clean-state: install ## List and remove the states of unfinished runs; a running one keeps its own
	python -m commands.states --remove

audit-packages: install ## Look up the locked packages' known vulnerabilities (needs the network)
	$(UV) export --locked --quiet --no-hashes | $(UV) tool run pip-audit==2.10.1 --requirement /dev/stdin --no-deps --disable-pip

lint: install ## Check style, types and workflows
	ruff check .
	ruff format --check .
	pyright
	check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	check-jsonschema --quiet --builtin-schema vendor.gitlab-ci docs/gitlab-ci.yml
	zizmor --offline --quiet .github/workflows

clean: ## Remove the demo, resume state and tool caches; keep .venv, data, models and metrics
	rm -rf demo state .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
