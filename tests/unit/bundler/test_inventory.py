"""How two locks differ, in values and in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import values
from click.testing import CliRunner

from bundler.cli import ferry
from bundler.errors import RecipeError
from bundler.load import format_lock
from bundler.model.deb import LockedDeb
from bundler.model.difference import Change, Comparison
from bundler.model.files import LockedPath
from bundler.model.image import LockedBlob, LockedImage
from bundler.model.inventory import compare
from bundler.model.lock import Lock
from bundler.model.platform import PLATFORMS
from bundler.model.reference import parse_reference
from bundler.model.wheel import LockedFile, LockedPackage
from bundler.resolve.update import Update

AMD64, ARM64 = PLATFORMS
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def wheel(name: str, version: str, digit: str, size: int = 10) -> LockedPackage:
    file = LockedFile(name=f"{name}-{version}-py3-none-any.whl", size=size, sha256=digit * 64, platforms=PLATFORMS)
    return LockedPackage(name=name, version=version, files=(file,))


def deb(name: str, version: str, digit: str, platform=AMD64) -> LockedDeb:  # type: ignore[no-untyped-def]
    return LockedDeb(
        name=name,
        version=version,
        architecture=platform.debian,
        path=f"pool/{name}.deb",
        size=7,
        sha256=digit * 64,
        platform=platform,
        suite="bookworm",
    )


def image(digit: str) -> LockedImage:
    return LockedImage(
        reference=parse_reference("r.bank.local/redis:7", place=""),
        aliases=(),
        platform=AMD64,
        manifest=LockedBlob(media_type=MANIFEST, size=3, sha256=digit * 64),
        blobs=(LockedBlob(media_type=CONFIG, size=4, sha256="e" * 64),),
    )


def lock(**changes: object) -> Lock:
    given = {
        "wheels": (wheel("one", "1.0", "a"), wheel("two", "2.0", "b")),
        "build": (wheel("setuptools", "80.1", "c"),),
        "os_debs": (deb("jq", "1.6-2", "d"),),
        "images": (image("f"),),
    }
    return replace(values.lock(), **given | changes)  # type: ignore[arg-type]


def change(kind: str, name: str, old: str, new: str, entering_bytes: int = 0) -> Change:
    return Change(kind=kind, name=name, old=old, new=new, entering_bytes=entering_bytes)


def test_equal_locks_do_not_differ() -> None:
    assert compare(lock(), lock()) == Comparison(changes=(), entering=0, entering_bytes=0, leaving=0, leaving_bytes=0)


def test_what_is_new_gone_changed_and_replaced() -> None:
    new = lock(
        wheels=(wheel("one", "1.1", "1", 20), wheel("three", "3.0", "2")),
        build=(wheel("setuptools", "80.9", "3"),),
        os_debs=(deb("jq", "1.6-2", "4"),),
        images=(image("5"),),
    )
    assert compare(lock(), new).changes == (
        change("wheel", "one", "1.0", "1.1", 20),
        change("wheel", "three", "", "3.0", 10),
        change("wheel", "two", "2.0", ""),
        change("build", "setuptools", "80.1", "80.9"),
        change("deb", "jq", "1.6-2", "1.6-2", 7),
        change("image", "r.bank.local/redis:7", "f" * 12, "5" * 12, 3),
    )
    # The configuration of the image stays, and build tools never cross.
    sums = compare(lock(), new)
    assert (sums.entering, sums.entering_bytes, sums.leaving, sums.leaving_bytes) == (4, 40, 4, 30)


def test_versions_that_differ_by_platform_are_told_apart() -> None:
    new = lock(os_debs=(deb("jq", "1.6-2", "d"), deb("jq", "1.7-1", "6", ARM64)))
    assert compare(lock(), new).changes == (
        change("deb", "jq", "1.6-2", "1.6-2 (linux/amd64), 1.7-1 (linux/arm64)", 7),
    )


def test_one_content_under_another_name_enters_nothing() -> None:
    def file(to: str) -> LockedPath:
        return LockedPath(path="a", to=to, size=9, sha256="7" * 64, executable=False)

    moved = compare(lock(files=(file("srv/a"),)), lock(files=(file("srv/b"),)))
    assert (moved.entering, moved.leaving) == (0, 0)
    assert moved.changes == (change("file", "srv/a", "7" * 12, ""), change("file", "srv/b", "", "7" * 12))


@pytest.fixture
def written(tmp_path: Path) -> tuple[str, str]:
    new = lock(wheels=(wheel("one", "1.1", "1", 2_000_000), wheel("two", "2.0", "8")), os_debs=())
    paths = tmp_path / "old.lock.yaml", tmp_path / "new.lock.yaml"
    for path, one in zip(paths, (lock(), new), strict=True):
        path.write_text(format_lock(one))
    return str(paths[0]), str(paths[1])


def test_a_difference_in_words(written: tuple[str, str]) -> None:
    done = CliRunner().invoke(ferry, ["lock", "diff", *written])
    assert done.output.splitlines() == [
        "Python packages:",
        "  changed  one 1.0 -> 1.1  (+2.0 MB)",
        "  replaced two 2.0: same version, other files  (+10 B)",
        "Debian packages for the host:",
        "  gone     jq 1.6-2",
        "enters the zone: 2 files, 2.0 MB; no longer enters: 3 files, 27 B",
    ]


def test_a_difference_for_a_program(written: tuple[str, str]) -> None:
    done = CliRunner().invoke(ferry, ["lock", "diff", *written, "--json"])
    document = json.loads(done.output)
    assert document["entering_bytes"] == 2_000_010
    assert document["changes"][0] == {
        "kind": "wheel",
        "name": "one",
        "old": "1.0",
        "new": "1.1",
        "entering_bytes": 2_000_000,
    }


def test_the_same_lock_in_words(written: tuple[str, str]) -> None:
    done = CliRunner().invoke(ferry, ["lock", "diff", written[0], written[0]])
    assert done.output == "nothing else enters the zone\n"


def test_an_update_pins_all_but_what_it_names() -> None:
    update = Update(before=lock(), names=frozenset({"One"}))
    update.check()
    assert update.pins(lock().wheels) == ("two==2.0",)


def test_an_update_keeps_images_and_packages_that_it_does_not_name() -> None:
    before, now = lock(), lock(os_debs=(deb("jq", "1.7-1", "6"),), images=(image("5"),))
    wanted = values.recipe()
    kept = Update(before=before, names=frozenset({"one"})).apply(now, wanted)
    assert (kept.os_debs, kept.images) == (before.os_debs, before.images)
    moved = Update(before=before, names=frozenset({"jq", "r.bank.local/redis:7"})).apply(now, wanted)
    assert (moved.os_debs, moved.images) == (now.os_debs, now.images)


def test_an_update_of_nothing_is_refused() -> None:
    with pytest.raises(RecipeError) as caught:
        Update(before=lock(), names=frozenset({"one", "four"})).check()
    assert str(caught.value) == "--update: expected names of things in the lock, got four"
