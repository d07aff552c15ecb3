# Every target first looks whether the machine has what is needed; that takes no time when it does.
# CARGO_TARGET_DIR is respected; without it, builds go to target/.

# `dev` builds fastest; `make demo PROFILE=release` takes longer to build and runs faster.
PROFILE ?= dev
WEIR = cargo run --quiet --profile $(PROFILE) --bin weir --

.PHONY: help demo run test soak lint bench setup
help:
	@echo "make demo    real flights arriving, in a live terminal view (Ctrl-C or q ends it)"
	@echo "make run     a server on 127.0.0.1:5433: psql postgres://weir@127.0.0.1:5433/weir"
	@echo "make test    every test; WEIR_FLIGHTS=path/to/flights.jsonl.gz adds those over all flights"
	@echo "make soak    kill -9 at 200 random moments of a mixed load (WEIR_KILLS, WEIR_SEED)"
	@echo "make lint    formatting and clippy"
	@echo "make bench   release build and measurements (docs/benchmarks.md)"
	@echo "make setup   installs what is missing (the others do it too)"

setup:
	@scripts/setup.sh

demo: setup
	@cargo build --profile $(PROFILE) --bin weir
	@$(WEIR) demo

run: setup
	@cargo build --profile $(PROFILE) --bin weir
	@$(WEIR) serve

test: setup
	cargo test --workspace

soak: setup
	WEIR_KILLS=$${WEIR_KILLS:-200} cargo test --workspace --test it -- kill::nothing_is_lost --nocapture

lint: setup
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

bench: setup
	@scripts/bench.sh
