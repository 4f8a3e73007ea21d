#!/bin/sh
# Installs SLURM and munge for the tests marked `slurm` (Debian, Ubuntu; as root).
# Does nothing where they are there. The tests start and stop the daemons themselves.
set -eu
command -v slurmctld >/dev/null && command -v munged >/dev/null && exit 0
apt-get -qq update
DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends slurm-wlm munge
