#!/usr/bin/env bash
# Runs a command with a network and a hosts file of its own: hack/netns.sh COMMAND…
#
# The network is a loopback that also has all of 10.99.0.0/16: servers there have addresses like pods, and nothing
# outside is reachable or touched. Whoever runs in it adds names to the file that ROUNDHOUSE_TEST_HOSTS names, which is
# its /etc/hosts. All of it is gone with the last process in it.
set -euo pipefail

if [ "${1:-}" = --inside ]; then
    shift
    ip link set lo up
    # The whole prefix of an address of the loopback is local.
    ip address add 10.99.0.1/16 dev lo
    hosts=$(mktemp)
    printf '127.0.0.1 localhost\n::1 localhost\n' >"$hosts"
    chmod 0644 "$hosts"
    mount --bind "$hosts" /etc/hosts
    # The mount keeps it.
    rm "$hosts"
    export ROUNDHOUSE_TEST_HOSTS=/etc/hosts
    exec "$@"
fi

if [ $# = 0 ]; then
    echo "usage: hack/netns.sh COMMAND…" >&2
    exit 2
fi
for program in unshare ip mount; do
    if ! command -v "$program" >/dev/null; then
        echo "hack/netns.sh needs $program: run hack/test-tools.sh first" >&2
        exit 1
    fi
done
alone=(--mount --net)
if ! unshare "${alone[@]}" true 2>/dev/null; then
    alone+=(--user --map-root-user)
    if ! unshare "${alone[@]}" true 2>/dev/null; then
        echo "hack/netns.sh: this machine lets nobody but root have a network of its own; run it as root" >&2
        exit 1
    fi
fi
exec unshare "${alone[@]}" "$0" --inside "$@"
