# One command each: `make demo` runs the server with a demo meeting, `make test` passes the tests, `make check` lints.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMPS := target/stamps

.PHONY: help demo test test-rust test-python test-all check check-rust check-python fmt bench-engine fuzz wheel clean setup

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/ —/'

setup: $(STAMPS)/system $(STAMPS)/python ## Install what is needed

$(STAMPS)/system: tests/setup/system.sh tests/setup/packages.txt
	@mkdir -p $(STAMPS)
	@tests/setup/system.sh
	@touch $@

$(STAMPS)/python: pyproject.toml uv.lock tests/setup/venv.sh
	@mkdir -p $(STAMPS)
	@tests/setup/venv.sh
	@touch $@

# The compiled module lies beside the package; it is rebuilt when a Rust source is newer. One profile for tests and demo,
# so that Rust is built once.
RUST_SOURCES := $(shell find sfu_core/src -name '*.rs') Cargo.toml Cargo.lock sfu_core/Cargo.toml
$(STAMPS)/module: $(STAMPS)/system $(STAMPS)/python $(RUST_SOURCES)
	@PATH="$(abspath target/uv/bin):$$PATH" VIRTUAL_ENV=$(abspath $(VENV)) $(BIN)/maturin develop --uv --profile dev --quiet
	@touch $@

demo: $(STAMPS)/module ## Run the server with a demo meeting
	@$(BIN)/pysfu demo

test: test-rust test-python ## Pass the tests (all but what CONTRIBUTING's table names as long)

test-rust: $(STAMPS)/system
	cargo test --workspace --quiet

test-python: $(STAMPS)/system $(STAMPS)/module
	$(BIN)/pytest -q -m "not long" tests

test-all: test ## Pass all tests, the long ones too
	cargo test --workspace --quiet -- --ignored
	$(BIN)/pytest -q -m long tests

check: check-rust check-python ## Lint, types, layering, documents

check-rust:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings

check-python: $(STAMPS)/module
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

bench-engine: ## Measure the engine; `name value unit` lines on standard output, JSON beside them
	@cargo run --release --quiet -p bench_forwarding -- --json bench/forwarding/results.json

fuzz: ## Run each fuzz target for a minute (needs nightly and cargo-fuzz)
	@for target in $$(cd sfu_core/fuzz && ls fuzz_targets | sed 's/\.rs$$//'); do \
		(cd sfu_core/fuzz && cargo +nightly fuzz run --features libfuzzer $$target $$(mktemp -d) corpus/$$target -- -max_total_time=60); done

wheel: $(STAMPS)/python ## Build the wheel
	@$(BIN)/maturin build --release --out dist

clean: ## Remove everything made
	rm -rf target $(VENV) dist
