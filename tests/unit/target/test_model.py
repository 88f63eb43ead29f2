"""Documents of targets: what is refused, with which words; stock targets."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from bundler.errors import RecipeError
from bundler.load import format_target, read_target
from bundler.model.target import TARGET_FORMAT, Package
from bundler.target.find import find_target
from bundler.target.stock import stock_names, stock_target

ASCII = "one line of printable ASCII"
NUMBER = "a version that starts with a number"


def document() -> dict[str, Any]:
    return {
        "format": TARGET_FORMAT,
        "os": {"id": "debian", "version": "12", "name": None, "codename": "bookworm"},
        "machine": "x86_64",
        "kernel": "6.1.0-18-amd64",
        "glibc": "2.36",
        "init": {"name": "systemd", "version": "252"},
        "runtimes": [{"name": "podman", "version": None}],
        "file_systems": [{"path": "/", "free_bytes": 7, "free_inodes": None}],
        "memory_bytes": 1,
        "cpus": 2,
        "cpu_flags": ["avx2"],
        "package_manager": "apt",
        "accelerators": [{"vendor": "10de", "device": "20b2", "count": 8}],
        "device_nodes": ["/dev/nvidia0"],
        "drivers": [{"vendor": "10de", "version": "535.104.05"}],
        "security": {"secure_boot": "none", "selinux": "disabled", "apparmor": "enabled"},
        "python": "none",
        "packages": ["bash 5.2.15-2+b7 amd64", "libc6 2.36-9 amd64", "libc6 2.36-9 i386"],
    }


def write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_a_document_is_read_and_written_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "gpu-01.yaml", document())
    target = read_target(path)
    assert (target.name, target.sha256) == ("gpu-01", hashlib.sha256(path.read_bytes()).hexdigest())
    assert (str(target.platform), target.package_format) == ("linux/amd64", "deb")
    assert target.packages is not None
    assert target.packages[2] == Package(name="libc6", version="2.36-9", architecture="i386")
    assert (target.free_bytes("/"), target.free_bytes("/opt")) == (7, None)
    again = tmp_path / "again.yaml"
    again.write_text(format_target(target))
    assert replace(read_target(again), name="gpu-01", sha256=target.sha256) == target
    assert yaml.safe_load(again.read_text()) == document()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "ferry/target/v2", 'format: expected "ferry/target/v1", got "ferry/target/v2"'),
        ("hostname", "db-01", "hostname: unknown field"),
        ("kernel", ..., "kernel: expected text, the field is missing"),
        ("kernel", "six", f'kernel: expected {NUMBER}, got "six"'),
        ("machine", "x86 64", 'machine: expected what uname -m says, got "x86 64"'),
        ("glibc", 2.36, 'glibc: expected text, got "2.36"'),
        ("glibc", "2.36-9", 'glibc: expected a version like "2.36", got "2.36-9"'),
        ("os", None, "os: expected a mapping, got nothing"),
        ("os", {"id": "a\nb"}, f'os.id: expected {ASCII}, got "a\\nb"'),
        ("init", {"name": "systemd", "version": "252", "pid": 1}, "init.pid: unknown field"),
        ("runtimes", [{"name": None}], "runtimes[0].name: expected text, got nothing"),
        ("file_systems", [{"path": "opt"}], 'file_systems[0].path: expected an absolute path, got "opt"'),
        (
            "file_systems",
            [{"path": "/", "free_bytes": -1}],
            "file_systems[0].free_bytes: expected at least 0, got -1",
        ),
        (
            "file_systems",
            [{"path": "/", "free_bytes": size, "free_inodes": 1} for size in (1, 2)],
            "file_systems: a path stands twice",
        ),
        ("memory_bytes", "16 GB", 'memory_bytes: expected a whole number, got "16 GB"'),
        ("cpus", 0, "cpus: expected at least 1, got 0"),
        ("cpu_flags", ["avx 2"], 'cpu_flags[0]: expected one word of printable ASCII, got "avx 2"'),
        (
            "package_manager",
            "snap",
            'package_manager: expected apt, dpkg, dnf, yum, zypper, rpm, none, got "snap"',
        ),
        (
            "accelerators",
            [{"vendor": "0x10de", "device": "20b2", "count": 1}],
            'accelerators[0].vendor: expected four lower-case hex digits of PCI, got "0x10de"',
        ),
        (
            "accelerators",
            [{"vendor": "10de", "device": "20b2", "count": 0}],
            "accelerators[0].count: expected at least 1, got 0",
        ),
        ("device_nodes", ["nvidia0"], 'device_nodes[0]: expected an absolute path, got "nvidia0"'),
        ("drivers", [{"vendor": "10de", "version": None}], "drivers[0].version: expected text, got nothing"),
        (
            "security",
            {"secure_boot": "yes", "selinux": None, "apparmor": None},
            'security.secure_boot: expected on, off or none, got "yes"',
        ),
        ("python", "three", f'python: expected none or {NUMBER}, got "three"'),
        ("packages", ["bash 5"], 'packages[0]: expected NAME VERSION ARCHITECTURE, got "bash 5"'),
        (
            "packages",
            [f"bash{chr(160)} 5 all"],
            'packages[0]: expected NAME VERSION ARCHITECTURE, got "bash\\xa0 5 all"',
        ),
        ("packages", "bash", 'packages: expected a list, got "bash"'),
    ],
)
def test_a_mistake_is_refused_by_its_place(tmp_path: Path, key: str, value: object, message: str) -> None:
    content = document()
    if value is ...:
        del content[key]
    else:
        content[key] = value
    with pytest.raises(RecipeError) as refused:
        read_target(write(tmp_path / "t.yaml", content))
    assert str(refused.value) == message


def test_what_is_no_document_is_refused(tmp_path: Path, make_file: Callable[[str], Path]) -> None:
    missing = tmp_path / "none.yaml"
    with pytest.raises(RecipeError) as refused:
        read_target(missing)
    assert str(refused.value) == f"{missing}: expected a target: No such file or directory"
    assert refused.value.hint == "make it on that host with what `ferry target probe` prints"
    path = make_file("format: &a ferry/target/v1\n")
    with pytest.raises(RecipeError) as refused:
        read_target(path)
    assert str(refused.value) == f"{path}:1: expected YAML: anchors, aliases and tags have no place here"


@pytest.mark.parametrize("name", stock_names())
def test_a_stock_target_is_whole_and_its_digest_that_of_its_text(tmp_path: Path, name: str) -> None:
    target = stock_target(name)
    path = tmp_path / "stock.yaml"
    path.write_text(format_target(target))
    assert read_target(path) == replace(target, name="stock")
    assert f"{name.split('/')[0]}/{target.platform.architecture}" == name if target.platform else False
    assert target.init.name == "systemd"
    assert target.packages is None, "an unknown host counts as a minimal one"


def test_the_stock_targets_are_these_and_each_figure_has_a_source() -> None:
    releases = ["debian-12", "debian-13", "ubuntu-22.04", "openeuler-22.03", "kylin-v10-sp3", "uos-20"]
    assert stock_names() == tuple(f"{name}/{machine}" for name in releases for machine in ("amd64", "arm64"))
    table = json.loads((files("bundler.target") / "stock.json").read_text())
    for name, entry in table.items():
        assert {"os", "kernel", "glibc", "init"} <= set(entry["sources"]), name


def test_a_target_is_found_by_name_line_or_file(tmp_path: Path) -> None:
    path = write(tmp_path / "db-02.yaml", document())
    assert find_target(str(path)).name == "db-02"
    assert find_target("kylin-v10-sp3/arm64").machine == "aarch64"
    line = "F1 debian 12 bookworm x86_64 6.1 2.36 systemd:252 apt - - -/-/- ba49b3a7"
    assert find_target(line).kernel == "6.1"
    with pytest.raises(RecipeError) as refused:
        find_target("debian-12")
    assert str(refused.value) == (
        'target: expected a file, a short form or the name of a stock target, got "debian-12"'
    )
    assert refused.value.hint == f"stock targets: {', '.join(stock_names())}"
