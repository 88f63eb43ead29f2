"""Debian packages for the isolated host, through the archives that this host is configured for."""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml
from command import CHECKOUT, ferry

pytestmark = pytest.mark.network
TARGET = """\
format: ferry/target/v1
os: {id: debian, version: "12", name: Debian, codename: bookworm}
machine: x86_64
kernel: "6.1.0"
glibc: "2.36"
init: {name: systemd, version: "252"}
runtimes: []
file_systems: []
memory_bytes: null
cpus: null
cpu_flags: null
package_manager: apt
accelerators: null
device_nodes: null
drivers: null
security: {secure_boot: null, selinux: null, apparmor: null}
python: none
packages: [libc6 2.36-9+deb12u1 amd64, libonig5 6.9.8-1 amd64]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A copy of recipes/hello that wants jq on the host."""
    if shutil.which("apt-get") is None:
        pytest.skip("needs apt-get")
    to = tmp_path / "recipe"
    shutil.copytree(CHECKOUT / "recipes/hello", to, ignore=shutil.ignore_patterns("__pycache__"))
    with (to / "recipe.yaml").open("a") as stream:
        stream.write("debs:\n  - {suite: bookworm, packages: [jq]}\n")
    return to


def locked(recipe: Path) -> list[tuple[str, str, str]]:
    lock = yaml.safe_load((recipe / "recipe.lock.yaml").read_text())
    return [(one["suite"], one["platform"], one["name"]) for one in lock["os_debs"]]


def test_what_a_minimal_host_lacks_is_locked_and_carried(recipe: Path, tmp_path: Path) -> None:
    told = ferry("lock", recipe).stdout.splitlines()
    assert told[0].endswith(", 1 files, 6 debs for the host")
    assert told[-1].startswith("enters the zone: 6 files, ")
    names = ("jq", "libjq1", "libonig5")
    assert locked(recipe) == [("bookworm", f"linux/{arch}", name) for arch in ("amd64", "arm64") for name in names]
    keystore = {"FERRY_KEYSTORE": str(tmp_path / "keystore")}
    paths = [tmp_path / "one.tar", tmp_path / "two.tar"]
    for path, zone in zip(paths, ("UTC", "Asia/Shanghai"), strict=True):
        ferry("build", recipe, "--yes", "-o", path, TZ=zone, LC_ALL="C.UTF-8", **keystore)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    items = json.loads(ferry("inspect", paths[0], "--json").stdout)["items"]
    carried = [one["purl"].split("@")[0] for one in items if one["kind"] == "deb"]
    assert carried == [f"pkg:deb/debian/{name}" for name in names]
    assert [one["name"] for one in items if one["kind"] == "apt"] == ["Packages", "Release"]


def test_what_a_described_host_has_is_left_out(recipe: Path, tmp_path: Path) -> None:
    (tmp_path / "host.yaml").write_text(TARGET)
    ferry("lock", recipe, "--target", tmp_path / "host.yaml")
    found = [name for _, platform, name in locked(recipe) if platform == "linux/amd64"]
    assert found == ["jq", "libjq1"]


def test_packages_that_the_suite_does_not_have_are_refused(recipe: Path) -> None:
    text = (recipe / "recipe.yaml").read_text()
    (recipe / "recipe.yaml").write_text(text.replace("packages: [jq]", "packages: [no-such-package]"))
    done = ferry("lock", recipe, code=4)
    assert done.stderr.startswith("error: debs: apt found no no-such-package of bookworm for linux/amd64: ")
    assert done.stderr.endswith("hint: the apt sources of this host must offer bookworm\n")
    assert "Unable to locate package no-such-package" in done.stderr


def test_a_suite_that_no_source_offers_is_refused(recipe: Path) -> None:
    text = (recipe / "recipe.yaml").read_text()
    (recipe / "recipe.yaml").write_text(text.replace("suite: bookworm, packages: [jq]", "suite: sid, packages: [jq]"))
    done = ferry("lock", recipe, code=4)
    assert done.stderr.startswith("error: debs: apt found no jq of sid for linux/amd64: ")
    assert done.stderr.endswith("hint: the apt sources of this host must offer sid\n")


def test_an_auditor_follows_the_archives_own_signature_to_each_package(recipe: Path, tmp_path: Path) -> None:
    keyring = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
    if not keyring.exists() or shutil.which("gpgv") is None:
        pytest.skip("needs gpgv and the keyring of Debian's archive")
    text = (recipe / "recipe.yaml").read_text()
    (recipe / "recipe.yaml").write_text(text.replace("packages: [jq]", "packages: [jq], upstream_chain: true"))
    store = {"FERRY_KEYSTORE": str(tmp_path / "keystore"), "FERRY_STORE": str(tmp_path / "store")}
    ferry("lock", recipe, **store)
    ferry("build", recipe, "--yes", "-o", tmp_path / "x.tar", **store)
    with tarfile.open(tmp_path / "x.tar") as tar:
        manifest = json.load(tar.extractfile("ferry.json"))  # type: ignore[arg-type]
        blobs = {
            item["name"]: tar.extractfile(f"blobs/sha256/{item['sha256']}").read()  # type: ignore[union-attr]
            for item in manifest["items"]
            if item["kind"] in ("upstream", "deb")
        }
    listed = ""
    for name in (name for name in blobs if name.endswith("/InRelease")):
        subprocess.run(["gpgv", "--keyring", keyring, "-"], input=blobs[name], check=True, capture_output=True)
        suite = name.removesuffix("InRelease")
        for other in (other for other in blobs if other.startswith(suite) and other != name):
            assert f" {hashlib.sha256(blobs[other]).hexdigest()} " in blobs[name].decode()
            listed += lzma.decompress(blobs[other]).decode()
    debs = [name for name in blobs if name.endswith(".deb")]
    assert len(debs) == 3
    for name in debs:
        assert f"SHA256: {hashlib.sha256(blobs[name]).hexdigest()}\n" in listed
