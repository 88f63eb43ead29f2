"""Step `rpms`: when it is due, what it refuses, and what dnf and rpm say of it on a root of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hosts import Host, host_manifest, service, wanted
from rpms import Signer, Spec, build_rpm, make_repository, reason_unavailable

from bundler.errors import HostError, IntegrityError, StepError
from bundler.installer.facts import Facts
from bundler.installer.plan import make_plan
from bundler.installer.removal import removable
from bundler.installer.rpms import (
    Change,
    HostDnf,
    check_changes,
    goes_with,
    installed_rpms,
    own_rpms,
    parse_changes,
    record_own,
    remove_own,
)
from bundler.installer.steps import rpms
from bundler.model.manifest import Item, Manifest, format_manifest, parse_manifest

HINT = "lock the recipe for this host: ferry target probe, then ferry lock --target"
# As dnf 4.14 prints it; the last name is too long for its column.
SIMULATED = """\
Last metadata expiration check: 0:00:01 ago on Mon Nov 23 06:50:32 2026.
Dependencies resolved.
================================================================================
 Package         Architecture       Version             Repository         Size
================================================================================
Installing:
 needslow        noarch             1:1.0-1             ferry             6.1 k
     replacing  old-thing.noarch 1.0-1
Installing dependencies:
 middle          x86_64             2.1-1               ferry             6.1 k
Upgrading:
 up              noarch             2.0-1               ferry             6.0 k
Downgrading:
 low             noarch             1.0-1               ferry             6.0 k
Removing dependent packages:
 a-name-that-is-longer-than-its-column
                 noarch             1.0-1               @System           13

Transaction Summary
================================================================================
Install    2 Packages
"""


def with_rpms(manifest: Manifest, **versions: str) -> Manifest:
    given = manifest.items[0]
    added = [
        replace(given, kind="rpm", name=f"{name}-{version.rpartition(':')[2]}.noarch.rpm", version=version, to="")
        for name, version in versions.items()
    ]
    return replace(manifest, items=(*manifest.items, *added))


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return host_manifest(tmp_path, [service("agent", 8090)])[0]


def reason(host: Host, facts: Facts, manifest: Manifest, here: Mapping[str, str]) -> str | None:
    action = rpms.due(wanted(host, facts, manifest), replace(facts, rpms=here, has_dnf=True))
    return action and action.reason


def test_it_is_due_for_what_is_missing_or_older(host: Host, facts: Facts, manifest: Manifest) -> None:
    manifest = with_rpms(manifest, **{"jq": "1:1.6-10.oe2203", "oniguruma-devel": "6.9.8-1", "zlib": "1.2-1"})
    here = {"jq.noarch": "1:1.6-9.oe2203", "zlib.noarch": "1.2-1"}
    assert reason(host, facts, manifest, here) == (
        "jq.noarch: is 1:1.6-9.oe2203, older than 1:1.6-10.oe2203; oniguruma-devel.noarch: is not installed"
    )
    newer = {"jq.noarch": "2:0-1", "oniguruma-devel.noarch": "6.9.8-1", "zlib.noarch": "1.2.1~rc1-1"}
    assert reason(host, facts, manifest, newer) is None


def test_a_bundle_without_rpms_asks_nothing_of_the_host(host: Host, facts: Facts, manifest: Manifest) -> None:
    assert facts.rpms is None
    assert rpms.due(wanted(host, facts, manifest), facts) is None


@pytest.mark.parametrize(
    ("changes", "lacks"),
    [
        ({"rpms": None, "has_dnf": True}, "the database of rpm is not there"),
        ({"rpms": {}, "has_dnf": False}, "dnf is not there"),
    ],
)
def test_a_host_without_rpm_is_refused(
    host: Host, facts: Facts, manifest: Manifest, changes: dict[str, object], lacks: str
) -> None:
    before = host.listing()
    facts = replace(facts, **changes)  # type: ignore[arg-type]
    with pytest.raises(HostError) as refused:
        make_plan(wanted(host, facts, with_rpms(manifest, jq="1.6-1")), facts)
    assert str(refused.value) == f"rpms: expected a host with rpm and dnf, {lacks}"
    assert refused.value.hint == (
        "this bundle brings RPM packages: use a host of the distribution that it was locked for, "
        "or a recipe without rpms"
    )
    assert host.listing() == before


def test_the_plan_has_it_before_the_release(host: Host, facts: Facts, manifest: Manifest) -> None:
    facts = replace(facts, rpms={}, has_dnf=True)
    plan = make_plan(wanted(host, facts, with_rpms(manifest, jq="1.6-1")), facts)
    assert [action.step for action in plan.actions][1:6] == ["store", "trust", "marks", "rpms", "release"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("rpm", "../jq-1-1.noarch.rpm"),
        ("rpm", "-o-1-1.noarch.rpm"),
        ("rpm", "jq.rpm"),
        ("rpm", "jq-1-1.noarch.rpm/x"),
        ("rpm", "@core-1-1.noarch.rpm"),
        ("dnf", "repodata/../repomd.xml"),
        ("dnf", "ferry.repo"),
        ("dnf", "keys/x.asc"),
    ],
)
def test_names_that_lead_elsewhere_are_no_packages(manifest: Manifest, kind: str, name: str) -> None:
    item: Item = replace(with_rpms(manifest, jq="1.6-1").items[-1], kind=kind, name=name)
    with pytest.raises(IntegrityError) as refused:
        parse_manifest(format_manifest(replace(manifest, items=(item,))))
    assert str(refused.value) == f'items[0].name: expected a name, got "{name}"'


def test_what_dnf_would_do_is_read() -> None:
    assert parse_changes(SIMULATED) == (
        Change(verb="install", name="needslow.noarch", version="1:1.0-1"),
        Change(verb="remove", name="old-thing.noarch", version="1.0-1"),
        Change(verb="install", name="middle.x86_64", version="2.1-1"),
        Change(verb="upgrade", name="up.noarch", version="2.0-1"),
        Change(verb="downgrade", name="low.noarch", version="1.0-1"),
        Change(verb="remove", name="a-name-that-is-longer-than-its-column.noarch", version="1.0-1"),
    )
    assert parse_changes("Dependencies resolved.\nNothing to do.\nComplete!\n") == ()


def test_what_harms_the_host_is_named() -> None:
    fine = Change(verb="upgrade", name="up.noarch", version="2.0-1")
    check_changes([fine, Change(verb="install", name="jq.x86_64", version="1-1")])
    with pytest.raises(HostError) as refused:
        check_changes(parse_changes(SIMULATED))
    assert str(refused.value) == (
        "rpms: expected to remove and downgrade no package of this host, dnf would remove old-thing.noarch, "
        "downgrade low.noarch to 1.0-1, remove a-name-that-is-longer-than-its-column.noarch"
    )
    assert refused.value.hint == HINT


def test_what_ferry_brought_is_on_record(host: Host) -> None:
    host.layout.state.mkdir(parents=True)
    assert own_rpms(host.layout) == ()
    record_own(host.layout, ["libjq1.noarch", "jq.noarch", "jq.noarch"])
    assert own_rpms(host.layout) == ("jq.noarch", "libjq1.noarch")
    record_own(host.layout, [])
    assert not host.layout.rpms.exists()


# From here on dnf and rpm themselves work on the host's directory.


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if reason := reason_unavailable():
        pytest.skip(reason)
    return tmp_path_factory.mktemp("rpms")


@pytest.fixture(scope="session")
def signer(work: Path) -> Signer:
    return Signer(work / "gpg")


@pytest.fixture
def rpm_host(host: Host, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Host]:
    """Return a function that gives the host an rpm database with packages."""
    # On Debian rpm keeps its database below the user's home, unless that user says otherwise.
    (tmp_path / "home").mkdir()
    (tmp_path / "home/.rpmmacros").write_text("%_dbpath /var/lib/rpm\n")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    host.layout.state.mkdir(parents=True)

    def install(*specs: Spec) -> Host:
        paths = [build_rpm(tmp_path / "installed", spec) for spec in specs]
        argv = ["rpm", "--root", host.root, "--install", "--nosignature", *paths]
        subprocess.run(argv, check=True, capture_output=True)
        return host

    return install


def published(host: Host, work: Path, signer: Signer | None, *specs: Spec, key: str) -> HostDnf:
    """Publish packages that were signed, with a key that need not be theirs."""
    paths = [build_rpm(work / "built", spec) for spec in specs]
    if signer:
        signer.sign_rpm(*paths)
    make_repository(work / "repository", paths, None)
    (work / "key.asc").write_text(key)
    files = {path.name: path for path in paths}
    files |= {f"repodata/{path.name}": path for path in (work / "repository/repodata").iterdir()}
    dnf = HostDnf(host.layout)
    # Its lists name packages in a directory of theirs.
    files = {f"Packages/{name}" if name.endswith(".rpm") else name: path for name, path in files.items()}
    dnf.publish({**files, "keys/0123456789abcdef.asc": work / "key.asc"})
    return dnf


def test_dnf_itself_installs_and_removes_what_is_signed(
    rpm_host: Callable[..., Host], tmp_path: Path, signer: Signer
) -> None:
    host = rpm_host(Spec(name="base"))
    before = installed_rpms(host.layout)
    assert before == {"base.noarch": "1.0-1"}
    top = Spec(name="top", epoch=1, tags=("Requires: middle >= 2", "Requires: base"))
    dnf = published(host, tmp_path, signer, top, Spec(name="middle", version="2.0"), key=signer.public)
    wish = "top-1:1.0-1.noarch"
    changes = dnf.simulate("install", wish)
    assert changes == (
        Change(verb="install", name="top.noarch", version="1:1.0-1"),
        Change(verb="install", name="middle.noarch", version="2.0-1"),
    )
    assert installed_rpms(host.layout) == before, "nothing is changed by asking"
    keys = dnf.new_keys()
    assert [name.rpartition("-")[0] for name in keys] == [f"gpg-pubkey-{signer.fingerprint[-8:].lower()}"]
    record_own(host.layout, [*(change.name for change in changes), *keys])
    dnf.install([wish])
    here = installed_rpms(host.layout)
    assert here is not None
    assert {**here} == {
        **before,
        "top.noarch": "1:1.0-1",
        "middle.noarch": "2.0-1",
        "gpg-pubkey.(none)": here["gpg-pubkey.(none)"],
    }
    assert (host.root / "usr/share/top/name").read_text() == "top 1.0\n"
    assert dnf.new_keys() == []
    remove_own(host.layout)
    assert installed_rpms(host.layout) == before
    assert not (host.root / "usr/share/top").exists()


def test_packages_that_nobody_or_a_stranger_signed_are_refused_by_dnf_itself(
    rpm_host: Callable[..., Host], tmp_path: Path, signer: Signer
) -> None:
    host = rpm_host(Spec(name="base"))
    dnf = published(host, tmp_path, None, Spec(name="top"), key=signer.public)
    with pytest.raises(StepError) as refused:
        dnf.install(["top-1.0-1.noarch"])
    assert refused.value.message.endswith("Package top-1.0-1.noarch.rpm is not signed\nError: GPG check FAILED")
    stranger = Signer(tmp_path / "stranger", "Stranger")
    dnf = published(host, tmp_path, stranger, Spec(name="top"), key=signer.public)
    with pytest.raises(StepError) as refused:
        dnf.install(["top-1.0-1.noarch"])
    assert "Public key for top-1.0-1.noarch.rpm is not installed" in refused.value.message
    assert "top.noarch" not in (installed_rpms(host.layout) or {})


def test_conflicts_are_told_in_the_words_of_dnf(rpm_host: Callable[..., Host], tmp_path: Path, signer: Signer) -> None:
    host = rpm_host(Spec(name="other"))
    dnf = published(host, tmp_path, signer, Spec(name="top", tags=("Conflicts: other",)), key=signer.public)
    with pytest.raises(StepError) as refused:
        dnf.simulate("install", "top-1.0-1.noarch")
    assert refused.value.message == (
        "Problem: package top-1.0-1.noarch conflicts with other provided by other-1.0-1.noarch\n"
        "  - conflicting requests\n"
        "  - problem with installed package other-1.0-1.noarch"
    )


def test_what_a_package_would_replace_is_told(rpm_host: Callable[..., Host], tmp_path: Path, signer: Signer) -> None:
    host = rpm_host(Spec(name="other"))
    dnf = published(host, tmp_path, signer, Spec(name="top", tags=("Obsoletes: other",)), key=signer.public)
    with pytest.raises(HostError) as refused:
        check_changes(dnf.simulate("install", "top-1.0-1.noarch"))
    assert str(refused.value) == (
        "rpms: expected to remove and downgrade no package of this host, dnf would remove other.noarch"
    )


def test_what_others_came_to_need_stays(rpm_host: Callable[..., Host]) -> None:
    host = rpm_host(
        Spec(name="top", tags=("Requires: middle",)),
        Spec(name="middle"),
        Spec(name="foreign", tags=("Requires: middle",)),
    )
    dnf = HostDnf(host.layout)
    assert removable(goes_with(dnf), ["middle.noarch", "top.noarch"]) == ["top.noarch"]
    assert removable(goes_with(dnf), ["top.noarch"]) == ["top.noarch"]
    assert removable(goes_with(dnf), []) == []
    record_own(host.layout, ["middle.noarch", "top.noarch"])
    remove_own(host.layout)
    assert set(installed_rpms(host.layout) or ()) == {"middle.noarch", "foreign.noarch"}
    assert own_rpms(host.layout) == ()
