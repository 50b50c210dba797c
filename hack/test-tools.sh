#!/usr/bin/env bash
# Installs what `make test` needs: Debian's packages where they are missing, and outside the clone the vendors' SDKs and
# Kubernetes' programs.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v c++ >/dev/null || missing+=(g++)
command -v python3 >/dev/null || missing+=(python3)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v redis-cli >/dev/null || missing+=(redis-tools)
command -v ip >/dev/null || missing+=(iproute2)
command -v unshare >/dev/null || missing+=(util-linux)
command -v mount >/dev/null || missing+=(mount)
servers=()
if ! command -v redis-server >/dev/null; then
    missing+=(redis-server)
    servers+=(redis-server)
fi
if ! command -v etcd >/dev/null && [ ! -x "${KUBEBUILDER_ASSETS:-}/etcd" ]; then
    missing+=(etcd-server)
    servers+=(etcd)
fi
if [ "${#missing[@]}" -gt 0 ]; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "make test needs programs that are not here. On Debian: sudo apt-get install ${missing[*]}" >&2
        exit 1
    fi
    echo "installing ${missing[*]}" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    # The tests start servers of their own; a package's service is nobody's.
    for server in "${servers[@]}"; do
        if [ -d /run/systemd/system ]; then
            systemctl disable --now --quiet "$server" || true
        elif [ -x "/etc/init.d/$server" ]; then
            "/etc/init.d/$server" stop >/dev/null || true
        fi
    done
fi

tests/clients/setup.sh
hack/kube-tools.sh >/dev/null
