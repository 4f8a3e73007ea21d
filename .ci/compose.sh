#!/bin/sh
# Docker Compose 2 with the words given: the one that is installed, else Debian's, unpacked into
# .ci/.cache (as anybody; nothing is installed). Without words only sees that there is one.
# Ends with 69 and the reason where none can be had.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
plugin=$here/.cache/docker/cli-plugins/docker-compose
none() { echo "Docker Compose 2 cannot be had: $*" >&2; exit 69; }

if docker compose version --short >/dev/null 2>&1; then
    [ $# -eq 0 ] || exec docker compose "$@"
    exit 0
fi
if [ ! -x "$plugin" ]; then
    command -v apt-get >/dev/null || none "it is not installed, and there is no apt-get to get it"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/sources" "$work/lists/partial" "$work/cache/archives/partial"
    # Debian 12 has Compose 1 only. Its successor's is taken, from where this machine has its own.
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.*; do
        [ -f "$file" ] || continue
        name=$(basename "$file")
        case $name in sources.list) name=debian.list ;; esac
        sed 's/bookworm/trixie/g' "$file" >"$work/sources/$name"
    done
    apt() {
        apt-get -qq -o APT::Sandbox::User="$(id -un)" -o Dir::Etc::sourcelist=/dev/null \
            -o Dir::Etc::sourceparts="$work/sources" -o Dir::State::lists="$work/lists" \
            -o Dir::Cache="$work/cache" "$@" >"$work/said" 2>&1 || none "$(tail -1 "$work/said")"
    }
    apt update
    (cd "$work" && apt download docker-compose)
    dpkg-deb -x "$work"/docker-compose_*.deb "$work/unpacked"
    found=$work/unpacked/usr/libexec/docker/cli-plugins/docker-compose
    [ -x "$found" ] || none "Debian's docker-compose is not version 2 here"
    mkdir -p "$(dirname "$plugin")"
    cp "$found" "$plugin.new" && mv "$plugin.new" "$plugin"
fi
"$plugin" version --short >/dev/null || none "$plugin does not run here"
[ $# -eq 0 ] || exec "$plugin" "$@"
