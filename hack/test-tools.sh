#!/usr/bin/env bash
# Installs what `make test` needs: Debian's packages where they are missing, and the vendors' SDKs outside the clone.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v c++ >/dev/null || missing+=(g++)
command -v python3 >/dev/null || missing+=(python3)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v redis-cli >/dev/null || missing+=(redis-tools)
redis=
if ! command -v redis-server >/dev/null; then
    missing+=(redis-server)
    redis=new
fi
if [ "${#missing[@]}" -gt 0 ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "make test needs programs that are not here. On Debian: sudo apt-get install ${missing[*]}" >&2
        exit 1
    fi
    echo "installing ${missing[*]}" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    # The tests start servers of their own; the package's service is nobody's.
    if [ -n "$redis" ] && [ -d /run/systemd/system ]; then
        systemctl disable --now --quiet redis-server || true
    elif [ -n "$redis" ] && [ -x /etc/init.d/redis-server ]; then
        /etc/init.d/redis-server stop >/dev/null || true
    fi
fi

tests/clients/setup.sh
