# `make demo` and `make test` are all a newcomer needs: each sets up what it uses.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test tests-of-deploy tests-of-exporter lint docs bench dist audit constraints clean fuzz soak

demo: .venv/runs
	$(BIN)/siptrunk-exporter demo

test: .venv/tests lint
	sh .ci/programs.sh prometheus prometheus-alertmanager curl chromium systemd-analyze helm kubeconform schemas victoria-metrics libfaketime libnss-wrapper
	$(BIN)/coverage erase
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target tests-of-deploy tests-of-exporter
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# At once, for those of deploy/ mostly wait for other programs.
tests-of-deploy:
	$(BIN)/coverage run -m pytest tests/deploy

tests-of-exporter:
	$(BIN)/coverage run -m pytest --ignore=tests/deploy

lint: .venv/tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# Writes anew what is made from the code, tables and dashboards; tests fail where they differ.
docs: .venv/tests
	$(BIN)/python -m deploy.grafana
	$(BIN)/python -m tests.readme

bench: .venv/tests
	sh .ci/programs.sh nginx prometheus prometheus-node-exporter
	$(BIN)/python -m tests.benchmarks

# A million inputs, 15 minutes a target at most, and no success where that was too short; what broke a promise is left in
# .cache/fuzz.
fuzz: .venv/tests
	$(BIN)/pip install --quiet -e '.[dev,fuzz]'
	$(BIN)/python -m tests.fuzz

# Every fault, more than a week in minutes, an hour of scrapers by the hundred: an hour and a quarter.
soak: .venv/tests
	sh .ci/programs.sh libfaketime libnss-wrapper
	$(BIN)/python -m tests.soak

# What is released: sdist, wheel, bill of materials and checksums, the same bytes from the same commit.
dist: .venv/tests
	sh .ci/dist.sh $(BIN)

# Asks which pinned packages have known vulnerabilities.
audit: .venv/tests
	$(BIN)/python .ci/audit.py $(BIN)/pip-audit

# Takes the newest versions that pyproject.toml allows.
constraints:
	rm -rf .cache/newest
	$(PYTHON) -m venv .cache/newest
	PIP_CONSTRAINT= .cache/newest/bin/pip install --quiet -e '.[dev,fuzz]'
	.cache/newest/bin/pip freeze --exclude-editable > constraints.txt

clean:
	rm -rf .venv .cache build dist *.egg-info .coverage*

.venv/runs: pyproject.toml constraints.txt
	sh .ci/venv.sh $(PYTHON)
	$(BIN)/pip install --quiet -e .
	touch $@

.venv/tests: .venv/runs
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $@
