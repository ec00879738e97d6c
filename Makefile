# `make train`: from nothing to a submission. `make live`: sign at the camera, and what was trained
# reads, or else the reader that aslx brings. `make test`: what to run before a commit.
PYTHON ?= python3
VENV := .venv
RUN := runs/quickstart
DATA := data/synthetic
# Phrases by people in Kaggle's layout. Where there are some, the run is scored on them too; nothing
# trains on them.
PEOPLE := ../shared/data/fingerspelling_sample
SCORED := $(if $(wildcard $(PEOPLE)),data/people)
BIN := $(VENV)/bin
WEB := aslx/serve/web
PAGE := $(WEB)/dist/.made
PACKAGES := $(WEB)/node_modules/.package-lock.json
.PHONY: train live web docs test lint test-fast test-slow format clean gpu-bundle

train: $(VENV)/.train $(DATA)/metadata.json $(addsuffix /metadata.json,$(SCORED))
	$(BIN)/python -m aslx.train --config configs/quickstart.py --workdir $(RUN)
	$(BIN)/python -m aslx.evaluate --workdir $(RUN) --split test
	$(if $(SCORED),$(BIN)/python -m aslx.evaluate --workdir $(RUN) --data $(SCORED) --split train)
	$(BIN)/python -m aslx.export --workdir $(RUN) --web

live: $(VENV)/.serve $(PAGE)
	$(BIN)/python -m aslx.serve $(if $(wildcard $(RUN)/export/model.json),--workdir $(RUN))

# The page's packages, and what of them runs beside the page, each in a file. Needs Node.js.
web: $(PAGE)
$(PACKAGES): $(WEB)/package.json $(WEB)/package-lock.json
	@command -v npm >/dev/null || { echo "the page needs npm, of Node.js: install it \
	(Debian: apt-get install npm; macOS: brew install node), or serve the API alone with \
	python -m aslx.serve" >&2; exit 2; }
	npm ci --prefix $(WEB)
	@touch $@

# A worker's bundle holds modules of the page and of the reader; any of them may be one.
$(PAGE): $(PACKAGES) $(wildcard $(addprefix $(WEB)/,*.js workers/*.js reader/package.json $(addprefix reader/,*.js readers/*.js workers/*.js)))
	npm run build --prefix $(WEB)
	@touch $@

$(DATA)/metadata.json: | $(VENV)/.train
	$(BIN)/python -m aslx.prepare synthetic --out $(DATA) --sequences 9000 --whole-hands --generator 2.0.0

data/people/metadata.json: | $(VENV)/.train
	$(BIN)/python -m aslx.prepare fingerspelling --source $(PEOPLE) --out data/people --split none

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "aslx needs Python \
	3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2>&1): make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# uv installs the same packages in a quarter of pip's time.
$(VENV)/bin/uv: | $(VENV)/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt uv
INSTALL := $(BIN)/uv pip install -q --python $(BIN)/python -c constraints.txt

# One stamp an extra: training needs less than the tests.
$(VENV)/.train: pyproject.toml constraints.txt | $(VENV)/bin/uv
	$(INSTALL) -e '.[export,tensorboard]'
	@touch $@

$(VENV)/.serve: pyproject.toml constraints.txt | $(VENV)/bin/uv
	$(INSTALL) -e '.[export,serve,tensorboard]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/uv
	$(INSTALL) -e '.[test]'
	@touch $@

# Without Node.js the page's tests skip.
TESTED := $(VENV)/.test $(if $(shell command -v npm),$(PAGE))

# Most of the tests' time is compiling. LLVM's optimising was half of that, and what writes fusions by
# MLIR is twice as slow as what writes them for LLVM.
test-fast: export XLA_FLAGS ?= --xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false
# Continuous integration also runs the tests that take tens of seconds each.
test-fast: marked := not slow$(if $(CI),, and not long)
test-fast: $(TESTED)
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m '$(marked)' --durations=10

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/pyright

# Two cores are idle now and then: tests wait for other processes, browsers and locks.
test: $(TESTED)
	$(MAKE) --jobs=2 lint test-fast

test-slow: $(TESTED)
	$(BIN)/python -m pytest

# The pages of docs/, into site/. A warning is an error.
docs: export NO_MKDOCS_2_WARNING := 1
docs: $(VENV)/.test
	$(BIN)/mkdocs build --strict

format: $(VENV)/.test
	$(BIN)/python -m tests.test_docs
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# What benchmarks/on_gpu.sh needs beside Python 3.12 and jax for CUDA. Hosts with a GPU may have no
# network, and take few megabytes.
BUNDLE := build/gpu-bundle
gpu-bundle: $(VENV)/.train
	rm -rf $(BUNDLE)
	mkdir -p $(BUNDLE)
	# Pip reads what depends on a version for the Python that it runs on, and not for 3.12.
	sed "/python_version < '3.12'/d; s/; python_version >= '3.12'//" constraints.txt >$(BUNDLE)/constraints.txt
	$(BIN)/python -m pip download -q -c $(BUNDLE)/constraints.txt -r benchmarks/on_gpu.txt -d $(BUNDLE)/wheels \
	  --no-deps --only-binary :all: --implementation cp --python-version 3.12 \
	  $(foreach n,2_28 2_17 2_5,--platform manylinux_$(n)_x86_64) --platform manylinux2014_x86_64
	$(BIN)/python -m aslx.prepare synthetic --out $(BUNDLE)/data --sequences 100 --whole-hands
	@test $$(du -s --block-size=1000000 $(BUNDLE) | cut -f 1) -le 66 || { echo "$(BUNDLE) is larger \
	than 66 MB" >&2; exit 1; }

clean:
	rm -rf $(VENV) .cache runs data site $(addprefix $(WEB)/,node_modules dist reader/dist reader/types)
