#!/bin/sh
# Runs everything that CI runs: format, lint, types, layers, shell scripts, tests with branch coverage.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh tests
.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
.venv/bin/lint-imports
if command -v shellcheck >/dev/null; then
  shellcheck scripts/*.sh bundler/installer/bootstrap/install.sh bundler/target/probe.sh .ci/run
else
  echo "check: shellcheck is not installed, shell scripts are not linted"
fi
exec .venv/bin/python -m pytest --cov --cov-report=term:skip-covered "$@"
