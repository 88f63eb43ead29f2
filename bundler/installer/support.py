"""What a maker needs to help from afar, in one archive without secrets; nothing on the host is changed."""

from __future__ import annotations

import gzip
import io
import json
import os
import secrets
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from bundler.errors import FerryError, HostError
from bundler.installer.layout import MARK, PREFIX, Layout
from bundler.installer.preflight.host import preflight
from bundler.installer.redact import Redactor, host_secrets
from bundler.installer.report.document import check_document, report_document
from bundler.installer.report.gather import make_report
from bundler.installer.systemd import Systemd

_LOG_LINES = 2000
_FILE_LIMIT = 4 * 1024 * 1024


def write_support(
    path: Path, layout: Layout, systemd: Systemd, *, now: datetime, ferry_version: str
) -> tuple[str, ...]:
    """Write a `.tar.gz` that only its owner may read; return the names of what it holds.

    Raises:
        HostError: it cannot be written, or is there already.
    """
    redactor = Redactor(host_secrets(layout))
    texts = dict(_texts(layout, systemd, now=now, ferry_version=ferry_version))
    files = {name: redactor.clean(text) for name, text in sorted(texts.items())}
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        if path.exists():
            raise HostError("expected no file there, there is one", place=str(path), hint="choose another name")
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(fd, "wb") as stream:
            stream.write(_archive(files, now))
            os.fsync(stream.fileno())
        part.rename(path)
    except OSError as error:
        raise HostError(f"the archive cannot be written: {error.strerror}", place=str(path)) from error
    finally:
        part.unlink(missing_ok=True)
    return tuple(files)


def _archive(files: dict[str, str], now: datetime) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, text in files.items():
            data = text.encode("utf-8", "surrogateescape")
            member = tarfile.TarInfo(f"ferry-support/{name}")
            member.size, member.mode, member.mtime = len(data), 0o600, int(now.timestamp())
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(out.getvalue(), mtime=int(now.timestamp()))


def _texts(layout: Layout, systemd: Systemd, *, now: datetime, ferry_version: str) -> Iterator[tuple[str, str]]:
    """Yield name and text of every part; what cannot be told says why in its place."""
    try:
        report = make_report(layout, systemd, now=now, ferry_version=ferry_version)
        yield "report.json", _json(report_document(report))
    except FerryError as error:
        # Without a whole release the checks of the host tell the most.
        yield "report.error", f"{error}\n"
        with suppress(FerryError):
            checks = preflight(layout, systemd, now=now)
            yield "checks.json", _json([check_document(finding) for finding in checks])
    for directory, pattern in (
        (layout.journal, "*.jsonl"),
        (layout.records, "*.json"),
        (layout.settings, "*.env"),
        (layout.drivers, "*.log"),
        (layout.at("/etc"), "os-release"),
        (layout.at("/proc"), "meminfo"),
        (layout.at("/proc/self"), "mounts"),
    ):
        for path in sorted(directory.glob(pattern)):
            yield f"files/{path.relative_to(layout.root)}", _tail(path)
    for path in sorted(layout.units.glob(f"{PREFIX}*.service")):
        text = _tail(path)
        if text.startswith(MARK):
            yield f"files/{path.relative_to(layout.root)}", text
            yield f"logs/{path.name}.log", _log(systemd, path.name)


def _log(systemd: Systemd, unit: str) -> str:
    try:
        return systemd.log(unit, _LOG_LINES) + "\n"
    except FerryError as error:
        return f"no log: {error}\n"


def _json(document: object) -> str:
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _tail(path: Path) -> str:
    """Return the text of a file, of a long one its end."""
    try:
        with path.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.seek(max(0, size - _FILE_LIMIT))
            return stream.read(_FILE_LIMIT).decode("utf-8", "surrogateescape")
    except OSError as error:
        return f"cannot be read: {error.strerror}\n"
