#!/bin/sh
# Sets up and runs the whole test suite in one process more than there are processors, since machines mostly let wait.
# A file of tests stays whole; what takes longest comes first. With arguments, which go to pytest, one process runs
# what they name. With --full first, nothing is sampled: the power goes at every change, which takes hours.
set -eu
cd "$(dirname "$0")/.."
if [ "${1:-}" = --full ]; then
  shift
  export FERRY_FULL=1
fi
sh scripts/setup.sh tests
# Tests run ferry hundreds of times, which would compile all its modules as often.
unset PYTHONDONTWRITEBYTECODE
[ $# -eq 0 ] || exec .venv/bin/python -m pytest "$@"
exec .venv/bin/python -m pytest --numprocesses "$(($(nproc) + 1))" --dist loadfile --no-loadscope-reorder --durations 20 \
  tests/e2e tests/integration tests/property tests/unit
