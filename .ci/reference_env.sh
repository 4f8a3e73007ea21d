#!/bin/sh
# Makes the environment in which tests/reference and benchmarks run the original mirar.
# Does nothing if it is there; takes a minute and 1 GB if not. Uses PYTHON, else python3.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
exec "${PYTHON:-python3}" "$here/benchmarks/references/environments.py" mirar
