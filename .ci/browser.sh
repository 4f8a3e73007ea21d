#!/bin/sh
# Installs Chromium for the tests marked `browser` (Debian, Ubuntu; as root).
# Does nothing where one is there. The tests start and stop their own, without a window.
set -eu
for name in chromium chromium-browser google-chrome; do
	command -v "$name" >/dev/null 2>&1 && exit 0
done
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
	chromium fonts-dejavu-core
