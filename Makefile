# Two commands on a machine with Python >= 3.11 and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JRE := openjdk-17-jre-headless
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test lint setup java clean

demo: setup java
	$(BIN)/movierate demo

test: setup java lint
	$(BIN)/python -m pytest --durations=5

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "make: Python 3.11 or newer is needed; name it: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "make: Python's venv is missing (Debian, Ubuntu: apt-get install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

# Spark 4 runs on Java 17 or 21, as `movierate doctor` checks.
java: setup
	@$(BIN)/python -c 'import sys; from movierate_spark.doctor import java; sys.exit(not java().fine)' || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(JRE); \
	  else \
	    echo "make: Java 17 or 21 is needed (Debian, Ubuntu: apt-get install $(JRE))"; exit 1; \
	  fi; }

clean:
	rm -rf $(VENV) build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
