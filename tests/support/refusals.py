"""Every bundle that must be refused, and some that must not: what `scripts/golden.py` writes and tests read."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import spoilhead as head
import spoiltar as tar
from bombs import layer_bomb, name_bomb, stored_gzip, wheel_bomb
from bundles import (
    DEFECTS,
    NOBODY,
    OFFICER,
    ROOT,
    SECOND,
    SIGNER,
    STRANGER,
    packed,
    signed_again,
    small_manifest,
)
from spoiltar import Spoil
from trusted import revocation_list

from bundler.archive import BLOCK, END, header, read_head
from bundler.checks import Reading
from bundler.model.descriptor import LAYER, WHEEL
from bundler.model.manifest import Manifest
from bundler.model.volume import Label, format_label, parse_label
from bundler.verify import Policy
from bundler.volumes import split

# Two of one length, so that one can stand where the other must.
BLOBS = [b"alpha " * 40, b"gamma " * 40, b"third"]
EXPIRES = "2100-01-01T00:00:00Z"
BOMB_BYTES = 17 * 1024 * 1024
_NOW = datetime(2026, 6, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Golden:
    """A file under its name, and the row of the list of refusals that it stands for ("" when it must pass).

    `verifies` says that its bytes are right: an install refuses it all the same, `after` another one where it is named.
    `trust` are the files that the verifier trusts, none for the key of `SIGNER`; `demands` the schemes that it demands.
    """

    name: str
    row: str
    data: bytes
    verifies: bool = False
    after: str = ""
    trust: tuple[bytes, ...] = ()
    demands: tuple[str, ...] = ()


def bundle(blobs: list[bytes] = BLOBS, **changes: object) -> bytes:
    """Return a good bundle."""
    return packed(*small_manifest(blobs, **{"expires": EXPIRES, **changes}))


@cache
def plain() -> bytes:
    """Return the bundle that is spoiled."""
    return bundle()


@cache
def other() -> bytes:
    """Return another bundle with entries of the same lengths."""
    return bundle([b"delta " * 40, b"omega " * 40, b"other"], version="1.1")


@cache
def volumes(which: str = "plain") -> tuple[bytes, ...]:
    """Return a bundle in volumes, the first two blobs in different ones."""
    data = plain() if which == "plain" else other()
    first = tar.blobs(data)[0]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "plain.tar")
        path.write_bytes(data)
        size = tar.end_of(first) + 2 * BLOCK + len(END)
        policy = Policy(trusted=(SIGNER.public,))
        written = split(path, path.parent, volume_bytes=size, policy=policy, now=_NOW, reading=Reading())
        return tuple(one.read_bytes() for one in written)


@cache
def goldens() -> tuple[Golden, ...]:
    """Return all of them, sorted by name."""
    found = [*_good(), *_of_bundles(), *_of_volumes(), *_of_hosts()]
    assert len({one.name for one in found}) == len(found)
    return tuple(sorted(found, key=lambda one: one.name))


def _good() -> Iterator[Golden]:
    yield Golden(name="good", row="", data=plain())
    yield Golden(name="good-newer", row="", data=bundle(sequence=2, version="2.0"))
    yield Golden(name="good-without-blobs", row="", data=bundle([]))
    for number, data in enumerate(volumes(), 1):
        yield Golden(name=f"good.vol{number}of{len(volumes())}", row="", data=data)


def _of_bundles() -> Iterator[Golden]:
    for defect in DEFECTS:
        # What a host remembers stands in no file.
        if not defect.oldest_revocations:
            name = defect.name.replace(" ", "-").replace("'", "-")
            data = defect.spoil(plain())
            yield Golden(name=name, row=defect.name, data=data, trust=defect.trust, demands=defect.demands)
    for row, name, spoil in _listed(ANYWHERE, TAR, HEAD, JSON):
        yield Golden(name=name, row=row, data=spoil(plain()))


def _of_volumes() -> Iterator[Golden]:
    for row, name, spoil in _listed(ANYWHERE, LABEL):
        yield Golden(name=f"volume-{name}", row=row, data=spoil(volumes()[0]))


def _listed(*tables: Mapping[str, Mapping[str, Spoil]]) -> Iterator[tuple[str, str, Spoil]]:
    for table in tables:
        for row, spoils in table.items():
            for name, spoil in spoils.items():
                yield row, name, spoil


def _of_hosts() -> Iterator[Golden]:
    yield Golden(name="lower-sequence", row="lower sequence", data=plain(), verifies=True, after="good-newer")
    same = bundle(sequence=2, version="2.0", description="another")
    row = "equal sequence with another hash"
    listed = signed_again(plain(), SIGNER, SECOND, roots=(ROOT,), revocations=revocation_list(2, [], [OFFICER]))
    yield Golden(name="good-newer-list", row="", data=listed, trust=(ROOT,))
    older = signed_again(plain(), SIGNER, SECOND, roots=(ROOT,), revocations=NOBODY)
    row_of_list = "older revocation list"
    yield Golden(name="older-list", row=row_of_list, data=older, verifies=True, after="good-newer-list", trust=(ROOT,))
    yield Golden(name="same-sequence", row=row, data=same, verifies=True, after="good-newer")
    bomb, lying = layer_bomb(BOMB_BYTES), stored_gzip(name_bomb(2 * 1024**3))
    for name, blob, kind, media in (
        ("bomb-in-a-layer", bomb, "python", LAYER),
        ("bomb-in-a-name", lying, "python", LAYER),
        ("bomb-in-a-wheel", wheel_bomb(2 * 1024**3), "wheel", WHEEL),
    ):
        yield Golden(name=name, row="a compression bomb", data=_with_item(blob, kind, media), verifies=True)


def _with_item(blob: bytes, kind: str, media_type: str) -> bytes:
    manifest, contents = small_manifest([blob], expires=EXPIRES)
    name = "sample-1-py3-none-any.whl" if kind == "wheel" else "python3.11"
    item = manifest.items[0]
    described = replace(item.descriptor, media_type=media_type)
    changed: Manifest = replace(manifest, items=(replace(item, kind=kind, name=name, to="", descriptor=described),))
    return packed(changed, contents)


# What may be wrong with a bundle and with a volume.
ANYWHERE: Mapping[str, Mapping[str, Spoil]] = {
    "one flipped bit": {
        "flip-manifest": head.head_flip("ferry.json", 20),
        "flip-head-header": head.head_flip("ferry.json.sig", -BLOCK + 101),
        "flip-entry-padding": tar.pad_flip,
        "flip-blob": lambda data: tar.flip(data, tar.blobs(data)[0].data + 7),
        "flip-every-blob": tar.flip_each_blob,
        "flip-end": lambda data: tar.flip(data, len(data) - 1),
    },
    "missing, extra, duplicate, trailing": {
        "extra-for-the-end": tar.extra_for_end,
        "trailing-zeros-of-tar": tar.at_end(bytes(10240)),
        "cut-at-the-end": lambda data: data[: -len(END)],
    },
    "links, devices, sparse": {
        "symlink": tar.in_place(b"2", link="/etc/shadow"),
    },
    "pax overrides": {
        "pax-path": tar.in_place(b"x", tar.pax(path="../../etc/passwd")),
    },
    "sizes over the manifest's": {
        "size-8-eib": tar.field(tar.SIZE_FIELD.start, b"\x80\0\0\0" + (2**63 - 1).to_bytes(8, "big")),
    },
}

TAR: Mapping[str, Mapping[str, Spoil]] = {
    "one flipped bit": {
        "flip-first-entry": lambda data: tar.flip(data, tar.all_spans(data)[0].data),
        "flip-head-padding": head.head_padding,
        "flip-envelope": head.head_flip("ferry.json.dsse", 20),
        "flip-signature": head.head_flip("ferry.json.sig", 20),
        "flip-entry-header": lambda data: tar.flip(data, tar.blobs(data)[0].header + 150),
    },
    "missing, extra, duplicate, trailing": {
        "missing-filled-up": tar.left_out,
        "twice-in-place-of-another": tar.twice,
        "exchanged": tar.swap,
        "extra-in-place": tar.named("unlisted"),
        "duplicate-dot-slash": tar.named(lambda name: f"./{name}"),
        "duplicate-case": tar.named(str.upper),
        "duplicate-case-fold": tar.named(lambda name: name.replace("sha", "ſha")),
        "duplicate-combining": tar.named(lambda name: name.replace("blobs", "blo\u0062\u0301s")),
        "trailing-bundle": lambda data: data + data,
        "trailing-entry": lambda data: data[: -len(END)] + header("more", 0) + END,
    },
    "parts of two bundles mixed": {
        "mixed-entries": lambda data: tar.body_of(other())(data),
        "mixed-signature": lambda data: head.with_parts(data, ferry__json__sig=head.parts(other())["ferry.json.sig"]),
        "mixed-envelope": lambda data: head.with_parts(data, ferry__json__dsse=head.parts(other())["ferry.json.dsse"]),
    },
    "absolute, .., NUL, over-long names": {
        "name-absolute": tar.named("/etc/passwd"),
        "name-dot-dot": tar.named("blobs/sha256/../../../etc/passwd"),
        "name-nul": tar.field(78, b"hidden"),
        "name-of-a-terminal": tar.named("\x1b[2J\x1b]0;gone\x07"),
        "name-not-utf-8": tar.field(0, b"\xff\xfe"),
        "name-over-long": tar.in_place(b"L", b"a" * 240, name="././@LongLink"),
        "name-in-prefix": tar.field(345, b"../../etc"),
    },
    "links, devices, sparse": {
        "hardlink": tar.in_place(b"1", link="ferry.json"),
        "fifo": tar.in_place(b"6"),
        "sparse-gnu": tar.in_place(b"S"),
        "block-device": tar.in_place(b"4"),
        "directory": tar.in_place(b"5"),
        "long-link": tar.in_place(b"K", b"/etc/shadow", name="././@LongLink"),
        "old-regular": tar.field(156, b"\0"),
    },
    "pax overrides": {
        "pax-size": tar.in_place(b"x", tar.pax(size="99999999999")),
        "pax-global": tar.in_place(b"g", tar.pax(path="../../etc/passwd")),
        "pax-sparse": tar.in_place(b"x", tar.pax(GNU__sparse__major="1", GNU__sparse__realsize="99999999999")),
        "pax-of-solaris": tar.in_place(b"X", tar.pax(path="../../etc/passwd")),
    },
    "sizes over the manifest's": {
        "size-one-more": tar.with_header(lambda block: header(block[:77].decode(), 241)),
        "size-base-256": tar.field(tar.SIZE_FIELD.start, b"\x80" + (240).to_bytes(11, "big")),
        "size-negative": tar.field(tar.SIZE_FIELD.start, b"\xff" * 12),
        "size-negative-octal": tar.field(tar.SIZE_FIELD.start, b"-0000000001\0"),
    },
    "another header": {
        "owner": tar.field(108, b"0001750"),
        "mode-set-uid": tar.field(100, b"0004755"),
        "checksum": tar.with_header(lambda block: block[:148] + b"0000000\0" + block[156:]),
        "ustar": tar.field(257, b"ustar\x0000"),
        "no-header": tar.with_header(lambda block: b"\xaa" * BLOCK),
        "end-too-early": tar.with_header(lambda block: bytes(BLOCK)),
    },
}

HEAD: Mapping[str, Mapping[str, Spoil]] = {
    "no bundle": {
        "empty-file": lambda data: b"",
        "head-alone": lambda data: data[: read_head(io.BytesIO(data)).end],
        "gzipped": lambda data: stored_gzip(data[:30000]),
    },
    "the head of the file": {
        "head-dot-slash": lambda data: header("./ferry.json", len(head.parts(data)["ferry.json"])) + data[BLOCK:],
        "head-signature-first": head.signature_first,
        "head-pax": head.before_all(b"x", tar.pax(path="ferry.json")),
        "head-link": head.link_first,
        "head-size-over": head.head_size(b"02000000001"),
        "head-size-8-eib": head.head_size(b"\x80\0\0\0" + (2**63 - 1).to_bytes(8, "big")),
        "head-size-negative": head.head_size(b"\xff" * 12),
        "head-size-base-256": lambda data: head.head_size(
            b"\x80" + len(head.parts(data)["ferry.json"]).to_bytes(11, "big")
        )(data),
        "head-large-signature": head.large_signature,
        "head-set-uid": head.head_header(lambda block: tar.summed(block[:100] + b"0004755" + block[107:])),
    },
    "wrong key": {
        "stranger-claims-our-keyid": lambda data: head.with_parts(
            head.resigned(head.parts(data)["ferry.json"], data, STRANGER),
            ferry__json__dsse=head.parts(head.resigned(head.parts(data)["ferry.json"], data, STRANGER))[
                "ferry.json.dsse"
            ].replace(STRANGER.keyid.encode(), SIGNER.keyid.encode()),
        ),
    },
    "algorithm downgrade": {
        "downgrade-sha256": head.signature(lambda old, text: head.over_sha256(text)),
        "downgrade-bare-sm3": head.signature(lambda old, text: head.without_identity(text)),
        "downgrade-ecdsa": head.signature(lambda old, text: head.by_ecdsa(text)),
        "downgrade-ed25519": head.signature(lambda old, text: head.by_ed25519(text)),
        "downgrade-none": lambda data: head.with_parts(
            data,
            ferry__json=b'{"algorithm": "none",' + head.parts(data)["ferry.json"][1:],
            ferry__json__sig=b"none",
        ),
    },
    "malleable DER": {
        "der-byte-behind": head.signature(lambda old, text: old + b"\0"),
        "der-zero-before": head.signature(lambda old, text: head.zeros_before_r(old)),
        "der-without-length": head.signature(lambda old, text: head.no_length(old)),
        "der-exchanged": head.signature(lambda old, text: head.r_and_s_exchanged(old)),
        "der-as-pem": head.signature(lambda old, text: b"-----BEGIN SIGNATURE-----\n"),
    },
    "unsigned": {
        "envelope-without-signatures": head.envelope(lambda found: found.update(signatures=[])),
        "envelope-of-another-type": head.envelope(lambda found: found.update(payloadType="text/plain")),
        "envelope-of-another-payload": head.envelope(lambda found: found.update(payload="e30=")),
        "envelope-signed-by-a-stranger": lambda data: head.with_parts(
            data,
            ferry__json__dsse=head.parts(head.resigned(head.parts(data)["ferry.json"], data, STRANGER))[
                "ferry.json.dsse"
            ],
        ),
    },
    "a JSON bomb": {
        "envelope-deep": head.envelope(lambda found: b"[" * 3000),
        "envelope-twice-a-key": head.envelope(lambda found: json.dumps(found).encode()[:-1] + b', "payload": "e30="}'),
        "envelope-no-json": head.envelope(lambda found: b"\xff\xfe"),
    },
}


def _first(which: str, /, **changes: Any) -> Spoil:
    """Change the first of a list in the manifest."""
    return head.document(lambda found: found[which][-1 if which == "entries" else 0].update(changes))


def _places(first: str, second: str) -> Spoil:
    def change(found: dict[str, Any]) -> None:
        found["items"][0]["to"], found["items"][1]["to"] = first, second

    return head.document(change)


JSON: Mapping[str, Mapping[str, Spoil]] = {
    "a JSON bomb": {
        "json-deep": head.manifest(lambda text: b"[" * 3000),
        "json-deep-inside": head.manifest(
            lambda text: b'{"later": ' + b"[" * 3000 + b"]" * 3000 + b"," + text.strip()[1:]
        ),
        "json-huge-number": head.manifest(lambda text: text.replace(b'"sequence": 1', b'"sequence": ' + b"9" * 5000)),
        "json-huge-exponent": head.manifest(lambda text: text.replace(b'"sequence": 1', b'"sequence": 1e999999')),
        "json-twice-a-key": head.manifest(lambda text: text.replace(b'"sequence": 1', b'"sequence": 1, "sequence": 9')),
        "json-nan": head.manifest(lambda text: text.replace(b'"sequence": 1', b'"later": NaN, "sequence": 1')),
        "json-utf-16": head.manifest(lambda text: text.decode().encode("utf-16")),
        "json-byte-order-mark": head.manifest(lambda text: b"\xef\xbb\xbf" + text),
        "json-not-utf-8": head.manifest(lambda text: text.replace(b'"sample"', b'"sam\xffle"')),
        "json-half-a-character": head.manifest(
            lambda text: text.replace(b'"description": ""', b'"description": "\\ud800"')
        ),
        "json-a-list": head.manifest(lambda text: b"[]"),
        "json-terminal": head.document(lambda found: found.update(name="\x1b[2J")),
    },
    "signed, but impossible": {
        "format-of-another": head.document(lambda found: found.update(format="ferry/bundle/v9")),
        "entry-size-negative": _first("entries", size=-1),
        "entry-size-larger": _first("entries", size=6),
        "entry-size-8-eib": _first("entries", size=2**63 - 1),
        "entry-chunks-of-a-small-one": _first("entries", chunks=["a" * 64]),
        "entry-name-leads-out": _first("entries", name="blobs/sha256/../../x"),
        "entry-twice": head.document(lambda found: found["entries"].append(found["entries"][-1])),
        "entry-order": head.document(lambda found: found["entries"].reverse()),
    },
    "absolute, .., NUL, over-long names": {
        "item-absolute": _first("items", to="/etc/passwd"),
        "item-dot-dot": _first("items", to="srv/../../etc/passwd"),
        "item-nul": _first("items", to="srv/a\0b"),
        "item-over-long": _first("items", to="srv/" + "a" * 256),
    },
    "missing, extra, duplicate, trailing": {
        "item-twice": _places("srv/a", "srv/a"),
        "item-twice-case-fold": _places("srv/straße", "srv/STRASSE"),
        "item-twice-nfc": _places("srv/caf\u00e9", "srv/cafe\u0301"),
        "item-twice-dot-slash": _places("srv/a", "srv/./a"),
        "item-below-an-item": _places("srv/a", "srv/a/b"),
    },
    "expired": {
        "expired": head.document(lambda found: found.update(expires="2020-01-01T00:00:00Z")),
    },
}


def _relabelled(**changes: Any) -> Spoil:
    def spoil(data: bytes) -> bytes:
        at = read_head(io.BytesIO(data)).end + BLOCK
        label = parse_label(data[at : at + 512])
        new = Label(**{**{name: getattr(label, name) for name in Label.__slots__}, **changes})  # type: ignore[attr-defined]
        return data[:at] + format_label(new) + data[at + 512 :]

    return spoil


def _label_text(change: Spoil) -> Spoil:
    def spoil(data: bytes) -> bytes:
        at = read_head(io.BytesIO(data)).end + BLOCK
        return data[:at] + change(data[at : at + 512]).ljust(512)[:512] + data[at + 512 :]

    return spoil


LABEL: Mapping[str, Mapping[str, Spoil]] = {
    "parts of two bundles mixed": {
        "of-another-bundle": _relabelled(manifest_sha256="a" * 64),
        "head-of-another": lambda data: (
            volumes("other")[0][: read_head(io.BytesIO(volumes("other")[0])).end]
            + data[read_head(io.BytesIO(data)).end :]
        ),
    },
    "the label": {
        "of-another-number": _relabelled(number=2),
        "number-too-high": _relabelled(number=9),
        "of-another-count": _relabelled(count=9),
        "of-another-cut": _relabelled(volume_bytes=2**40),
        "too-small-a-cut": _relabelled(volume_bytes=1),
        "label-twice-a-key": _label_text(lambda text: text.replace(b'"number"', b'"number": 1, "number"')),
        "label-no-json": _label_text(lambda text: b"\xff"),
        "label-deep": _label_text(lambda text: b"[" * 512),
        "label-otherwise": _label_text(lambda text: text.replace(b'"count": ', b'"count":')),
        "label-flip": lambda data: tar.flip(data, read_head(io.BytesIO(data)).end + 10),
    },
}
