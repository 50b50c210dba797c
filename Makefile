# `make run` starts a gateway, `make test` tests it; `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CACHE ?= $(or $(ROUNDHOUSE_CACHE),$(HOME)/.cache/roundhouse)
GATEWAY := target/release/roundhouse-gateway
export ROUNDHOUSE_CACHE := $(CACHE)

.PHONY: help run demo test check bench fuzz fmt generate

help: ## Lists what can be made.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

run: ## Builds and starts a gateway on 127.0.0.1:8080 with deploy/local/quickstart.yaml.
	@cargo build --release --quiet --bin roundhouse-gateway
	@exec $(GATEWAY) serve --resources deploy/local/quickstart.yaml

demo: ## The same gateway against a scripted upstream: rotation, a rest and its end, within a minute.
	@cargo build --release --quiet --bin roundhouse-gateway --bin roundhouse-demo
	@exec target/release/roundhouse-demo

test: ## Installs what the tests need, then runs every suite.
	@hack/test-tools.sh
	cargo test --workspace --lib --bins --quiet
	cargo build --quiet --bin roundhouse-gateway
	cargo test -p roundhouse-tests
	hack/fuzz.sh 20

check: ## Format, lints, docs, dependency rules, generated files.
	@hack/check-tools.sh
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet
	"$$(hack/check-tools.sh deny)" --log-level error check bans licenses sources
	cargo run --quiet -p xtask -- generate --check

bench: ## Measures the gateway against the yardsticks; see docs/benchmarks.md.
	bench/run.sh

fuzz: ## Fuzzes every target for SECONDS (60).
	hack/fuzz.sh $(or $(SECONDS),60)

fmt: ## Formats the code.
	cargo fmt --all

generate: ## Writes the generated files anew.
	cargo run --quiet -p xtask -- generate
