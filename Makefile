# One command each: `make demo` runs the server with a demo meeting, `make test` passes the tests, `make check` lints.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMPS := target/stamps
# These lie where what they stand for lies, so that deleting the one deletes the other.
PYTHON := $(VENV)/.synced
MODULE := pysfu/_core.abi3.so
NETWORKS := tests/integration/test_networks.py

.PHONY: help demo test test-rust test-python test-all check check-rust check-python fmt bench-engine bench-server
.PHONY: bench-meetings fuzz asan wheel
.PHONY: clean setup

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ —/'

setup: $(MODULE) ## Install what is needed and build the program

$(STAMPS)/system: tests/setup/system.sh tests/setup/packages.txt
	@tests/setup/system.sh
	@mkdir -p $(STAMPS)
	@touch $@

$(PYTHON): $(STAMPS)/system pyproject.toml uv.lock tests/setup/venv.sh
	@tests/setup/venv.sh
	@touch $@

# The compiled module lies beside the package; it is rebuilt when a Rust source is newer. One profile for tests and demo,
# so that Rust is built once.
RUST_SOURCES := $(shell find sfu_core/src sfu_core/vendor -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock sfu_core/Cargo.toml
$(MODULE): $(STAMPS)/system $(PYTHON) $(RUST_SOURCES)
	@PATH="$(abspath target/uv/bin):$$PATH" VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --uv --profile dev --quiet
	@touch $@

$(STAMPS)/module: $(MODULE)
	@touch $@

demo: $(MODULE) ## Run the server with a demo meeting
	@$(BIN)/pysfu demo

test: test-rust test-python ## Pass the tests (all but what CONTRIBUTING's table names as long)

test-rust: $(STAMPS)/system
	cargo test --workspace --quiet

test-python: $(MODULE)
	$(BIN)/pytest -q -m "not long" --ignore=$(NETWORKS) tests
	@tests/setup/namespaces.sh $(BIN)/pytest -q -m "not long" $(NETWORKS)

test-all: $(MODULE) ## Pass all tests, the long ones too, in shards of at most half an hour; SHARD=name for one
	@$(BIN)/python tests/shards.py $(SHARD)

check: check-rust check-python ## Lint, types, layering, documents

check-rust: $(STAMPS)/system
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings

check-python: $(MODULE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy pysfu signalling
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/python -m mypy.stubtest pysfu._core

fmt: ## Format everything
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench-engine: $(STAMPS)/system ## Measure the engine; `name value unit` lines on standard output, JSON beside them
	@cargo run --release --quiet -p bench_forwarding -- --json bench/forwarding/results.json

bench-server: $(STAMPS)/system $(PYTHON) ## Measure the server beside Janus and the floor (45 minutes); ARGS="--runs 1 --only rooms" for less
	@bench/server/prepare.sh
	@tests/setup/namespaces.sh $(BIN)/python bench/server/run.py --json bench/server/results.json $(ARGS)

bench-meetings: $(STAMPS)/system $(PYTHON) ## Measure meetings of LiveKit's clients beside Janus (30 minutes); ARGS="--runs 1 --only burst" for less
	@bench/meetings/prepare.sh
	@PYTHONPATH=bench/server tests/setup/namespaces.sh $(BIN)/python bench/meetings/run.py --json bench/meetings/results.json $(ARGS)

fuzz: $(STAMPS)/system ## Run each fuzz target for a minute
	@sfu_core/fuzz/run.sh 60

asan: $(STAMPS)/system ## Run the Rust tests under AddressSanitizer
	@tests/setup/asan.sh

wheel: $(PYTHON) ## Build the wheel
	@$(BIN)/maturin build --release --out dist

clean: ## Remove everything made
	rm -rf target $(VENV) $(MODULE) dist
