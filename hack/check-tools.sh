#!/usr/bin/env bash
# Installs the tools of `make check` outside the clone, once per version. `check-tools.sh deny` prints cargo-deny's path.
set -euo pipefail
cache="${ROUNDHOUSE_CACHE:-$HOME/.cache/roundhouse}/tools"
deny=0.20.2
for tool in fmt clippy; do
    cargo "$tool" --version >/dev/null 2>&1 || rustup component add "${tool/#fmt/rustfmt}" >&2
done
root="$cache/cargo-deny-$deny"
if [ ! -x "$root/bin/cargo-deny" ]; then
    echo "installing cargo-deny $deny (once, some minutes)" >&2
    cargo install cargo-deny --version "$deny" --locked --quiet --root "$root" >&2
fi
if [ "${1:-}" = deny ]; then
    echo "$root/bin/cargo-deny"
fi
