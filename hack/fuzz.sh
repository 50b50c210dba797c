#!/usr/bin/env bash
# Builds every fuzz target and runs each for SECONDS (60), as many at a time as there are cores; fails on a finding.
# Built with a stable compiler: the flags are libFuzzer's counters, without a sanitizer, which safe code can do without.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
cache=${ROUNDHOUSE_CACHE:-$HOME/.cache/roundhouse}/fuzz
targets=(manifests retry_after splice sse)
declare -A seeds=(
    [manifests]="deploy/local deploy/local/demo crates/resources/src/manifest/tests"
    [retry_after]="fuzz/seeds/retry_after"
    [splice]="fuzz/seeds/splice"
    [sse]="crates/dialect/fixtures/streams"
)

# Clones share the cache; one at a time builds and runs there.
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9

# With `--target` the flags are not used for build scripts and macros.
host=$(rustc -vV | sed -n 's/^host: //p')
CARGO_TARGET_DIR=$cache/target RUSTFLAGS="
    -Cpasses=sancov-module
    -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
    -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0
    --cfg fuzzing" \
    cargo build --quiet --manifest-path fuzz/Cargo.toml --release --target "$host"

run() {
    local target=$1 log=$cache/$1.log
    mkdir -p "$cache/corpus/$target" "$cache/findings"
    # shellcheck disable=SC2086 # the folders of seeds are words
    if "$cache/target/$host/release/$target" -max_total_time="$seconds" -max_len=8192 -timeout=10 \
        -artifact_prefix="$cache/findings/$target-" -print_final_stats=1 \
        "$cache/corpus/$target" ${seeds[$target]} >"$log" 2>&1; then
        echo "fuzz $target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, no finding"
    else
        echo "fuzz $target: FAILED" >&2
        # The last lines have the input in base64, too.
        tail -n 60 "$log" >&2
        return 1
    fi
}

failed=0
running=0
for target in "${targets[@]}"; do
    if [ "$running" -ge "$(nproc)" ]; then
        wait -n || failed=1
        running=$((running - 1))
    fi
    run "$target" &
    running=$((running + 1))
done
while [ "$running" -gt 0 ]; do
    wait -n || failed=1
    running=$((running - 1))
done
exit "$failed"
