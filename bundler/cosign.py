"""A further signature for a bundle that is there, in place: nothing but two entries of its head changes.

A write that was cut off leaves a head that nothing verifies, never one that verifies wrongly. What was to be written
stands beside the bundle until it is on the disk, and the next run finishes it.
"""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from bundler.archive import Head, head_places, pack_head, padding, read_head
from bundler.attest import check, endorse, present
from bundler.errors import FerryError, HostError, IntegrityError, TrustError
from bundler.model.manifest import HEAD_NAMES, Manifest
from bundler.model.trust import TrustDocument, fill, format_trust, parse_trust
from bundler.store import write_file
from bundler.verify import Policy, read_manifest
from keystore.envelope import add_signature, parse_envelope
from keystore.errors import KeystoreError
from keystore.signer import Signer

_ENVELOPE = HEAD_NAMES[2]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cosigned:
    """A bundle after it was signed, and the keyids of all whose signatures it has now.

    `missing` says in words what the verifier still asks for, empty when nothing.
    """

    manifest: Manifest
    keyids: tuple[str, ...]
    missing: str


def cosign(
    path: Path, signer: Signer, policy: Policy, *, certificates: tuple[bytes, ...] = (), now: datetime
) -> Cosigned:
    """Add a signature to the head of a bundle or of a volume, which one that is trusted has signed before.

    The rest of the file is not read: `ferry verify` checks it.

    Raises:
        TrustError, IntegrityError: the head is refused.
        KeystoreError: the key has signed already, or cannot sign.
        HostError: the file cannot be written, or no room is left.
    """
    with _opened(path) as stream:
        was_cut_off = _finish(path, stream, policy, now)
        head = _head(stream)
        manifest, _ = read_manifest(head, policy, now=now, few=True)
        signed = {keyid for keyid, _ in parse_envelope(head.envelope).signatures}
        if not (was_cut_off and signer.keyid in signed):
            present([signer], head.manifest, parse_trust(head.trust))
            head = _signed(head, signer, certificates)
            _write(path, stream, head)
    keyids = tuple(keyid for keyid, _ in parse_envelope(head.envelope).signatures)
    return Cosigned(manifest=manifest, keyids=keyids, missing=_missing(head, policy, now))


def _signed(head: Head, signer: Signer, certificates: tuple[bytes, ...]) -> Head:
    carried = endorse(parse_trust(head.trust), signer)
    if not carried.certificates:
        carried = TrustDocument(roots=carried.roots, revocations=carried.revocations, certificates=certificates)
    return replace(
        head,
        envelope=fill(add_signature(head.envelope, signer), len(head.envelope), _ENVELOPE),
        trust=fill(format_trust(carried), len(head.trust), HEAD_NAMES[3]),
    )


def _missing(head: Head, policy: Policy, now: datetime) -> str:
    try:
        check(head, policy.trusted, policy.of_signatures, now=now)
    except TrustError as error:
        return str(error)
    return ""


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open the file for reading and writing, alone."""
    try:
        with path.open("r+b") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            yield stream
    except OSError as error:
        raise HostError(f"the bundle cannot be signed in place: {error.strerror}", place=str(path)) from error


def _head(stream: BinaryIO) -> Head:
    stream.seek(0)
    return read_head(stream)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.signing")


def _write(path: Path, stream: BinaryIO, head: Head) -> None:
    """Write the changed entries, first beside the bundle, then into it."""
    write_file(_beside(path), pack_head(head.entries()[2:]))
    _put(path, stream)


def _put(path: Path, stream: BinaryIO) -> None:
    data = _beside(path).read_bytes()
    start = _start(stream)
    while data:
        count = os.pwrite(stream.fileno(), data, start)
        data, start = data[count:], start + count
    os.fsync(stream.fileno())
    _beside(path).unlink()


def _start(stream: BinaryIO) -> int:
    """Return where the entries that change begin; what stands before them is never written."""
    places = head_places(stream)
    next(places)
    _, offset, size = next(places)
    return offset + size + padding(size)


def _finish(path: Path, stream: BinaryIO, policy: Policy, now: datetime) -> bool:
    """Do again what a run that was cut off has left; say whether there was such a thing."""
    try:
        left = _beside(path).read_bytes()
    except FileNotFoundError:
        return False
    start = _start(stream)
    stream.seek(0)
    before = stream.read(start)
    try:
        read_manifest(read_head(io.BytesIO(before + left)), policy, now=now, few=True)
    except (FerryError, KeystoreError) as error:
        raise IntegrityError(
            f"expected what an earlier run was about to write into this bundle, got something else: {error}",
            place=str(_beside(path)),
            hint="remove that file, and carry the bundle again if ferry verify refuses it",
        ) from error
    _put(path, stream)
    return True
