"""RPM packages for the isolated host: a small distribution on loopback, through dnf, rpmkeys and createrepo_c."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from bundles import entry, packed
from command import CHECKOUT, ferry
from hosts import Host, host_manifest
from rpms import (
    BASH,
    RELEASE,
    RIVAL,
    Distribution,
    Signer,
    Spec,
    build_rpm,
    make_repository,
    reason_unavailable,
    served,
)
from serving import Running
from values import lock

from bundler.carried.rpm import carry_rpms
from bundler.errors import IntegrityError, ResolveError
from bundler.installer.rpms import installed_rpms
from bundler.installer.uninstall import uninstall
from bundler.model.descriptor import OCTETS
from bundler.model.manifest import Item
from bundler.model.platform import PLATFORMS
from bundler.model.rpm import LockedRpm, LockedRpmKey, RpmSource
from bundler.model.target import Target
from bundler.resolve.rpm import resolve_rpms
from bundler.rpmrepo import list_rpms
from bundler.store import Store
from bundler.target.described import describe_target

AMD64 = PLATFORMS[:1]
CREATED = "2026-02-01T03:04:05Z"
OFFER = f"the repositories of {RELEASE} must offer all of it, under the keys that they name"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    if reason := reason_unavailable():
        pytest.skip(reason)
    return Distribution(tmp_path_factory.mktemp("distribution"))


@pytest.fixture
def repository(made: Distribution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the repository, served and configured."""
    copy = tmp_path / "repository"
    shutil.copytree(made.repository, copy)
    with served(copy) as url:
        for name, value in made.configure(tmp_path / "repositories", url).items():
            monkeypatch.setenv(name, value)
        yield copy


def resolve(*names: str, hosts: tuple[Target, ...] = ()) -> tuple[tuple[LockedRpm, ...], tuple[LockedRpmKey, ...]]:
    resolved = resolve_rpms((RpmSource(release=RELEASE, packages=names),), AMD64, hosts)
    assert resolved.unsigned == ()
    return resolved.rpms, resolved.keys


def named(rpms: tuple[LockedRpm, ...]) -> list[str]:
    return [f"{rpm.name} {rpm.version} {rpm.architecture}" for rpm in rpms]


def host(*packages: str) -> Target:
    known = {
        "os": {"id": "SampleOS", "version": "1", "name": None, "codename": None},
        "machine": "x86_64",
        "kernel": None,
        "glibc": None,
        "init": {"name": None, "version": None},
        "package_manager": "dnf",
        "packages": list(packages),
    }
    return describe_target(known, name="host", place="target")


def refusal(*names: str, hosts: tuple[Target, ...] = ()) -> ResolveError:
    with pytest.raises(ResolveError) as refused:
        resolve(*names, hosts=hosts)
    return refused.value


def test_what_a_minimal_host_lacks_is_locked(made: Distribution, repository: Path) -> None:
    rpms, keys = resolve("top")
    assert named(rpms) == ["middle 2.1-1 x86_64", "top 1:2.0-1 noarch"]
    assert {(rpm.release, rpm.repository, str(rpm.platform)) for rpm in rpms} == {(RELEASE, "base", "linux/amd64")}
    assert [rpm.path for rpm in rpms] == ["Packages/middle-2.1-1.x86_64.rpm", "Packages/top-2.0-1.noarch.rpm"]
    assert [rpm.size for rpm in rpms] == [made.path(name).stat().st_size for name in ("middle", "top")]
    assert keys == (LockedRpmKey(repository="base", text=made.signer.public),)
    assert resolve("top") == (rpms, keys), "the same lists give the same lock"


def test_all_keys_of_a_file_are_locked_and_what_is_none_is_refused(
    made: Distribution, repository: Path, tmp_path: Path
) -> None:
    other = Signer(tmp_path / "other", "Other").public
    key = tmp_path / "keys.asc"
    key.write_text(f"Of the release:\n{made.signer.public}\nOf its updates:\r\n{other}")
    with served(repository) as url:
        made.configure(tmp_path / "repositories", url, gpgkey=f"file://{key}")
        texts = {one.text for one in resolve("middle")[1]}
        assert texts == {made.signer.public, other}
        key.write_bytes(b"\x99\x01\x0d\x04")
        (repository / "repodata/repomd.xml.asc").unlink()
        assert str(refusal("middle")) == f"file://{key}: expected a public key of OpenPGP in ASCII"
        key.unlink()
        assert str(refusal("middle")) == f"file://{key}: the key cannot be read: No such file or directory"


def test_what_a_described_host_has_is_left_out(repository: Path) -> None:
    here = ("bash 1.0-1 x86_64", "coreutils 1.0-1 noarch", "zlib 1.2-3 x86_64")
    assert named(resolve("top", hosts=(host(*here, "middle 2.1-1 x86_64"),))[0]) == ["top 1:2.0-1 noarch"]
    both = ["middle 2.1-1 x86_64", "top 1:2.0-1 noarch"]
    assert named(resolve("top", hosts=(host(*here, "middle 1.9-1 x86_64"),))[0]) == both, "an older one is replaced"
    assert named(resolve("top", hosts=(host(*here),))[0]) == both
    assert resolve("top", hosts=(host(*here, "middle 3.0-1 x86_64", "top 1:2.0-1 noarch"),)) == ((), ())


def test_what_an_installed_package_provides_is_known_from_its_other_versions(repository: Path) -> None:
    """The repository has dropped bash 0.9, which provides /bin/sh as 1.0 does."""
    rpms, _ = resolve("middle", hosts=(host("bash 0.9-1 x86_64"),))
    assert named(rpms) == ["middle 2.1-1 x86_64"]
    assert named(resolve("middle", hosts=(host("zlib 1-1 x86_64"),))[0]) == ["bash 1.0-1 x86_64", "middle 2.1-1 x86_64"]


def test_what_does_not_fit_is_told_in_the_words_of_dnf(repository: Path) -> None:
    error = refusal("lost")
    assert error.place == "rpms"
    assert error.message.startswith(f"dnf found no lost of {RELEASE} for linux/amd64: ")
    assert error.message.endswith("nothing provides nowhere needed by lost-1.0-1.noarch")
    assert error.hint == OFFER
    error = refusal("top", "rival")
    assert "package rival-1.0-1.noarch conflicts with middle provided by middle-2.1-1.x86_64" in error.message
    error = refusal("no-such-package")
    assert error.message.endswith("No match for argument: no-such-package")
    error = refusal("rival", hosts=(host("bash 1.0-1 x86_64", "middle 2.1-1 x86_64"),))
    assert "package rival-1.0-1.noarch conflicts with middle provided by middle-2.1-1.x86_64" in error.message


def test_what_would_go_from_the_host_is_refused(repository: Path) -> None:
    error = refusal("heir", hosts=(host("elder 1.0-1 noarch"),))
    assert str(error) == "rpms: expected to replace no package of the host, dnf would remove elder"


def test_lists_that_a_stranger_signed_are_refused(repository: Path, tmp_path: Path) -> None:
    Signer(tmp_path / "stranger", "Stranger").sign_detached(repository / "repodata/repomd.xml")
    assert "repomd.xml GPG signature verification error" in refusal("top").message


def test_lists_that_were_changed_are_refused(repository: Path) -> None:
    path = repository / "repodata/repomd.xml"
    path.write_bytes(path.read_bytes().replace(b"<revision>", b"<revision>1"))
    assert "repomd.xml GPG signature verification error: Bad GPG signature" in refusal("top").message
    make_repository(repository, [], None)
    (repository / "repodata/repomd.xml.asc").unlink()
    (primary,) = (repository / "repodata").glob("*-primary.xml.gz")
    primary.write_bytes(primary.read_bytes()[:-1] + b"x")
    assert "Yum repo downloading error" in refusal("top").message


def test_a_signature_that_is_demanded_and_missing_is_an_error(
    made: Distribution, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (repository / "repodata/repomd.xml.asc").unlink()
    assert named(resolve("middle")[0]) == ["middle 2.1-1 x86_64"], "packages have their own signatures"
    with served(repository) as url:
        made.configure(tmp_path / "repositories", url, repo_gpgcheck="1")
        assert "repomd.xml.asc" in refusal("middle").message


def test_a_repository_on_disk_will_do(made: Distribution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in made.configure(tmp_path, f"file://{made.repository}").items():
        monkeypatch.setenv(name, value)
    assert named(resolve("middle")[0]) == ["middle 2.1-1 x86_64"]


def stored(made: Distribution, tmp_path: Path, *names: str) -> tuple[Store, list[LockedRpm], list[LockedRpmKey]]:
    store = Store(tmp_path / "store")
    rpms = []
    for name in names:
        path = made.path(name)
        descriptor = store.put(path.read_bytes(), OCTETS)
        version = {"top": "1:2.0-1", "middle": "2.1-1"}.get(name, "1.0-1")
        rpms.append(
            LockedRpm(
                release=RELEASE,
                repository="base",
                name=name,
                version=version,
                architecture=path.name.split(".")[-2],
                path=f"Packages/{path.name}",
                size=descriptor.size,
                sha256=descriptor.sha256,
                platform=AMD64[0],
            )
        )
    return store, rpms, [LockedRpmKey(repository="base", text=made.signer.public)]


def test_the_same_lock_gives_the_same_lists(
    made: Distribution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, rpms, keys = stored(made, tmp_path / "one", "top", "middle")
    first = list_rpms(rpms, keys, store, created=CREATED)
    assert sorted(first) == [
        f"repodata/{n}" for n in ("filelists.xml.gz", "other.xml.gz", "primary.xml.gz", "repomd.xml")
    ]
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    store, rpms, keys = stored(made, tmp_path / "two", "middle", "top")
    for rpm in rpms:
        os.utime(store.path(rpm.sha256), (5, 5))
    assert list_rpms(rpms, keys, store, created=CREATED) == first
    assert list_rpms([], keys, store, created=CREATED) == {}


def refused_list(rpms: list[LockedRpm], keys: list[LockedRpmKey], store: Store) -> IntegrityError:
    with pytest.raises(IntegrityError) as refused:
        list_rpms(rpms, keys, store, created=CREATED)
    return refused.value


def test_packages_that_no_key_of_the_repository_signed_go_into_no_bundle(made: Distribution, tmp_path: Path) -> None:
    store, rpms, keys = stored(made, tmp_path, "top", "middle")
    stranger = Signer(tmp_path / "stranger", "Stranger")
    keyid = made.signer.fingerprint[-8:].lower()
    error = refused_list(rpms[:1], [LockedRpmKey(repository="base", text=stranger.public)], store)
    assert str(error) == (
        "rpms: base: expected packages that a key of the repository signed, rpmkeys says: "
        f"top-2.0-1.noarch.rpm: Header V4 RSA/SHA512 Signature, key ID {keyid}: NOKEY"
    )
    other = [LockedRpmKey(repository="updates", text=keys[0].text)]
    assert "NOKEY" in refused_list(rpms, other, store).message, "a key of another repository does not count"
    unsigned = build_rpm(tmp_path / "unsigned", RIVAL).read_bytes()
    descriptor = store.put(unsigned, OCTETS)
    rival = LockedRpm(
        release=RELEASE,
        repository="base",
        name="rival",
        version="1.0-1",
        architecture="noarch",
        path="rival.rpm",
        size=len(unsigned),
        sha256=descriptor.sha256,
        platform=AMD64[0],
    )
    error = refused_list([*rpms, rival], keys, store)
    assert error.message.endswith("rpmkeys says: rival-1.0-1.noarch.rpm: no signature")
    assert error.place == "rpms: base"


def test_a_package_with_other_bytes_behind_its_signature_is_refused(made: Distribution, tmp_path: Path) -> None:
    store, (rpm,), keys = stored(made, tmp_path, "middle")
    data = bytearray(made.path("middle").read_bytes())
    data[-20] ^= 1
    changed = store.put(bytes(data), OCTETS)
    error = refused_list([replace(rpm, sha256=changed.sha256)], keys, store)
    assert "Payload SHA256 digest: BAD" in error.message


def test_a_package_that_is_not_what_the_lock_says_is_refused(made: Distribution, tmp_path: Path) -> None:
    store, (rpm,), keys = stored(made, tmp_path, "top")
    error = refused_list([replace(rpm, version="2.0-1")], keys, store)
    assert str(error) == "rpms: expected top 2.0-1 noarch, got top 1:2.0-1 noarch"


def test_two_packages_of_one_name_are_refused_and_spoil_no_blob(made: Distribution, tmp_path: Path) -> None:
    store, (top, middle), keys = stored(made, tmp_path, "top", "middle")
    twin = replace(top, version="2:2.0-1", sha256=middle.sha256)
    assert (
        str(refused_list([top, twin], keys, store)) == 'rpms: two packages would have the name "top-2.0-1.noarch.rpm"'
    )
    assert store.read(top.sha256) == made.path("top").read_bytes()


DRIVER = Spec(name="driver", tags=("Requires: middle",))


def test_packages_that_nobody_signs_must_be_allowed_and_stand_apart(
    made: Distribution, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor = tmp_path / "vendor"
    make_repository(vendor, [build_rpm(tmp_path / "build", DRIVER)], None)
    path = tmp_path / "repositories" / RELEASE / "vendor.repo"
    path.write_text(f"[vendor]\nbaseurl=file://{vendor}\ngpgcheck=0\n")
    assert str(refusal("driver")) == (
        f"{path}: [vendor]: gpgcheck: expected 1, got 0: packages that nobody signed go into no bundle"
    )
    resolved = resolve_rpms((RpmSource(release=RELEASE, packages=("driver",)),), AMD64, (), ("vendor", "base"))
    assert [(rpm.name, rpm.repository) for rpm in resolved.rpms] == [("driver", "vendor"), ("middle", "base")]
    assert resolved.unsigned == ("vendor",), "what is configured with a key is checked all the same"
    assert [key.repository for key in resolved.keys] == ["base"]

    store = Store(tmp_path / "store")
    for directory in (vendor, repository):
        for one in (directory / "Packages").iterdir():
            store.put(one.read_bytes(), OCTETS)
    given = replace(lock(), rpms=resolved.rpms, rpm_keys=resolved.keys, unsigned_repositories=resolved.unsigned)
    items = list(carry_rpms(given, AMD64[0], store))
    names = [f"repodata/{n}" for n in ("repomd.xml", "primary.xml.gz", "filelists.xml.gz", "other.xml.gz")]
    assert [item.name for item in items[:-1]] == [
        "middle-2.1-1.x86_64.rpm",
        *names,
        "driver-1.0-1.noarch.rpm",
        *(f"unsigned/{name}" for name in names),
    ]
    assert [dict(item.source).get("signed") for item in items if item.kind == "rpm"] == [None, "no"]
    with pytest.raises(IntegrityError) as refused:
        list(carry_rpms(replace(given, unsigned_repositories=()), AMD64[0], store))
    assert str(refused.value) == (
        "rpms: vendor: expected packages that a key of the repository signed, rpmkeys says: "
        "driver-1.0-1.noarch.rpm: no signature"
    )

    bundle = bundle_with(items, store, tmp_path)
    for name, value in host_home(tmp_path).items():
        monkeypatch.setenv(name, value)
    host = Host(tmp_path / "host")
    bash = build_rpm(tmp_path / "build", BASH)
    subprocess.run(["rpm", "--root", host.root, "-i", "--nosignature", bash], check=True, capture_output=True)
    before = installed_rpms(host.layout)
    outcome = host.install(bundle)
    assert [action.reason for action in outcome.plan.actions if action.step == "rpms"] == [
        "middle.x86_64: is not installed; driver.noarch: is not installed (nobody signed it)"
    ]
    here = installed_rpms(host.layout)
    assert here is not None
    assert sorted(name.partition(".")[0] for name in here) == ["bash", "driver", "gpg-pubkey", "middle"]
    assert host.install(bundle).plan.actions == ()
    uninstall(host.layout, host.systemd)
    assert installed_rpms(host.layout) == before


def bundle_with(items: Sequence[Item], store: Store, work: Path) -> bytes:
    """Return a signed bundle with items of a store."""
    manifest, contents = host_manifest(work, [])
    entries = {one.name: one for one in manifest.entries}
    for item in items:
        data = store.read(item.descriptor.sha256)
        entries[item.descriptor.entry_name] = entry("", data)
        contents[item.descriptor.entry_name] = data
    return packed(replace(manifest, items=(*manifest.items, *items), entries=tuple(entries.values())), contents)


def host_home(work: Path) -> dict[str, str]:
    """Return the variable by which rpm of this Debian keeps its database where RPM distributions have it."""
    (work / "home").mkdir()
    (work / "home/.rpmmacros").write_text("%_dbpath /var/lib/rpm\n")
    return {"HOME": str(work / "home")}


@pytest.mark.parametrize("signed_by", ["its distribution", "a stranger"])
def test_dnf_installs_from_a_served_bundle(
    signed_by: str, made: Distribution, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, rpms, keys = stored(made, tmp_path, "top", "middle", "coreutils")
    items = list(carry_rpms(replace(lock(), rpms=tuple(rpms), rpm_keys=tuple(keys)), AMD64[0], store))
    (tmp_path / "bundle.tar").write_bytes(bundle_with(items, store, tmp_path))
    for name, value in host_home(tmp_path).items():
        monkeypatch.setenv(name, value)
    root = tmp_path / "root"
    bash = build_rpm(tmp_path / "build", BASH)
    subprocess.run(["rpm", "--root", root, "-i", "--nosignature", bash], check=True, capture_output=True)
    running = Running(tmp_path / "bundle.tar")
    key = next(item.name for item in items if item.name.startswith("keys/"))
    gpgkey = f"{running.server.url}/rpm/{key}"
    if signed_by == "a stranger":
        (tmp_path / "stranger.asc").write_text(Signer(tmp_path / "stranger", "Stranger").public)
        gpgkey = f"file://{tmp_path / 'stranger.asc'}"
    (tmp_path / "repos").mkdir()
    (tmp_path / "repos/ferry.repo").write_text(
        f"[ferry]\nname=Ferry\nbaseurl={running.server.url}/rpm/\ngpgkey={gpgkey}\ngpgcheck=1\nproxy=\n"
    )
    words = ["--installroot", root, "--setopt", f"reposdir={tmp_path / 'repos'}", "--setopt", "cachedir=/cache"]
    words += ["--forcearch", "x86_64", "--releasever", "none", "--assumeyes", "install", "top"]
    try:
        done = subprocess.run(["dnf", *words], check=False, capture_output=True, text=True, timeout=120)
    finally:
        running.stop()
    listed = subprocess.run(["rpm", "--root", root, "-qa", "--qf", "%{NAME}\n"], capture_output=True, text=True)
    here = sorted(name for name in listed.stdout.split() if name != "gpg-pubkey")
    if signed_by == "a stranger":
        assert (done.returncode, here) == (1, ["bash"])
        assert "GPG key" in done.stderr + done.stdout
    else:
        assert done.returncode == 0, done.stderr
        assert here == ["bash", "coreutils", "middle", "top"]
        assert (root / "usr/bin/top-sample").is_file()


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A copy of recipes/hello that wants top on an x86-64 host."""
    to = tmp_path / "recipe"
    shutil.copytree(CHECKOUT / "recipes/hello", to, ignore=shutil.ignore_patterns("__pycache__"))
    text = (to / "recipe.yaml").read_text().replace("[linux/amd64, linux/arm64]", "[linux/amd64]")
    (to / "recipe.yaml").write_text(f"{text}rpms:\n  - {{release: {RELEASE}, packages: [top]}}\n")
    return to


@pytest.mark.network
def test_a_bundle_carries_packages_lists_and_keys(
    made: Distribution, repository: Path, recipe: Path, tmp_path: Path
) -> None:
    assert ferry("lock", recipe).stdout.splitlines()[0].endswith(", 1 files, 2 rpms for the host")
    text = (recipe / "recipe.lock.yaml").read_text()
    assert "127.0.0.1" not in text
    assert yaml.safe_load(text)["rpm_keys"] == [{"repository": "base", "lines": made.signer.public.splitlines()}]
    keystore = {"FERRY_KEYSTORE": str(tmp_path / "keystore")}
    paths = [tmp_path / "one.tar", tmp_path / "two.tar"]
    for path, zone in zip(paths, ("UTC", "Asia/Shanghai"), strict=True):
        ferry("build", recipe, "--yes", "-o", path, TZ=zone, LC_ALL="C.UTF-8", **keystore)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    items = json.loads(ferry("inspect", paths[0], "--json").stdout)["items"]
    assert [one["purl"] for one in items if one["kind"] == "rpm"] == [
        "pkg:rpm/sampleos/middle@2.1-1?arch=x86_64&distro=sampleos-1",
        "pkg:rpm/sampleos/top@2.0-1?arch=noarch&distro=sampleos-1&epoch=1",
    ]
    lists = [one["name"] for one in items if one["kind"] == "dnf"]
    assert lists[:4] == [f"repodata/{n}" for n in ("repomd.xml", "primary.xml.gz", "filelists.xml.gz", "other.xml.gz")]
    assert [name.partition("/")[0] for name in lists[4:]] == ["keys"]


@pytest.mark.network
def test_a_package_that_the_mirror_changed_is_refused(repository: Path, recipe: Path, tmp_path: Path) -> None:
    ferry("lock", recipe)
    path = repository / "Packages/middle-2.1-1.x86_64.rpm"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    words = {"FERRY_STORE": str(tmp_path / "store"), "FERRY_KEYSTORE": str(tmp_path / "keystore")}
    done = ferry("build", recipe, "--yes", "-o", tmp_path / "one.tar", code=6, **words)
    assert "/Packages/middle-2.1-1.x86_64.rpm: expected " in done.stderr
    assert done.stderr.endswith("hint: the mirror serves other bytes than were locked: stop\n")
    assert not (tmp_path / "one.tar").exists()


@pytest.mark.network
def test_the_lock_command_warns_of_packages_that_nobody_signed(repository: Path, recipe: Path, tmp_path: Path) -> None:
    vendor = tmp_path / "vendor"
    make_repository(vendor, [build_rpm(tmp_path / "build", DRIVER)], None)
    path = tmp_path / "repositories" / RELEASE / "vendor.repo"
    path.write_text(f"[vendor]\nbaseurl=file://{vendor}\ngpgcheck=0\n")
    text = (recipe / "recipe.yaml").read_text().replace("packages: [top]", "packages: [driver]")
    (recipe / "recipe.yaml").write_text(text)
    assert ferry("lock", recipe, code=4).stderr == (
        f"error: {path}: [vendor]: gpgcheck: expected 1, got 0: packages that nobody signed go into no bundle\n"
        "hint: sign them with rpmsign and name the key in gpgkey; if nobody can: "
        "--allow-packages-that-nobody-signed vendor\n"
    )
    done = ferry("lock", recipe, "--allow-packages-that-nobody-signed", "vendor")
    assert done.stderr == "warning: nobody signed the packages of vendor\n"
    locked = yaml.safe_load((recipe / "recipe.lock.yaml").read_text())
    assert locked["unsigned_repositories"] == ["vendor"]
