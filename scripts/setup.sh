#!/bin/sh
# Makes .venv/ in this checkout and installs what Ferry needs, with the word "tests" what they need too. Safe to run again: it does what is missing.
set -eu
cd "$(dirname "$0")/.."

# Debian packages: what builds and runs the isolated machines, and with the word "tests" the independent programs that
# tests compare with.
packages="busybox openssl python3-venv systemd-container uidmap mmdebstrap xorriso"
if [ "${1:-}" = tests ]; then
  packages="$packages binfmt-support containerd createrepo-c dnf docker-registry dpkg-dev fuseiso gnupg haproxy iproute2 makeself nftables p7zip-full
   podman prometheus qemu-user-static rpm runc shellcheck skopeo softhsm2"
fi

missing_packages() {
  for package in $packages; do
    [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | cut -c 1-2)" = ii ] || printf '%s ' "$package"
  done
}

if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
  missing=$(missing_packages)
  if [ -n "$missing" ] && [ "$(id -u)" = 0 ]; then
    echo "setup: installing Debian packages: $missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q >/dev/null
    # shellcheck disable=SC2086 # a list of words
    apt-get install -y -q --no-install-recommends $missing >/dev/null
  elif [ -n "$missing" ]; then
    echo "setup: isolated machines and some tests need Debian packages; as root: apt-get install $missing"
  fi
else
  echo "setup: this is no Debian; isolated machines and some tests need: $packages"
fi

find_python() {
  for name in "${FERRY_PYTHON:-}" python3.13 python3.12 python3.11 python3; do
    if [ -z "$name" ] || ! command -v "$name" >/dev/null; then continue; fi
    "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    command -v "$name"
    return
  done
}

python=$(find_python)
if [ -z "$python" ]; then
  echo "error: expected a Python of 3.11 or later with its venv module, found none: install it, or name it in FERRY_PYTHON" >&2
  exit 8
fi

wanted=$(cat pyproject.toml scripts/setup.sh | sha256sum | cut -c 1-32)
if [ "$(cat .venv/.ferry-setup 2>/dev/null)" != "$wanted" ]; then
  echo "setup: making .venv with $("$python" --version)"
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  # pip repeats the build's remarks; they matter only when it fails.
  log=.venv/setup.log
  if ! .venv/bin/python -m pip install --upgrade "pip>=25.1" >"$log" 2>&1 ||
    ! .venv/bin/python -m pip install --editable . --group dev >>"$log" 2>&1; then
    cat "$log" >&2
    echo "error: pip could not install what Ferry needs: check the package index of your pip configuration" >&2
    exit 5
  fi
  echo "$wanted" >.venv/.ferry-setup
fi
echo "setup: ready ($(.venv/bin/ferry --version))"
