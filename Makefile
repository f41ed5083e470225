# `make demo` and `make test` work on Linux with Python 3.11 or newer. They need Java 17 or 21, and install it as root on
# Debian and Ubuntu.
PYTHON ?= python3
VENV := .venv
AIRFLOW_VENV := .venv-airflow
S3_VENV := .venv-s3
BIN := $(VENV)/bin
# Debian 12 has the first one only, Debian 13 the second one only.
JRES := openjdk-17-jre-headless openjdk-21-jre-headless
# Installs Debian or Ubuntu packages if it has the rights to; otherwise fails.
APT_GET := ./.ci/apt-get
export PATH := $(CURDIR)/$(BIN):$(PATH)

# For `spark-submit --archives`: the package with its dependencies, the jobs and the settings. It runs on the Spark of
# the cluster. For machines without Spark: make dist SPARK=bundled.
SPARK := cluster
ENVIRONMENT_cluster := dist/movierate-spark-environment.tar.gz
ENVIRONMENT_bundled := dist/movierate-spark-environment-with-spark.tar.gz
ENVIRONMENT := $(or $(ENVIRONMENT_$(SPARK)),$(error SPARK=$(SPARK): give cluster or bundled))
# What tests/servers.py needs beside Spark, from Maven: a folder for each file of tests/jars.
JARS := .jars/minicluster .jars/s3a
SOURCES := pyproject.toml constraints.txt $(shell find movierate_spark jobs conf -type f -not -name '*.pyc')

.PHONY: demo test end-to-end faults cluster-test bench movielens movielens-state pictures dist airflow-test
.PHONY: constraints lint setup java browser clean

demo: setup java
	$(BIN)/movierate demo

# Two processes run the tests, a file at a time (tests/conftest.py), each with a Spark session of its own.
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --durations=5

# Types and layers are looked at beside the tests, and what they say comes last.
test: setup java $(S3_VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@said=$$(mktemp); trap 'rm -f "$$said"' EXIT; trap 'exit 130' INT TERM; \
	{ $(BIN)/mypy; types=$$?; $(BIN)/lint-imports && exit $$types; } > "$$said" 2>&1 & beside=$$!; \
	$(PYTEST); tested=$$?; \
	wait $$beside; linted=$$?; cat "$$said"; \
	[ $$tested = 0 ] || echo "make: tests failed: see what pytest says above"; \
	[ $$linted = 0 ] || echo "make: types or layers are wrong: see what mypy and lint-imports say above"; \
	exit $$((tested || linted))

# Whole runs: several commands one after the other, the notebook, the reports in a browser: ten minutes.
end-to-end: setup java browser
	$(PYTEST) -m "end_to_end and not faults"

# Killed runs, a cluster that loses executors, full disks: an hour.
faults: setup java dist
	$(BIN)/python -m pytest -m faults --durations=5

# On real servers on this machine: Hadoop's YARN and HDFS, and one like S3: 50 minutes. Maven fetches 85 MB of jars.
cluster-test: setup java $(JARS) $(S3_VENV)/.installed dist
	$(BIN)/python -m pytest -m cluster --durations=5

$(S3_VENV)/.installed: tests/s3-requirements.txt | setup
	$(PYTHON) -m venv $(S3_VENV)
	$(S3_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# For the Hadoop that Spark ships.
.jars/%: tests/jars/%.xml constraints.txt | setup
	@command -v mvn > /dev/null || $(APT_GET) maven \
	  || { echo "make: Maven is missing (Debian, Ubuntu: apt-get install maven)"; exit 1; }
	@rm -rf $@ $@.part && mkdir -p $@.part
	@hadoop=$$(basename $(VENV)/lib/python3*/site-packages/pyspark/jars/hadoop-client-api-*.jar .jar); \
	mvn --quiet --batch-mode --file $< dependency:copy-dependencies -DincludeScope=runtime \
	  -Dhadoop.version=$${hadoop##*-} -DoutputDirectory="$(CURDIR)/$@.part" > $@.log 2>&1 \
	  || { echo "make: Maven can't fetch the jars that $< names: see $@.log"; exit 1; }
	@mv $@.part $@ && touch $@

# How long each job takes on a million ratings: half an hour. Compare with another revision: make bench AGAINST=main.
# BENCH=nights: a night on logs of several sizes; BENCH=scale: each job on several sizes; BENCH=executors: one and two.
# For a size that takes hours, name the jobs: BENCH=scale RATINGS=100000000 JOBS="prepare train score".
# Beside peers: BENCH="peers models", and history, fits or recommendations; RATINGS=10000000 is another size.
BENCH := jobs
JOBS :=
PEERS_VENV := .venv-peers
bench: setup java $(if $(filter peers,$(BENCH)),$(PEERS_VENV)/.installed)
	$(BIN)/python tests/benchmarks/$(firstword $(BENCH)).py $(wordlist 2,9,$(BENCH)) \
	  $(if $(filter peers,$(BENCH)),--python $(PEERS_VENV)/bin/python) $(if $(AGAINST),--against $(AGAINST)) \
	  $(if $(ROUNDS),--rounds $(ROUNDS)) $(foreach n,$(RATINGS),--ratings $(n)) $(foreach job,$(JOBS),--job $(job)) \
	  $(if $(OUT),--out $(OUT))

$(PEERS_VENV)/.installed: tests/peers-requirements.txt | setup
	$(PYTHON) -m venv $(PEERS_VENV)
	$(PEERS_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# README's results beside the published ones, from a copy of MovieLens: make movielens DATA=ml-1m. Ten minutes for 1M.
movielens: setup java
	@test -d "$(DATA)" || { echo "make: name the folder of MovieLens: make movielens DATA=ml-1m"; exit 2; }
	$(BIN)/python tests/movielens.py --data "$(DATA)" $(if $(OUT),--out "$(OUT)") \
	  $(if $(UNTIL),--until $(UNTIL)) $(if $(SINCE),--since $(SINCE)) $(if $(END),--end $(END))

# Do requests get the same from a lake's state and from its whole log? make movielens-state DATA=ml-1m. Eight minutes.
movielens-state: setup java
	@test -d "$(DATA)" || { echo "make: name the folder of MovieLens: make movielens-state DATA=ml-1m"; exit 2; }
	$(BIN)/python tests/movielens_state.py --data "$(DATA)"

# README's pictures, from the reports of a new demo, or of an existing one: make pictures DEMO=demo. Four minutes.
pictures: setup java browser
	$(BIN)/python tests/pictures.py $(if $(DEMO),--demo $(DEMO))

dist: $(ENVIRONMENT)

# Folders of packages that no job reads: tests, headers of C and what is for notebooks.
NEVER_READ := -name tests -o -path '*/pyarrow/include' -o -path '*/plotly/labextension'
# Of PySpark, all but its Python modules, and its commands: those of the cluster's Spark must be found instead.
LEAVE_OUT_cluster = (cd lib/python*/site-packages/pyspark/bin && ls) | (cd bin && xargs rm -f find_spark_home.py) && \
  cd lib/python*/site-packages/pyspark && rm -rf bin data examples jars licenses python sbin
# Spark as SPARK_HOME, whatever the version of Python is.
LEAVE_OUT_bundled = ln -s lib/python*/site-packages/pyspark spark

# Its bin/python is a link to the interpreter of $(PYTHON): nodes must have the same one at the same path.
$(ENVIRONMENT): $(SOURCES) | setup
	rm -rf build dist/*.whl
	$(BIN)/uv build --quiet --wheel --out-dir dist
	$(BIN)/uv venv --quiet --relocatable --python $(PYTHON) build/environment
	$(BIN)/uv pip install --quiet --constraint constraints.txt --python build/environment/bin/python dist/*.whl
	cp -R jobs build/environment/jobs
	cd build/environment && ln -s lib/python*/site-packages/movierate_spark/conf conf
	cd build/environment && $(LEAVE_OUT_$(SPARK))
	cd build/environment/lib && find . -type d \( $(NEVER_READ) \) -prune -exec rm -rf {} +
	tar --owner=0 --group=0 --mode=u=rwX,go=rX -C build/environment -czf $@.part . && mv $@.part $@
	rm -rf build
	@ls -lh $@

# The DAG under a real Airflow, in a separate environment: a few minutes.
airflow-test: setup java $(AIRFLOW_VENV)/.installed
	$(AIRFLOW_VENV)/bin/python -m pytest tests/airflow

$(AIRFLOW_VENV)/.installed: tests/airflow/requirements.txt | setup
	$(PYTHON) -m venv $(AIRFLOW_VENV)
	$(AIRFLOW_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# Pin the newest versions that pyproject.toml allows; `make setup` and `make dist` install these.
constraints: setup
	$(BIN)/uv pip compile --quiet --upgrade --universal --no-annotate --no-header --extra dev pyproject.toml -o constraints.txt

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "make: Python 3.11 or newer is needed; name it: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { $(APT_GET) python3-venv && $(PYTHON) -m venv $(VENV); } \
	  || { echo "make: Python's venv is missing (Debian, Ubuntu: apt-get install python3-venv)"; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Spark 4 runs on Java 17 or 21, as `movierate doctor` checks.
java: setup
	@is_fine() { $(BIN)/python -c \
	  'import sys; from movierate_spark.cli.examination import java; sys.exit(not java().fine)'; }; \
	is_fine || { for jre in $(JRES); do $(APT_GET) $$jre 2> /dev/null && break; done; is_fine; } \
	  || { $(BIN)/movierate doctor; echo "make: Java 17 or 21 is needed, from JAVA_HOME or else the PATH"; exit 1; }

# Reports are tested in Chromium if it is there or can be installed.
browser:
	@command -v chromium > /dev/null || command -v chromium-browser > /dev/null || $(APT_GET) chromium \
	  || echo "make: no Chromium (Debian: apt-get install chromium): tests in a browser are skipped"

clean:
	rm -rf $(VENV) $(AIRFLOW_VENV) $(S3_VENV) $(PEERS_VENV) .jars build dist demo
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
