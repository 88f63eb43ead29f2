"""Debian packages for the isolated host: in the recipe, in the lock, and as a small apt repository."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import values
import yaml
from packages import make_deb

from bundler.aptrepo import list_debs
from bundler.carried.deb import carry_debs
from bundler.errors import IntegrityError, RecipeError, ResolveError
from bundler.load import format_lock, read_lock, read_recipe
from bundler.model.deb import DebSource, LockedDeb
from bundler.model.descriptor import OCTETS
from bundler.model.platform import PLATFORMS
from bundler.resolve.deb import resolve_debs
from bundler.store import Store
from bundler.target.find import find_target

HELLO = Path(__file__).resolve().parents[3] / "recipes/hello"
JQ = LockedDeb(
    name="jq",
    version="1:1.6-2.1",
    architecture="amd64",
    path="pool/main/j/jq/jq.deb",
    size=7,
    sha256="a" * 64,
    platform=PLATFORMS[0],
    suite="bookworm",
)


def recipe_with(tmp_path: Path, debs: object) -> Path:
    document: dict[str, Any] = yaml.safe_load((HELLO / "recipe.yaml").read_text())
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(document | {"debs": debs}))
    return path


def test_a_recipe_names_a_suite_and_packages(tmp_path: Path) -> None:
    path = recipe_with(tmp_path, [{"suite": "bookworm", "packages": ["jq", "libstdc++6"]}])
    assert read_recipe(path).debs == (DebSource(suite="bookworm", packages=("jq", "libstdc++6")),)
    assert read_recipe(HELLO).debs == ()


def test_a_recipe_may_name_several_suites_and_what_a_host_may_go_without(tmp_path: Path) -> None:
    bookworm = {"suite": "bookworm", "packages": ["jq"]}
    path = recipe_with(tmp_path, [bookworm, {"suite": "trixie", "packages": ["jq"], "needed": False}])
    assert read_recipe(path).debs == (
        DebSource(suite="bookworm", packages=("jq",)),
        DebSource(suite="trixie", packages=("jq",), needed=False),
    )


@pytest.mark.parametrize(
    ("debs", "refusal"),
    [
        ([{"suite": "bookworm"}], "debs[0].packages: expected a list, the field is missing"),
        ([{"packages": ["jq"]}], "debs[0].suite: expected text, the field is missing"),
        (
            [{"suite": "Debian 12", "packages": ["jq"]}],
            'debs[0].suite: expected the suite of a Debian release, got "Debian 12"',
        ),
        ([{"suite": "bookworm", "packages": []}], "debs[0].packages: expected at least one package, got none"),
        (
            [{"suite": "bookworm", "packages": ["jq", "--force-yes"]}],
            'debs[0].packages[1]: expected the name of a Debian package, got "--force-yes"',
        ),
        ([{"suite": "bookworm", "packages": ["jq"], "force": True}], "debs[0].force: unknown field"),
        (
            [{"suite": "bookworm", "packages": ["jq"]}, {"suite": "bookworm", "packages": ["bc"], "needed": False}],
            "debs[1].needed: expected the same for all packages of bookworm, got both true and false",
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, debs: object, refusal: str) -> None:
    with pytest.raises(RecipeError) as refused:
        read_recipe(recipe_with(tmp_path, debs))
    assert f"{refused.value.place}: {refused.value.message}" == refusal


def test_a_lock_comes_back_as_it_was_written(tmp_path: Path) -> None:
    plain = read_lock(HELLO)
    path = tmp_path / "recipe.lock.yaml"
    path.write_text(format_lock(replace(plain, os_debs=(JQ,))))
    lock = read_lock(path)
    assert lock.os_debs == (JQ,)
    assert replace(lock, os_debs=(), sha256=plain.sha256, sm3=plain.sm3) == plain
    assert yaml.safe_load(path.read_text())["os_debs"][0]["suite"] == "bookworm"


def test_a_lock_without_such_packages_says_nothing_of_them() -> None:
    assert format_lock(read_lock(HELLO)) == (HELLO / "recipe.lock.yaml").read_text()


def test_the_file_name_is_that_of_apt() -> None:
    assert JQ.file_name == "jq_1%3a1.6-2.1_amd64.deb"


def test_hosts_that_take_no_debs_are_refused_before_anything_is_asked() -> None:
    sources = (DebSource(suite="bookworm", packages=("jq",)),)
    with pytest.raises(ResolveError) as refused:
        resolve_debs(sources, PLATFORMS, (find_target("openeuler-22.03/amd64"),))
    assert str(refused.value) == "debs: expected a host with dpkg, openeuler-22.03/amd64 has dnf"
    with pytest.raises(ResolveError) as refused:
        resolve_debs(sources, PLATFORMS, (find_target("debian-13/amd64"),))
    assert str(refused.value) == 'debs.suite: expected a host of "bookworm", debian-13/amd64 is of "trixie"'
    with pytest.raises(ResolveError) as refused:
        resolve_debs((*sources, DebSource(suite="sid", packages=("jq",))), (), (find_target("debian-13/amd64"),))
    assert str(refused.value) == 'debs.suite: expected a host of "bookworm" or "sid", debian-13/amd64 is of "trixie"'
    optional = (DebSource(suite="bookworm", packages=("jq",), needed=False),)
    assert resolve_debs(optional, (), (find_target("debian-13/amd64"), find_target("openeuler-22.03/amd64"))) == ()
    assert resolve_debs((), PLATFORMS, (find_target("debian-13/amd64"),)) == ()


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Store, LockedDeb]:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    deb, path = make_deb(tmp_path, "sample", "1.0", Depends="other (>= 2)")
    store = Store(tmp_path / "store")
    store.put(path.read_bytes(), OCTETS)
    return store, deb


def test_the_repository_lists_each_package_with_its_digest(stored: tuple[Store, LockedDeb]) -> None:
    store, deb = stored
    files = list_debs([deb], store, created="2026-02-01T03:04:05Z", architecture="amd64")
    assert files["Packages"].decode() == (
        "Package: sample\nVersion: 1.0\nArchitecture: all\nMaintainer: A <a@b.example>\nDepends: other (>= 2)\n"
        "Description: A sample\n in two lines\n"
        f"Filename: ./sample_1.0_all.deb\nSize: {deb.size}\nSHA256: {deb.sha256}\n"
    )
    digest = hashlib.sha256(files["Packages"]).hexdigest()
    assert files["Release"].decode() == (
        "Origin: Ferry\nLabel: Ferry\nDate: Sun, 01 Feb 2026 03:04:05 UTC\nArchitectures: all amd64\n"
        f"SHA256:\n {digest} {len(files['Packages'])} Packages\n"
    )


def test_no_packages_need_no_repository(tmp_path: Path) -> None:
    assert list_debs([], Store(tmp_path), created="2026-02-01T03:04:05Z", architecture="amd64") == {}


def test_a_package_that_is_not_what_the_lock_says_is_refused(stored: tuple[Store, LockedDeb]) -> None:
    store, deb = stored
    with pytest.raises(IntegrityError) as refused:
        list_debs([replace(deb, version="2.0")], store, created="2026-02-01T03:04:05Z", architecture="amd64")
    assert str(refused.value) == "debs: expected sample 2.0 all, got sample 1.0 all"


def test_packages_and_lists_of_each_suite_are_items_of_their_own(tmp_path: Path) -> None:
    deb, path = make_deb(tmp_path, "sample", "1.0")
    store = Store(tmp_path / "store")
    with path.open("rb") as stream:
        store.put_stream(stream, OCTETS)
    lock = replace(values.lock(), os_debs=(deb, replace(deb, suite="trixie", optional=True)))
    items = list(carry_debs(lock, PLATFORMS[0], store))
    assert [(one.kind, one.name, dict(one.source)["suite"], one.optional) for one in items] == [
        ("deb", "sample_1.0_all.deb", "bookworm", False),
        ("deb", "sample_1.0_all.deb", "trixie", True),
        ("apt", "Packages", "bookworm", False),
        ("apt", "Release", "bookworm", False),
        ("apt", "Packages", "trixie", True),
        ("apt", "Release", "trixie", True),
    ]
    assert [one.purl for one in items[3::2]] == [
        "pkg:generic/sample/apt/bookworm/Release@1.0",
        "pkg:generic/sample/apt/trixie/Release@1.0",
    ]
    assert [one.lineage for one in items[2:5:2]] == [(items[0].purl,), (items[1].purl,)]
