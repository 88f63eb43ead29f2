#!/bin/sh
# Sets up and runs the whole test suite: what needs programs and machines in one process, the rest beside it, so that
# neither waits for the other. With arguments, which go to pytest, one process runs what they name.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh tests
[ $# -eq 0 ] || exec .venv/bin/python -m pytest "$@"

log=$(mktemp)
.venv/bin/python -m pytest tests/unit tests/property >"$log" 2>&1 &
beside=$!
trap 'kill "$beside" 2>/dev/null || :; rm -f "$log"' EXIT
trap 'exit 130' HUP INT TERM
status=0
.venv/bin/python -m pytest tests/integration tests/e2e || status=$?
wait "$beside" || status=$?
cat "$log"
exit "$status"
