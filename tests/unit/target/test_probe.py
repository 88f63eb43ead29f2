"""The probe: what it says of hosts made of files and fake programs, in every shell that is here."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bundler.model.target import Accelerator, Driver
from bundler.target.probe import probe_script
from bundler.target.short import format_short, parse_short

WHOLE = """\
# What this host is, by the probe of Ferry. Read it before you carry it out; an editor may shorten it.
format: ferry/target/v1
os:
  id: "openEuler"
  version: "22.03"
  name: "openEuler 22.03 (LTS-SP3)"
  codename: "LTS-SP3"
machine: "aarch64"
kernel: "5.10.0-182.0.0.95.oe2203sp3.aarch64"
glibc: "2.34"
init:
  name: "systemd"
  version: "249"
runtimes:
  - {name: "docker", version: "18.09.0"}
  - {name: "isula", version: "2.1.4"}
file_systems:
  - path: "/"
    free_bytes: 66110767104
    free_inodes: 4528013
  - path: "/var/lib"
    free_bytes: 66110767104
    free_inodes: 4528013
  - path: "/opt"
    free_bytes: 921600000000
    free_inodes: 4528013
memory_bytes: 67108864000
cpus: 4
cpu_flags:
  - "asimd"
  - "asimddp"
  - "asimdhp"
  - "atomics"
package_manager: "dnf"
accelerators:
  - {vendor: "19e5", device: "d802", count: 8}
device_nodes:
  - "/dev/davinci0"
  - "/dev/davinci1"
  - "/dev/davinci2"
  - "/dev/davinci3"
  - "/dev/davinci4"
  - "/dev/davinci5"
  - "/dev/davinci6"
  - "/dev/davinci7"
  - "/dev/davinci_manager"
drivers:
  - {vendor: "19e5", version: "24.1.rc2.1"}
security:
  secure_boot: "on"
  selinux: "enforcing"
  apparmor: "disabled"
python: "3.9.9"
packages:
  - "bash 5.1.8-8.oe2203sp3 aarch64"
  - "dbus 1:1.12.20-9 aarch64"
  - "zlib 1.2.11-24.oe2203sp3 aarch64"
"""
SHORT = (
    "F1 openEuler 22.03 LTS-SP3 aarch64 5.10.0-182.0.0.95.oe2203sp3.aarch64 2.34 systemd:249 dnf "
    "docker:18.09.0,isula:2.1.4 19e5:d802x8@24.1.rc2.1 66/66/921 "
)
NOTHING = """\
# What this host is, by the probe of Ferry. Read it before you carry it out; an editor may shorten it.
format: ferry/target/v1
os:
  id: null  # os-release has no ID
  version: null  # os-release has no VERSION_ID
  name: null  # os-release has no PRETTY_NAME
  codename: null  # os-release has none
machine: null  # uname does not tell
kernel: null  # uname does not tell
glibc: null  # neither getconf nor ldd tells one
init:
  name: null  # /proc/1/comm cannot be read
  version: null  # systemctl does not tell
runtimes: []
file_systems:
  - path: "/"
    free_bytes: null  # df does not tell
    free_inodes: null  # df does not tell, or the file system counts none
  - path: "/var/lib"
    free_bytes: null  # df does not tell
    free_inodes: null  # df does not tell, or the file system counts none
  - path: "/opt"
    free_bytes: null  # df does not tell
    free_inodes: null  # df does not tell, or the file system counts none
memory_bytes: null  # /proc/meminfo cannot be read
cpus: null  # /proc/cpuinfo cannot be read
cpu_flags: []
package_manager: "none"
accelerators: null  # there is no /sys/bus/pci/devices
device_nodes: []
drivers: []
security:
  secure_boot: "none"
  selinux: "disabled"
  apparmor: "disabled"
python: "none"
packages: null  # there is no dpkg or rpm
"""


def test_a_host_is_told_whole(host: Any, shell: str) -> None:
    assert host.probe(shell=shell) == WHOLE
    target = host.read(shell)
    assert (target.name, str(target.platform), target.package_format) == ("target", "linux/arm64", "rpm")
    assert target.driver_version("19e5") == "24.1.rc2.1"


def test_the_short_form_is_that_of_the_whole(host: Any, shell: str) -> None:
    line = host.probe("--short", shell=shell)
    assert line.startswith(SHORT)
    assert format_short(host.read()) == line.rstrip("\n")
    assert format_short(parse_short(line)) == line.rstrip("\n")


def test_a_host_of_which_nothing_is_known_is_null_with_reasons(bare: Any, shell: str) -> None:
    bare.program("df", "exit 1")
    assert bare.probe(shell=shell) == NOTHING
    assert bare.read().machine is None
    assert bare.probe("--short", shell=shell).startswith("F1 - - - - - - -:- none none - -/-/- ")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b'PRETTY_NAME="a\\"b\\\\c"', 'a"b\\c'),
        (b'PRETTY_NAME="x"\nmachine: "evil"', "x"),
        (b'PRETTY_NAME="x"\rmachine: evil', '"x"machine: evil'),
        (b"PRETTY_NAME='a: b # c'", "a: b # c"),
        (b"PRETTY_NAME=$(touch PWNED)`touch PWNED`", "$(touch PWNED)`touch PWNED`"),
        (b'PRETTY_NAME="x"; touch PWNED', '"x"; touch PWNED'),
        (b"PRETTY_NAME=!!python/object:os.system", "!!python/object:os.system"),
        (b"PRETTY_NAME=&a *a", "&a *a"),
        (b'PRETTY_NAME="unbalanced', '"unbalanced'),
        (b"PRETTY_NAME=\\", "\\"),
        (b'PRETTY_NAME="tab\there\x1b[31m\x07"', "tab here[31m"),
        (b"PRETTY_NAME=\xff\xfe\xc2\x85x", "????x"),
        (b'PRETTY_NAME="\xe9\x93\xb6\xe6\xb2\xb3 V10"', "?????? V10"),
        (b"PRETTY_NAME=%s%n%d", "%s%n%d"),
        (b"PRETTY_NAME=" + b"y" * 5000, "y" * 188),
        (b'PRETTY_NAME=""', None),
    ],
)
def test_no_value_of_os_release_leaves_its_quotes(host: Any, line: bytes, value: str | None) -> None:
    host.file("etc/os-release", b"ID=debian\n" + line + b"\nVERSION_ID=12\n")
    target = host.read()
    assert (target.os.id, target.os.version, target.machine) == ("debian", "12", "aarch64")
    assert target.os.name == value or (value is not None and value[:9] == "y" * 9 and set(target.os.name) == {"y"})
    assert not list(Path.cwd().glob("PWNED"))


def test_no_shell_reads_os_release_as_code(host: Any, shell: str) -> None:
    host.file(
        "etc/os-release",
        b'ID="$(touch PWNED)"\nVERSION_ID="a\\"b\\\\nc%s"\nVERSION_CODENAME=\\\\1\\0&\nPRETTY_NAME=\'\xff"}: [x\'\n',
    )
    system = host.read(shell).os
    assert (system.id, system.version) == ("$(touch PWNED)", 'a"b\\nc%s')
    assert (system.codename, system.name) == ("\\1\\0&", '?"}: [x')


def test_the_programs_of_a_host_cannot_break_out_either(host: Any, shell: str) -> None:
    evil = 'glibc 2.31"\nevil: 1\n'
    host.says("getconf", evil)
    host.says("docker", 'Docker version 1.0"},evil: {"x, build\n')
    host.program("uname", """printf 'x86_64"\\nevil: yes\\n'""")
    host.says("rpm", 'a"b\\ 1.0 x86_64\nplain 2.0 noarch\n')
    host.says("python3", 'Python 3.11"evil: 1\n')
    text = host.probe(shell=shell)
    assert not [line for line in text.splitlines() if line.startswith("evil")]
    assert '  - {name: "docker", version: "1.0\\"}"}' in text
    assert '  - "a\\"b\\\\ 1.0 x86_64"' in text


@pytest.mark.parametrize(
    ("tool", "sample", "vendor", "version"),
    [
        ("npu-smi", "npu-smi_info_310p3_23.0.0.txt", "19e5", "23.0.0"),
        ("npu-smi", "npu-smi_info_910b2c_25.0.rc1.2_busy.txt", "19e5", "25.0.rc1.2"),
        ("npu-smi", "npu-smi_info_910b3_23.0.7.txt", "19e5", "23.0.7"),
        ("cnmon", "cnmon_mlu370x8_5.10.13_sriov.txt", "cabc", "5.10.13"),
        ("cnmon", "cnmon_mlu370x8_5.10.22.txt", "cabc", "5.10.22"),
        ("ixsmi", "ixsmi_biv150_4.1.0.txt", "1e3e", "4.1.0"),
        ("ixsmi", "ixsmi_mrv100duo_4.4.0.txt", "1e3e", "4.4.0"),
    ],
)
def test_the_banners_of_the_vendors_tools(
    bare: Any, shared: Callable[[str], Path], tool: str, sample: str, vendor: str, version: str
) -> None:
    bare.says(tool, shared(f"accelerators/{sample}").read_text())
    assert bare.read().drivers == (Driver(vendor=vendor, version=version),)


@pytest.mark.parametrize(
    ("tool", "output", "vendor", "version"),
    [
        ("nvidia-smi", "535.104.05\n535.104.05\n", "10de", "535.104.05"),
        ("npu-smi", "+---+\n| npu-smi 25.2.0       Version: 25.2.0           |\n+---+\n", "19e5", "25.2.0"),
        ("cnmon", "| CNMON v6.2.10                  Driver v6.2.10 |\n", "cabc", "6.2.10"),
        ("ixsmi", "|  IX-ML: 4.3.8   Driver Version: 4.3.8   CUDA Version: 10.2 |\n", "1e3e", "4.3.8"),
    ],
)
def test_every_vendor_has_a_driver_that_is_found(
    bare: Any, shell: str, tool: str, output: str, vendor: str, version: str
) -> None:
    bare.says(tool, output)
    assert bare.read(shell).drivers == (Driver(vendor=vendor, version=version),)


@pytest.mark.parametrize(
    "banner",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  535.104.05  Release Build  (archlinux-builder@)\n",
    ],
)
def test_a_tool_that_fails_gives_way_to_what_the_kernel_says(bare: Any, banner: str) -> None:
    bare.program("nvidia-smi", "echo 'NVIDIA-SMI has failed because it could not communicate with 1 driver.'; exit 9")
    bare.file("proc/driver/nvidia/version", banner + "GCC version:  gcc version 12.3.0\n")
    assert bare.read().drivers == (Driver(vendor="10de", version="535.104.05"),)


def test_a_tool_that_hangs_is_cut_off(bare: Any) -> None:
    bare.program("timeout", 'case $2 in nvidia-smi) [ "$1" = 20 ] && exit 124 ;; esac; shift; exec "$@"')
    bare.program("nvidia-smi", "sleep 3600")
    assert bare.read().drivers == ()


def test_only_cards_that_compute_are_accelerators(bare: Any) -> None:
    for slot, (vendor, device, kind) in enumerate(
        [
            ("19e5", "1711", "030000"),  # the board's own VGA
            ("19e5", "a250", "120000"),  # Kunpeng's ZIP engine
            ("19e5", "a222", "020000"),
            ("19e5", "d500", "120000"),
            ("10de", "20b2", "030200"),
            ("10de", "1af1", "068000"),  # an NVSwitch
            ("10de", "20b2", "030200"),
            ("10de", "2204", "030000"),
            ("10de", "1aef", "040300"),  # its sound
            ("cabc", "0370", "120000"),
            ("1e3e", "0002", "120000"),
            ("8086", "56c0", "038000"),
        ]
    ):
        bare.card(f"{slot:02x}:00.0", vendor, device, kind)
    bare.file("sys/bus/pci/devices/0000:ff:00.0/vendor", "0x10de\n")
    found = [("10de", "20b2", 2), ("10de", "2204", 1), ("19e5", "d500", 1), ("1e3e", "0002", 1), ("cabc", "0370", 1)]
    assert bare.read().accelerators == tuple(Accelerator(vendor=v, device=d, count=c) for v, d, c in found)
    assert bare.probe("--short").split()[10] == "-", "more than two kinds are not for the short form"


def test_a_host_of_dpkg_has_only_what_is_installed(bare: Any, shell: str) -> None:
    bare.program(
        "dpkg-query",
        "case $2 in dpkg) exit 0 ;; esac\n"
        "printf 'installed zlib1g 1:1.2.13 amd64\\nconfig-files gone 1 all\\ninstalled adduser 3.134 all\\n'",
    )
    bare.program("apt-get", "exit 1")
    target = bare.read(shell)
    assert target.package_manager == "apt"
    assert [str(package) for package in target.packages or ()] == ["adduser 3.134 all", "zlib1g 1:1.2.13 amd64"]


def test_the_database_of_a_real_rpm_is_read(bare: Any, tmp_path: Path) -> None:
    """Packages with and without an epoch, made by rpmbuild and noted in a database of their own."""
    rpm, rpmbuild = shutil.which("rpm"), shutil.which("rpmbuild")
    if rpm is None or rpmbuild is None:
        pytest.skip("rpm and rpmbuild are not installed")
    for name, epoch in (("rpm", "Epoch: 3\n"), ("sample", "")):
        spec = f"Name: {name}\n{epoch}Version: 1.2\nRelease: 4.oe\nSummary: s\nLicense: x\nBuildArch: noarch\n"
        (tmp_path / f"{name}.spec").write_text(f"{spec}%description\nd\n%files\n")
        build = [rpmbuild, "-bb", "--define", f"_topdir {tmp_path}/top", tmp_path / f"{name}.spec"]
        subprocess.run(build, capture_output=True, check=True, timeout=60)
    own = [rpm, "--dbpath", f"{tmp_path}/db"]
    made = [str(path) for path in (tmp_path / "top").rglob("*.rpm")]
    subprocess.run([*own, "-i", "--nodeps", "--justdb", *made], capture_output=True, check=True, timeout=60)
    bare.program("rpm", f'exec {" ".join(own)} "$@"')
    assert [str(package) for package in bare.read().packages or ()] == [
        "rpm 3:1.2-4.oe noarch",
        "sample 1.2-4.oe noarch",
    ]


def test_a_damaged_package_database_is_unknown_and_not_empty(bare: Any) -> None:
    bare.program("rpm", "case $1 in -q) exit 0 ;; esac; exit 1")
    assert bare.read().packages is None
    assert "packages: null  # their database cannot be read\n" in bare.probe()


@pytest.mark.parametrize(("byte", "state"), [(b"\0", "off"), (b"\1", "on")])
def test_secure_boot(bare: Any, byte: bytes, state: str) -> None:
    bare.file("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", b"\6\0\0\0" + byte)
    assert bare.read().security.secure_boot == state


def test_what_the_short_form_has_no_room_for_is_left_out(host: Any, shell: str) -> None:
    host.file("etc/os-release", f"ID={'i' * 99}\nVERSION_ID={'v' * 99}\nVERSION_CODENAME={'c' * 99}\n")
    host.program("uname", f"echo {'9' * 99}")
    host.card("0a:00.0", "10de", "20b2", "030200")
    host.says("nvidia-smi", "535.104.05.06.07.08\n")
    host.says("containerd", "containerd github.com/containerd/containerd/v2 2.1.3 0123abcd\n")
    line = host.probe("--short", shell=shell).rstrip("\n")
    assert len(line) < 200
    assert line.split()[9] == "-"
    assert format_short(parse_short(line)) == line


def test_the_longest_short_form_is_below_its_limit(host: Any) -> None:
    host.file("etc/os-release", f"ID={'i' * 99}\nVERSION_ID={'v' * 99}\nVERSION_CODENAME={'c' * 99}\n")
    host.program("uname", f"echo {'9' * 99}")
    host.says("getconf", "glibc 2.123456789\n")
    host.says("systemctl", "systemd 1234567890\n")
    host.program("df", "echo; echo '/ 1 1 999999999999999 1% /'")
    for slot in range(256):
        host.card(f"1{slot:02x}:00.0", "10de" if slot % 2 else "19e5", "d802", "120000")
    host.says("nvidia-smi", "535.104.05.06.07.08\n")
    line = host.probe("--short").rstrip("\n")
    assert len(line) < 200
    assert format_short(parse_short(line)) == line


def test_wrong_usage_is_told(bare: Any) -> None:
    done = subprocess.run(["sh", bare.script, "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "usage: sh probe.sh > target.yaml | sh probe.sh --short\n"


def test_the_script_is_small_plain_and_clean(tmp_path: Path) -> None:
    text = probe_script().decode("ascii")
    assert len(text.splitlines()) < 200
    assert not re.search(r"\b(awk|perl|curl|wget|hostname|function)\b", re.sub("(?m)^ *#.*$", "", text))
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    path = tmp_path / "probe.sh"
    path.write_text(text)
    done = subprocess.run(["shellcheck", path], capture_output=True, text=True, check=False)
    assert done.stdout == ""
