#!/usr/bin/env bash
# Measures the gateway against its yardsticks on loopback, in about eleven minutes. See README.md.
set -euo pipefail
cd "$(dirname "$0")"
cargo build --release --quiet
exec python3 bench.py "$@"
