# `make verify` only looks; `make fix` changes. CI runs the same targets.

CARGO ?= cargo
SCHEDULES ?= 200
SECONDS ?= 0
HOURS ?= 24
KILLS ?= 40
POINTS ?= 300
TARGET ?= rest

.DEFAULT_GOAL := help
.PHONY: help demo run test servers soak fuzz verify format lint doc deny fix bench

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Simulated exchanges, a collector and a live view; ARGS="--speed 120" changes it.
	$(CARGO) run --quiet -- demo $(ARGS)

run: ## The daemon on candlewick.db; ARGS="--config FILE" changes it.
	$(CARGO) run --release -- run $(ARGS)

test: servers ## All tests; no network is needed once the servers they start are installed.
	$(CARGO) test

servers: ## Install what tests start for themselves (PostgreSQL, Redis), or say how.
	@sh tests/servers.sh

soak: servers ## Faults and crashes for long, in release; SCHEDULES=200 or SECONDS=600, HOURS=24, POINTS=300, KILLS=40 are the amounts.
	CANDLEWICK_SCHEDULES=$(SCHEDULES) CANDLEWICK_SECONDS=$(SECONDS) CANDLEWICK_HOURS=$(HOURS) \
		CANDLEWICK_POINTS=$(POINTS) \
		$(CARGO) test --release --test schedules -- --nocapture
	CANDLEWICK_KILLS=$(KILLS) $(CARGO) test --release --test kill -- --nocapture
	CANDLEWICK_DAYS=7 $(CARGO) test --release --test connections -- --nocapture
	CANDLEWICK_SYMBOLS=620 CANDLEWICK_HOURS=24 CANDLEWICK_SPEED=60 \
		$(CARGO) test --release --test memory -- --nocapture

# What a run has learnt stays in fuzz/corpus; a find becomes a file in tests/fuzz/regressions/TARGET.
FUZZ_SEEDS = $(if $(filter rest stream,$(TARGET)),tests/fixtures,$(if $(filter config,$(TARGET)),config,tests/fuzz/seeds/$(TARGET))) \
	$(wildcard tests/fuzz/regressions/$(TARGET))

fuzz: ## libFuzzer on one parser (nightly, cargo-fuzz); TARGET=rest, SECONDS=600 are which and how long.
	mkdir -p fuzz/corpus/$(TARGET)
	$(CARGO) +nightly fuzz run $(TARGET) fuzz/corpus/$(TARGET) $(FUZZ_SEEDS) -- -max_total_time=$(SECONDS)

verify: format lint test doc deny ## Everything that must hold before a merge; changes nothing.

format:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --all-targets -- -D warnings

doc: ## The documentation; a warning is an error.
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps

deny:
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		$(CARGO) deny check; \
	else \
		echo "cargo-deny is not installed, licences and advisories are not checked; cargo install --locked cargo-deny"; \
	fi

fix: ## Format, and apply what clippy can.
	$(CARGO) fmt --all
	$(CARGO) clippy --all-targets --fix --allow-dirty --allow-staged

bench: ## The benchmarks.
	$(CARGO) bench
