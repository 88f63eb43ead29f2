"""Step `packages`: when it is due, what it refuses, and what apt says of it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hosts import PYTHON, Host, host_manifest, service, wanted
from packages import make_deb

from bundler.aptrepo import list_debs
from bundler.errors import HostError, IntegrityError
from bundler.installer.facts import Facts
from bundler.installer.packages import (
    Change,
    HostApt,
    check_changes,
    goes_with,
    installed_packages,
    own_packages,
    parse_changes,
    record_own,
)
from bundler.installer.plan import make_plan
from bundler.installer.removal import removable
from bundler.installer.steps import packages
from bundler.installer.wanted import want
from bundler.model.descriptor import OCTETS
from bundler.model.manifest import Item, Manifest, format_manifest, parse_manifest
from bundler.store import Store
from bundler.verify import read_trust

HINT = "lock the recipe for this host: ferry target probe, then ferry lock --target"
SIMULATED = """\
Reading package lists...
Inst libonig5 (6.9.8-1 Ferry [amd64])
Inst libc6 [2.36-9] (2.36-10 Ferry [amd64]) []
Remv old [1.0]
Conf libonig5 (6.9.8-1 Ferry [amd64])
Purg jq [1.6]
"""


def with_debs(manifest: Manifest, suite: str = "bookworm", optional: bool = False, **versions: str) -> Manifest:
    given = replace(manifest.items[0], kind="deb", to="", source=(("suite", suite),), optional=optional)
    debs = [
        replace(given, name=f"{name}_{version.replace(':', '%3a')}_all.deb", version=version)
        for name, version in versions.items()
    ]
    return replace(manifest, items=(*manifest.items, *debs))


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return host_manifest(tmp_path, [service("agent", 8090)])[0]


def reason(host: Host, facts: Facts, manifest: Manifest, here: Mapping[str, str]) -> str | None:
    action = packages.due(wanted(host, facts, manifest), replace(facts, packages=here))
    return action and action.reason


def test_it_is_due_for_what_is_missing_or_older(host: Host, facts: Facts, manifest: Manifest) -> None:
    manifest = with_debs(manifest, jq="1:1.6-2+deb12u10", libjq1="1.6-2", libonig5="6.9.8-1")
    here = {"jq": "1:1.6-2+deb12u9", "libonig5": "6.9.8-1"}
    assert reason(host, facts, manifest, here) == (
        "jq: is 1:1.6-2+deb12u9, older than 1:1.6-2+deb12u10; libjq1: is not installed"
    )
    assert reason(host, facts, manifest, {"jq": "2:0", "libjq1": "1.6-3~", "libonig5": "6.9.8-1"}) is None


def test_many_packages_are_counted(host: Host, facts: Facts, manifest: Manifest) -> None:
    manifest = with_debs(manifest, **dict.fromkeys(("a1", "b1", "c1", "d1", "e1", "f1", "g1"), "1"))
    plan = make_plan(wanted(host, facts, manifest), replace(facts, packages={}))
    action = next(action for action in plan.actions if action.step == "packages")
    assert action.reason == "a1, b1, c1, d1, e1 and 2 more are missing or older"
    assert action.detail == ("a1", "b1", "c1", "d1", "e1", "f1", "g1")


def test_a_bundle_without_packages_asks_nothing_of_the_host(host: Host, facts: Facts, manifest: Manifest) -> None:
    assert facts.packages is None
    assert packages.due(wanted(host, facts, manifest), facts) is None


def test_a_host_without_dpkg_is_refused(host: Host, facts: Facts, manifest: Manifest) -> None:
    before = host.listing()
    with pytest.raises(HostError) as refused:
        make_plan(wanted(host, facts, with_debs(manifest, jq="1.6")), facts)
    assert str(refused.value) == "packages: expected a host with dpkg, /var/lib/dpkg/status is not there"
    assert refused.value.hint == (
        "this bundle brings Debian packages: use a host of Debian's family, or a recipe without debs"
    )
    assert host.listing() == before


def test_a_host_takes_the_packages_of_its_own_suite(host: Host, facts: Facts, manifest: Manifest) -> None:
    manifest = with_debs(with_debs(manifest, jq="1.6"), suite="trixie", jq="1.7", bc="1.0")
    assert reason(host, facts, manifest, {}) == "jq: is not installed"
    assert reason(host, replace(facts, os_codename="trixie"), manifest, {}) == (
        "jq: is not installed; bc: is not installed"
    )


@pytest.mark.parametrize(("codename", "is_told"), [("bullseye", "bullseye"), ("", "debian 12")])
def test_a_host_of_another_suite_is_refused(
    host: Host, facts: Facts, manifest: Manifest, codename: str, is_told: str
) -> None:
    manifest = with_debs(with_debs(manifest, jq="1.6"), suite="trixie", jq="1.7")
    with pytest.raises(HostError) as refused:
        reason(host, replace(facts, os_codename=codename), manifest, {})
    assert str(refused.value) == f"packages: expected a host of bookworm or trixie, this is {is_told}"
    assert refused.value.hint == (
        "bring a bundle with packages for this host: its suite stands under debs in the recipe"
    )


@pytest.mark.parametrize("changes", [{"packages": {}, "os_codename": "bullseye"}, {"packages": None}])
def test_a_host_that_may_go_without_the_packages_is_told_so(
    host: Host, facts: Facts, manifest: Manifest, changes: dict[str, object]
) -> None:
    manifest = with_debs(manifest, optional=True, jq="1.6")
    assert parse_manifest(format_manifest(manifest)) == manifest
    facts = replace(facts, **changes)
    plan = make_plan(wanted(host, facts, manifest), facts)
    assert plan.left_out == ("bookworm",)
    assert "packages" not in [action.step for action in plan.actions]


def test_nothing_is_told_where_the_packages_fit_or_there_are_none(host: Host, facts: Facts, manifest: Manifest) -> None:
    facts = replace(facts, packages={})
    assert make_plan(wanted(host, facts, manifest), facts).left_out == ()
    assert make_plan(wanted(host, facts, with_debs(manifest, optional=True, jq="1.6")), facts).left_out == ()


def test_the_plan_has_it_before_the_release(host: Host, facts: Facts, manifest: Manifest) -> None:
    facts = replace(facts, packages={})
    plan = make_plan(wanted(host, facts, with_debs(manifest, jq="1.6")), facts)
    assert [action.step for action in plan.actions][1:6] == ["store", "trust", "marks", "packages", "release"]


@pytest.mark.parametrize("name", ["../jq_1_all.deb", "-o_1_all.deb", "jq.deb", "jq_1_all.deb/x"])
def test_names_that_lead_elsewhere_are_no_packages(manifest: Manifest, name: str) -> None:
    item: Item = replace(with_debs(manifest, jq="1.6").items[-1], name=name)
    with pytest.raises(IntegrityError) as refused:
        parse_manifest(format_manifest(replace(manifest, items=(item,))))
    assert str(refused.value) == f'items[0].name: expected a name, got "{name}"'


def test_what_apt_would_do_is_read() -> None:
    assert parse_changes(SIMULATED) == (
        Change(name="libonig5", old="", new="6.9.8-1"),
        Change(name="libc6", old="2.36-9", new="2.36-10"),
        Change(name="old", old="1.0", new=""),
        Change(name="jq", old="1.6", new=""),
    )


def test_what_harms_the_host_is_named() -> None:
    fine = Change(name="libc6", old="2.36-9", new="2.36-10")
    check_changes([fine, Change(name="jq", old="", new="1")])
    with pytest.raises(HostError) as refused:
        check_changes([fine, Change(name="old", old="1.0", new=""), Change(name="low", old="1.10", new="1.9")])
    assert str(refused.value) == (
        "packages: expected to remove and downgrade no package of this host, "
        "apt would remove old, downgrade low from 1.10 to 1.9"
    )
    assert refused.value.hint == HINT


def test_what_ferry_brought_is_on_record(host: Host) -> None:
    host.layout.state.mkdir(parents=True)
    assert own_packages(host.layout) == ()
    record_own(host.layout, ["libjq1", "jq", "jq"])
    assert own_packages(host.layout) == ("jq", "libjq1")
    record_own(host.layout, [])
    assert not host.layout.packages.exists()


def dpkg_host(host: Host, *stanzas: str) -> None:
    """Give a host a dpkg that has packages installed; apt reads it and changes nothing."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        pytest.skip("needs apt-get and dpkg-deb")
    (host.root / "var/lib/dpkg").mkdir(parents=True)
    text = "".join(
        f"{one}Status: install ok installed\nMaintainer: A <a@b.example>\nArchitecture: all\nDescription: A sample\n\n"
        for one in stanzas
    )
    (host.root / "var/lib/dpkg/status").write_text(text)


def published(host: Host, work: Path, *debs: tuple[str, str, dict[str, str]]) -> HostApt:
    made = [make_deb(work, name, version, **fields) for name, version, fields in debs]
    store = Store(work / "store")
    for _, path in made:
        store.put(path.read_bytes(), OCTETS)
    listed = list_debs([deb for deb, _ in made], store, created="2026-02-01T03:04:05Z", architecture="amd64")
    files = {name: store.path(store.put(data, OCTETS).sha256) for name, data in listed.items()}
    apt = HostApt(host.layout)
    apt.publish({**files, **{deb.file_name: store.path(deb.sha256) for deb, _ in made}})
    return apt


def test_apt_itself_finds_what_goes_in(host: Host, tmp_path: Path) -> None:
    dpkg_host(host, "Package: base\nVersion: 1.0\n")
    apt = published(host, tmp_path, ("top", "1.0", {"Depends": "middle, base"}), ("middle", "2.0", {}))
    assert installed_packages(host.layout, "x86_64") == {"base": "1.0"}
    changes = apt.simulate("install", "top=1.0")
    assert sorted((one.name, one.old, one.new) for one in changes) == [("middle", "", "2.0"), ("top", "", "1.0")]


def test_apt_itself_says_what_would_go(host: Host, tmp_path: Path) -> None:
    dpkg_host(host, "Package: other\nVersion: 1.0\n")
    apt = published(host, tmp_path, ("top", "1.0", {"Conflicts": "other"}))
    with pytest.raises(HostError) as refused:
        check_changes(apt.simulate("install", "top=1.0"))
    assert str(refused.value) == (
        "packages: expected to remove and downgrade no package of this host, apt would remove other"
    )


def test_what_others_came_to_need_stays(host: Host) -> None:
    dpkg_host(
        host,
        "Package: top\nVersion: 1.0\nDepends: middle\n",
        "Package: middle\nVersion: 1.0\n",
        "Package: foreign\nVersion: 1.0\nDepends: middle\n",
    )
    apt = HostApt(host.layout)
    assert removable(goes_with(apt), ["middle", "top"]) == ["top"]
    assert removable(goes_with(apt), ["top"]) == ["top"]
    assert removable(goes_with(apt), []) == []


def test_the_plan_counts_what_packages_take_when_unpacked(host: Host, facts: Facts, tmp_path: Path) -> None:
    plain, _ = host_manifest(tmp_path, [])
    manifest = with_debs(plain, jq="1.6", libjq1="1.6", old="2", vague="1")
    sizes = {"jq": "1000", "libjq1": "200", "old": "50000", "vague": "much"}
    items = tuple(
        replace(item, source=(*item.source, ("installed_bytes", sizes[item.name.partition("_")[0]])))
        if item.kind == "deb"
        else item
        for item in manifest.items
    )
    wanted = want(replace(manifest, items=items), "0" * 64, read_trust(host.trust), facts, changes={}, python=PYTHON)
    assert make_plan(wanted, replace(facts, packages={"old": "2"})).packages_bytes == 1200
    has_all = {"old": "2", "jq": "1.6", "libjq1": "2", "vague": "1"}
    assert make_plan(wanted, replace(facts, packages=has_all)).packages_bytes == 0
