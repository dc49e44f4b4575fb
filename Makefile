# make demo, make test: all the set-up a fresh machine needs is Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test test-all lab artifacts lint clean

demo: $(STAMP)
	$(BIN)/labkit demo

# One worker a core, and one thread a worker: torch's threads would wait for each other.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "not slow"

test-all: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

lab: $(STAMP)
	$(BIN)/jupyter lab notebooks

# Everything that is derived from the trained weights: pairs, predictor, the notebooks' outputs, the README's picture.
artifacts: $(STAMP)
	$(BIN)/python -m labkit.artifacts
	$(BIN)/python -m labkit.lab.student --run
	$(BIN)/labkit demo
	cp results/pareto.png docs/pareto.png

lint: $(STAMP)
	$(BIN)/ruff check labkit tests benchmarks

# The environment is made again when the list of dependencies changes.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade-strategy only-if-needed -e '.[all]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) results build *.egg-info
