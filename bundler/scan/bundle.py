"""The lint on a bundle: straight from its tar, once every byte of it is verified."""

from __future__ import annotations

import io
import os
from typing import BinaryIO, cast

from bundler.archive import Span, spans
from bundler.errors import IntegrityError
from bundler.model.descriptor import Descriptor
from bundler.model.whole import refuse_differential
from bundler.scan.egress import Blobs, scan_items
from bundler.scan.finding import REPORT_NAME, Report, make_report, parse_allows
from bundler.store import Store
from bundler.verify import VerifiedBundle


class _Section(io.RawIOBase):
    """The bytes of one entry of an open tar, as a file of its own."""

    def __init__(self, fd: int, span: Span) -> None:
        self._fd = fd
        self._start = span.data
        self._size = span.entry.size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError("expected a position in the entry")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = max(0, min(len(buffer), self._size - self._at))
        got = os.preadv(self._fd, [memoryview(buffer)[:count]], self._start + self._at) if count else 0
        self._at += got
        return got


def scan_bundle(bundle: VerifiedBundle, store: Store | None = None) -> Report:
    """Return what a verified bundle would fetch at run time, and what its author allows.

    Raises:
        IntegrityError: it cannot be read, or its own report is none.
        HostError: it is a differential.
    """
    manifest = bundle.manifest
    refuse_differential(manifest, because="the scan reads all of them")
    places = {span.entry.sha256: span for span in spans(manifest, bundle.head_end)}
    try:
        with bundle.path.open("rb") as stream:

            def read(descriptor: Descriptor) -> BinaryIO:
                section = _Section(stream.fileno(), places[descriptor.sha256])
                return cast(BinaryIO, io.BufferedReader(section, 1 << 18))

            blobs = Blobs(read, store)
            reports = [item.descriptor for item in manifest.of_kind("report") if item.name == REPORT_NAME]
            allowed = [one for report in reports for one in parse_allows(blobs.document(report))]
            return make_report(scan_items(manifest.items, manifest.services, blobs), allowed)
    except OSError as error:
        raise IntegrityError(f"the bundle cannot be read: {error.strerror}", place=str(bundle.path)) from error
