# Two commands do all the set-up on a machine with Python >= 3.11 and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BROWSER_READY := $(VENV)/.browser-ready
BENCH_READY := $(VENV)/.bench-ready
SERVICES_READY := $(VENV)/.services-ready
PACKAGES := producers/pushledger producers/pushledger_django producers/pushledger_fastapi producers/pushledger_outbox producers/pushledger_sqlalchemy worker/pushledger_worker dashboard/pushledger_dashboard sandbox/brevo_sandbox testing/pushledger_testing benchmarks

.PHONY: help demo test test-browser test-services pictures lint unit simulate chaos bench clean

help:
	@echo "make demo   a shop, a flaky API, two workers, one of them killed: under a minute, needs nothing else"
	@echo "make test   lint, types, import contracts, and every test"
	@echo "make test-browser   the pages in a real browser: Chromium, which is installed where that can be done"
	@echo "make test-services   RabbitMQ, Redis with TLS, rights and Sentinel, PostgreSQL: Debian's packages, installed where that can be done"
	@echo "make pictures   renders the README's pictures of the pages into docs/pictures"
	@echo "make unit   the quick tests only"
	@echo "make simulate SEEDS=20000   that many simulated histories; prints the first that breaks a promise"
	@echo "make chaos  processes killed, frozen and cut off, the long run: about five minutes"
	@echo "make bench  what it costs, beside two Celery recipes; writes benchmarks/results (BENCH=--quick for less)"

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "pushledger needs Python 3.11 or newer; say which: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

demo: $(READY)
	@$(BIN)/pushledger demo

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(PACKAGES)
	$(BIN)/lint-imports

unit: $(READY)
	$(BIN)/python -m pytest tests/unit tests/sandbox

test: lint
	$(BIN)/coverage erase
	$(BIN)/python -m pytest -n 2 --dist loadgroup --cov --cov-report=term

$(BROWSER_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,browser]'
	@touch $@

test-browser: $(BROWSER_READY)
	@chromium=$$(tests/browser/chromium) && CHROMIUM=$$chromium $(BIN)/python -m pytest -n 2 tests/browser

$(SERVICES_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,services]'
	@touch $@

test-services: $(SERVICES_READY)
	@tests/services/packages && $(BIN)/python -m pytest tests/services

pictures: $(BROWSER_READY)
	@chromium=$$(tests/browser/chromium) && CHROMIUM=$$chromium $(BIN)/python -m pytest tests/browser/pictures.py

SEEDS ?= 2000
FIRST ?= 0
simulate: $(READY)
	PYTHONPATH=tests $(BIN)/python -m simulation $(SEEDS) $(FIRST)

chaos: $(READY)
	PUSHLEDGER_TEST_CHAOS=full $(BIN)/python -m pytest tests/chaos

$(BENCH_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,bench]'
	@touch $@

bench: $(BENCH_READY)
	$(BIN)/python -m benchmarks $(BENCH)

clean:
	rm -rf $(VENV) build dist .coverage .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
