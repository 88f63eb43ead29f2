"""The gate of the isolated side: a bundle is believed only after every step here, in this order.

1. The head has the shape of a bundle.
2. A trusted key signed the exact bytes of the manifest, and the envelope over them.
3. The manifest is one that this Ferry knows, is not expired, and names each entry once, as it must.
4. The file has exactly the size that follows from the manifest.
5. Every header stands where it must, byte for byte; every padding is zero.
6. Every entry has the digest that the manifest promises.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from bundler.archive import (
    BLOCK,
    END,
    Head,
    Span,
    check_header,
    padding,
    read_head,
    spans,
    total_size,
)
from bundler.attest import check
from bundler.errors import FerryError, IntegrityError, TrustError
from bundler.model.descriptor import CHUNK_BYTES
from bundler.model.manifest import Entry, Manifest, parse_manifest
from bundler.store import PIECE_BYTES
from keystore import sm3
from keystore.errors import KeystoreError
from keystore.sm2 import PublicKey

_SHOWN = 5
# The digest that proves the bytes, by the name of a verifier's profile.
PROFILES = {"gm": "sm3", "standard": "sha256"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What a verifier demands.

    `trusted` keys; `algorithm` is the digest that proves the bytes: `sm3` (the GM profile) or `sha256`;
    `accept_expired` lets a bundle pass that is past its end.
    """

    trusted: tuple[PublicKey, ...]
    algorithm: str = "sm3"
    accept_expired: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifiedBundle:
    """A bundle that passed every step; only `verify` makes one."""

    path: Path
    manifest: Manifest
    manifest_bytes: bytes
    head_end: int
    key: PublicKey
    algorithm: str


class Sink(Protocol):
    """Where the bytes of entries go while they are checked; a place counts only after `finish`."""

    def write(self, entry: Entry, offset: int, data: memoryview) -> None:
        """Take bytes of an entry at an offset; several threads call at once, each for its own part."""

    def finish(self, entry: Entry) -> None:
        """Every byte of this entry came and is right."""


class _Digest(Protocol):
    def update(self, data: memoryview) -> None: ...
    def hexdigest(self) -> str: ...


def read_trust(path: Path) -> PublicKey:
    """Read a trusted public key in PEM.

    Raises:
        TrustError: the file cannot be read or holds no SM2 public key.
    """
    try:
        return PublicKey.from_pem(path.read_bytes())
    except OSError as error:
        raise TrustError(f"the trusted key cannot be read: {error.strerror}", place=str(path)) from error
    except KeystoreError as error:
        raise TrustError(f"expected an SM2 public key in PEM: {error}", place=str(path)) from error


def read_manifest(head: Head, policy: Policy, *, now: datetime) -> tuple[Manifest, PublicKey]:
    """Do steps 2 and 3: return the manifest and the key that signed it.

    Raises:
        TrustError: not signed by a trusted key, or expired.
        IntegrityError: signed, but not a manifest that this Ferry knows.
    """
    key = check(head.manifest, head.signature, head.envelope, policy.trusted)
    manifest = parse_manifest(head.manifest)
    if manifest.expires_before(now) and not policy.accept_expired:
        raise TrustError(
            f"the bundle expired at {manifest.expires}, it is {now:%Y-%m-%dT%H:%M:%SZ}",
            place="ferry.json: expires",
            hint="bring a newer bundle, or check this host's clock",
        )
    return manifest, key


def verify(
    path: Path,
    policy: Policy,
    *,
    now: datetime,
    sink: Sink | None = None,
    wanted: Callable[[Entry], bool] = lambda entry: True,
    advance: Callable[[int], None] = lambda count: None,
    started: Callable[[Manifest], None] = lambda manifest: None,
) -> VerifiedBundle:
    """Check a whole bundle, reading it once; give entries that are `wanted` to `sink` on the way.

    `started` hears of the manifest when its signature is right and before the rest is read. Memory is constant.

    Raises:
        TrustError, IntegrityError: as the steps say. A sink's own errors pass through.
    """
    with _open(path) as stream:
        head = read_head(stream)
        manifest, key = read_manifest(head, policy, now=now)
        started(manifest)
        _check_size(stream, manifest, head.end)
        checks = _Entries(stream.fileno(), policy.algorithm, sink, wanted, advance)
        checks.run(list(spans(manifest, head.end)), total_size(manifest, head.end) - len(END))
    return VerifiedBundle(
        path=path,
        manifest=manifest,
        manifest_bytes=head.manifest,
        head_end=head.end,
        key=key,
        algorithm=policy.algorithm,
    )


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise IntegrityError(f"the bundle cannot be read: {error.strerror}", place=str(path)) from error


def _check_size(stream: BinaryIO, manifest: Manifest, start: int) -> None:
    expected, got = total_size(manifest, start), os.fstat(stream.fileno()).st_size
    if expected != got:
        kind = "cut short" if got < expected else "followed by other data"
        raise IntegrityError(
            f"expected {expected} bytes, got {got}: the bundle is {kind}",
            hint="carry the bundle again and compare its size on both sides",
        )


class _Entries:
    """Steps 5 and 6 on all cores: one piece of work per entry, one per chunk of a large entry."""

    def __init__(
        self,
        fd: int,
        algorithm: str,
        sink: Sink | None,
        wanted: Callable[[Entry], bool],
        advance: Callable[[int], None],
    ) -> None:
        self._fd = fd
        self._algorithm = algorithm
        self._sink = sink
        self._wanted = wanted
        self._advance = advance
        self._errors: list[tuple[int, FerryError]] = []
        self._lock = threading.Lock()
        self._open_parts: dict[str, int] = {}

    def run(self, all_spans: Sequence[Span], end: int) -> None:
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            try:
                for future in [pool.submit(self._guarded, job, at) for job, at in self._jobs(all_spans)]:
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        if _read(self._fd, len(END), end) != END:
            self._errors.append((end, IntegrityError("expected the end of the archive", place=f"offset {end}")))
        self._raise()

    def _raise(self) -> None:
        if not self._errors:
            return
        found = [error for _, error in sorted(self._errors, key=lambda pair: pair[0])]
        if len(found) == 1:
            raise found[0]
        lines = "".join(f"\n  {error}" for error in found[:_SHOWN])
        more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise IntegrityError(f"{len(found)} places are damaged:{lines}{more}", hint=found[0].hint)

    def _guarded(self, job: Callable[[], None], at: int) -> None:
        try:
            job()
        except IntegrityError as error:
            with self._lock:
                self._errors.append((at, error))

    def _jobs(self, all_spans: Sequence[Span]) -> Iterator[tuple[Callable[[], None], int]]:
        for span in all_spans:
            entry = span.entry
            if self._algorithm == "sm3" and entry.chunks:
                self._open_parts[entry.name] = len(entry.chunks)
                for index, digest in enumerate(entry.chunks):
                    start = index * CHUNK_BYTES
                    length = min(CHUNK_BYTES, entry.size - start)
                    yield self._piece(span, start, length, digest), span.data + start
            else:
                self._open_parts[entry.name] = 1
                digest = entry.sm3 if self._algorithm == "sm3" else entry.sha256
                yield self._piece(span, 0, entry.size, digest), span.header

    def _piece(self, span: Span, start: int, length: int, digest: str) -> Callable[[], None]:
        def job() -> None:
            if start == 0:
                check_header(_read(self._fd, BLOCK, span.header), span)
                rest = padding(span.entry.size)
                if _read(self._fd, rest, span.data + span.entry.size) != bytes(rest):
                    raise IntegrityError("expected zero padding", place=f'behind "{span.entry.name}"')
            self._hash(span, start, length, digest)
            with self._lock:
                self._open_parts[span.entry.name] -= 1
                last = self._open_parts[span.entry.name] == 0
            if last and self._sink is not None and self._wanted(span.entry):
                self._sink.finish(span.entry)

        return job

    def _hash(self, span: Span, start: int, length: int, expected: str) -> None:
        entry = span.entry
        sink = self._sink if self._sink is not None and self._wanted(entry) else None
        digest: _Digest = sm3.new() if self._algorithm == "sm3" else hashlib.sha256()
        buffer = memoryview(bytearray(min(PIECE_BYTES, length)))
        done = 0
        while done < length:
            view = buffer[: min(PIECE_BYTES, length - done)]
            count = _read_into(self._fd, view, span.data + start + done)
            if count == 0:
                break
            digest.update(view[:count])
            if sink is not None:
                sink.write(entry, start + done, view[:count])
            self._advance(count)
            done += count
        got = digest.hexdigest()
        if got != expected:
            raise IntegrityError(
                f"expected {self._algorithm} {expected}, got {got}",
                place=f'"{entry.name}" at offset {span.data + start}',
                hint="the medium or the copy is damaged, or someone changed it: carry the bundle again",
            )


def _read(fd: int, count: int, offset: int) -> bytes:
    buffer = memoryview(bytearray(count))
    done = 0
    while done < count and (got := _read_into(fd, buffer[done:], offset + done)):
        done += got
    return bytes(buffer[:done])


def _read_into(fd: int, view: memoryview, offset: int) -> int:
    try:
        return os.preadv(fd, [view], offset)
    except OSError as error:
        raise IntegrityError(
            f"the medium cannot be read: {error.strerror}",
            place=f"offset {offset}",
            hint="clean or replace the medium and carry the bundle again",
        ) from error
