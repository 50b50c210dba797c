#!/usr/bin/env bash
# Builds what the suites with a real API server run, once per version, outside the clone, and prints the folder.
# `kube-tools.sh where` only prints it; `kube-tools.sh helm` builds no more than Helm, and prints where that is.
# KUBEBUILDER_ASSETS names a folder that has these programs already.
set -euo pipefail
cd "$(dirname "$0")/../tests/tools"

only=${1:-}
if [ "$only" = helm ] && [ -x "${KUBEBUILDER_ASSETS:-}/helm" ]; then
    echo "$KUBEBUILDER_ASSETS/helm"
    exit
fi
if [ "$only" != helm ] && [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
    echo "$KUBEBUILDER_ASSETS"
    exit
fi

version=$(sed -nE 's/.*k8s\.io\/kubernetes (v[0-9.]+).*/\1/p' kubernetes/go.mod)
minor=${version#v1.}
minor=${minor%%.*}
# A server that does not know its version calls itself v0.0.0, and a chart's `kubeVersion` refuses that.
name=k8s.io/component-base/version
ldflags="-s -w -X $name.gitVersion=$version -X $name.gitMajor=1 -X $name.gitMinor=$minor"
flags=(-trimpath -buildvcs=false "-ldflags=$ldflags")

key=$({ cat {kubernetes,helm}/go.{mod,sum} && echo "${flags[@]}"; } | sha256sum | cut -c1-16)
cache=${ROUNDHOUSE_CACHE:-$HOME/.cache/roundhouse}/kubernetes
folder=$cache/$key
helm=$cache/helm-$({ cat helm/go.{mod,sum} && echo "${flags[@]}"; } | sha256sum | cut -c1-16)
if [ "$only" = helm ]; then
    for built in "$folder/helm" "$helm"; do
        if [ -x "$built" ]; then
            echo "$built"
            exit
        fi
    done
elif [ "$only" = where ] || [ -d "$folder" ]; then
    echo "$folder"
    exit
fi

if ! command -v go >/dev/null; then
    echo "the chart and the suites with a real API server need Go 1.21 or newer (https://go.dev/dl) or KUBEBUILDER_ASSETS" >&2
    exit 1
fi

# Clones share the cache; the first one builds, and the others find it done.
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
new=$cache/.new
rm -rf "$new"

build() { # MODULE PACKAGE TIME
    echo "building ${2##*/} (once, about $3)" >&2
    (cd "$1" && CGO_ENABLED=0 go build "${flags[@]}" -o "$new/" "$2")
}
if [ "$only" = helm ]; then
    if [ ! -x "$helm" ]; then
        build helm helm.sh/helm/v4/cmd/helm "2 minutes"
        mv -T "$new/helm" "$helm"
    fi
    echo "$helm"
    exit
fi
if [ ! -d "$folder" ]; then
    build kubernetes k8s.io/kubernetes/cmd/kube-apiserver "4 minutes"
    build kubernetes k8s.io/kubernetes/cmd/kube-controller-manager "1 minute"
    build kubernetes k8s.io/kubernetes/cmd/kubectl "half a minute"
    if [ -x "$helm" ]; then
        cp "$helm" "$new/helm"
    else
        build helm helm.sh/helm/v4/cmd/helm "2 minutes"
    fi
    mv -T "$new" "$folder"
fi
echo "$folder"
