"""A differential on a host in a directory: applied, refused without its base, chained, skipped, resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from bundles import SIGNER
from differentials import Release, gzipped, noise, text, zipped
from hosts import NOW, Host

from bundler.errors import HostError, IntegrityError
from bundler.installer.receipt import make_receipt
from bundler.model.progress import Silent
from bundler.model.receipt import parse_lacking
from bundler.verify import Policy, verify

MODEL = noise("model", 300_000)
FIRST = {
    "srv/app.whl": zipped({f"app/{index}.py": text(f"app{index}", 300) for index in range(20)}),
    "srv/layer.tar.gz": gzipped(text("a", 4000), text("b", 4000), text("c", 4000)),
    "srv/model.bin": MODEL,
    "srv/driver.run": noise("driver", 200_000),
}
SECOND = {
    **FIRST,
    "srv/app.whl": zipped({f"app/{index}.py": text(f"app{index}", 300) + b"# new\n" for index in range(20)}),
    "srv/layer.tar.gz": gzipped(text("a", 4000), b"x" * 777 + text("b", 4000), text("c", 4000)),
    "srv/driver.run": noise("driver", 100_000) + b"patched" + noise("driver", 200_000)[100_000:],
    "srv/new.txt": b"new\n",
}
THIRD = {**SECOND, "srv/new.txt": b"newer\n", "srv/driver.run": noise("driver", 150_000)}


@pytest.fixture
def first(tmp_path: Path) -> Release:
    return Release(tmp_path, 1, FIRST)


@pytest.fixture
def second(tmp_path: Path) -> Release:
    return Release(tmp_path, 2, SECOND)


@pytest.fixture
def third(tmp_path: Path) -> Release:
    return Release(tmp_path, 3, THIRD)


def placed(host: Host, files: dict[str, bytes]) -> bool:
    root = host.layout.current / "root"
    return all((root / name).read_bytes() == data for name, data in files.items())


def blobs(host: Host) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (host.layout.store / "blobs/sha256").iterdir()}


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_the_release_of_a_differential_is_that_of_the_full_bundle(
    host: Host, first: Release, second: Release, tmp_path: Path
) -> None:
    host.install(first.path)
    manifest, bundle = second.since(first.path)
    assert manifest.differential is not None
    assert [patch.result.sha256 for patch in manifest.differential.patches] == [
        second.digest("srv/app.whl"),
        second.digest("srv/layer.tar.gz"),
        second.digest("srv/driver.run"),
    ]
    assert len(bundle) < 120_000 < 700_000 < second.path.stat().st_size
    host.install(bundle)
    assert placed(host, SECOND)
    assert list((host.layout.store / "parts").iterdir()) == []
    patched = {patch.patch for patch in manifest.differential.patches}
    assert not patched & set(blobs(host))
    again = host.install(second.path)
    assert again.plan.actions == ()
    assert again.plan.wanted.number == 2
    assert host.install(bundle).plan.actions == ()


def test_a_differential_verifies_without_its_base(first: Release, second: Release, tmp_path: Path) -> None:
    path = tmp_path / "d.tar"
    path.write_bytes(second.since(first.path)[1])
    verified = verify(path, Policy(trusted=(SIGNER.public,)), now=NOW)
    assert verified.manifest.items == second.manifest.items


def test_the_same_base_gives_the_same_bytes(first: Release, second: Release, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    other = Release(tmp_path / "elsewhere", 2, SECOND)
    assert second.since(first.path) == other.since(first.path)


def test_a_host_without_the_base_says_what_it_lacks_and_changes_nothing(
    host: Host, first: Release, second: Release
) -> None:
    _, bundle = second.since(first.path)
    before = host.listing()
    with pytest.raises(HostError) as caught:
        host.install(bundle)
    assert host.listing() == before
    lines = caught.value.message.splitlines()
    assert lines[0].startswith("this differential is against bundle sample 1.0 (sequence 1); 6 blobs (")
    assert lines[0].endswith(" bytes) are not on this host:")
    assert f"  {second.digest('srv/model.bin')}       300,000  file srv/model.bin: missing" in lines
    assert f"  {first.digest('srv/driver.run')}       200,000  a blob of the release before: missing" in lines
    assert caught.value.hint == "the release that runs stays as it is; bring the full bundle"


def test_what_lacks_makes_another_differential_that_fits(host: Host, first: Release, second: Release) -> None:
    host.install(first.path)
    _, bundle = second.since(first.path)
    for name in ("srv/model.bin", "srv/driver.run"):
        spoil(host.layout.store / "blobs/sha256" / first.digest(name))
    with pytest.raises(HostError) as caught:
        host.install(bundle)
    assert caught.value.message.splitlines()[0].endswith("2 blobs (500,000 bytes) are not on this host:")
    listed = host.layout.state / "lacking.json"
    assert caught.value.hint == (
        "the release that runs stays as it is; bring the full bundle, or build a new differential: "
        f"ferry build --since lacking.json (it stands in {host.layout.state})"
    )
    assert caught.value.details == {"lacking": json.loads(listed.read_text())}
    lacking = parse_lacking(listed.read_bytes(), place="lacking.json")
    assert {(one.entry.sha256, one.why) for one in lacking.blobs} == {
        (first.digest("srv/model.bin"), "damaged"),
        (first.digest("srv/driver.run"), "damaged"),
    }
    manifest, again = second.since(first.path, listed)
    carried = {one.sha256 for one in manifest.entries}
    assert {second.digest("srv/model.bin"), second.digest("srv/driver.run")} <= carried
    host.install(again)
    assert placed(host, SECOND)
    assert blobs(host)[second.digest("srv/model.bin")] == MODEL


def test_the_full_bundle_heals_what_a_differential_found_damaged(host: Host, first: Release, second: Release) -> None:
    host.install(first.path)
    spoil(host.layout.store / "blobs/sha256" / first.digest("srv/model.bin"))
    with pytest.raises(HostError):
        host.install(second.since(first.path)[1])
    host.install(second.path)
    assert placed(host, SECOND)
    assert blobs(host)[second.digest("srv/model.bin")] == MODEL


def test_a_result_that_was_damaged_is_made_again(host: Host, first: Release, second: Release) -> None:
    host.install(first.path)
    _, bundle = second.since(first.path)
    host.install(bundle)
    spoil(host.layout.store / "blobs/sha256" / second.digest("srv/driver.run"))
    # Something must be missing: a host that has all of a release, as far as sizes tell, is not read.
    (host.layout.store / "blobs/sha256" / second.digest("srv/new.txt")).unlink()
    assert [action.step for action in host.install(bundle).plan.actions] == ["store"]
    assert blobs(host)[second.digest("srv/driver.run")] == SECOND["srv/driver.run"]
    assert blobs(host)[second.digest("srv/new.txt")] == b"new\n"


def test_a_dry_run_writes_down_nothing(host: Host, first: Release, second: Release) -> None:
    host.install(first.path)
    spoil(host.layout.store / "blobs/sha256" / first.digest("srv/model.bin"))
    before = host.listing()
    with pytest.raises(HostError) as caught:
        host.install(second.since(first.path)[1], dry_run=True)
    assert "file srv/model.bin: damaged" in caught.value.message
    assert host.listing() == before


def test_differentials_are_chained_and_a_skipped_one_is_told(
    host: Host, first: Release, second: Release, third: Release
) -> None:
    host.install(first.path)
    _, one = second.since(first.path)
    _, two = third.since(second.path)
    with pytest.raises(HostError) as caught:
        host.install(two)
    assert "this differential is against bundle sample 2.0 (sequence 2); " in caught.value.message
    assert host.layout.current.readlink() == Path("releases/1")
    host.install(one)
    host.install(two)
    assert placed(host, THIRD)
    assert host.layout.current.readlink() == Path("releases/3")


def test_a_differential_tells_what_its_host_has_afterwards(
    host: Host, first: Release, second: Release, third: Release, tmp_path: Path
) -> None:
    path = tmp_path / "one.tar"
    path.write_bytes(second.since(first.path)[1])
    manifest, two = third.since(path)
    assert manifest.differential is not None
    # What the file of the differential does not carry, nothing is patched against.
    assert manifest.differential.patches == ()
    host.install(first.path)
    host.install(path)
    host.install(two)
    assert placed(host, THIRD)


def test_a_receipt_and_a_bundle_make_a_differential_of_what_both_have(
    host: Host, first: Release, second: Release, tmp_path: Path
) -> None:
    host.install(first.path)
    damaged = host.layout.store / "blobs/sha256" / first.digest("srv/model.bin")
    spoil(damaged)
    signed = make_receipt(host.layout, now=NOW, progress=Silent())
    assert signed.damaged == (first.digest("srv/model.bin"),)
    receipt = tmp_path / "receipt.json"
    receipt.write_bytes(signed.envelope)
    manifest, bundle = second.since(receipt, first.path)
    assert second.digest("srv/model.bin") in {one.sha256 for one in manifest.entries}
    host.install(bundle)
    assert placed(host, SECOND)


def test_a_host_whose_zlib_makes_other_bytes_says_so_first(
    host: Host, first: Release, second: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.install(first.path)
    _, bundle = second.since(first.path)
    # There is one zlib in this process: that the host has another one is what its fingerprint says.
    with monkeypatch.context() as changed:
        changed.setattr("bundler.installer.base.fingerprint", lambda: "0" * 16)
        with pytest.raises(HostError) as caught:
            host.install(bundle)
    assert "file srv/app.whl: zlib here makes other bytes" in caught.value.message
    lacking = host.layout.state / "lacking.json"
    manifest, whole = second.since(first.path, lacking)
    assert manifest.differential is not None
    assert manifest.differential.patches == ()
    host.install(whole)
    assert placed(host, SECOND)
    assert not lacking.exists()


def test_a_patch_that_makes_other_bytes_leaves_the_host_as_it_was(
    host: Host, first: Release, second: Release, unfit: Callable[[Release, Path], bytes]
) -> None:
    host.install(first.path)
    before = host.listing()
    with pytest.raises(IntegrityError) as caught:
        host.install(unfit(second, first.path))
    digest = second.digest("srv/driver.run")
    assert str(caught.value).startswith(f'patch of "blobs/sha256/{digest}": expected 200007 bytes with sha256 {digest}')
    assert caught.value.hint == "bring the full bundle; step store failed; this host is as it was before"
    assert host.listing() == before


@pytest.fixture
def unfit(first: Release, tmp_path: Path) -> Callable[[Release, Path], bytes]:
    """Return what makes a differential, signed as it is, whose patch is one of another result."""

    def make(release: Release, base: Path) -> bytes:
        (tmp_path / "other").mkdir()
        driver = noise("driver", 100_000) + b"altered" + noise("driver", 200_000)[100_000:]
        other = Release(tmp_path / "other", 2, {**SECOND, "srv/driver.run": driver})
        return release.with_patch_of(other, "srv/driver.run", base)

    return make
