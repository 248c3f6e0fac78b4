# make help lists the targets. PYTHON chooses the interpreter that creates .venv: make book PYTHON=python3.12
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
BROWSER := $(VENV)/installed-browser
CHROMIUM := /usr/bin/chromium

.DEFAULT_GOAL := help
.PHONY: help book test test-slow agreement check-book check-links lint clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: $(INSTALLED) ## run the case studies and build the book
	$(BIN)/apmkit book

test: $(INSTALLED) ## run the tests (no browser, no network)
	$(BIN)/python -m pytest -n auto

test-slow: $(INSTALLED) ## run the long simulations: size, coverage and power of the estimators
	$(BIN)/python -m pytest -n auto -m slow

agreement: $(INSTALLED) ## write the book's table of what agrees with other packages, from the tests
	$(BIN)/python -m pytest -n auto tests --agreement book/agreement.csv

check-book: $(BROWSER) ## run every notebook, build every page, the PDF and the EPUB, and check them
	@test -x $(CHROMIUM) || { echo "Error: $(CHROMIUM) is missing; install it with: apt-get install chromium" >&2; exit 2; }
	$(BIN)/apmkit book --all --pdf --epub
	$(BIN)/python -m pytest -n auto -m browser tests/book

check-links: $(INSTALLED) ## list the links that lead out of the built book, and ask each (needs a network)
	@$(BIN)/python tests/book/external_links.py

lint: $(INSTALLED) ## check style with ruff
	$(BIN)/ruff check
	$(BIN)/ruff format --check

clean: ## remove the environment, the built book and all caches
	rm -rf $(VENV) _build book/notebooks book/generated .pytest_cache .ruff_cache .hypothesis
	find apmkit tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# A half-made .venv is removed, so that the next make starts again.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Error: apmkit needs Python 3.11 or later; choose one with: make PYTHON=python3.12 ..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "Error: $(PYTHON) cannot create $(VENV); on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing into $(VENV) (once, a few minutes) ..."
	$(BIN)/python -m pip install --quiet --editable '.[book,test]' --constraint constraints.txt
	@touch $@

$(BROWSER): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[book,test,browser]' --constraint constraints.txt
	@touch $@
