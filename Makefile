# `make run` and `make test` need Python 3.11 or newer and make; everything else they install.

PYTHON  ?= python3
# The photographs of scikit-image; not its TIFFs, which are tests of that format.
IMAGES  ?= .venv/lib/python3*/site-packages/skimage/data/*.[pjg][npi][gf]
ifeq ($(origin IMAGES),file)
COLLECTION ?= .collections/sample
endif
HOST    ?= 127.0.0.1
PORT    ?= 8000
RERUNS  ?= 0
# Folders of JPEGs, one a class, for the benchmarks.
DATA    ?= ../shared/data/caltech60
# As they were written: a dollar in the name of a folder is no variable of make's.
override IMAGES := $(value IMAGES)
override COLLECTION := $(value COLLECTION)
export IMAGES COLLECTION
VENV    := .venv/bin
REAL_PATH := import os; print(os.path.realpath(os.path.expanduser(os.environ["IMAGES"])))
# One for each core, and one more, as tests also wait for processes and services of theirs; threads of
# their own would only wait for each other.
PROCESSES = $$($(VENV)/python -c 'import os; print(min(8, (os.cpu_count() or 1) + 1))')
READY   := .venv/ready
DEV     := .venv/ready-dev
TORCH   := .venv/ready-torch
RAY     := .venv/ready-ray
BUILT   := src/lookalike/serve/page
MODULES := page/node_modules/.package-lock.json

.PHONY: run test lint types unit test-torch test-slow test-elastic test-ray test-browser page page-check bench bench-compare clean

# One collection for each folder, whichever way its path is written, and of the same name.
run: $(READY)
	@test -n "$$IMAGES" || { echo 'IMAGES is empty: make run IMAGES=FOLDER' >&2; exit 2; }; \
	images=$$($(VENV)/python -c '$(REAL_PATH)') && \
	own=.collections/$$(printf %s "$$images" | cksum | cut -d ' ' -f 1)/$${images##*/} && \
	exec $(VENV)/lookalike serve --data "$$images" -c "$${COLLECTION:-$$own}" \
		--host '$(HOST)' --port '$(PORT)'

test: lint types unit

lint: $(DEV)
	$(VENV)/ruff check
	$(VENV)/ruff format --check

types: $(DEV)
	$(VENV)/mypy

# Tests start hundreds of processes of ours. Where the environment has it that Python keeps nothing of
# what it has compiled, each of them would compile all of lookalike again.
unit test-torch test-slow test-elastic test-ray test-browser: export PYTHONDONTWRITEBYTECODE :=

unit: $(DEV)
	OMP_NUM_THREADS=1 $(VENV)/pytest --dist loadfile -n $(PROCESSES)

# Networks of timm and open_clip, and their export, which need the extras `torch` (5.5 GB with CUDA)
# and `export`. `make test` runs these as well from then on.
test-torch: $(TORCH)
	$(VENV)/pytest tests/with_torch

# Crash loops, how good answers are, and other long runs.
test-slow: $(DEV)
	$(VENV)/pytest tests/slow --ignore-glob='*/test_browser*' --ignore-glob='*/test_elastic*' \
		--ignore-glob='*/test_ray*' -o addopts='-q --strict-markers'
	OMP_NUM_THREADS=1 $(VENV)/pytest -m slow --dist loadfile -n $(PROCESSES)

# A real Elasticsearch, which Maven fetches once (95 MB) and Java 21 or newer runs; then three of them.
# LOOKALIKE_TEST_ELASTIC=http://HOST:9200 tests with one that runs already.
test-elastic: $(DEV)
	LOOKALIKE_TEST_ELASTIC=$${LOOKALIKE_TEST_ELASTIC:-its-own} $(VENV)/pytest \
		tests/contracts/test_stores.py tests/slow/test_elastic*.py -o addopts='-q --strict-markers' -r s

# A Ray cluster of two workers on this machine, and an object store; takes the extra `ray`.
test-ray: $(RAY)
	$(VENV)/pytest tests/slow/test_ray.py -o addopts='-q --strict-markers' -r s

# A real Chromium: /usr/bin/chromium, Debian's package `chromium`. RERUNS: how often a test that fails
# is tried again, and told of, as CI does: a browser can stumble on a machine that is very busy.
test-browser: $(DEV)
	$(VENV)/pytest tests/slow/test_browser*.py -o addopts='-q --strict-markers' -r R --reruns $(RERUNS)

# The page out of page/, which takes Node 20.19 or newer and npm. What is built is committed, so nobody
# who installs needs them. See docs/page.md.
page: $(MODULES)
	cd page && npm run --silent build

# Types, lint, and whether what is committed is what is built.
page-check: $(MODULES)
	cd page && npm run --silent check
	cd page && npm run --silent build -- --outDir ../.page-check --logLevel warn
	diff -r .page-check $(BUILT) || { echo 'the built page is not that of page/: make page, and commit it' >&2; exit 1; }

# The tables of the README; each prints its own.
bench: $(DEV)
	$(VENV)/python -m pip install --quiet --disable-pip-version-check --group bench
	$(VENV)/python benchmarks --data '$(DATA)'

# What the figures that `make bench` has kept say that those of the last commit do not.
bench-compare: $(READY)
	$(VENV)/python benchmarks/compare.py

clean:
	rm -rf .venv .collections .page-check page/node_modules

$(READY): pyproject.toml
	@echo 'setting up .venv, which takes about a minute'
	@test -x $(VENV)/python || $(PYTHON) -m venv .venv
	@$(VENV)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(DEV): $(READY)
	$(VENV)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(VENV)/python -m pip install --quiet --disable-pip-version-check --group dev
	@touch $@

$(TORCH): $(DEV)
	$(VENV)/python -m pip install --quiet --disable-pip-version-check -e '.[torch,export]'
	@touch $@

$(RAY): $(DEV)
	@$(VENV)/python -m pip install --quiet --disable-pip-version-check -e '.[ray]'
	@touch $@

$(MODULES): page/package.json page/package-lock.json
	cd page && npm ci --silent --no-audit --no-fund
	@touch $@
