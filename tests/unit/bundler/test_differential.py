"""A differential as a bundle: what it holds, how it is read, split, pushed, compared, and what it refuses."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bundles import SIGNER, packed
from click.testing import CliRunner
from clock import StillClock
from differentials import Release, gzipped, noise, text
from hosts import NOW, Host
from writable import WritableRegistry

from bundler.archive import read_head
from bundler.checks import Reading
from bundler.cli import ferry
from bundler.delta import make
from bundler.differential import find_bases, make_differential
from bundler.errors import FerryError, HostError, IntegrityError, RecipeError
from bundler.model.descriptor import LAYER
from bundler.model.differential import Differential
from bundler.model.manifest import Manifest, format_manifest, parse_manifest
from bundler.model.platform import PLATFORMS
from bundler.model.progress import Silent
from bundler.model.reference import parse_reference
from bundler.model.whole import whole_manifest
from bundler.pull.bundle import pull_bundle
from bundler.push.bundle import push_bundle
from bundler.push.images import parse_place, push_images
from bundler.scan.bundle import scan_bundle
from bundler.serve.resource import OpenBundle
from bundler.since import Ground, read_since
from bundler.store import Store
from bundler.transport import Transport
from bundler.verify import Policy, VerifiedBundle, verify
from bundler.volumes import split
from keystore import sm3

POLICY = Policy(trusted=(SIGNER.public,))
FIRST = {"srv/layer.gz": gzipped(text("a", 3000), text("b", 3000)), "srv/model.bin": noise("model", 90_000)}
SECOND = {**FIRST, "srv/layer.gz": gzipped(text("a", 3000), b"new\n" + text("b", 3000)), "srv/more": b"more"}


@pytest.fixture
def first(tmp_path: Path) -> Release:
    return Release(tmp_path, 1, FIRST)


@pytest.fixture
def second(tmp_path: Path) -> Release:
    return Release(tmp_path, 2, SECOND)


@pytest.fixture
def path(first: Release, second: Release, tmp_path: Path) -> Path:
    place = tmp_path / "differential.tar"
    place.write_bytes(second.since(first.path)[1])
    return place


def verified(path: Path) -> VerifiedBundle:
    return verify(path, POLICY, now=NOW)


def left_of(manifest: Manifest) -> Differential:
    assert manifest.differential is not None
    return manifest.differential


def test_the_full_manifest_follows_from_that_of_a_differential(first: Release, second: Release) -> None:
    manifest, bundle = second.since(first.path)
    head = read_head(io.BytesIO(bundle)).manifest
    assert whole_manifest(head, manifest) == (format_manifest(second.manifest), second.manifest)
    # What a later Ferry says stays in it.
    later = json.loads(head) | {"later": {"more": 1}}
    document = format_manifest(second.manifest)
    with pytest.raises(IntegrityError) as caught:
        whole_manifest(json.dumps(later).encode(), manifest)
    assert caught.value.message.startswith(
        f"expected the manifest of the full bundle to have sha256 {left_of(manifest).release_sha256}, got "
    )
    full = json.dumps(json.loads(document) | {"later": {"more": 1}}, indent=1, sort_keys=True).encode() + b"\n"
    digests = {"release_sha256": hashlib.sha256(full).hexdigest(), "release_sm3": sm3.sm3(full).hex()}
    signed = replace(manifest, differential=replace(left_of(manifest), **digests))
    assert whole_manifest(json.dumps(later).encode(), signed)[0] == full


def test_an_item_that_only_a_fixed_entry_carries_is_refused(second: Release, first: Release) -> None:
    manifest, _ = second.since(first.path)
    script = manifest.entries[0]
    item = manifest.items[-1]
    descriptor = replace(item.descriptor, size=script.size, sha256=script.sha256, sm3=script.sm3)
    odd = replace(manifest, items=(*manifest.items, replace(item, descriptor=descriptor, to="srv/odd")))
    data = format_manifest(odd)
    with pytest.raises(IntegrityError) as caught:
        whole_manifest(data, parse_manifest(data))
    assert str(caught.value) == (
        f'differential: expected "blobs/sha256/{script.sha256}" among entries, absent or patches'
    )


def told(*words: str | Path) -> str:
    """Return what the command prints."""
    return str(CliRunner().invoke(ferry, list(map(str, words)), catch_exceptions=False).stdout)


def test_the_command_says_what_a_differential_is_and_needs(first: Release, path: Path, tmp_path: Path) -> None:
    (tmp_path / "pub.pem").write_text(SIGNER.public.pem())
    left = left_of(verified(path).manifest)
    lines = told("verify", path, "--trust", tmp_path / "pub.pem").splitlines()
    patch = next(one for one in verified(path).manifest.entries if one.sha256 == left.patches[0].patch)
    assert lines[4:] == [
        "  a differential against bundle sample 1.0 (sequence 1)",
        f"  left out: 3 blobs ({sum(one.size for one in left.absent):,} bytes) that the host must have",
        f"  patches: 1 blobs ({len(SECOND['srv/layer.gz']):,} bytes) as {patch.size:,} bytes",
        f"  release: manifest sha256 {left.release_sha256}",
    ]
    facts = json.loads(told("verify", path, "--trust", tmp_path / "pub.pem", "--json"))["differential"]
    assert facts["bases"] == [
        {"kind": "bundle", "name": "sample", "version": "1.0", "sequence": 1, "sha256": left.bases[0].sha256}
    ]
    assert {one["sha256"] for one in facts["needed"]} >= {first.digest("srv/layer.gz"), first.digest("srv/model.bin")}
    assert "a differential against bundle sample 1.0 (sequence 1)" in told("inspect", path)
    compared = told("diff", first.path, path, "--trust", tmp_path / "pub.pem")
    assert "srv/layer.gz" in compared


def test_a_differential_is_split_and_installed_from_its_volumes(
    first: Release, path: Path, tmp_path: Path, host: Host
) -> None:
    host.install(first.path)
    (tmp_path / "volumes").mkdir()
    size = path.stat().st_size - 512
    volumes = split(path, tmp_path / "volumes", volume_bytes=size, policy=POLICY, now=NOW, reading=Reading())
    assert len(volumes) > 1
    host.install(volumes[-1])
    root = host.layout.current / "root"
    assert all((root / name).read_bytes() == data for name, data in SECOND.items())


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path / "host")
    yield made
    made.close()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[WritableRegistry]:
    monkeypatch.setenv("DOCKER_CONFIG", "/nonexistent")
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "REGISTRY_AUTH_FILE"):
        monkeypatch.delenv(name, raising=False)
    with WritableRegistry() as server:
        yield server


def test_a_differential_goes_through_a_registry(registry: WritableRegistry, path: Path, tmp_path: Path) -> None:
    reference = parse_reference(f"{registry.host}/team/sample:2", place="here")
    transport = Transport(StillClock())
    push_bundle(path, reference, POLICY, now=NOW, progress=Silent(), transport=transport)
    out = tmp_path / "pulled.tar"
    pull_bundle(reference, out, POLICY, now=NOW, progress=Silent(), transport=Transport(StillClock()))
    assert out.read_bytes() == path.read_bytes()


REFUSING: dict[str, tuple[Callable[[Path], object], str]] = {
    "serve": (lambda path: OpenBundle(verified(path)), "clients would ask for them"),
    "scan": (lambda path: scan_bundle(verified(path)), "the scan reads all of them"),
    "push --images": (
        lambda path: push_images(path, parse_place("localhost:1"), POLICY, now=NOW, progress=Silent()),
        "images need all of theirs",
    ),
}


@pytest.mark.parametrize("name", REFUSING)
def test_what_reads_all_blobs_refuses_a_differential(name: str, path: Path) -> None:
    act, because = REFUSING[name]
    with pytest.raises(HostError) as caught:
        act(path)
    assert str(caught.value) == (
        f"sample 2.0: expected a full bundle, this is a differential without 4 of its blobs: {because}"
    )
    assert caught.value.hint == (
        "use the full bundle of this release, or install the differential on a host that has its base"
    )


def spoiled(manifest: Manifest, **changes: Any) -> Manifest:
    return replace(manifest, differential=replace(left_of(manifest), **changes))


DEFECTS: dict[str, tuple[Callable[[Manifest], Manifest], str]] = {
    "a blob carried and left out": (
        lambda one: spoiled(one, absent=(*left_of(one).absent, next(e for e in one.entries if e.is_blob))),
        "differential.absent[3]: the blob ",
    ),
    "a blob left out twice": (
        lambda one: spoiled(one, absent=(*left_of(one).absent, left_of(one).absent[0])),
        "differential.absent[3]: the blob ",
    ),
    "a blob made twice": (
        lambda one: spoiled(one, patches=left_of(one).patches * 2),
        "differential.patches[1].result: the blob ",
    ),
    "a patch that is not carried": (
        lambda one: spoiled(one, patches=tuple(replace(p, patch="0" * 64) for p in left_of(one).patches)),
        f"differential.patches[0].patch: no entry carries {'0' * 64}",
    ),
    "a blob that nobody has": (
        lambda one: spoiled(one, absent=left_of(one).absent[1:]),
        'items[0]: no entry carries "python3.11"',
    ),
    "a base of another kind": (
        lambda one: spoiled(one, bases=(replace(left_of(one).bases[0], kind="rumour"),)),
        'differential.bases[0].kind: expected text like bundle|receipt|lacking, got "rumour"',
    ),
    "a name that leads elsewhere": (
        lambda one: spoiled(one, absent=(replace(left_of(one).absent[0], name="../x"), *left_of(one).absent[1:])),
        "differential.absent[0].name: expected blobs/sha256/",
    ),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_differential_that_contradicts_itself_is_refused(name: str, path: Path) -> None:
    spoil, says = DEFECTS[name]
    with pytest.raises(IntegrityError) as caught:
        parse_manifest(format_manifest(spoil(verified(path).manifest)))
    assert str(caught.value).startswith(says)


def test_bases_are_the_same_things_before(first: Release, second: Release) -> None:
    def named(release: Release, *layers: str) -> Manifest:
        purl = f"pkg:oci/app@sha256:HEX?repository_url=bank/app&tag={release.manifest.version}"
        items = [
            replace(
                one,
                kind="layer",
                name=f"bank/app:{release.manifest.version}",
                to="",
                purl=purl.replace("HEX", one.descriptor.sha256),
                descriptor=replace(one.descriptor, media_type=LAYER),
            )
            for one in release.manifest.items
            if one.to in layers
        ]
        return replace(release.manifest, items=tuple(items))

    old, new = (named(one, "srv/layer.gz", "srv/model.bin") for one in (first, second))
    base = replace(read_since(first.path), manifest=old)
    found = find_bases(new, Ground(documents=(base,)))
    assert {digest: entry.sha256 for digest, entry in found.items()} == {
        second.digest("srv/layer.gz"): first.digest("srv/layer.gz"),
        second.digest("srv/model.bin"): first.digest("srv/model.bin"),
    }


def test_what_install_sh_reads_is_never_a_patch(first: Release, second: Release) -> None:
    def of_kind(release: Release, kind: str) -> Manifest:
        items = tuple(replace(one, kind=kind) if one.to == "srv/layer.gz" else one for one in release.manifest.items)
        return replace(release.manifest, items=items)

    for kind in ("python", "toolchain"):
        base = replace(read_since(first.path), manifest=of_kind(first, kind))
        assert second.digest("srv/layer.gz") not in find_bases(of_kind(second, kind), Ground(documents=(base,)))


def test_a_damaged_base_is_found_before_it_is_used(first: Release, second: Release) -> None:
    data = first.path.read_bytes()
    at = data.index(FIRST["srv/layer.gz"]) + 99
    first.path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    with pytest.raises(IntegrityError) as caught:
        second.since(first.path)
    digest = first.digest("srv/layer.gz")
    assert str(caught.value) == (
        f'{first.path}: expected sha256 {digest} of "blobs/sha256/{digest}", other bytes are there'
    )


def test_a_patch_is_made_once(first: Release, second: Release, monkeypatch: pytest.MonkeyPatch) -> None:
    before = second.since(first.path)
    # What is remembered needs no second look: where it did, this would end the test.
    monkeypatch.setattr(make, "_segments", None)
    assert second.since(first.path) == before


def _json(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


WRONG: dict[str, tuple[bytes, type[FerryError], str]] = {
    "nothing": (b"", IntegrityError, 'ferry.json: expected the entry "ferry.json", the file is not a bundle'),
    "a text": (b"{}", IntegrityError, "{path}: expected a receipt that its host signed: "),
    "cut off": (b'{"a":', IntegrityError, "{path}: expected a receipt that its host signed: "),
    "a list cut off": (b'{"format": "ferry/lacking/v1"', IntegrityError, "{path}: expected JSON"),
    "an empty list": (b'{"format": "ferry/lacking/v1"}', IntegrityError, "{path}.name: expected text, the field is"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_base_is_refused(name: str, tmp_path: Path) -> None:
    data, kind, says = WRONG[name]
    place = _json(tmp_path / "base", data)
    with pytest.raises(kind) as caught:
        read_since(place)
    assert str(caught.value).startswith(says.format(path=place))


def test_a_missing_base_and_a_volume_are_refused(tmp_path: Path, first: Release) -> None:
    with pytest.raises(RecipeError) as caught:
        read_since(tmp_path / "none")
    assert str(caught.value) == f"{tmp_path / 'none'}: it cannot be read: No such file or directory"
    volume = split(first.path, tmp_path, volume_bytes=160_000, policy=POLICY, now=NOW, reading=Reading())[0]
    with pytest.raises(RecipeError) as caught:
        read_since(volume)
    assert str(caught.value) == f"{volume}: expected a whole bundle, this is one volume of it"


def test_a_base_of_another_product_or_platform_is_refused(first: Release, second: Release, tmp_path: Path) -> None:
    other = tmp_path / "other.tar"
    differential = partial(make_differential, store=Store(tmp_path / "s"), progress=Silent())
    other.write_bytes(packed(replace(first.manifest, name="other"), first.contents))
    with pytest.raises(RecipeError) as caught:
        differential(second.manifest, Ground(documents=(read_since(other),)))
    assert str(caught.value) == '--since: expected a base of "sample", got bundle other 1.0 (sequence 1)'
    platform = next(one for one in PLATFORMS if one != first.manifest.platform)
    other.write_bytes(packed(replace(first.manifest, platform=platform), first.contents))
    with pytest.raises(RecipeError) as caught:
        differential(second.manifest, Ground(documents=(read_since(other),)))
    assert str(caught.value) == (
        f"--since: expected a base for {second.manifest.platform}, bundle sample 1.0 (sequence 1) is for {platform}"
    )
