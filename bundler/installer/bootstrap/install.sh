#!/bin/sh
# Brings up the Python of a Ferry bundle, each part checked first, and hands over to the installer.
# Needs sh, coreutils, tar and gzip. Its own digest stands in ferry.json, which the bundle's signature covers:
# check both before you run it, as the README shows.
set -eu
umask 022

usage() {
  cat >&2 <<EOF
usage: sh install.sh BUNDLE.tar --trust FILE [--dry-run] [--yes] [--set SERVICE.NAME=VALUE] ...
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
dry=''
for word in "$@"; do
  case $word in --dry-run) dry=1 ;; esac
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
  # Another install.sh may be at work with the same toolchain.
  if flock -xn 9 2>/dev/null; then
    [ -z "$made" ] || [ -e /var/lib/ferry ] || rm -rf "$made"
    rmdir "$prefix/toolchains" "$prefix" 2>/dev/null || :
  fi
}
trap clean EXIT
trap 'exit 130' HUP INT TERM

# The host's own OpenSSL, where it knows the key's scheme, judges before anything of the bundle is unpacked or run.
# Ferry's own check comes later in any case, and it alone reads root documents and certificates.
tar --occurrence=1 -xf "$bundle" -C "$work" ferry.json ferry.json.sig ferry.json.dsse 2>/dev/null ||
  fail 6 "expected a bundle, \"$bundle\" does not begin as one"

# Says whether a key (1) made a signature (2) over a file (3): 0 yes, 1 no, 2 when OpenSSL cannot tell.
made() {
  case $(cat "$1") in
    *MFkwEwYHKoZIzj0CAQYIKoEcz1UBgi0D*) # SM2
      said=$(openssl dgst -sm3 -verify "$1" -sigopt distid:1234567812345678 -signature "$2" "$3" 2>&1) || : ;;
    *MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcD*) # ECDSA P-256
      said=$(openssl dgst -sha256 -verify "$1" -signature "$2" "$3" 2>&1) || : ;;
    *MCowBQYDK2VwAyEA*) # Ed25519
      said=$(openssl pkeyutl -verify -pubin -inkey "$1" -rawin -in "$3" -sigfile "$2" 2>&1) || : ;;
    *) return 2 ;;
  esac
  case $said in
    *"Verified OK"* | *"Verified Successfully"*) return 0 ;;
    *"Verification "[Ff]ailure* | *"Error verifying data"*) return 1 ;;
  esac
  return 2
}
# Says the same of the envelope, which those sign who did not make the detached signature.
made_envelope() {
  keyid=$(sed '/-----/d' "$1" | base64 -d | sha256sum | cut -c 1-64)
  sed -n 's/.*"keyid":"'"$keyid"'","sig":"\([^"]*\)".*/\1/p' "$work/ferry.json.dsse" | base64 -d >"$work/sig" || return 1
  sed -n 's/^{"payload":"\([^"]*\)".*/\1/p' "$work/ferry.json.dsse" | base64 -d >"$work/payload" || return 1
  printf 'DSSEv1 28 application/vnd.in-toto+json %d ' "$(wc -c <"$work/payload")" | cat - "$work/payload" >"$work/signed"
  digest=$(sha256sum <"$work/ferry.json" | cut -c 1-64)
  grep -q '"subject":\[{"digest":{"sha256":"'"$digest"'",' "$work/payload" && made "$1" "$work/sig" "$work/signed"
}
vouched='' refused='' before=''
command -v openssl >/dev/null && for word in "$@" ''; do
  case $before in --trust) trust=$word ;; *) trust='' ;; esac
  case $word in --trust=*) trust=${word#--trust=} ;; esac
  before=$word
  [ -f "$trust" ] || continue
  answer=0
  made "$trust" "$work/ferry.json.sig" "$work/ferry.json" || answer=$?
  case $answer in
    0) vouched=1 ;;
    1) if made_envelope "$trust"; then vouched=1; else refused=$trust; fi ;;
    *) vouched=1 ;;
  esac
done
[ -n "$vouched" ] || [ -z "$refused" ] ||
  fail 7 "expected a signature of ferry.json by $refused, OpenSSL finds none that verifies"
# Which parts are unpacked is written in this script, so it must be the one of this very bundle.
if [ -f "$0" ] && ! grep -q "\"$(sha256sum <"$0" | cut -c 1-64)\"" "$work/ferry.json"; then
  fail 6 "expected the install.sh that ferry.json names, this is another: take it from \"$bundle\""
fi

# The toolchain's name follows from its content: what is there already was checked when it came.
name=$(printf '%s %s\n%s\n' "$python" "$runtime" "$wheels" | sha256sum | cut -c 1-16)
tools=$prefix/toolchains/$name
# Whoever uses the toolchains holds this lock together with others, and removes one only where it has it alone: what is
# left half made then is of a run that was cut off. A host without flock keeps them.
mkdir -p "$prefix/toolchains"
exec 9<"$prefix/toolchains"
! flock -xn 9 2>/dev/null || rm -rf "$prefix"/toolchains/new.*
flock -s 9 2>/dev/null || :
mkdir -p "$prefix/toolchains"
if [ ! -e "$tools/complete" ]; then
  [ -z "$dry" ] || tools=$work/toolchain
  mkdir -p "${tools%/*}"
  new=$(mktemp -d "${tools%/*}/new.XXXXXX")
  chmod 755 "$new"

  # Copies one blob out of the bundle, or out of any of its volumes beside this one, or what a differential leaves out
  # from the store of this host, and accepts the copy only with its digest.
  take() {
    for from in "$bundle" "${bundle%.vol*}".vol*of*.tar; do
      tar --occurrence=1 -xOf "$from" "blobs/sha256/$1" >"$2" 2>/dev/null && break
    done ||
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
