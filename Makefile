# Every target sets up what it needs. `make check` is the gate, `make test` the proof, `make demo` the show.
#   make PYTHON=/path/to/python3.11 …   another interpreter for the virtual environment
#   make demo ARGS=--exit               arguments of the demo
#   make conformance ARGS=asyncpg       other people's test suites, directly and through the proxy
#   make test PARALLEL=                 one test after the other
#   make chaos                          every fault, and every broken cache; writes benchmarks/CHAOS.md
#   make chaos ARGS='-k schema'         some of them; the report keeps what was played before on the same services
#   make streams ARGS='--streams 5000'  made streams of messages, played directly and through the proxy
#   make changes ARGS='--histories 200' made histories of changes: what was evicted against what changed
#   make model                          every state of the consistency protocol in small scopes, and every fault in it
#   make bench                          every scenario beside Postgres, PgBouncer and pgpool-II; docs/benchmarks.md
#   make bench ARGS='hits --rounds 5'   one of them
#   make soak ARGS='--pairs 5000000'    made queries and transactions: was every answer evicted that changed?

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SERVERS := .cache/servers-ready
SOURCES := services schemas tests $(wildcard demo benchmarks scripts)
PYTEST := $(BIN)/python -m pytest
PARALLEL := -n 3 --dist loadfile

.PHONY: check test full demo bench chaos changes conformance streams soak model clean format install servers
.DEFAULT_GOAL := check

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt scripts/make-venv
	@scripts/make-venv "$(PYTHON)" "$(VENV)"
	@echo "installing Tidegate and its tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

# Real servers for the tests: fetched once, with visible progress.
servers: $(SERVERS)

$(SERVERS): $(INSTALLED) $(wildcard tests/servers/*.py tests/servers/*/*.xml) \
		$(wildcard tests/drivers/programs/*/*)
	$(BIN)/python -m tests.servers
	@mkdir -p $(@D) && touch $@

check: $(INSTALLED)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	@mkdir -p .cache
	@echo "$(BIN)/lint-imports"
	@$(BIN)/lint-imports --no-cache > .cache/import-contracts.log || { cat .cache/import-contracts.log; exit 1; }
	$(PYTEST) -q -n 2 tests/unit

test: $(SERVERS)
	$(PYTEST) $(PARALLEL) tests/unit tests/property tests/precision tests/fuzz tests/integration tests/drivers \
		tests/chaos/test_short.py

full: check $(SERVERS)
	$(PYTEST) tests
	$(BIN)/python -m tests.wire --streams 1000
	$(BIN)/python -m tests.changes --histories 30

chaos: $(SERVERS)
	@status=0; $(PYTEST) tests/chaos/test_faults.py tests/chaos/test_bites.py $(ARGS) || status=$$?; \
		$(BIN)/python -m tests.chaos.report; exit $$status

conformance: $(SERVERS)
	@$(BIN)/python -m tests.conformance $(ARGS)

streams: $(SERVERS)
	@$(BIN)/python -m tests.wire $(ARGS)

changes: $(SERVERS)
	@$(BIN)/python -m tests.changes $(ARGS)

soak: $(SERVERS)
	@$(BIN)/python -m tests.precision --pairs 1000000 $(ARGS)

model: $(INSTALLED)
	@$(BIN)/python -m tests.model $(ARGS)

demo: $(INSTALLED)
	@$(BIN)/python -m demo $(ARGS)

bench: $(SERVERS)
	$(BIN)/python -m benchmarks $(ARGS)

format: $(INSTALLED)
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

clean:
	rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist *.egg-info
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
