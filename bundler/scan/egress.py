"""The egress lint: what the items of a bundle would fetch at run time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import BinaryIO

from packaging.utils import canonicalize_name

from bundler.model.descriptor import Descriptor
from bundler.model.manifest import Item
from bundler.model.service import Service
from bundler.scan.blob import Found, Scanned, scan_file, scan_layer, scan_wheel
from bundler.scan.finding import Finding
from bundler.scan.image import DOCUMENT_BYTES, Start, config_digest, parse_start
from bundler.scan.rules import ERROR, NAME, RUN, SCRIPT, SETTING, SYSTEM, UNSCANNED, WARNING, read_rules
from bundler.scan.text import scan_text, scan_words
from bundler.store import Store, derivation_key

# A change of how blobs are read must not find what an older Ferry remembered.
_GENERATION = "2"
_COMPOSED = ("composed", "ferry")
_WAYS = {"file": "file", "wheel": "wheel", "toolchain": "wheel", "python": "layer"}

Open = Callable[[Descriptor], BinaryIO]


class Blobs:
    """Opens blobs whose bytes are known to be right, and remembers in a store, if there is one, what is in them."""

    def __init__(self, read: Open, store: Store | None = None) -> None:
        self._read = read
        self._store = store
        self._rules = read_rules()

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a small blob."""
        with self._read(descriptor) as stream:
            return stream.read(DOCUMENT_BYTES)

    def scanned(self, way: str, name: str, descriptor: Descriptor) -> Scanned:
        """Return what is in a blob, which is read as a `file` of this name, a `wheel` or a `layer`."""
        key = derivation_key(_GENERATION, "egress", self._rules.digest, way, name, descriptor.sha256)
        known = self._store.remembered(key) if self._store else None
        if known is not None:
            return Scanned.from_facts(known)
        with self._read(descriptor) as stream:
            if way == "file":
                scanned = scan_file(stream, name, self._rules)
            else:
                look = scan_wheel if way == "wheel" else scan_layer
                scanned = look(stream, descriptor.size, self._rules)
        if self._store and not scanned.problem:
            self._store.remember(key, scanned.facts())
        return scanned


def scan_items(items: Sequence[Item], services: Sequence[Service], blobs: Blobs) -> list[Finding]:
    """Return what would reach out of the services, and of every item that holds programs.

    The layers of images that Ferry composed are not read: they hold the Python runtime, the wheels and the files.
    """
    starts = {f"services.{one.name}": _service_start(one) for one in services}
    programs = frozenset(name for start in starts.values() for name in start.programs)
    findings = [finding for where, start in starts.items() for finding in _started(where, start)]
    set_by_files: set[str] = set()
    for item in items:
        if item.kind in _WAYS:
            way = _WAYS[item.kind]
            scanned = blobs.scanned(way, item.name if way == "file" else "", item.descriptor)
            set_by_files.update(scanned.variables)
            findings += _of_blob(item.name, scanned, programs if way == "file" else frozenset(), alone=way == "file")
        elif item.kind == "image":
            findings += _of_image(item, items, services, blobs)
    wheels = {str(canonicalize_name(item.name.split("-")[0])) for item in items if item.kind == "wheel"}
    for where, start in starts.items():
        findings += _on_demand(where, wheels, set_by_files | {name for name, _ in start.environment})
    return findings


def _service_start(service: Service) -> Start:
    return Start(vectors=(("run", service.run),), environment=service.environment)


def _started(where: str, start: Start) -> Iterator[Finding]:
    """Yield what a command line or an environment would fetch."""
    rules = read_rules()
    for path, words in start.vectors:
        for hit in scan_words(list(words), rules):
            severity = rules.severity(hit.rule, RUN)
            yield Finding(rule=hit.rule, severity=severity, item=where, path=path, found=hit.found)
    for name, value in start.environment:
        for hit in scan_text(f"{name}={value}".encode(), SETTING, rules):
            severity = rules.severity(hit.rule, SETTING)
            yield Finding(rule=hit.rule, severity=severity, item=where, path=f"environment.{name}", found=hit.found)


def _of_blob(name: str, scanned: Scanned, programs: frozenset[str], *, alone: bool = False) -> Iterator[Finding]:
    """Yield what is in a blob; a script of one of `programs` runs. `alone`: the item is the file."""
    for one in scanned.found:
        yield Finding(
            rule=one.rule,
            severity=read_rules().severity(one.rule, _surface(one, programs)),
            item=name,
            path="" if alone else one.path,
            line=one.line,
            found=one.found,
            count=one.count,
        )
    if scanned.problem:
        yield Finding(rule=UNSCANNED, severity=ERROR, item=name, found=scanned.problem)


def _surface(found: Found, programs: frozenset[str]) -> str:
    runs = found.surface in (SCRIPT, SYSTEM) and found.path.rpartition("/")[2] in programs
    return RUN if runs else found.surface


def _of_image(item: Item, items: Sequence[Item], services: Sequence[Service], blobs: Blobs) -> Iterator[Finding]:
    """Yield what an image would fetch: by its name, its configuration and the files that its layers leave visible."""
    rules = read_rules()
    for hit in scan_text(item.name.encode(), NAME, rules):
        yield Finding(rule=hit.rule, severity=WARNING, item=item.name, found=hit.found)
    descriptors = {one.descriptor.sha256: one.descriptor for one in items}
    config = descriptors.get(config_digest(blobs.document(item.descriptor)) or "")
    start = parse_start(blobs.document(config)) if config else Start()
    if _COMPOSED in item.source:
        # What its service starts and sets is told there.
        known = {pair for service in services for pair in service.environment}
        more = tuple(pair for pair in start.environment if pair not in known)
        yield from _started(item.name, Start(environment=more))
        return
    yield from _started(item.name, start)
    layers = [
        blobs.scanned("layer", "", descriptors[digest])
        for digest in (one.removeprefix("sha256:") for one in item.lineage)
        if digest in descriptors
    ]
    for scanned in visible(layers):
        yield from _of_blob(item.name, scanned, start.programs)
    packages = {package for layer in layers for package in layer.packages}
    yield from _on_demand(item.name, packages, {name for name, _ in start.environment})


def visible(layers: Sequence[Scanned]) -> Iterator[Scanned]:
    """Yield each layer without what a later one removes."""
    for index, layer in enumerate(layers):
        gone = [path for later in layers[index + 1 :] for path in later.gone]
        yield replace(layer, found=tuple(one for one in layer.found if not _is_gone(one.path, gone)))


def _is_gone(path: str, gone: Iterable[str]) -> bool:
    return any(path == one or path.startswith(one if one.endswith("/") else f"{one}/") for one in gone)


def _on_demand(where: str, packages: Iterable[str], variables: Iterable[str]) -> Iterator[Finding]:
    """Yield the packages that fetch on demand where nothing holds them back."""
    names, given = set(packages), set(variables)
    for rule in read_rules().carried:
        if (carried := sorted(names & rule.packages)) and not given & set(rule.variables):
            found = f"{', '.join(carried)} without {rule.variables[0]}"
            yield Finding(rule=rule.id, severity=WARNING, item=where, path="environment", found=found)
