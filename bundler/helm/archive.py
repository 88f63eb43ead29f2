"""A packaged chart, read without unpacking it: what it is called, and whether it is whole.

Source: Helm's documents, "The Chart File Structure" and "Chart Dependencies"; Helm itself takes at most
100 MiB unpacked.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from bundler.errors import IntegrityError, ResolveError
from bundler.helm.documents import parse_texts
from bundler.model.chart import CHART_NAME, CHART_VERSION
from bundler.model.document import Fields, describe

PACKED_MAX_BYTES = 16 * 1024 * 1024
_MAX_BYTES = 100 * 1024 * 1024
_MOST_MEMBERS = 10_000
_METADATA = ("Chart.yaml", "requirements.yaml")
_BROKEN = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, ValueError, OverflowError)
_ANNOTATION = "artifacthub.io/images"


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """What a chart says of itself; `annotated` are the images that its annotation for Artifact Hub names."""

    name: str
    version: str
    api_version: str
    app_version: str
    annotated: tuple[str, ...]


def read_chart(data: bytes, *, place: str) -> Chart:
    """Read a packaged chart.

    Raises:
        IntegrityError: it is no chart, or holds what has no place in one: links, devices, names that lead elsewhere.
        ResolveError: it is a library, or a dependency is not in it.
    """
    files = _read(data, place)
    chart, fields = _chart(files, place)
    # Helm takes a chart without a type for an application.
    if fields.text("type", "application") == "library":
        raise ResolveError("expected a chart to install, this one is a library for others", place=place)
    _check_whole(files, fields, place)
    return chart


def _chart(files: Mapping[str, bytes], place: str) -> tuple[Chart, Fields]:
    fields = _fields(files, "Chart.yaml", place)
    annotations = fields.mapping("annotations", {})
    chart = Chart(
        name=fields.text("name", match=CHART_NAME, what="the name of a chart"),
        version=fields.text("version", match=CHART_VERSION, what="the version of a chart"),
        api_version=fields.text("apiVersion", "v1", match="v1|v2", what="v1 or v2"),
        app_version=fields.text("appVersion", ""),
        annotated=tuple(_annotated(annotations.text(_ANNOTATION, ""), place)),
    )
    return chart, fields


def _fields(files: Mapping[str, bytes], name: str, place: str) -> Fields:
    where = f"{place}: {name}"
    if name not in files:
        raise IntegrityError("expected a packaged chart, it has no such file", place=where)
    return Fields(parse_texts(files[name], place=where, error=IntegrityError), place=where, error=IntegrityError)


def _annotated(text: str, place: str) -> Iterator[str]:
    """Yield the images of Artifact Hub's annotation: a list of mappings, in YAML inside YAML."""
    if text:
        where = f"{place}: Chart.yaml: annotations"
        parsed = parse_texts(text.encode("utf-8", "replace"), place=where, error=IntegrityError)
        for at, one in Fields({_ANNOTATION: parsed}, place=where, error=IntegrityError).items(_ANNOTATION):
            yield Fields(one, place=at, error=IntegrityError).text("image")


def _check_whole(files: Mapping[str, bytes], fields: Fields, place: str) -> None:
    listed = fields.items("dependencies", [])
    if "requirements.yaml" in files:
        listed += _fields(files, "requirements.yaml", place).items("dependencies", [])
    wanted = [Fields(value, place=at, error=IntegrityError).text("name") for at, value in listed]
    there = {name for path in files if (name := _vendored(path, files, place))}
    missing = sorted(set(wanted) - there)
    if missing:
        raise ResolveError(
            f"expected every dependency in the chart, {', '.join(map(describe, missing))} "
            f"{'is' if len(missing) == 1 else 'are'} missing",
            place=place,
            hint="run: helm dependency build, then helm package",
        )


def _vendored(path: str, files: Mapping[str, bytes], place: str) -> str:
    """Return the name of the chart whose metadata, or whose archive, stands directly below `charts`."""
    parts = PurePosixPath(path).parts
    if len(parts) == 3 and parts[0] == "charts" and parts[2] == "Chart.yaml":
        return _fields(files, path, place).text("name")
    if len(parts) == 2 and parts[0] == "charts" and path.endswith(".tgz"):
        inside = f"{place}: {path}"
        return _chart(_read(files[path], inside), inside)[0].name
    return ""


def _read(data: bytes, place: str) -> dict[str, bytes]:
    """Return metadata, and every other member without its content, by name below the chart's own directory."""
    if len(data) > PACKED_MAX_BYTES:
        raise IntegrityError(f"expected a chart of at most {PACKED_MAX_BYTES} bytes, got {len(data)}", place=place)
    files: dict[str, bytes] = {}
    tops: set[str] = set()
    try:
        with (
            gzip.GzipFile(fileobj=io.BytesIO(data)) as plain,
            tarfile.open(fileobj=_Bounded(plain, place), mode="r|") as tar,  # type: ignore[call-overload]
        ):
            for member in tar:
                top, name = _checked(member, place)
                tops.add(top)
                if member.isdir():
                    continue
                if name in files or len(tops) > 1 or len(files) >= _MOST_MEMBERS:
                    raise _odd(member.name, place, f"expected one directory of at most {_MOST_MEMBERS} files")
                kept = name.rpartition("/")[2] in _METADATA or name.endswith(".tgz")
                content = tar.extractfile(member) if kept else None
                files[name] = content.read() if content else b""
    except _BROKEN as error:
        raise IntegrityError(f"expected a packaged chart, a .tgz: {error}", place=place) from error
    return files


def _checked(member: tarfile.TarInfo, place: str) -> tuple[str, str]:
    parts = PurePosixPath(member.name).parts
    if not (member.isdir() or (member.isreg() and not member.issparse())):
        raise _odd(member.name, place, "expected files and directories")
    plain = member.name.isprintable() and "\\" not in member.name and not member.name.startswith("/")
    if not plain or ".." in parts or len(parts) < (1 if member.isdir() else 2):
        raise _odd(member.name, place, "expected a name inside the chart's directory")
    return parts[0], "/".join(parts[1:])


def _odd(name: str, place: str, expected: str) -> IntegrityError:
    return IntegrityError(f"{expected}, got {describe(name)}", place=place)


class _Bounded:
    """A stream that refuses to give more than a chart may have: what bombs unpack to is never read."""

    def __init__(self, stream: gzip.GzipFile, place: str) -> None:
        self._stream = stream
        self._left = _MAX_BYTES
        self._place = place

    def read(self, size: int) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise IntegrityError(f"expected a chart of at most {_MAX_BYTES} bytes when unpacked", place=self._place)
        return data
