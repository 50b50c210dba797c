#!/bin/sh
# Installs the vendors' SDKs that the client suites drive, in a cache outside of the clone. Each set is keyed by its lock
# file, so a changed lock file is a new folder and an unchanged one costs nothing. May run at any time, any number of times.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cache=${ROUNDHOUSE_CACHE:-$HOME/.cache/roundhouse}
mkdir -p "$cache"

folder_of() {
    printf '%s/%s-%s' "$cache" "$1" "$(sha256sum "$2" | cut -c1-16)"
}

python=$(folder_of python "$here/python/requirements.txt")
if [ ! -e "$python/.complete" ]; then
    echo "installing the Python SDKs into $python"
    rm -rf "$python"
    python3 -m venv "$python"
    "$python/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$here/python/requirements.txt"
    touch "$python/.complete"
fi

node=$(folder_of node "$here/node/package-lock.json")
if [ ! -e "$node/.complete" ]; then
    echo "installing the Node.js SDK into $node"
    rm -rf "$node"
    mkdir -p "$node"
    cp "$here/node/package.json" "$here/node/package-lock.json" "$node/"
    (cd "$node" && npm ci --silent --no-audit --no-fund --ignore-scripts)
    touch "$node/.complete"
fi
