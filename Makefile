.DEFAULT_GOAL := help
SHELL := /bin/bash
# Where uv puts the packages; .venv may be a link, and any path have spaces, which make takes for ends of names.
VENV := $(or $(UV_PROJECT_ENVIRONMENT),.venv)
INSTALLED := $(subst $() ,\ ,$(VENV))/installed
export PATH := $(if $(filter /%,$(VENV)),,$(CURDIR)/)$(VENV)/bin:$(PATH)

# Python 3.11 or newer with venv; `make demo PYTHON=/path/to/python3.12` names another.
PYTHON ?= python3
# The uv on the PATH, or one installed into .uv.
UV = "$(or $(shell command -v uv 2>/dev/null),$(CURDIR)/.uv/bin/uv)"
NAME ?= laptop
ARGS ?=

# Every target but files.
.PHONY: $(shell sed -nE 's/^([a-z-]+):.*/\1/p' $(MAKEFILE_LIST))

help: ## maintain: Show this list
	@for group in run use judge search maintain; do echo "$$group"; \
		sed -nE "s/^([a-z-]+):[^#]*## $$group: /\1\t/p" $(MAKEFILE_LIST) | awk -F'\t' '{printf "  make %-15s %s\n", $$1, $$2}'; done

install: $(INSTALLED) ## maintain: Install uv if it is missing and the locked packages, into .venv

$(INSTALLED): pyproject.toml uv.lock
	@command -v uv >/dev/null || test -x .uv/bin/uv || \
		{ $(PYTHON) -m venv .uv && .uv/bin/pip install --quiet --disable-pip-version-check 'uv>=0.5,<1'; }
	$(UV) sync --locked --compile-bytecode --python $(PYTHON)
	@touch "$@"

demo: install ## run: The whole pipeline on handwritten digits, in demo/, a repository to play with: no GPU, no download
	python -m commands.demo

# Two workers on two cores: a thread each.
test test-slow test-all: export OMP_NUM_THREADS ?= 1
test: install ## maintain: Run the quick tests: minutes
	pytest -m "not slow and not series" -n 2

test-slow: install ## maintain: Run the other tests that every push has to pass: real DVC, several processes
	pytest -m "slow" -n 2

test-all: install ## maintain: Run all tests, the series of many runs too
	pytest -n 2

test-workflow: install ## maintain: Walk from a clone to a merged experiment, with git and DVC remotes: some minutes
	pytest tests/pipeline/test_walk.py

fuzz: install ## maintain: Feed 100,000 damaged archives and parameter files to their readers (ARGS="--inputs 1000 --seed 1")
	python -m tests.fuzz $(ARGS)

repro: install ## run: Run the pipeline of params.yaml; what has not changed is not run again
	dvc repro

laptop: install ## run: Train on real CIFAR-10 on a CPU, in about half an hour (ARGS as for recipe)
	python -m commands.recipe laptop $(ARGS)

recipe: install ## run: Run experiments/recipes/NAME.yaml as a DVC experiment: make recipe NAME=laptop ARGS="-S train.lr=0.005"
	python -m commands.recipe $(NAME) $(ARGS)

gate: install ## judge: Fail with one line if the last evaluation misses the minimum viable accuracy
	@python -m commands.gate

fresh: install ## judge: Fail, naming each stale stage, if dvc.lock is not what code and parameters give; needs no data
	@python -m commands.fresh

pushed: install ## judge: Fail if an output that dvc.lock names is not in the DVC remote; needs no data
	@dvc remote default
	@status=$$(dvc data status --not-in-remote --json) && ! grep -q '"not_in_remote"' <<< "$$status" || \
		{ dvc data status --not-in-remote; exit 1; }

compare: install ## judge: Judge one run against another: make compare A=main B=laptop (experiments or revisions; ARGS="--split val")
	@python -m commands.compare $(or $(A),HEAD) $(or $(B),workspace) $(ARGS)

predict: install ## use: Answer images: make predict IMAGES="photo.jpg folder/ list.csv https://…" (ARGS="--csv F --json F --sheet F --heat --rev REV")
	@python -m commands.predict $(IMAGES) $(ARGS)

serve: install ## use: Answer images over HTTP, with a page at http://127.0.0.1:8000 (ARGS="--port 8080 --log answers.jsonl --rev REV")
	@python -m commands.serve $(ARGS)

drift: install ## use: Compare a log of answers with the test split: make drift LOG=answers.jsonl
	@python -m commands.drift $(LOG) $(ARGS)

ablation: install ## search: Try each idea of experiments/ablation.yaml on its own (ARGS="--jobs 2 -S download.url=…")
	python -m commands.ablate $(or $(FILE),experiments/ablation.yaml) $(ARGS)

sweep: install ## search: Search experiments/sweep.yaml, or FILE=…, by validation accuracy (ARGS="--trials 20 --jobs 2 -S …")
	python -m commands.sweep $(or $(FILE),experiments/sweep.yaml) $(ARGS)

curve: install ## search: Draw accuracy over the number of training images, by experiments/curve.yaml or FILE=… (ARGS="-S …")
	python -m commands.curve $(or $(FILE),experiments/curve.yaml) $(ARGS)

find-lr: install ## search: Draw the loss over the learning rate, after `dvc repro train_head label_errors`
	python -m commands.find_lr $(ARGS)

seeds: install ## search: Record how far figures spread from seed to seed (ARGS="--recipe laptop --seeds 0 1 2 -S …")
	python -m commands.seeds $(ARGS)

pr-report: install ## judge: Judge a change against BASE, as Markdown: make pr-report BASE=main (HEAD=branch, ARGS="--pictures FOLDER --output FILE")
	@python -m commands.pr_report $(or $(BASE),main) $(or $(HEAD),workspace) $(ARGS)

backbones: install ## search: Compare frozen backbones on data/splits: make backbones LIST="resnet18 timm/convnext_atto" (ARGS="--sizes 64 224")
	@python -m commands.backbones $(LIST) $(ARGS)

leaderboard: install ## judge: Experiments and trained commits by validation accuracy, as leaderboard/leaderboard.md and .html
	@python -m commands.leaderboard $(ARGS)

verify: install ## judge: Hash DVC's cache and all outputs anew, and name what is damaged
	python -m commands.verify

# Into the same .venv, beside what is there; the next `make install` after a change of the lock takes it out again.
install-bench: install
	$(UV) sync --locked --quiet --inexact --group bench --python $(PYTHON)

bench: install-bench ## maintain: Measure this pipeline against fastai, Lightning, Keras, timm and a torchvision loop, in turn (ARGS="-S …")
	python -m benchmarks.run $(ARGS)

bench-limits: install ## maintain: Measure the pipeline against what the machine can do (ARGS="--only step -S …")
	python -m benchmarks.limits $(ARGS)

bench-quick: install ## maintain: Fail if the pipeline has become a fifth slower than recorded: minutes, nothing to fetch (ARGS="--record")
	python -m benchmarks.quick $(ARGS)

bench-serving: install ## maintain: Measure models/classifier: each form against torch, and the server under load (ARGS="--page" or "--output F")
	python -m benchmarks.serving $(ARGS)

provenance: install ## judge: Check what a model package says of its origin: make provenance PACKAGE=models/classifier
	@python -m commands.provenance $(or $(PACKAGE),models/classifier)

clean-state: install ## maintain: List and remove the states of unfinished runs; a running one keeps its own
	python -m commands.states --remove

audit-packages: install ## maintain: Look up the locked packages' known vulnerabilities (needs the network)
	$(UV) export --locked --quiet --no-hashes | $(UV) tool run pip-audit==2.10.1 --requirement /dev/stdin --no-deps --disable-pip

lint: install ## maintain: Check style, types and workflows
	ruff check .
	ruff format --check .
	pyright
	check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	check-jsonschema --quiet --builtin-schema vendor.gitlab-ci docs/gitlab-ci.yml
	zizmor --offline --quiet .github/workflows

clean: ## maintain: Remove the demo, resume state and tool caches; keep .venv, data, models and metrics
	rm -rf demo state .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
