#!/bin/sh
# Installs what the faults of the chaos suite are made with (Debian, Ubuntu; as root): a clock that
# can be set for some processes, a file system that fails, networks that can be cut.
set -eu
[ -e /usr/lib/*/faketime/libfaketime.so.1 ] && [ -x /usr/bin/fusermount3 ] && exit 0
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
	faketime fuse3 libfuse2 iproute2 e2fsprogs
