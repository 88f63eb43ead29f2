#!/bin/sh
# Describes this host for `ferry lock --target`. Run it here and carry out what it prints:
#   sh probe.sh > target.yaml     the whole description, with the installed packages
#   sh probe.sh --short           one line of less than 200 characters, to type or to photograph
# It needs sh and coreutils, changes nothing and opens no connection; as root it may see more. Its output names no
# host, address, user or serial number. FERRY_PROBE_ROOT is where tests put files of a host of their own.
set -u
LC_ALL=C
export LC_ALL
root=${FERRY_PROBE_ROOT:-}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
PATH=$PATH:$root/usr/local/corex/bin:$root/usr/local/neuware/bin:$root/usr/local/Ascend/driver/tools

# Lines of printable ASCII; control characters go, what is beyond becomes "?".
plain() { tr '\t' ' ' | tr -d '\000-\011\013-\037\177' | tr '\200-\377' '?' | cut -c 1-200 | sed 's/^ *//;s/ *$//'; }
# What the first line that fits holds between \( and \).
first() { sed -n "s/$1/\\1/p" 2>/dev/null | head -n 1 | plain; }
# A file of this host; nothing when it is not there or not for this user.
content() { [ -f "$root$1" ] && [ -r "$root$1" ] && cat "$root$1" 2>/dev/null; }
# A program of this host: without input and complaints, and not for ever (the tool of a broken card may hang).
call() {
  command -v "$1" >/dev/null 2>&1 || return 1
  if command -v timeout >/dev/null 2>&1; then timeout 20 "$@"; else "$@"; fi 2>/dev/null </dev/null
}
# A value of os-release, which is text here and never code.
os() {
  { content /etc/os-release || content /usr/lib/os-release; } | first "^$1=\\(.*\\)\$" |
    sed "s/^\"\\(.*\\)\"\$/\\1/;s/^'\\(.*\\)'\$/\\1/;s/\\\\\\([\"\$\`\\\\]\\)/\\1/g"
}

# YAML. In its double quotes only \ and " mean anything; a value is one line, whatever a program printed.
text() {
  if [ -n "$2" ]; then printf '%s: "%s"\n' "$1" "$(printf '%s\n' "$2" | plain | sed 's/[\\"]/\\&/g;q')"; else null "$1" "$3"; fi
}
number() { case $2 in '' | 0?* | *[!0-9]*) null "$1" "$3" ;; *) printf '%s: %s\n' "$1" "$2" ;; esac }
null() { printf '%s: null  # %s\n' "$1" "$2"; }
# A list of the lines that come in, each as the sed program makes it of its words.
list() {
  found=$(plain | sed '/^$/d;s/[\\"]/\\&/g' | sed "$2")
  if [ -n "$found" ]; then printf '%s:\n%s\n' "$1" "$found"; else printf '%s: []\n' "$1"; fi
}

version_of() { call "$1" --version | first '.*[ v]\([0-9][0-9]*\.[^ ,]*\).*'; }
glibc() { { call getconf GNU_LIBC_VERSION || call ldd --version; } | first '^[gl][^ ]* .*\([0-9]\.[0-9][0-9.]*\)$'; }
init() { if [ -d "$root/run/systemd/system" ]; then echo systemd; else content /proc/1/comm | first '\(.*\)'; fi; }
init_version() { [ "$(init)" != systemd ] || call systemctl --version | first '^systemd \([0-9][0-9]*\).*'; }
# Where there is no codename, openEuler and Kylin have the service pack in brackets: 22.03 (LTS-SP3), V10 (Lance).
codename() { { os VERSION_CODENAME && os VERSION | first '.*(\(.*\)).*'; } | sed '/^$/d' | head -n 1; }
python() { if command -v python3 >/dev/null 2>&1; then version_of python3; else echo none; fi; }
runtimes() {
  for name in containerd docker isula podman; do
    if command -v "$name" >/dev/null 2>&1; then echo "$name $(version_of "$name")"; fi
  done
}

manager() {
  names=none
  if call rpm -q rpm >/dev/null; then names='dnf yum zypper rpm'; fi
  if call dpkg-query -W dpkg >/dev/null; then names='apt-get dpkg'; fi
  for name in $names; do command -v "$name" >/dev/null 2>&1 && break; done
  echo "${name%-get}"
}
# shellcheck disable=SC2016 # the ${...} are dpkg-query's
packages() {
  case $manager in
    apt | dpkg) dpkg-query -W -f='${db:Status-Status} ${Package} ${Version} ${Architecture}\n' | sed -n 's/^installed //p' ;;
    *) rpm -qa --qf '%{NAME} %|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE} %{ARCH}\n' | sed '/^gpg-pubkey /d' ;;
  esac 2>/dev/null </dev/null | sort -u
}

# Bytes or inodes free where a directory is, or will be: the number before the percentage.
free() {
  place=$root$2
  while [ -n "$place" ] && [ ! -e "$place" ]; do place=${place%/*}; done
  call df "$1" "${place:-/}" | first '.* \([0-9][0-9]*\)  *[0-9][0-9]*% .*'
}
free_bytes() { kib=$(free -Pk "$1") && echo "${kib:+$((kib * 1024))}"; }
memory() { kib=$(content /proc/meminfo | first '^MemTotal: *\([0-9]*\) kB') && echo "${kib:+$((kib * 1024))}"; }
flags() {
  content /proc/cpuinfo | sed -n 's/^[fF][le]a[gt][^:]*: *//p' | head -n 1 | tr ' ' '\n' | sort -u |
    grep -xE 'ssse3|sse4_2|f16c|fma|avx|avx2|avx512f|avx512_vnni|avx512_bf16|amx_tile|asimd|asimdhp|asimddp|atomics|sve|sve2|bf16|i8mm|sm3|sm4'
}

# Cards by PCI: "vendor device". Huawei's network, storage and crypto engines on Kunpeng boards are none.
cards() {
  for device in "$root"/sys/bus/pci/devices/*; do
    { read -r vendor <"$device/vendor" && read -r id <"$device/device" && read -r class <"$device/class"; } 2>/dev/null ||
      continue
    case ${vendor#0x}:${id#0x}:${class#0x} in
      10de:????:03* | 10de:????:12* | 19e5:d???:12* | cabc:????:* | 1e3e:????:*) echo "${vendor#0x} ${id#0x}" ;;
    esac
  done | sort | uniq -c
}
nodes() {
  for path in "$root"/dev/nvidia* "$root"/dev/davinci* "$root"/dev/devmm_svm "$root"/dev/hisi_hdc \
    "$root"/dev/cambricon* "$root"/dev/iluvatar*; do
    if [ -e "$path" ]; then echo "${path#"$root"}"; fi
  done | sort
}
driver() {
  case $1 in
    10de) call nvidia-smi --query-gpu=driver_version --format=csv,noheader | first '^\([0-9][0-9.]*\)$'
      content /proc/driver/nvidia/version | first '^NVRM version:[^.]* \([0-9][0-9]*\.[0-9.]*\) .*' ;;
    19e5) content /usr/local/Ascend/driver/version.info | first '^[Vv]ersion=\([^ ]*\)$'
      call npu-smi info | first '.*Version: *\([^ |]*\).*' ;;
    cabc) call cnmon | first '.*Driver v*\([0-9][^ |]*\).*' ;;
    1e3e) call env LD_LIBRARY_PATH="$root/usr/local/corex/lib64" ixsmi | first '.*Driver Version: *\([^ |]*\).*' ;;
  esac | head -n 1
}
drivers() {
  for vendor in 10de 19e5 1e3e cabc; do
    driver "$vendor" | sed "s/^/$vendor /"
  done
}

secure_boot() {
  [ -d "$root/sys/firmware/efi" ] || echo none
  for variable in "$root"/sys/firmware/efi/efivars/SecureBoot-*; do
    case $(od -An -tu1 -j4 -N1 "$variable" 2>/dev/null | tr -d ' ') in 0) echo off ;; 1) echo on ;; esac
  done
}
selinux() { case $(content /sys/fs/selinux/enforce) in 1) echo enforcing ;; 0) echo permissive ;; *) echo disabled ;; esac }
apparmor() { case $(content /sys/module/apparmor/parameters/enabled) in Y*) echo enabled ;; *) echo disabled ;; esac }

manager=$(manager)
cards=$(cards)
drivers=$(drivers)

# The short form: words with "-" for what is not known, and the CRC of the line before it.
word() { cut=$(printf '%s' "$1" | tr -c 'A-Za-z0-9._+~-' _ | cut -c "1-$2") && printf '%s' "${cut:--}"; }
short_runtimes() {
  runtimes | while read -r name version; do printf ',%s:%s' "$name" "$(word "${version%%[!0-9.]*}" 8)"; done
}
short_cards() {
  if [ ! -d "$root/sys/bus/pci/devices" ] || [ "$(echo "$cards" | wc -l)" -gt 2 ]; then echo ,- && return; fi
  echo "$cards" | sed '/^$/d' | while read -r count vendor device; do
    printf ',%s:%sx%s@%s' "$vendor" "$device" "$count" "$(word "$(echo "$drivers" | first "^$vendor \\(.*\\)")" 10)"
  done
}
gigabytes() { bytes=$(free_bytes "$1") && word "${bytes:+$((bytes / 1000000000))}" 6; }
short() {
  line="F1 $(word "$(os ID)" 12) $(word "$(os VERSION_ID)" 10) $(word "$(codename)" 10) $(word "$(uname -m)" 8)"
  line="$line $(word "$(uname -r)" 36) $(word "$(glibc)" 6) $(word "$(init)" 12):$(word "$(init_version)" 6)"
  line="$line $(word "$manager" 6)"
  engines=$(short_runtimes) && engines=${engines#,}
  tail=$(short_cards) && tail=${tail#,}
  tail="${tail:-none} $(gigabytes /)/$(gigabytes /var/lib)/$(gigabytes /opt)"
  if [ "$((${#line} + ${#engines} + ${#tail}))" -gt 188 ]; then engines=-; fi
  line="$line ${engines:-none} $tail"
  printf '%s %08x\n' "$line" "$(printf '%s' "$line" | cksum | cut -d ' ' -f 1)"
}

whole() {
  echo '# What this host is, by the probe of Ferry. Read it before you carry it out; an editor may shorten it.'
  echo 'format: ferry/target/v1'
  echo 'os:'
  for pair in id:ID version:VERSION_ID name:PRETTY_NAME; do
    text "  ${pair%:*}" "$(os "${pair#*:}")" "os-release has no ${pair#*:}"
  done
  text '  codename' "$(codename)" 'os-release has none'
  text machine "$(uname -m)" 'uname does not tell'
  text kernel "$(uname -r)" 'uname does not tell'
  text glibc "$(glibc)" 'neither getconf nor ldd tells one'
  echo 'init:'
  text '  name' "$(init)" '/proc/1/comm cannot be read'
  text '  version' "$(init_version)" 'systemctl does not tell'
  runtimes | list runtimes 's/^\([^ ]*\) *\(.*\)$/  - {name: "\1", version: "\2"}/;s/version: ""/version: null/'
  echo 'file_systems:'
  for path in / /var/lib /opt; do
    printf '  - path: "%s"\n' "$path"
    number '    free_bytes' "$(free_bytes "$path")" 'df does not tell'
    number '    free_inodes' "$(free -Pi "$path")" 'df does not tell, or the file system counts none'
  done
  number memory_bytes "$(memory)" '/proc/meminfo cannot be read'
  number cpus "$(content /proc/cpuinfo | grep -c '^processor' | sed 's/^0$//')" '/proc/cpuinfo cannot be read'
  flags | list cpu_flags 's/.*/  - "&"/'
  text package_manager "$manager" 'unknown'
  if [ -d "$root/sys/bus/pci/devices" ]; then
    echo "$cards" | list accelerators 's/^ *\([0-9]*\) \([^ ]*\) \([^ ]*\)$/  - {vendor: "\2", device: "\3", count: \1}/'
  else
    null accelerators 'there is no /sys/bus/pci/devices'
  fi
  nodes | list device_nodes 's/.*/  - "&"/'
  echo "$drivers" | list drivers 's/^\([^ ]*\) \(.*\)$/  - {vendor: "\1", version: "\2"}/'
  echo 'security:'
  text '  secure_boot' "$(secure_boot)" 'the variable cannot be read'
  text '  selinux' "$(selinux)" ''
  text '  apparmor' "$(apparmor)" ''
  text python "$(python)" 'python3 does not tell its version'
  if [ "$manager" = none ]; then null packages 'there is no dpkg or rpm' && return; fi
  packages | list packages 's/.*/  - "&"/' | sed 's/^packages: \[\]$/packages: null  # their database cannot be read/'
}

case ${1-} in
  '') whole ;;
  --short) short ;;
  *) echo 'usage: sh probe.sh > target.yaml | sh probe.sh --short' >&2 && exit 2 ;;
esac
