#!/bin/sh
# Brings up the Python of a Ferry bundle, each part checked first, and hands over to the installer.
# Needs sh, coreutils, tar and gzip. Its own digest stands in ferry.json, which the bundle's signature covers:
# check both before you run it, as the README shows.
set -eu
umask 022

usage() {
  cat >&2 <<EOF
usage: sh install.sh BUNDLE.tar --trust PUB.pem [--dry-run] [--yes] [--set SERVICE.NAME=VALUE] ...
       e.g. sh install.sh /mnt/stick/agentscope.tar --trust /mnt/stick/release.pem
EOF
  exit 2
}
fail() {
  status=$1
  shift
  echo "error: $*" >&2
  exit "$status"
}

python=@PYTHON@
runtime=@RUNTIME@
wheels='@WHEELS@'
prefix=${FERRY_PREFIX:-/opt/ferry}

[ $# -ge 1 ] || usage
case $1 in -*) usage ;; esac
bundle=$1
shift
trust='' dry='' before=''
for word in "$@"; do
  case $word in --dry-run) dry=1 ;; --trust=*) trust=${word#--trust=} ;; esac
  [ "$before" != --trust ] || trust=$word
  before=$word
done
[ -r "$bundle" ] || fail 6 "expected a bundle, \"$bundle\" cannot be read"
[ "$(uname -s)-$(uname -m)" = Linux-@MACHINE@ ] ||
  fail 8 "expected a Linux host of @MACHINE@, this is $(uname -s)-$(uname -m): bring the bundle for it"
[ "$(id -u)" = 0 ] || fail 8 "expected to run as root: run it with sudo"
for program in tar gzip sha256sum mktemp; do
  command -v "$program" >/dev/null || fail 8 "expected the program $program, this host has none"
done

# Whatever happens, nothing half made stays; an installer that is told to stop first puts the host back.
work=$(mktemp -d "${TMPDIR:-/tmp}/ferry.XXXXXX")
new='' made=''
clean() {
  rm -rf "$work" ${new:+"$new"}
  [ -z "$made" ] || [ -e /var/lib/ferry ] || rm -rf "$made"
  rmdir "$prefix/toolchains" "$prefix" 2>/dev/null || :
}
trap clean EXIT
trap 'exit 130' HUP INT TERM

# The host's own OpenSSL, where it knows SM2, judges before anything of the bundle is unpacked or run. Ferry's own
# check comes later in any case.
tar --occurrence=1 -xf "$bundle" -C "$work" ferry.json ferry.json.sig 2>/dev/null ||
  fail 6 "expected a bundle, \"$bundle\" does not begin as one"
if [ -n "$trust" ] && command -v openssl >/dev/null; then
  case $(openssl dgst -sm3 -verify "$trust" -sigopt distid:1234567812345678 \
    -signature "$work/ferry.json.sig" "$work/ferry.json" 2>&1) in
    *"Verification failure"* | *"Error verifying data"*)
      fail 7 "expected a signature of ferry.json by $trust, OpenSSL finds none that verifies" ;;
  esac
fi
# Which parts are unpacked is written in this script, so it must be the one of this very bundle.
if [ -f "$0" ] && ! grep -q "\"$(sha256sum <"$0" | cut -c 1-64)\"" "$work/ferry.json"; then
  fail 6 "expected the install.sh that ferry.json names, this is another: take it from \"$bundle\""
fi

# The toolchain's name follows from its content: what is there already was checked when it came.
name=$(printf '%s %s\n%s\n' "$python" "$runtime" "$wheels" | sha256sum | cut -c 1-16)
tools=$prefix/toolchains/$name
if [ ! -e "$tools/complete" ]; then
  [ -z "$dry" ] || tools=$work/toolchain
  mkdir -p "${tools%/*}"
  new=$(mktemp -d "${tools%/*}/new.XXXXXX")
  chmod 755 "$new"

  # Copies one blob out of the bundle, or what a differential leaves out from the store of this host, and accepts the
  # copy only with its digest.
  take() {
    tar --occurrence=1 -xOf "$bundle" "blobs/sha256/$1" >"$2" 2>/dev/null ||
      cat "/var/lib/ferry/store/blobs/sha256/$1" >"$2" 2>/dev/null ||
      fail 6 "expected blobs/sha256/$1 in \"$bundle\": give the first volume (on a new host, of the full bundle)"
    printf '%s  %s\n' "$1" "$2" | sha256sum -c >/dev/null 2>&1 ||
      fail 6 "blobs/sha256/$1 in \"$bundle\" has other bytes than its digest: carry the bundle again"
  }

  take "$runtime" "$new/part"
  tar --no-same-owner -xzf "$new/part" -C "$new" || fail 8 "the Python runtime cannot be unpacked to $new"
  packages=$new/usr/local/lib/python$python/dist-packages
  mkdir -p "$packages"
  mkdir "$new/wheels"
  printf '%s\n' "$wheels" | while read -r digest wheel; do take "$digest" "$new/wheels/$wheel"; done || exit $?
  "$new/usr/bin/python$python" -I -c 'import sys, zipfile
for path in sys.argv[2:]:
    zipfile.ZipFile(path).extractall(sys.argv[1])' "$packages" "$new"/wheels/*.whl ||
    fail 8 "the wheels of the toolchain cannot be unpacked to $packages"
  rm -rf "$new/part" "$new/wheels"
  : >"$new/complete"
  [ -n "$dry" ] || sync -f "$new"
  mv -T "$new" "$tools" 2>/dev/null || [ -e "$tools/complete" ] || fail 8 "$tools cannot be made"
  made=$tools
fi

"$tools/usr/bin/python$python" -I -m bundler.cli host install "$bundle" "$@"
