#!/bin/sh
# Sets up and runs the whole test suite; arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh tests
exec .venv/bin/python -m pytest "$@"
