"""Drivers in a recipe, in a lock, in a manifest; and which of them a lock takes for a described host."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from bundles import small_manifest
from drivers import package

from bundler.carried.driver import carry_drivers
from bundler.errors import IntegrityError, RecipeError, ResolveError
from bundler.load import format_lock, read_lock, read_recipe
from bundler.model.deb import LockedDeb
from bundler.model.descriptor import OCTETS
from bundler.model.driver import DriverNeed, DriverPackage
from bundler.model.driver_source import DriverSource, LockedDriver, StatedNeed
from bundler.model.files import LockedPath
from bundler.model.manifest import format_manifest, parse_manifest
from bundler.model.platform import PLATFORMS
from bundler.model.target import Accelerator, Driver, Package, Target
from bundler.model.wheel import LockedPackage
from bundler.resolve.driver import resolve_drivers, resolve_needs
from bundler.store import Store
from bundler.target.driver import check_drivers
from bundler.target.finding import Finding
from bundler.target.stock import stock_target

AMD64, ARM64 = PLATFORMS
HELLO = Path(__file__).resolve().parents[3] / "recipes/hello"
NVIDIA = "NVIDIA-Linux-x86_64-570.124.06.run"
ASCEND = "Ascend-hdk-910b-npu-driver_25.2.0_linux-aarch64.run"
NEED = DriverNeed(vendor="nvidia", minimum="550.54.14", because="cuda 12.4 (the recipe), by a table")
LOCKED = LockedDriver(
    file=LockedPath(path=f"drivers/{NVIDIA}", to=NVIDIA, size=7, sha256="a" * 64, executable=False),
    platform=AMD64,
    package=package(
        uninstall=("nvidia-uninstall", "--silent"),
        upgrade=("sh", "{file}", "--upgrade"),
        cards=("20b2",),
        kernels=">=5.4,<6.9",
        systems=("debian-12",),
        tools=("gcc",),
        conflicts=("nouveau",),
        signed=True,
        reboot=True,
        statuses=("0", "2"),
    ),
    targets=("host",),
)


def recipe_with(tmp_path: Path, **sections: object) -> Path:
    document: dict[str, Any] = yaml.safe_load((HELLO / "recipe.yaml").read_text())
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(document | sections))
    return path


def test_a_recipe_names_drivers_and_what_its_payload_was_built_for(tmp_path: Path) -> None:
    given = {
        "vendor": "nvidia",
        "url": "https://mirror.example/gpu/driver%2B1.run",
        "sha256": "b" * 64,
        "size": 9,
        "version": "1.2",
        "architectures": ["amd64"],
        "cards": ["20b2"],
        "kernels": ">=5.4,<6.9",
        "systems": ["debian-12", "kylin"],
        "install": ["--quiet", "--", "--yes"],
        "uninstall": ["sh", "{file}", "--uninstall"],
        "needs_headers": False,
        "signed": True,
        "reboot": True,
    }
    plain = {"vendor": "ascend", "path": f"/srv/{ASCEND}", "outside": True, "sha256": "c" * 64}
    accelerators = {
        "nvidia": {"cuda": "12.4", "minor_compatibility": True},
        "ascend": {"cann": "8.5", "torch_npu": "2.9.0"},
    }
    recipe = read_recipe(recipe_with(tmp_path, drivers=[given, plain], accelerators=accelerators))
    assert recipe.drivers[0].file_name == "driver+1.run"
    assert recipe.drivers[1] == DriverSource(vendor="ascend", path=f"/srv/{ASCEND}", outside=True, sha256="c" * 64)
    assert recipe.drivers[0].install == ("--quiet", "--", "--yes")
    assert recipe.accelerators == (
        StatedNeed(vendor="nvidia", what="cuda", version="12.4", minor=True),
        StatedNeed(vendor="ascend", what="cann", version="8.5"),
        StatedNeed(vendor="ascend", what="torch_npu", version="2.9.0"),
    )
    assert read_recipe(HELLO).drivers == read_recipe(HELLO).accelerators == ()
    recipe = read_recipe(recipe_with(tmp_path, accelerators={"nvidia": {"unused": True}}))
    assert recipe.accelerators == (StatedNeed(vendor="nvidia", what="unused", version=""),)


PLAIN = {"vendor": "nvidia", "path": NVIDIA, "sha256": "a" * 64}


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"vendor": "amd"}, 'vendor: expected one of nvidia, ascend, cambricon, iluvatar, got "amd"'),
        ({"sha256": "ab"}, "sha256: expected 64 lower-case hex digits for sha256, got 2 characters"),
        ({"url": "https://a.example/x.run"}, 'url: expected one of path, url, "path" is there too'),
        ({"path": f"/srv/{NVIDIA}"}, f'path: expected a relative path, got "/srv/{NVIDIA}"'),
        ({"path": "a/../b.run"}, 'path: expected a relative path, got "a/../b.run"'),
        ({"path": "*.run"}, 'path: expected the name of a file, of letters, digits and ._+~-, got "*.run"'),
        ({"path": "-rf"}, 'path: expected the name of a file, of letters, digits and ._+~-, got "-rf"'),
        ({"version": "x"}, 'version: expected a version that starts with a digit, got "x"'),
        ({"architectures": ["riscv64"]}, 'architectures[0]: expected amd64 or arm64, got "riscv64"'),
        ({"cards": ["A100"]}, 'cards[0]: expected four lower-case hex digits of PCI, got "A100"'),
        ({"kernels": "5.4-6.9"}, 'kernels: expected a range of kernels like ">=5.4,<6.9", got "5.4-6.9"'),
        ({"systems": ["Debian 12"]}, 'systems[0]: expected ID or ID-VERSION of os-release, got "Debian 12"'),
        ({"install": ["--a\nb"]}, 'install[0]: expected a word of printable ASCII, got "--a\\nb"'),
        ({"install": ["{file}"]}, 'install: expected the words behind the package\'s name, without "{file}"'),
        (
            {"uninstall": ["rm", "-rf", "/"]},
            'uninstall: expected sh, dpkg, rpm, nvidia-uninstall or a path below /usr or /opt as the program, got "rm"',
        ),
        (
            {"uninstall": ["/usr/../bin/rm"]},
            "uninstall: expected sh, dpkg, rpm, nvidia-uninstall or a path below /usr or /opt as the program, "
            'got "/usr/../bin/rm"',
        ),
        ({"needs_header": True}, "needs_header: unknown field"),
    ],
)
def test_what_is_wrong_with_a_driver_is_named(tmp_path: Path, changes: dict[str, Any], refusal: str) -> None:
    with pytest.raises(RecipeError) as refused:
        read_recipe(recipe_with(tmp_path, drivers=[PLAIN | changes]))
    assert str(refused.value) == f"drivers[0].{refusal}"


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({"amd": {"rocm": "6"}}, "accelerators.amd: unknown field"),
        ({"nvidia": {"unused": True, "cuda": "12.4"}}, "accelerators.nvidia.cuda: unknown field"),
        ({"nvidia": {"unused": False}}, "accelerators.nvidia: expected one of cuda, driver, got nothing"),
        ({"nvidia": {"cann": "8.5"}}, "accelerators.nvidia.cann: unknown field"),
        ({"nvidia": {}}, "accelerators.nvidia: expected one of cuda, driver, got nothing"),
        ({"nvidia": {"cuda": 12.4}}, 'accelerators.nvidia.cuda: expected text, got "12.4"'),
        (
            {"nvidia": {"cuda": "twelve"}},
            'accelerators.nvidia.cuda: expected a version in quotes, such as "12.4", got "twelve"',
        ),
        (
            {"ascend": {"cann": "8.5", "minor_compatibility": True}},
            "accelerators.ascend.minor_compatibility: unknown field",
        ),
    ],
)
def test_what_is_wrong_with_a_need_is_named(tmp_path: Path, given: object, refusal: str) -> None:
    with pytest.raises(RecipeError) as refused:
        read_recipe(recipe_with(tmp_path, accelerators=given))
    assert str(refused.value) == refusal


def test_a_lock_comes_back_as_it_was_written(tmp_path: Path) -> None:
    url = replace(
        LOCKED, file=replace(LOCKED.file, path="", url="https://a.example/x.run"), targets=(), package=package()
    )
    lock = replace(
        read_lock(HELLO), drivers=(LOCKED, url), accelerators=(NEED, replace(NEED, vendor="ascend", verified=False))
    )
    path = tmp_path / "recipe.lock.yaml"
    path.write_text(format_lock(lock))
    assert replace(read_lock(path), sha256=lock.sha256, sm3=lock.sm3) == lock
    assert lock.paths(AMD64) == (*lock.files, LOCKED.file, url.file)
    assert lock.paths(ARM64) == lock.files


def test_a_lock_with_a_name_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    lock = replace(read_lock(HELLO), drivers=(replace(LOCKED, file=replace(LOCKED.file, to="a/b.run")),))
    path = tmp_path / "recipe.lock.yaml"
    path.write_text(format_lock(lock))
    with pytest.raises(RecipeError) as refused:
        read_lock(path)
    assert str(refused.value) == (
        'drivers[0].to: expected the name of a file, of letters, digits and ._+~-, got "a/b.run"'
    )


def manifest_document(tmp_path: Path) -> dict[str, Any]:
    store = Store(tmp_path / "store")
    store.put(b"driver\n", OCTETS)
    lock = replace(read_lock(HELLO), drivers=(replace(LOCKED, file=replace(LOCKED.file, sha256=hash_of(b"driver\n"))),))
    manifest, _ = small_manifest([b"driver\n"], accelerators=(NEED,))
    (item,) = carry_drivers(lock, AMD64, store)
    assert list(carry_drivers(lock, ARM64, store)) == []
    manifest = replace(manifest, items=(item,))
    assert parse_manifest(format_manifest(manifest)) == manifest
    assert (item.name, item.version, item.purl) == (
        NVIDIA,
        "570.124.06",
        "pkg:generic/nvidia/nvidia-driver@570.124.06?arch=amd64",
    )
    return dict(json.loads(format_manifest(manifest)))


def hash_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("key", "value", "refusal"),
    [
        ("name", "../x.run", 'items[0].name: expected a name, got "../x.run"'),
        ("driver", None, "items[0].driver: expected a mapping, got nothing"),
        (
            "driver.install",
            ["bash", "{file}"],
            "items[0].driver.install: expected sh, dpkg, rpm, nvidia-uninstall or a path below /usr or /opt as the "
            'program, got "bash"',
        ),
        (
            "driver.install",
            ["sh", "{file}", "a\x1b[2J"],
            'items[0].driver.install[2]: expected a word of printable ASCII, got "a\\x1b[2J"',
        ),
        (
            "driver.install",
            ["sh", "-c", "reboot"],
            'items[0].driver.install: expected the word "{file}" once, got it 0 times',
        ),
        (
            "driver.vendor",
            "amd",
            'items[0].driver.vendor: expected one of nvidia, ascend, cambricon, iluvatar, got "amd"',
        ),
        ("driver.version", "; ls", 'items[0].driver.version: expected a version that starts with a digit, got "; ls"'),
        (
            "driver.statuses",
            ["-1"],
            'items[0].driver.statuses[0]: expected the status of a program in quotes, got "-1"',
        ),
    ],
)
def test_a_manifest_that_would_run_something_else_is_refused(
    tmp_path: Path, key: str, value: object, refusal: str
) -> None:
    document = manifest_document(tmp_path)
    place, last = document["items"][0], key
    if "." in key:
        place, last = place["driver"], key.split(".")[1]
    place[last] = value
    with pytest.raises(IntegrityError) as refused:
        parse_manifest(json.dumps(document).encode())
    assert str(refused.value) == refusal


def test_a_manifest_with_a_need_of_no_vendor_is_refused(tmp_path: Path) -> None:
    document = manifest_document(tmp_path)
    document["accelerators"][0]["vendor"] = "amd"
    with pytest.raises(IntegrityError) as refused:
        parse_manifest(json.dumps(document).encode())
    assert str(refused.value) == (
        'accelerators[0].vendor: expected one of nvidia, ascend, cambricon, iluvatar, got "amd"'
    )


def source(directory: Path, name: str, **changes: Any) -> DriverSource:
    (directory / name).write_bytes(name.encode())
    given = {"vendor": "nvidia", "path": name, "sha256": hash_of(name.encode()), **changes}
    return DriverSource(**given)


def resolved(
    directory: Path, *sources: DriverSource, hosts: tuple[Target, ...] = (), **changes: Any
) -> tuple[LockedDriver, ...]:
    given = {"needs": (NEED,), "platforms": PLATFORMS, "os_debs": (), **changes}
    return resolve_drivers(
        sources, given["needs"], directory, given["platforms"], hosts, given["os_debs"], length=lambda url: 77
    )


def host(**changes: Any) -> Target:
    """Return a Debian with an A100, the driver 535.54.03, and all that a build of modules needs."""
    plain = stock_target("debian-12/amd64")
    given: dict[str, Any] = {
        "name": "bank",
        "kernel": "6.1.0-44-amd64",
        "accelerators": (Accelerator(vendor="10de", device="20b2", count=8),),
        "drivers": (Driver(vendor="10de", version="535.54.03"),),
        "packages": packages("linux-headers-6.1.0-44-amd64", "dkms", "gcc", "make", "gcc-12-base"),
        "security": replace(plain.security, secure_boot="off"),
    }
    return replace(plain, **(given | changes))


def packages(*names: str) -> tuple[Package, ...]:
    return tuple(Package(name=name, version="1.0", architecture="amd64") for name in names)


def test_a_name_that_the_catalogue_knows_says_all(tmp_path: Path) -> None:
    (locked,) = resolved(tmp_path, source(tmp_path, NVIDIA))
    assert locked == LockedDriver(
        file=LockedPath(path=NVIDIA, to=NVIDIA, size=len(NVIDIA), sha256=hash_of(NVIDIA.encode()), executable=False),
        platform=AMD64,
        package=DriverPackage(
            vendor="nvidia",
            version="570.124.06",
            install=("sh", "{file}", "--silent", "--dkms"),
            uninstall=("nvidia-uninstall", "--silent"),
            tools=("dkms", "gcc", "make"),
            conflicts=("nouveau",),
        ),
    )
    (locked,) = resolved(tmp_path, source(tmp_path, ASCEND, vendor="ascend"), needs=())
    assert (locked.platform, locked.package.version, locked.package.cards) == (ARM64, "25.2.0", ("d802",))
    assert (locked.package.reboot, locked.package.statuses) == (True, ("0", "2"))
    name = "cambricon-mlu-driver-ubuntu20.04-dkms_5.10.22_amd64.deb"
    (locked,) = resolved(tmp_path, source(tmp_path, name, vendor="cambricon"), needs=())
    assert (locked.package.install, locked.package.uninstall, locked.package.systems) == (
        ("dpkg", "--install", "{file}"),
        ("dpkg", "--purge", "cambricon-mlu-driver-ubuntu20.04-dkms"),
        ("ubuntu-20.04",),
    )


def test_one_that_the_catalogue_does_not_know_is_described_in_the_recipe(tmp_path: Path) -> None:
    given = source(
        tmp_path,
        "special.run",
        version="999.1",
        architectures=("arm64",),
        install=("--", "--yes"),
        needs_headers=False,
        reboot=True,
    )
    (locked,) = resolved(tmp_path, given)
    assert locked.platform == ARM64
    assert locked.package == DriverPackage(
        vendor="nvidia",
        version="999.1",
        install=("sh", "{file}", "--", "--yes"),
        headers=False,
        tools=("gcc", "make"),
        reboot=True,
    )
    both = resolved(tmp_path, replace(given, architectures=()))
    assert [one.platform for one in both] == [AMD64, ARM64]


def test_what_a_recipe_says_of_a_known_one_wins(tmp_path: Path) -> None:
    given = source(tmp_path, NVIDIA, install=("--silent",), cards=("20b2",), kernels="<6.9", signed=True)
    (locked,) = resolved(tmp_path, given)
    assert (locked.package.version, locked.package.install) == ("570.124.06", ("sh", "{file}", "--silent"))
    assert (locked.package.cards, locked.package.kernels, locked.package.signed) == (("20b2",), "<6.9", True)
    assert (locked.package.uninstall, locked.package.conflicts) == ((), ("nouveau",))


def test_a_url_is_locked_with_the_size_that_its_server_says(tmp_path: Path) -> None:
    url = f"https://mirror.example/{NVIDIA}"
    given = DriverSource(vendor="nvidia", url=url, sha256="d" * 64)
    (locked,) = resolved(tmp_path, given)
    assert locked.file == LockedPath(path="", url=url, to=NVIDIA, size=77, sha256="d" * 64, executable=False)
    (locked,) = resolved(tmp_path, replace(given, size=5))
    assert locked.file.size == 5


@pytest.mark.parametrize(
    ("name", "changes", "refusal", "hint"),
    [
        (
            "gpu.run",
            {},
            '"gpu.run" is none of NVIDIA\'s packages that the catalogue knows',
            "keep the vendor's name of the file, or say version and install beside it",
        ),
        (
            "Ascend-hdk-910b-npu_25.2.0_linux-aarch64.zip",
            {"vendor": "ascend"},
            '"Ascend-hdk-910b-npu_25.2.0_linux-aarch64.zip" is the archive in which Ascend gives driver and firmware',
            "unpack it, check the vendor's signature beside it, and name the -npu-driver_*.run within",
        ),
        (
            "Ascend-hdk-910b-npu-firmware_7.7.0.6.236.run",
            {"vendor": "ascend"},
            '"Ascend-hdk-910b-npu-firmware_7.7.0.6.236.run" is firmware, not a driver',
            "firmware is written into the card and cannot be undone: install it by hand, behind the driver",
        ),
        (
            "Ascend-hdk-999x-npu-driver_25.2.0_linux-aarch64.run",
            {"vendor": "ascend"},
            'the catalogue knows no cards of the family "999x"',
            'say their numbers on PCI: cards: ["d802"]',
        ),
        (
            "corex-driver-linux64-4.3.8-x86_64.run",
            {"vendor": "iluvatar"},
            'nobody knows how "corex-driver-linux64-4.3.8-x86_64.run" is installed without questions',
            'say the words behind its name that the vendor documents: install: ["--silent"]',
        ),
    ],
)
def test_a_file_that_is_no_known_driver_is_refused(
    tmp_path: Path, name: str, changes: dict[str, Any], refusal: str, hint: str
) -> None:
    with pytest.raises(RecipeError) as refused:
        resolved(tmp_path, source(tmp_path, name, **changes))
    assert (str(refused.value), refused.value.hint) == (f"drivers[0]: {refusal}", hint)


def test_an_archive_under_another_name_is_known_by_its_digest(tmp_path: Path) -> None:
    digest = "9629384df11289ea322eb4aa83cd52f65cc08945399a86af909c380e985be459"
    with pytest.raises(RecipeError, match="is the archive in which Ascend gives driver and firmware"):
        resolved(tmp_path, DriverSource(vendor="ascend", path="npu.run", sha256=digest))


def test_a_file_that_is_not_the_one_of_its_digest_is_refused(tmp_path: Path) -> None:
    given = source(tmp_path, NVIDIA, sha256="e" * 64)
    with pytest.raises(RecipeError) as refused:
        resolved(tmp_path, given)
    has = hash_of(NVIDIA.encode())
    assert str(refused.value) == (
        f"drivers[0].sha256: expected sha256 {'e' * 64}, the file has {has} ({len(NVIDIA)} bytes)"
    )
    with pytest.raises(RecipeError) as refused:
        resolved(tmp_path, replace(given, sha256=has, size=1))
    assert str(refused.value) == f"drivers[0].size: expected 1 bytes, the file has {len(NVIDIA)}"
    (tmp_path / NVIDIA).unlink()
    with pytest.raises(RecipeError) as refused:
        resolved(tmp_path, given)
    assert str(refused.value) == f'drivers[0].path: expected a regular file, "{NVIDIA}" is none'


def test_a_driver_for_another_platform_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as refused:
        resolved(tmp_path, source(tmp_path, NVIDIA), platforms=(ARM64,))
    assert str(refused.value) == "drivers[0]: the driver is for amd64, the recipe for linux/arm64"


def test_without_a_described_host_all_that_are_new_enough_are_locked(tmp_path: Path) -> None:
    names = [
        f"NVIDIA-Linux-{machine}-{version}.run"
        for machine in ("x86_64", "aarch64")
        for version in ("570.26", "550.54.14")
    ]
    found = resolved(tmp_path, *(source(tmp_path, name) for name in names))
    assert [(str(one.platform), one.package.version, one.targets) for one in found] == [
        ("linux/amd64", "550.54.14", ()),
        ("linux/amd64", "570.26", ()),
        ("linux/arm64", "550.54.14", ()),
        ("linux/arm64", "570.26", ()),
    ]
    with pytest.raises(ResolveError) as refused:
        resolved(tmp_path, source(tmp_path, "NVIDIA-Linux-x86_64-535.54.03.run"))
    assert str(refused.value) == (
        "drivers: nvidia driver 535.54.03 is too old, the payload needs 550.54.14 or newer: "
        "cuda 12.4 (the recipe), by a table"
    )


def test_a_described_host_gets_the_newest_that_fits(tmp_path: Path) -> None:
    sources = [
        source(tmp_path, "NVIDIA-Linux-x86_64-550.54.14.run"),
        source(tmp_path, "NVIDIA-Linux-x86_64-570.26.run", kernels=">=5.4"),
        source(tmp_path, "NVIDIA-Linux-x86_64-595.45.04.run", kernels=">=6.6"),
        source(tmp_path, "NVIDIA-Linux-aarch64-570.26.run"),
        source(tmp_path, ASCEND, vendor="ascend"),
    ]
    found = resolved(tmp_path, *sources[:3], hosts=(host(),), platforms=(AMD64,))
    assert [(one.package.version, one.targets) for one in found] == [("570.26", ("bank",))]
    hosts = (host(), replace(host(), name="branch", kernel="6.6.1"), replace(host(), name="third"))
    hosts = (hosts[0], replace(hosts[1], packages=packages("linux-headers-6.6.1", "dkms", "gcc", "make")), hosts[2])
    found = resolved(tmp_path, *sources, hosts=hosts)
    assert [(str(one.platform), one.package.version, one.targets) for one in found] == [
        ("linux/amd64", "570.26", ("bank", "third")),
        ("linux/amd64", "595.45.04", ("branch",)),
        ("linux/arm64", "25.2.0", ()),
        ("linux/arm64", "570.26", ()),
    ]


def test_a_host_whose_driver_is_enough_gets_none(tmp_path: Path) -> None:
    given = source(tmp_path, NVIDIA)
    enough = host(drivers=(Driver(vendor="10de", version="550.54.15"),))
    assert resolved(tmp_path, given, hosts=(enough,), platforms=(AMD64,)) == ()
    assert resolved(tmp_path, given, hosts=(host(accelerators=()),), platforms=(AMD64,)) == ()
    assert len(resolved(tmp_path, given, hosts=(host(accelerators=None),), platforms=(AMD64,))) == 1


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"packages": packages("gcc-12-base", "make")},
            "driver 570.124.06 cannot be installed: the host lacks the headers of kernel 6.1.0-44-amd64, dkms, gcc",
        ),
        (
            {"drivers": ()},
            "there is no driver, the payload needs 600.1 or newer: cuda 12.4 (the recipe), by a table; of the drivers "
            "given, 570.124.06 is older than 600.1",
        ),
        (
            {"drivers": (Driver(vendor="10de", version="535.54.03"),)},
            "driver 535.54.03 is too old, the payload needs 600.1 or newer: cuda 12.4 (the recipe), by a table; of the "
            "drivers given, 570.124.06 is older than 600.1",
        ),
    ],
)
def test_a_host_that_cannot_get_one_is_refused_with_what_is_missing(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    need = NEED if "packages" in changes else replace(NEED, minimum="600.1")
    with pytest.raises(ResolveError) as refused:
        resolved(tmp_path, source(tmp_path, NVIDIA), hosts=(host(**changes),), platforms=(AMD64,), needs=(need,))
    assert str(refused.value) == f"drivers: bank, NVIDIA: {told}"


def test_packages_that_the_bundle_brings_count(tmp_path: Path) -> None:
    debs = [
        LockedDeb(
            name=name,
            version="1",
            architecture="amd64",
            path="x",
            size=1,
            sha256="a" * 64,
            platform=AMD64,
            suite="bookworm",
        )
        for name in ("linux-headers-6.1.0-44-amd64", "dkms", "gcc", "make")
    ]
    bare = host(packages=())
    found = resolved(tmp_path, source(tmp_path, NVIDIA), hosts=(bare,), platforms=(AMD64,), os_debs=debs)
    assert [one.package.version for one in found] == ["570.124.06"]


def test_headers_of_a_host_of_rpm_are_known_by_their_version(tmp_path: Path) -> None:
    kylin = host(
        kernel="4.19.90-52.22.v2207.ky10.x86_64",
        packages=(
            Package(name="kernel-devel", version="4.19.90-52.22.v2207.ky10", architecture="x86_64"),
            *packages("dkms", "gcc", "make"),
        ),
    )
    assert len(resolved(tmp_path, source(tmp_path, NVIDIA), hosts=(kylin,), platforms=(AMD64,))) == 1
    with pytest.raises(ResolveError, match="lacks the headers of kernel 4"):
        resolved(
            tmp_path, source(tmp_path, NVIDIA), hosts=(replace(kylin, kernel="4.19.91.x86_64"),), platforms=(AMD64,)
        )


def test_needs_come_from_the_recipe_and_from_its_wheels() -> None:
    torch = LockedPackage(name="torch", version="2.6.0+cu124", files=())
    (need,) = resolve_needs((), [torch])
    assert (need.vendor, need.minimum) == ("nvidia", "550.54.14")
    assert need.because.startswith("cuda 12.4 (torch 2.6.0+cu124), by NVIDIA CUDA Toolkit Release Notes")
    (need,) = resolve_needs((StatedNeed(vendor="nvidia", what="cuda", version="12.4", minor=True),), [torch])
    assert need.minimum == "525.60.13"
    assert resolve_needs((), []) == ()
    assert resolve_needs((StatedNeed(vendor="nvidia", what="unused", version=""),), [torch]) == ()


def findings(target: Target, *drivers: LockedDriver) -> list[Finding]:
    return list(check_drivers(replace(read_lock(HELLO), drivers=drivers, accelerators=(NEED,)), target))


def test_what_was_checked_of_a_target_is_told() -> None:
    needs = ">= 550.54.14: cuda 12.4 (the recipe), by a table"
    driver = replace(LOCKED, package=package(), targets=())
    assert findings(host(), driver) == [Finding(subject="driver", has="nvidia 535.54.03, gets 570.124.06", needs=needs)]
    enough = host(drivers=(Driver(vendor="10de", version="550.54.14"),))
    assert findings(enough) == [Finding(subject="driver", has="nvidia 550.54.14", needs=needs)]
    assert findings(host(accelerators=())) == [
        Finding(subject="driver", has="no card of NVIDIA", needs="nothing of nvidia")
    ]
    assert findings(stock_target("debian-12/amd64")) == [
        Finding(subject="driver", has=None, needs=needs),
        Finding(subject="driver", has=None, needs="its cards, for nvidia"),
    ]
    assert list(check_drivers(read_lock(HELLO), host())) == []


def test_a_lock_that_is_not_enough_for_a_target_is_refused() -> None:
    with pytest.raises(ResolveError) as refused:
        findings(host())
    assert str(refused.value) == (
        "drivers: bank, NVIDIA: driver 535.54.03 is too old, the payload needs 550.54.14 or newer: "
        "cuda 12.4 (the recipe), by a table; no driver is given for it"
    )
