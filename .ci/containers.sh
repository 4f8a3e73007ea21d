#!/bin/sh
# Gets what the tests marked `containers` need (Debian, Ubuntu; as root): Docker's engine, Compose,
# and a base image in .ci/.cache, made by debootstrap from where this machine has its packages, so
# that no registry of images is asked. Does nothing where they are there (a minute and a half if not).
# The tests start and stop an engine of their own.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
base=$here/.cache/base.tar
if ! command -v dockerd >/dev/null || ! command -v debootstrap >/dev/null; then
    apt-get -qq update
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
        docker.io debootstrap
fi
"$here/compose.sh"
if [ ! -f "$base" ]; then
    mkdir -p "$here/.cache"
    work=$(mktemp -d "$here/.cache/base.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mirror=$(apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' "Codename: $suite" | head -1)
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
        "$suite" "$work/root" "$mirror" >"$work/log" 2>&1 || { tail -3 "$work/log" >&2; exit 1; }
    # What an image needs of the packages' own bookkeeping is little; their archives are half of it.
    rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/*
    tar -C "$work/root" -cf "$work/base.tar" .
    mv "$work/base.tar" "$base"
fi
