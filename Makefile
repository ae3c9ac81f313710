# Everything happens in a virtual environment in this folder; remove .venv to start afresh.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup quickstart test lint

help:
	@echo "make setup       a virtual environment in $(VENV) with everything installed"
	@echo "make quickstart  rendered streets to a report, every stage, on this machine"
	@echo "make test        the test suite"
	@echo "make lint        style and types"

setup: $(STAMP)

# torch comes first so that its build (CPU or CUDA) is the one that the package index offers, whatever else asks
# for torch. mmcv and mmengine require opencv-python, this project opencv-python-headless, and both own the cv2
# folder: installing the headless one last makes `import cv2` work without libGL and X11.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt torch
	$(BIN)/python -m pip install -c constraints.txt -e '.[offline,s3,dev]'
	$(BIN)/python -m pip install -c constraints.txt --force-reinstall --no-deps opencv-python-headless
	$(BIN)/python -m pip check
	touch $@

quickstart: setup
	$(BIN)/lumen run quickstart

# Two at a time, since much of the time goes by in waiting for Ray. The tests of one file run in one process, in their
# order, with the fixtures that they share; the long files are not the last ones.
test: setup
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
