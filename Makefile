# Two commands matter: `make demo` and `make test`. Each sets up what it needs, from nothing but Python 3.11 and Node.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The first of these that is Python 3.11 or newer; `make PYTHON=…` chooses another.
PYTHON ?= $(shell for one in python3 python3.13 python3.12 python3.11 python3.14; do \
	if $$one -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo $$one; break; fi; done)
VENV := .venv
BIN := $(VENV)/bin
MINISTACK := .venv-ministack
AWSCLI := .venv-awscli
LOCKTOOLS := .venv-locktools
STAMPS := .stamps

# Fake credentials and nothing of the user's own: no target but `test-aws` may reach an account.
LOCAL_AWS := AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 \
	AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null

# One more than there are processors: much of the suite waits for real time or for processes of its own.
TEST_PROCESSES ?= $(shell python3 -c 'import os; print(min(os.cpu_count() or 1, 4) + 1)' 2>/dev/null || echo 2)

# A file of tests to a process, so that its servers and stacks are made once; files in their order, since the long ones
# stand before the many short ones.
IN_PARALLEL := --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

# $(call step,what,command): say what is done, do it, say how long it took.
define step
@echo "--- $(1)"; start=$$SECONDS; $(2); echo "    $(1): $$((SECONDS - start)) s"
endef

.PHONY: help
help: ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sort | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: setup
setup: $(STAMPS)/python ## Make the Python environment with the locked versions

$(STAMPS)/python: requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "needs Python 3.11 or newer on the PATH"; exit 1; }
	$(call step,Python environment ($(PYTHON)),$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install -qq --disable-pip-version-check -r requirements-dev.lock && \
		$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps -e .)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/node: package-lock.json
	@command -v npm >/dev/null || { echo "needs Node with npm on the PATH"; exit 1; }
	$(call step,Node packages (the CDK command line; pyright; the JavaScript SDK; a browser),npm ci --silent --no-audit --no-fund)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/ministack: requirements-ministack.lock
	@test -n "$(PYTHON)" || { echo "needs Python 3.11 or newer on the PATH"; exit 1; }
	$(call step,MiniStack (an independent local AWS),$(PYTHON) -m venv $(MINISTACK) && \
		$(MINISTACK)/bin/python -m pip install -qq --disable-pip-version-check -r requirements-ministack.lock)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/awscli: requirements-awscli.lock
	@test -n "$(PYTHON)" || { echo "needs Python 3.11 or newer on the PATH"; exit 1; }
	$(call step,AWS CLI,$(PYTHON) -m venv $(AWSCLI) && \
		$(AWSCLI)/bin/python -m pip install -qq --disable-pip-version-check -r requirements-awscli.lock)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/locktools: requirements-locktools.lock
	@test -n "$(PYTHON)" || { echo "needs Python 3.11 or newer on the PATH"; exit 1; }
	$(call step,pdm and poetry and pipenv,$(PYTHON) -m venv $(LOCKTOOLS) && \
		$(LOCKTOOLS)/bin/python -m pip install -qq --disable-pip-version-check -r requirements-locktools.lock)
	@mkdir -p $(STAMPS) && touch $@

.PHONY: demo
demo: $(STAMPS)/python ## Run a small shop on the embedded SQS: container workers and the Lambda path
	$(call step,the demo,$(LOCAL_AWS) $(BIN)/python -m examples.shop.demo)

.PHONY: test
test: $(STAMPS)/python $(STAMPS)/node $(STAMPS)/ministack $(STAMPS)/awscli $(STAMPS)/locktools ## Lint, check types and run every test
	$(call step,lint,$(BIN)/ruff check . && $(BIN)/ruff format --check .)
	$(call step,import directions,$(BIN)/lint-imports)
	$(call step,types,npx pyright --pythonpath $(BIN)/python & $(BIN)/mypy; wait $$!)
	$(call step,tests,CI=true $(LOCAL_AWS) $(BIN)/python -m pytest $(IN_PARALLEL) $(PYTEST_ARGS))

# Not in `make test`: to trace each line costs half as much again as the tests themselves, and no test depends on it.
.PHONY: coverage
coverage: $(STAMPS)/python $(STAMPS)/node $(STAMPS)/ministack $(STAMPS)/awscli $(STAMPS)/locktools ## Run every test once more, and show the lines that none enters
	$(call step,tests and their coverage,CI=true $(LOCAL_AWS) $(BIN)/python -m pytest $(IN_PARALLEL) --cov --cov-report=term $(PYTEST_ARGS))

# As long as wanted, e.g. `make soak MINUTES=480`; SEED=… for an order of events that was seen before.
MINUTES ?= 60
.PHONY: soak
soak: $(STAMPS)/python ## Chaos for MINUTES=60: kills, forks, cuts, silence, renewed credentials; the books at the end
	$(call step,chaos for $(MINUTES) minutes,$(LOCAL_AWS) $(BIN)/python -m tests.support.soak --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)))
	$(call step,eight processes at the embedded SQS,SQS_TASKS_STRESS_MESSAGES=100000 $(LOCAL_AWS) $(BIN)/python -m pytest -q tests/integration/test_local_sqs_stress.py)
	$(call step,memory after 200000 jobs,SQS_TASKS_RSS_JOBS=200000 $(LOCAL_AWS) $(BIN)/python -m pytest -q tests/integration/test_worker_chaos.py -k memory)

.PHONY: bench
bench: $(STAMPS)/python $(STAMPS)/ministack ## Measure beside the peers, as ratios; each benchmark makes the environments it needs
	@for one in benchmarks/*.py; do echo "--- $$one"; $(LOCAL_AWS) $(BIN)/python $$one; done

.PHONY: test-pythons
test-pythons: $(STAMPS)/python ## Run the unit tests on every supported Python that the machine has
	@for version in 3.11 3.12 3.13; do \
		pyenv=$$(ls -d $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version.*/bin 2>/dev/null | tr '\n' ':' || true); \
		one=$$(PATH="$$pyenv$$PATH" $(BIN)/uv python find --no-python-downloads $$version 2>/dev/null) || { echo "--- no Python $$version here"; continue; }; \
		echo "--- unit tests on $$one"; \
		$(BIN)/uv venv -q --allow-existing --seed --python $$one .venv-$$version; \
		.venv-$$version/bin/python -m pip install -qq --disable-pip-version-check -r requirements-dev.lock; \
		.venv-$$version/bin/python -m pip install -qq --disable-pip-version-check --no-deps -e .; \
		$(LOCAL_AWS) .venv-$$version/bin/python -m pytest -q tests/unit; \
	done

.PHONY: test-aws
test-aws: $(STAMPS)/python ## Run the conformance suite against real AWS with your own credentials
	$(BIN)/python -m pytest tests/conformance -k aws

.PHONY: format
format: $(STAMPS)/python ## Format the code and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: synth
synth: $(STAMPS)/python $(STAMPS)/node ## Synthesise the example stack, without an account
	$(LOCAL_AWS) PATH="$(CURDIR)/$(BIN):$$PATH" npx cdk synth --quiet

.PHONY: lock
lock: $(STAMPS)/python ## Bring the locked versions up to date with pyproject.toml
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 --upgrade \
		--no-header --no-emit-index-url --no-annotate -o requirements-dev.lock
	cd sqs_tasks_cdk/requirements && for name in handler worker; do \
		$(CURDIR)/$(BIN)/uv pip compile $$name.in --universal --python-version 3.11 --upgrade --generate-hashes \
			--no-header --no-emit-index-url --no-annotate -o $$name.lock; done

.PHONY: clean
clean: ## Remove everything that set-up and tests made
	rm -rf $(VENV) $(MINISTACK) .venv-* $(STAMPS) node_modules cdk.out dist .coverage* .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache
