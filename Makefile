# Two commands do everything on a fresh machine: `make demo` and `make test`. Both set up by themselves.
VENV := .venv
PYTHON ?= python3
RUN := $(VENV)/bin/python
OUT ?= out/demo

.PHONY: help setup demo test test-slow test-browser check benchmarks clean

help:
	@echo "make demo          set up, then run the whole path on the bundled sample; open $(OUT)/report.html"
	@echo "make test          set up, then run all tests that take under 15 minutes together"
	@echo "make test-slow     the tests marked slow"
	@echo "make test-browser  exported GLB files in Khronos' validator and in three.js (installs Chromium, nodejs and npm packages)"
	@echo "make check         formatting, linter, type checker"
	@echo "make benchmarks    geometry and render benchmarks"
	@echo "make clean         remove the environment and the demo's results"

setup: $(VENV)/.complete

$(VENV)/.complete: requirements.txt pyproject.toml tools/setup.sh
	PYTHON="$(PYTHON)" VENV="$(VENV)" sh tools/setup.sh

demo: setup
	$(VENV)/bin/recon demo --out $(OUT)

test: setup
	$(RUN) -m pytest -m "not slow and not browser"

test-slow: setup
	$(RUN) -m pytest -m slow

test-browser: setup
	sh tools/browser.sh
	RECON_BROWSER=1 $(RUN) -m pytest -m browser tests/browser

check: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/pyright

benchmarks: setup
	$(RUN) -m benchmarks.render
	$(RUN) -m benchmarks.geometry

clean:
	rm -rf $(VENV) out
