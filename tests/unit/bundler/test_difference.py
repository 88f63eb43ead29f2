"""How two bundles differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bundles import SIGNER, STRANGER, entry, packed, small_manifest
from click.testing import CliRunner

from bundler.archive import read_head, spans
from bundler.cli import ferry
from bundler.difference import compare_bundles
from bundler.errors import IntegrityError, TrustError
from bundler.model.components import ComponentChange, compare_sboms
from bundler.model.descriptor import OCTETS, WHEEL
from bundler.model.difference import Change
from bundler.model.manifest import Item, parse_manifest
from bundler.store import describe_bytes
from bundler.verify import Policy

NOW = datetime(2031, 1, 1, tzinfo=UTC)
POLICY = Policy(trusted=(SIGNER.public,))


def component(name: str, version: str, license_id: str = "MIT", **more: object) -> dict[str, object]:
    return {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}?arch=any",
        "licenses": [{"license": {"id": license_id}}],
        **more,
    }


def sbom(*components: dict[str, object]) -> bytes:
    return json.dumps({"bomFormat": "CycloneDX", "components": components}).encode()


def bundle(path: Path, blobs: Mapping[str, tuple[str, bytes]], listed: bytes, **changes: object) -> Path:
    """Write a bundle with a wheel for each name, of a version and bytes, and an SBOM."""
    manifest, contents = small_manifest([data for _, data in blobs.values()], **changes)
    items = tuple(
        Item(
            kind="wheel",
            name=f"{name}-{version}-py3-none-any.whl",
            version=version,
            purl=f"pkg:pypi/{name}@{version}",
            descriptor=describe_bytes(data, WHEEL),
        )
        for name, (version, data) in blobs.items()
    )
    contents["sbom.cdx.json"] = listed
    entries = tuple(entry(one.name, listed) if one.name == "sbom.cdx.json" else one for one in manifest.entries)
    path.write_bytes(packed(replace(manifest, items=items, entries=entries), contents))
    return path


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two releases: `b` moved, `c` is gone, `d` is new, `e` has other bytes under its version."""
    old = bundle(
        tmp_path / "old.tar",
        {"a": ("1", b"a" * 10), "b": ("1", b"b" * 20), "c": ("1", b"c" * 30), "e": ("1", b"e" * 5)},
        sbom(component("a", "1"), component("b", "1"), component("c", "1")),
    )
    new = bundle(
        tmp_path / "new.tar",
        {"a": ("1", b"a" * 10), "b": ("2", b"B" * 25), "d": ("1", b"d" * 40), "e": ("1", b"E" * 6)},
        sbom(component("a", "1", "Apache-2.0"), component("b", "2", components=[component("d", "1")])),
        version="1.1",
        sequence=2,
    )
    return old, new


def test_what_two_bundles_carry_is_compared_by_name_and_bytes(pair: tuple[Path, Path]) -> None:
    found = compare_bundles(*pair, POLICY, now=NOW)
    assert found.carried.changes == (
        Change(kind="wheel", name="b", old="1", new="2", entering_bytes=25),
        Change(kind="wheel", name="c", old="1", new="", entering_bytes=0),
        Change(kind="wheel", name="d", old="", new="1", entering_bytes=40),
        Change(kind="wheel", name="e", old="1", new="1", entering_bytes=6),
    )
    assert (found.carried.entering, found.carried.entering_bytes) == (3, 71)
    assert (found.carried.leaving, found.carried.leaving_bytes) == (3, 55)


def test_components_come_go_and_change_their_licence(pair: tuple[Path, Path]) -> None:
    def change(name: str, old: tuple[str, ...], new: tuple[str, ...], was: str, became: str) -> ComponentChange:
        licenses = ((was,) if was else (), (became,) if became else ())
        return ComponentChange(
            component=f"pkg:pypi/{name}", old=old, new=new, old_licenses=licenses[0], new_licenses=licenses[1]
        )

    assert compare_bundles(*pair, POLICY, now=NOW).components == (
        change("a", ("1",), ("1",), "MIT", "Apache-2.0"),
        change("b", ("1",), ("2",), "MIT", "MIT"),
        change("c", ("1",), (), "MIT", ""),
        change("d", (), ("1",), "", "MIT"),
    )


def test_a_bundle_does_not_differ_from_itself(pair: tuple[Path, Path]) -> None:
    found = compare_bundles(pair[0], pair[0], POLICY, now=NOW)
    assert found.carried.changes == ()
    assert found.components == ()


def test_a_strangers_bundle_is_refused(pair: tuple[Path, Path]) -> None:
    with pytest.raises(TrustError):
        compare_bundles(*pair, Policy(trusted=(STRANGER.public,)), now=NOW)


@pytest.mark.parametrize("algorithm", ["sm3", "sha256"])
def test_an_sbom_is_parsed_only_when_its_digest_is_right(pair: tuple[Path, Path], algorithm: str) -> None:
    data = bytearray(pair[1].read_bytes())
    with pair[1].open("rb") as stream:
        head = read_head(stream)
    span = next(span for span in spans(parse_manifest(head.manifest), head.end) if span.entry.name == "sbom.cdx.json")
    data[span.data] ^= 1
    pair[1].write_bytes(data)
    with pytest.raises(IntegrityError) as refused:
        compare_bundles(*pair, replace(POLICY, algorithm=algorithm), now=NOW)
    expected = describe_bytes(pair[1].read_bytes()[span.data : span.data + span.entry.size], OCTETS)
    assert str(refused.value) == (
        f'"sbom.cdx.json" at offset {span.data} of {pair[1]}: expected {algorithm} '
        f"{getattr(span.entry, algorithm)}, got {getattr(expected, algorithm)}"
    )


@pytest.mark.parametrize("document", [b"", b"[]", b'{"components": 1}', b'{"components": ["a"]}', b"\xff"])
def test_what_is_no_sbom_is_refused(document: bytes) -> None:
    with pytest.raises(IntegrityError) as refused:
        compare_sboms(sbom(), document)
    assert str(refused.value) == "sbom.cdx.json (new): expected an SBOM in CycloneDX JSON"


def test_the_command_says_it_in_words_and_as_json(pair: tuple[Path, Path], tmp_path: Path) -> None:
    key = tmp_path / "release.pem"
    key.write_text(SIGNER.public.pem())
    words = ["diff", *map(str, pair), "--trust", str(key)]
    done = CliRunner().invoke(ferry, words)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines() == [
        "- sample 1.0 (linux/amd64), sequence 1",
        "+ sample 1.1 (linux/amd64), sequence 2",
        "Python packages:",
        "  changed  b 1 -> 2  (+25 B)",
        "  gone     c 1",
        "  new      d 1  (+40 B)",
        "  replaced e 1: same version, other files  (+6 B)",
        "enters the zone: 3 files, 71 B; no longer enters: 3 files, 55 B",
        "components of the SBOM:",
        "  changed  pkg:pypi/a 1; licences MIT -> Apache-2.0",
        "  changed  pkg:pypi/b 1 -> 2",
        "  gone     pkg:pypi/c 1",
        "  new      pkg:pypi/d 1",
    ]
    document = json.loads(CliRunner().invoke(ferry, [*words, "--json"]).output)
    assert document["new"] == {"name": "sample", "version": "1.1", "sequence": 2, "platform": "linux/amd64"}
    assert [change["name"] for change in document["carried"]["changes"]] == ["b", "c", "d", "e"]
    assert len(document["components"]) == 4
