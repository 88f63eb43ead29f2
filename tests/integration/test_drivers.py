"""A recipe with drivers, from its lock to its bundle, through the command line."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import CHECKOUT, ferry
from drivers import make_run, reason_unavailable

from bundler.archive import read_head
from bundler.model.driver import DriverNeed
from bundler.model.manifest import parse_manifest

pytestmark = pytest.mark.network
NVIDIA = "NVIDIA-Linux-x86_64-570.124.06.run"
NOTES = "NVIDIA CUDA Toolkit Release Notes 13.1 and 13.2 (Linux x86_64)"
TARGET = """\
format: ferry/target/v1
os: {id: debian, version: "12", name: Debian, codename: bookworm}
machine: x86_64
kernel: "6.1.0-44-amd64"
glibc: "2.36"
init: {name: systemd, version: "252"}
runtimes: []
file_systems: []
memory_bytes: null
cpus: null
cpu_flags: null
package_manager: apt
accelerators: [{vendor: "10de", device: "20b2", count: 8}]
device_nodes: null
drivers: DRIVERS
security: {secure_boot: "off", selinux: null, apparmor: null}
python: none
packages: [libc6 2.36-9+deb12u1 amd64, PACKAGES]
"""
BUILD = "linux-headers-6.1.0-44-amd64 1 amd64, dkms 3 all, gcc 4 amd64, make 4 amd64"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe without services and wheels whose payload needs CUDA 12.4, with a driver beside it."""
    if (reason := reason_unavailable()) is not None:
        pytest.skip(reason)
    directory = tmp_path / "recipe"
    directory.mkdir()
    made = make_run(tmp_path / "made", NVIDIA, "nvidia", "570.124.06")
    made.rename(directory / NVIDIA)
    document: dict[str, Any] = yaml.safe_load((CHECKOUT / "recipes/hello/recipe.yaml").read_text())
    document |= {"files": [], "services": [], "images": [], "platforms": ["linux/amd64"]}
    document["accelerators"] = {"nvidia": {"cuda": "12.4"}}
    digest = hashlib.sha256((directory / NVIDIA).read_bytes()).hexdigest()
    document["drivers"] = [{"vendor": "nvidia", "path": NVIDIA, "sha256": digest}]
    (directory / "recipe.yaml").write_text(yaml.safe_dump(document))
    return directory


def target(directory: Path, *, driver: str = "", packages: str = BUILD) -> Path:
    drivers = f'[{{vendor: "10de", version: "{driver}"}}]' if driver else "[]"
    path = directory / "bank.yaml"
    path.write_text(TARGET.replace("DRIVERS", drivers).replace("PACKAGES", packages))
    return path


def test_the_driver_goes_from_the_lock_into_the_bundle(recipe: Path, tmp_path: Path) -> None:
    needs = f"nvidia >= 550.54.14: cuda 12.4 (the recipe), by {NOTES}"
    assert f"needs driver {needs}\n" in ferry("lock", recipe).stdout
    keystore = {"FERRY_KEYSTORE": str(tmp_path / "keystore")}
    paths = [tmp_path / "one.tar", tmp_path / "two.tar"]
    for path, zone in zip(paths, ("UTC", "Asia/Shanghai"), strict=True):
        ferry("build", recipe, "--yes", "-o", path, "--platform", "linux/amd64", TZ=zone, **keystore)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with paths[0].open("rb") as stream:
        manifest = parse_manifest(read_head(stream).manifest)
    (item,) = manifest.of_kind("driver")
    assert item.driver is not None
    assert (item.name, item.driver.install) == (NVIDIA, ("sh", "{file}", "--silent", "--dkms"))
    assert manifest.accelerators == (
        DriverNeed(vendor="nvidia", minimum="550.54.14", because=f"cuda 12.4 (the recipe), by {NOTES}"),
    )
    shown = ferry("inspect", paths[0], "--items").stdout
    assert f"driver    {needs}\n" in shown
    assert "pkg:generic/nvidia/nvidia-driver@570.124.06?arch=amd64\n" in shown
    (recipe / NVIDIA).write_bytes(b"another")
    store = {"FERRY_STORE": str(tmp_path / "store"), **keystore}
    refused = ferry("build", recipe, "-o", tmp_path / "three.tar", code=3, **store)
    assert refused.stderr.startswith(f"error: {NVIDIA}: the file is not the one that was locked: ")


def test_a_lock_for_a_target_says_what_it_gets_or_lacks(recipe: Path, tmp_path: Path) -> None:
    printed = ferry("lock", recipe, "--target", target(tmp_path, driver="535.54.03")).stdout
    assert "nvidia 535.54.03, gets 570.124.06" in printed
    lock = yaml.safe_load((recipe / "recipe.lock.yaml").read_text())
    assert [(one["path"], one["targets"]) for one in lock["drivers"]] == [(NVIDIA, ["bank"])]
    ferry("lock", recipe, "--check", "--target", tmp_path / "bank.yaml")

    ferry("lock", recipe, "--target", target(tmp_path, driver="550.54.14"))
    assert "drivers" not in yaml.safe_load((recipe / "recipe.lock.yaml").read_text())
    refused = ferry("lock", recipe, "--target", target(tmp_path, packages="make 4 amd64"), "--check", code=3)
    assert "the lock was not made for bank" in refused.stderr
    refused = ferry("lock", recipe, "--target", tmp_path / "bank.yaml", code=4)
    assert refused.stderr.splitlines() == [
        "error: drivers: bank, NVIDIA: driver 570.124.06 cannot be installed: the host lacks the headers of kernel "
        "6.1.0-44-amd64, dkms, gcc",
        "hint: bring them as packages of the host, such as linux-headers-6.1.0-44-amd64 under debs, or install them "
        "there",
    ]


def test_the_catalogue_is_printed_with_its_sources() -> None:
    printed = ferry("drivers", "nvidia", "cambricon").stdout.splitlines()
    assert "  cuda 12.4     needs driver 550.54.14, with a loss 525.60.13 [1]" in printed
    assert f"  [1] {NOTES}" in printed
    assert "  cabc:0370 MLU370 [3] ?" in printed
    (facts,) = json.loads(ferry("drivers", "ascend", "--json").stdout)
    row = next(row for row in facts["rows"] if row["version"] == "8.5")
    assert (row["driver"], row["fact"]["verified"]) == ("25.0.RC1", True)
    assert ferry("drivers", "amd", code=2).stdout == ""
