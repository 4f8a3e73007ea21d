#!/bin/sh
# Installs sshd for the tests marked `ssh` (Debian, Ubuntu; as root).
# Does nothing where it is there. The tests start and stop their own on the loopback interface.
set -eu
[ -x /usr/sbin/sshd ] && exit 0
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends openssh-server
