# Everything runs in .venv, which is made on first use and made anew only when a lock file changes.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready-$(shell cat requirements/dev.lock requirements/otel.lock pyproject.toml | cksum | cut -d' ' -f1)
HOLD ?=
# The tests start Python some thousand times: what is compiled is kept, whatever the environment says.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check chaos chaos-proof fuzz explore bench lock clean

demo: $(READY)
	@$(VENV)/bin/reelkeep demo $(if $(HOLD),--hold)

# Three processes for two cores, since most tests wait. A file's tests stay together, for some share a fleet. Files in the order of
# their names: those of fleets, which take minutes, come first, and the small ones of tests/unit fill up the end.
test: check
	@$(VENV)/bin/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

check: $(READY)
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo
	@$(VENV)/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

# A larger run than the one in the tests, about half an hour: make chaos GENERATIONS=1000 SEED=3 JSON=run.json
GENERATIONS ?= 10000
SEED ?= 1
JSON ?=
chaos: $(READY)
	@$(VENV)/bin/python -m tests.chaos --generations $(GENERATIONS) --seed $(SEED) $(if $(JSON),--json $(JSON))

# Small runs with one safeguard removed each: every one must be noticed.
chaos-proof: $(READY)
	@$(VENV)/bin/python -m tests.chaos --prove --seed $(SEED)

# Holds the API's document against the running server, with more requests than the test sends: make fuzz EXAMPLES=1000 SEED=3
EXAMPLES ?= 300
fuzz: $(READY)
	@$(VENV)/bin/python -m tests.fuzz --examples $(EXAMPLES) --seed $(SEED)

# The tests that draw their examples, with others than in `make test`: make explore ROUNDS=20
ROUNDS ?= 5
explore: $(READY)
	@for round in $$(seq $(ROUNDS)); do \
	  $(VENV)/bin/pytest --quiet --numprocesses 2 --hypothesis-profile drawn -m hypothesis || exit; done

# All of them, in about half an hour; each prints its table and writes JSON into reelkeep-data/bench. One alone: make bench BENCHES=sweep
BENCHES ?= front_door busy startup sweep scale fleet end_to_end pace durability overload hostile bytes latency pools
bench: $(READY)
	@mkdir -p reelkeep-data/bench
	@failed=; for name in $(BENCHES); do echo "$$name"; \
	  $(VENV)/bin/python -m tests.bench.$$name --json reelkeep-data/bench/$$name.json || failed="$$failed $$name"; echo; \
	done; [ -z "$$failed" ] || { echo "out of bounds, or broken:$$failed" >&2; exit 1; }

# The lock files hold hashes and name no index.
lock: $(READY)
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  pyproject.toml --extra flower -o requirements/runtime.lock
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  pyproject.toml --extra flower --extra embedded --group dev -o requirements/dev.lock
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --group build -o requirements/build.lock
	$(VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --group otel -c requirements/dev.lock -o requirements/otel.lock

$(READY): requirements/dev.lock requirements/otel.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "reelkeep needs Python 3.11 or newer; say make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "installing into $(VENV) (once) …"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@rm -rf $(VENV)/otel
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --target $(VENV)/otel -r requirements/otel.lock
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@rm -f $(VENV)/.ready-*
	@touch $@

clean:
	rm -rf $(VENV) reelkeep-data
