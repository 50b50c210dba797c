# `make run` starts a gateway, `make test` tests it; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CACHE ?= $(or $(ROUNDHOUSE_CACHE),$(HOME)/.cache/roundhouse)
# One choice of features for everything that is built to be tested, so that nothing is built twice.
EVERYTHING := --workspace --features roundhouse-pool/conformance
export ROUNDHOUSE_CACHE := $(CACHE)

.PHONY: help run demo test check bench fuzz fmt generate

help: ## Lists what can be made.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

run: ## Builds and starts a gateway on 127.0.0.1:8080 with deploy/local/quickstart.yaml.
	@cargo run --profile quick --bin roundhouse-gateway -- serve --resources deploy/local/quickstart.yaml --drain-min 0s

demo: ## The same gateway against a scripted upstream: rotation, a rest and its end, within a minute.
	@cargo build --profile quick --bin roundhouse-gateway --bin roundhouse-demo
	@cargo run --profile quick --quiet --bin roundhouse-demo

test: ## Installs what the tests need, then runs every suite.
	@hack/test-tools.sh
	cargo test $(EVERYTHING) --lib --bins --tests --no-run
	cargo test $(EVERYTHING) --test system --no-run
	cargo build --bin roundhouse-gateway --bin roundhouse-operator
	hack/fuzz.sh 20
	cargo test $(EVERYTHING) --doc --quiet
	cargo test $(EVERYTHING) --lib --bins --tests --no-fail-fast -- --test-threads 8
	hack/netns.sh cargo test --offline $(EVERYTHING) --test system -- --test-threads 3

check: ## Format, lints, docs, dependency rules, generated files, the chart.
	@hack/check-tools.sh
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy $(EVERYTHING) --all-targets --quiet -- -D warnings
	cargo clippy $(EVERYTHING) --test system --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet
	"$$(hack/check-tools.sh deny)" --log-level warn check bans licenses sources
	cargo run --quiet --bin xtask -- generate --check
	hack/chart.sh check

bench: ## Measures the gateway against the yardsticks; see docs/benchmarks.md.
	bench/run.sh

fuzz: ## Fuzzes every target for SECONDS (60).
	hack/fuzz.sh $(or $(SECONDS),60)

fmt: ## Formats the code.
	cargo fmt --all

generate: ## Writes the generated files anew.
	cargo run --quiet --bin xtask -- generate
	hack/chart.sh generate
