# `make train`: from nothing to a submission. `make test`: everything CI runs.
PYTHON ?= python3
VENV := .venv
RUN := runs/quickstart
DATA := data/synthetic
BIN := $(VENV)/bin
# TensorFlow and absl log at import; their warnings are not the user's.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: train test test-slow format clean

train: $(VENV)/.train $(DATA)/metadata.json
	$(BIN)/python -m aslx.train --config configs/quickstart.py --workdir $(RUN)
	$(BIN)/python -m aslx.evaluate --workdir $(RUN) --split test
	$(BIN)/python -m aslx.export --workdir $(RUN)

$(DATA)/metadata.json: | $(VENV)/.train
	$(BIN)/python -m aslx.prepare synthetic --out $(DATA) --sequences 9000 --whole-hands

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# One stamp an extra: training needs less than the tests.
$(VENV)/.train: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -q --no-compile -c constraints.txt -e '.[export]'
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install -q --no-compile -c constraints.txt -e '.[test]'
	@touch $@

test: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright
	$(BIN)/python -m pytest -m 'not slow'

test-slow: $(VENV)/.test
	$(BIN)/python -m pytest

format: $(VENV)/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .cache runs data
