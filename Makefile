# `make train` and `make test` need python3 with venv and pip, and a package index; nothing else.
PYTHON ?= python3
ARGS ?=
READY = .venv/installed
# Processes of one torch thread each, one more than two cores have work for: some tests wait for a clock or a process.
SIDE_BY_SIDE = -n 3 --dist worksteal

.PHONY: train test slow fast lint venv clean

train: $(READY)
	.venv/bin/python train.py $(ARGS)

test: $(READY)
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest $(SIDE_BY_SIDE)

# What takes longest, or tries at greater length what others try.
slow: $(READY)
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest $(SIDE_BY_SIDE) -m slow

# Without whole training runs: seconds instead of minutes.
fast: $(READY)
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest $(SIDE_BY_SIDE) -m "not run and not slow"

lint: $(READY)
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/basedpyright --pythonpath .venv/bin/python

venv: $(READY)

# The stamp is written last, so that an install that broke off is done again.
$(READY): setup.cfg pyproject.toml constraints.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/pip install -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv *.egg-info build dist
