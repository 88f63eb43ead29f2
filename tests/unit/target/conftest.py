"""Hosts made of files and fake programs, and the probe run on them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from bundler.load import read_target
from bundler.model.target import Target
from bundler.target.probe import probe_script

SHELLS = {"dash": ["dash"], "bash": ["bash", "--posix"], "busybox": ["busybox", "sh"]}
# What the probe may count on, besides what is fake.
TOOLS = ["cat", "cksum", "cut", "env", "grep", "head", "od", "sed", "sort", "tail", "timeout", "tr", "uniq", "wc"]


class FakeHost:
    """A root with files, and a PATH on which only the probe's tools and fake programs are."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.bin = directory / "bin"
        self.script = directory / "probe.sh"
        self.target = directory / "target.yaml"
        self.root.mkdir()
        self.bin.mkdir()
        self.script.write_bytes(probe_script())
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found, tool
            (self.bin / tool).symlink_to(found)

    def file(self, path: str, content: str | bytes) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())

    def program(self, name: str, body: str) -> None:
        path = self.bin / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)

    def says(self, name: str, output: str) -> None:
        """Make a program that prints a text, whatever it is asked."""
        (self.bin / f"{name}.txt").write_text(output)
        self.program(name, f"cat '{self.bin / name}.txt'")

    def card(self, slot: str, vendor: str, device: str, kind: str) -> None:
        for name, value in (("vendor", vendor), ("device", device), ("class", kind)):
            self.file(f"sys/bus/pci/devices/0000:{slot}/{name}", f"0x{value}\n")

    def probe(self, *words: str, shell: str = "dash") -> str:
        argv = SHELLS[shell]
        program = shutil.which(argv[0])
        if program is None:
            pytest.skip(f"this host has no {argv[0]}")
        done = subprocess.run(
            [program, *argv[1:], str(self.script), *words],
            env={"PATH": str(self.bin), "FERRY_PROBE_ROOT": str(self.root), "LANG": "zh_CN.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode("ascii")

    def read(self, shell: str = "dash") -> Target:
        """Probe the host and read what came."""
        self.target.write_text(self.probe(shell=shell))
        return read_target(self.target)


@pytest.fixture
def bare(tmp_path: Path) -> FakeHost:
    """A host of which nothing can be known."""
    host = FakeHost(tmp_path)
    host.program("uname", "exit 1")
    return host


@pytest.fixture
def host(bare: FakeHost) -> FakeHost:
    """An openEuler with eight Ascend cards."""
    bare.file(
        "etc/os-release",
        'NAME="openEuler"\nVERSION="22.03 (LTS-SP3)"\nID="openEuler"\nVERSION_ID="22.03"\n'
        'PRETTY_NAME="openEuler 22.03 (LTS-SP3)"\nANSI_COLOR="0;31"\n',
    )
    bare.program("uname", "case $1 in -m) echo aarch64 ;; -r) echo 5.10.0-182.0.0.95.oe2203sp3.aarch64 ;; esac")
    bare.says("getconf", "glibc 2.34\n")
    bare.file("run/systemd/system/.keep", "")
    bare.says("systemctl", "systemd 249 (v249-67.oe2203sp3)\n+PAM +AUDIT +SELINUX\n")
    bare.says("docker", "Docker version 18.09.0, build 172f8da\n")
    bare.says("isula", "Version 2.1.4, commit e0b2b2a\n")
    bare.program(
        "df",
        'echo Filesystem; case $1:$2 in\n*k:*/opt) echo "/dev/sda 2 3 900000000 40% /opt" ;;\n'
        '*k:*) echo "/dev/mapper/openeuler-root  72117576 3847064 64561296 6% /" ;;\n'
        '*) echo "/dev/mapper/openeuler-root 4612096 83 4528013 2% /" ;;\nesac',
    )
    bare.file("opt/.keep", "")
    bare.file("proc/meminfo", "MemTotal:       65536000 kB\nMemFree: 1 kB\n")
    core = "processor\t: {}\nBogoMIPS\t: 200.00\nFeatures\t: fp asimd evtstrm atomics fphp asimdhp asimddp\n\n"
    bare.file("proc/cpuinfo", "".join(core.format(number) for number in range(4)))
    bare.says("rpm", "zlib 1.2.11-24.oe2203sp3 aarch64\nbash 5.1.8-8.oe2203sp3 aarch64\ndbus 1:1.12.20-9 aarch64\n")
    bare.program("dnf", "exit 9")
    for slot in range(8):
        bare.card(f"{slot:02x}:00.0", "19e5", "d802", "120000")
        bare.file(f"dev/davinci{slot}", "")
    bare.file("dev/davinci_manager", "")
    bare.file("usr/local/Ascend/driver/version.info", "Version=24.1.rc2.1\nascendhal_version=7.35.19\n")
    bare.file("sys/fs/selinux/enforce", "1")
    bare.file("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", b"\6\0\0\0\1")
    bare.says("python3", "Python 3.9.9\n")
    return bare


@pytest.fixture
def make_file(tmp_path: Path) -> Callable[[str], Path]:
    def make(text: str) -> Path:
        path = tmp_path / "made.yaml"
        path.write_text(text)
        return path

    return make


@pytest.fixture(params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)
