"""The manifest of a bundle, `ferry.json`: the one root of trust. FORMAT.md gives every field."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from bundler.errors import IntegrityError
from bundler.model.descriptor import Descriptor
from bundler.model.differential import Differential, check_differential, differential_document, parse_differential
from bundler.model.document import Fields, parse_json
from bundler.model.driver import (
    FILE_NAME,
    DriverNeed,
    DriverPackage,
    driver_need,
    driver_need_document,
    driver_package,
    driver_package_document,
)
from bundler.model.entry import Entry as Entry
from bundler.model.entry import entry_document, parse_entry, wrong_blob_name
from bundler.model.escort import NO_ESCORT, Escort, escort_document, take_escort
from bundler.model.path import TOO_LONG, folded, is_short
from bundler.model.platform import Platform, parse_platform
from bundler.model.service import Probe, Service

FORMAT = "ferry/bundle/v2"
HEAD_NAMES = ("ferry.json", "ferry.json.sig", "ferry.json.dsse", "ferry.trust.json")
FIXED_NAMES = ("install.sh", "sbom.cdx.json", "oci-layout", "index.json")
# Texts of services become lines of unit files.
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# These become names of files on the host, and arguments of apt and dnf.
_ITEM_NAMES = {
    "deb": r"[a-z0-9][a-z0-9+.-]+_[0-9A-Za-z.+~%-]+_[a-z0-9]+\.deb",
    "apt": "Packages|Release",
    "rpm": r"[0-9A-Za-z_][0-9A-Za-z._+-]*-[0-9A-Za-z._+~^]+-[0-9A-Za-z._+~^]+\.[a-z0-9_]+\.rpm",
    "dnf": r"(unsigned/)?repodata/(repomd\.xml|(primary|filelists|other)\.xml\.gz)|keys/[0-9a-f]{16}\.asc",
    "driver": FILE_NAME,
}
# An item of kind rpm that nobody signed says so in its source, and stands in a repository of its own.
SIGNED, UNSIGNED = "signed", "unsigned/"
# These become arguments of container runtimes.
_IMAGE_NAME = r"[a-z0-9\[][a-z0-9.:\]-]*(/[a-z0-9._-]+)+(:[0-9A-Za-z_][0-9A-Za-z_.-]{0,127}|@sha256:[0-9a-f]{64})"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One thing that the bundle carries, and where it came from.

    `source` says what was taken (`suite`, `file`, `requirement`), `lineage` the purls of what it was made from.
    `to` is a path below the root of the installation, for files; `driver` says what a vendor's package is. A host that
    an `optional` item does not fit goes without it. An image has the `names` under which it is listed, and the SHA-256
    of its configuration.
    """

    kind: str
    name: str
    version: str
    purl: str
    descriptor: Descriptor
    source: tuple[tuple[str, str], ...] = ()
    lineage: tuple[str, ...] = ()
    to: str = ""
    executable: bool = False
    optional: bool = False
    driver: DriverPackage | None = None
    names: tuple[str, ...] = ()
    config: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a bundle is and holds. Times are RFC 3339 in UTC; `expires` is empty for no end.

    `accelerators` is what the payload asks of the host's drivers, where the host has the cards.
    With `images_needed` a host without a container runtime cannot take it. A `differential` bundle carries a part of
    the blobs of its items; `entries` are those that the tar holds.
    The `escort` is what the host runs beside the services.
    """

    name: str
    version: str
    description: str
    sequence: int
    platform: Platform
    created: str
    expires: str
    ferry_version: str
    lock_sha256: str
    lock_sm3: str
    python_version: str
    items: tuple[Item, ...]
    services: tuple[Service, ...]
    entries: tuple[Entry, ...]
    accelerators: tuple[DriverNeed, ...] = ()
    images_needed: bool = False
    differential: Differential | None = None
    escort: Escort = NO_ESCORT

    def of_kind(self, *kinds: str) -> tuple[Item, ...]:
        """Return the items of some kinds, in the order of the manifest."""
        return tuple(item for item in self.items if item.kind in kinds)

    def expires_before(self, now: datetime) -> bool:
        """Say whether the bundle is past its end at `now` (with a time zone)."""
        return bool(self.expires) and datetime.fromisoformat(self.expires) < now


def format_manifest(manifest: Manifest) -> bytes:
    """Write a manifest: UTF-8 JSON, keys sorted, one entry a line; the same manifest gives the same bytes."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "sequence": manifest.sequence,
        "platforms": [str(manifest.platform)],
        "created": manifest.created,
        "expires": manifest.expires,
        "ferry": {"version": manifest.ferry_version},
        "lock": {"sha256": manifest.lock_sha256, "sm3": manifest.lock_sm3},
        "python": {"version": manifest.python_version},
        "items": [_item_document(item) for item in manifest.items],
        "services": [_service_document(service) for service in manifest.services],
        "entries": [entry_document(entry) for entry in manifest.entries],
    }
    if manifest.accelerators:
        document["accelerators"] = [driver_need_document(need) for need in manifest.accelerators]
    if manifest.images_needed:
        document["images_needed"] = True
    if manifest.differential is not None:
        document["differential"] = differential_document(manifest.differential)
    return write_document(document | escort_document(manifest.escort))


def write_document(document: dict[str, Any]) -> bytes:
    """Write the JSON of a manifest in its one form."""
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def parse_manifest(data: bytes) -> Manifest:
    """Parse the bytes of a manifest whose signature was checked.

    Unknown fields are allowed: a later Ferry may say more.

    Raises:
        IntegrityError: not a manifest of a format that this Ferry knows; the message names the field.
    """
    fields = Fields(parse_json(data, place="ferry.json", error=IntegrityError), place="", error=IntegrityError)
    form = fields.text("format")
    if form != FORMAT:
        raise fields.refuse("format", f'expected "{FORMAT}", got "{form}"', "use a Ferry that knows this format")
    manifest = _manifest(fields)
    _check(manifest)
    return manifest


def _manifest(fields: Fields) -> Manifest:
    platforms = fields.texts("platforms")
    if len(platforms) != 1:
        raise fields.refuse("platforms", f"expected one platform, got {len(platforms)}")
    lock = fields.mapping("lock")
    services = tuple(_service(Fields(v, place=p, error=IntegrityError)) for p, v in fields.items("services"))
    return Manifest(
        name=fields.text("name", match=r"[a-z0-9][a-z0-9.-]{0,49}"),
        version=fields.text("version", match=r"[0-9A-Za-z][0-9A-Za-z.+~_-]{0,63}"),
        description=fields.text("description", ""),
        sequence=fields.integer("sequence", least=1),
        platform=_platform(fields, platforms[0]),
        created=fields.moment("created", form=_TIME, what="a time in UTC"),
        expires=fields.moment("expires", "", form=_TIME, what="a time in UTC"),
        ferry_version=fields.mapping("ferry").text("version"),
        lock_sha256=lock.hex("sha256"),
        lock_sm3=lock.hex("sm3", algorithm="sm3"),
        python_version=fields.mapping("python").text("version", match=r"3\.\d+"),
        items=tuple(_item(Fields(v, place=p, error=IntegrityError)) for p, v in fields.items("items")),
        services=services,
        entries=tuple(parse_entry(Fields(v, place=p, error=IntegrityError)) for p, v in fields.items("entries")),
        accelerators=tuple(
            driver_need(Fields(v, place=p, error=IntegrityError)) for p, v in fields.items("accelerators", [])
        ),
        images_needed=fields.flag("images_needed", False),
        differential=parse_differential(fields.mapping("differential")) if fields.has("differential") else None,
        escort=take_escort(fields, services),
    )


def _platform(fields: Fields, text: str) -> Platform:
    try:
        return parse_platform(text)
    except Exception as error:
        raise fields.refuse("platforms[0]", str(error)) from error


def _check(manifest: Manifest) -> None:
    """Refuse entries that are not in the one allowed shape, and items that no entry carries."""
    names = [entry.name for entry in manifest.entries]
    fixed, blobs = tuple(names[: len(FIXED_NAMES)]), names[len(FIXED_NAMES) :]
    if fixed != FIXED_NAMES:
        raise IntegrityError(f"expected {', '.join(FIXED_NAMES)} first, got {', '.join(fixed)}", place="entries")
    for index, entry in enumerate(manifest.entries[len(FIXED_NAMES) :], len(FIXED_NAMES)):
        if wrong := wrong_blob_name(entry):
            raise IntegrityError(wrong, place=f"entries[{index}]")
    if len(set(blobs)) != len(blobs):
        raise IntegrityError("a blob is listed twice", place="entries")
    _check_places(manifest.items)
    carried = {entry.sha256: entry for entry in manifest.entries}
    if (left := manifest.differential) is not None:
        check_differential(left, manifest.entries)
        carried |= {entry.sha256: entry for entry in (*left.absent, *(patch.result for patch in left.patches))}
    for index, item in enumerate(manifest.items):
        held = carried.get(item.descriptor.sha256)
        if held is None or (held.size, held.sm3) != (item.descriptor.size, item.descriptor.sm3):
            raise IntegrityError(f'no entry carries "{item.name}"', place=f"items[{index}]")


def _check_places(items: Sequence[Item]) -> None:
    """Refuse two items for one place, also where a file system does not tell two names from each other."""
    taken: dict[str, str] = {}
    for index, item in enumerate(items):
        if not item.to:
            continue
        place = folded(item.to)
        if place in taken:
            raise IntegrityError(
                f'expected a place of its own, got "{item.to}" beside "{taken[place]}"', place=f"items[{index}].to"
            )
        taken[place] = item.to
    for place, to in taken.items():
        above = next((taken[str(one)] for one in PurePosixPath(place).parents if str(one) in taken), None)
        if above is not None:
            raise IntegrityError(f'expected a directory at "{above}", which "{to}" is in, got a file', place="items")


def _item(fields: Fields) -> Item:
    to = fields.text("to", "")
    if to.startswith("/") or ".." in to.split("/") or "\0" in to:
        raise fields.refuse("to", f'expected a relative path, got "{to}"')
    if not is_short(to):
        raise fields.refuse("to", TOO_LONG)
    kind = fields.text("kind")
    driver = driver_package(fields.mapping("driver")) if kind == "driver" else None
    return Item(
        kind=kind,
        name=fields.text("name", match=_ITEM_NAMES.get(kind, "[^\0]+"), what="a name"),
        version=fields.text("version"),
        purl=fields.text("purl"),
        descriptor=Descriptor(
            media_type=fields.text("media_type"),
            size=fields.integer("size"),
            sha256=fields.hex("sha256"),
            sm3=fields.hex("sm3", algorithm="sm3"),
        ),
        source=fields.pairs("source", {}),
        lineage=fields.texts("lineage", []),
        to=to,
        executable=fields.flag("executable", False),
        optional=fields.flag("optional", False),
        driver=driver,
        names=fields.texts("names", [], match=_IMAGE_NAME, what="a reference HOST/NAME:TAG or HOST/NAME@sha256:HEX"),
        config=fields.hex("config", ""),
    )


def _service(fields: Fields) -> Service:
    probe = fields.mapping("probe") if fields.has("probe") else None
    service = Service(
        name=fields.text("name", match="[a-z][a-z0-9-]{0,24}"),
        description=fields.text("description"),
        run=fields.texts("run"),
        directory=fields.text("directory"),
        port=fields.integer("port"),
        ready=fields.text("ready"),
        environment=fields.pairs("environment"),
        settings=fields.texts("settings"),
        after=fields.texts("after"),
        unless=fields.text("unless"),
        state=fields.flag("state"),
        start_timeout_s=fields.integer("start_timeout_s"),
        memory_max_mib=fields.integer("memory_max_mib"),
        probe=None
        if probe is None
        else Probe(
            method=probe.text("method"),
            path=probe.text("path"),
            body=probe.text("body"),
            expect=probe.text("expect"),
        ),
    )
    words = [service.description, service.directory, service.ready, *service.run, *service.settings, *service.after]
    if any(_CONTROL.search(word) for word in (*words, *(text for pair in service.environment for text in pair))):
        raise fields.refuse("name", "expected texts of one line, a control character stands in one")
    return service


def _item_document(item: Item) -> dict[str, Any]:
    document: dict[str, Any] = {
        "kind": item.kind,
        "name": item.name,
        "version": item.version,
        "purl": item.purl,
        "media_type": item.descriptor.media_type,
        "size": item.descriptor.size,
        "sha256": item.descriptor.sha256,
        "sm3": item.descriptor.sm3,
        "source": dict(item.source),
        "lineage": list(item.lineage),
    }
    if item.to:
        document |= {"to": item.to, "executable": item.executable}
    if item.optional:
        document["optional"] = True
    if item.driver is not None:
        document["driver"] = driver_package_document(item.driver)
    if item.names:
        document |= {"names": list(item.names), "config": item.config}
    return document


def _service_document(service: Service) -> dict[str, Any]:
    document = {**asdict(service), "environment": dict(service.environment)}
    if service.probe is None:
        del document["probe"]
    return document
