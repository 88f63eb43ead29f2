"""What this host is and has, gathered once before anything is planned."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bundler.accelerators.decide import Machine
from bundler.anchors import Anchor, read_anchors
from bundler.errors import FerryError
from bundler.installer.answer import why_not_ready
from bundler.installer.cards import gather_machines
from bundler.installer.escort.credentials import can_seal, read_index
from bundler.installer.escort.services import all_services
from bundler.installer.images import OwnName, own_names
from bundler.installer.layout import MARK, PREFIX, Layout, service_name
from bundler.installer.marks import Memory
from bundler.installer.own_driver import OwnDriver, boot_id, read_own
from bundler.installer.packages import installed_packages, own_packages
from bundler.installer.ports import listeners
from bundler.installer.release import Release, read_releases
from bundler.installer.rpms import has_dnf, installed_rpms, own_rpms
from bundler.installer.runtimes import RuntimeFact, runtime_fact
from bundler.installer.systemd import Systemd, UnitState
from bundler.model.manifest import Item, Manifest, parse_manifest
from bundler.model.service import Service

_TEXT_LIMIT = 1024 * 1024
# Directories that an install or systemd may make; an uninstall removes those that were not there before.
GROUND = (
    "/etc/systemd/system/multi-user.target.wants",
    "/usr/local/bin",
    "/var/lib/private",
    "/var/cache/private",
    "/etc/cni/net.d",
    "/etc/cni",
    "/var/lib/containers",
)
# What the escort runs of the distribution's.
PROGRAMS = ("/usr/sbin/nft", "/usr/sbin/haproxy", "/usr/bin/prometheus")


@dataclass(frozen=True, kw_only=True, slots=True)
class UnitFact:
    """A unit of Ferry: its file's text, its state, why it does not answer, and what it was started with."""

    text: str
    state: UnitState
    not_ready: str | None = None
    started_with: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """The file system of a directory: its device number, and the bytes that can be written."""

    device: int
    free_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """This host. Mappings are by name of the service, digest or port; `current` is 0 when nothing runs.

    `packages` gives what dpkg has installed, with versions: None without dpkg. `own_packages` came with Ferry, as did
    `own_drivers`; `rpms` and `own_rpms` are the same of rpm; `machines` and `own_drivers` are by vendor, for those of
    which a card is here. `driver_items` are the drivers of earlier bundles that are in the store, `boot` names this
    boot of the kernel. `runtime` is that of containers, `own_names` are those that Ferry gave to images there.
    `memory` is what `bundler.installer.memory.recall` found; only an install asks it. `rendered` are the escort's files
    by service and name, `secrets` say what credentials are made of, `certificate` is the gateway's; `programs` are
    those of PROGRAMS that are here. With `can_seal` systemd seals credentials to this host.
    """

    os_id: str
    os_version: str
    machine: str
    glibc: str
    has_systemd: bool
    store_space: Space
    programs_space: Space
    system_space: Space
    blobs: Mapping[str, int]
    anchors: tuple[Anchor, ...]
    releases: tuple[Release, ...]
    trees: frozenset[int]
    current: int
    settings: Mapping[str, str]
    credentials: Mapping[str, tuple[str, ...]]
    units: Mapping[str, UnitFact]
    ports: Mapping[int, str]
    launcher: str
    data: frozenset[str]
    absent: tuple[str, ...]
    is_fresh: bool
    os_codename: str = ""
    packages: Mapping[str, str] | None = None
    own_packages: tuple[str, ...] = ()
    rpms: Mapping[str, str] | None = None
    own_rpms: tuple[str, ...] = ()
    has_dnf: bool = False
    machines: Mapping[str, Machine] = field(default_factory=dict)
    own_drivers: Mapping[str, OwnDriver] = field(default_factory=dict)
    driver_items: tuple[Item, ...] = ()
    boot: str = ""
    runtime: RuntimeFact | None = None
    own_names: tuple[OwnName, ...] = ()
    memory: Memory = field(default_factory=Memory)
    rendered: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    certificate: str = ""
    programs: frozenset[str] = frozenset()
    interfaces: frozenset[str] = frozenset()
    can_seal: bool = False

    @property
    def installed(self) -> Release | None:
        """The release that runs."""
        return next((release for release in self.releases if release.number == self.current), None)


def gather(layout: Layout, systemd: Systemd) -> Facts:
    """Look at the host; nothing is changed.

    Raises:
        IntegrityError, TrustError: a record or a trusted key on this host is damaged.
        StepError: systemd, dpkg or rpm does not answer.
    """
    system = os_release(layout.at("/etc/os-release"))
    has_systemd = layout.at("/run/systemd/system").is_dir()
    releases = read_releases(layout.records)
    current = current_release(layout)
    own = read_own(layout)
    blobs = held_blobs(layout.store)
    return Facts(
        os_id=system.get("ID", ""),
        os_version=system.get("VERSION_ID", ""),
        machine=os.uname().machine,
        glibc=os.confstr("CS_GNU_LIBC_VERSION") or "",
        has_systemd=has_systemd,
        store_space=_space(layout.state),
        programs_space=_space(layout.programs),
        system_space=_space(layout.at("/usr")),
        blobs=blobs,
        anchors=read_anchors(layout.trust),
        releases=releases,
        trees=frozenset(
            release.number for release in releases if (layout.trees / str(release.number) / "root").is_dir()
        ),
        current=current,
        settings=_texts(layout.settings, "*.env"),
        credentials=_credentials(layout.settings / "credentials"),
        units=_units(layout, systemd if has_systemd else None, _services(layout, releases, current)),
        ports=listeners(layout.at("/proc")),
        launcher=_text(layout.launcher),
        data=_data(layout),
        absent=tuple(path for path in GROUND if not layout.at(path).is_dir()),
        is_fresh=not releases and not own,
        os_codename=system.get("VERSION_CODENAME", ""),
        packages=installed_packages(layout, os.uname().machine),
        own_packages=own_packages(layout),
        rpms=installed_rpms(layout),
        own_rpms=own_rpms(layout),
        has_dnf=has_dnf(),
        machines=gather_machines(layout, (system.get("ID", ""), system.get("VERSION_ID", ""))),
        own_drivers=own,
        driver_items=_driver_items(layout, releases, blobs),
        boot=boot_id(layout),
        runtime=runtime_fact(layout),
        own_names=own_names(layout),
        rendered={path.name: _texts_of(path) for path in sorted(layout.rendered.glob("*"))},
        secrets=read_index(layout),
        certificate=_text(layout.certificate),
        programs=frozenset(path for path in PROGRAMS if layout.at(path).exists()),
        interfaces=frozenset(path.name for path in layout.at("/sys/class/net").glob("*")),
        can_seal=can_seal(layout),
    )


def installed_manifest(layout: Layout, releases: Sequence[Release], current: int) -> Manifest | None:
    """Return the manifest of the release that runs, None when there is none.

    Raises:
        IntegrityError: it is damaged.
    """
    release = next((release for release in releases if release.number == current), None)
    if release is None:
        return None
    path = layout.store / "blobs/sha256" / release.manifest_sha256
    return parse_manifest(path.read_bytes()) if path.exists() else None


def _driver_items(layout: Layout, releases: Sequence[Release], blobs: Mapping[str, int]) -> tuple[Item, ...]:
    found: list[Item] = []
    for release in releases:
        # A damaged manifest tells of no driver; the plan finds it missing.
        with suppress(FerryError):
            manifest = installed_manifest(layout, releases, release.number)
            found += manifest.of_kind("driver") if manifest else []
    return tuple(item for item in found if item.descriptor.sha256 in blobs)


def _services(layout: Layout, releases: Sequence[Release], current: int) -> dict[str, Service]:
    try:
        manifest = installed_manifest(layout, releases, current)
    except FerryError:
        # A damaged copy is found missing by the plan, and comes anew from the bundle.
        return {}
    return {service.name: service for service in all_services(manifest)} if manifest else {}


def _units(layout: Layout, systemd: Systemd | None, services: Mapping[str, Service]) -> dict[str, UnitFact]:
    texts = {path.name: _text(path) for path in sorted(layout.units.glob(f"{PREFIX}*.service"))}
    ours = [name for name, text in texts.items() if text.startswith(MARK)]
    states = systemd.states(ours) if systemd else {}
    found = {}
    for unit in ours:
        state = states.get(unit, UnitState(active="inactive", enabled=False))
        service = services.get(service_name(unit))
        asked = service is not None and state.active == "active"
        found[service_name(unit)] = UnitFact(
            text=texts[unit],
            state=state,
            not_ready=why_not_ready(service) if asked and service else None,
            started_with=_text(layout.run / f"{service_name(unit)}.started"),
        )
    return found


def os_release(path: Path) -> dict[str, str]:
    """Return what a system says it is."""
    pairs = (line.partition("=") for line in _text(path).splitlines())
    return {name: value.strip("\"'") for name, equals, value in pairs if equals}


def current_release(layout: Layout) -> int:
    """Return the number of the release that runs, 0 for none."""
    try:
        name = layout.current.readlink().name
    except OSError:
        return 0
    return int(name) if name.isdecimal() else 0


def _space(path: Path) -> Space:
    while not path.exists():
        path = path.parent
    system = os.statvfs(path)
    return Space(device=path.stat().st_dev, free_bytes=system.f_bavail * system.f_frsize)


def held_blobs(store: Path) -> dict[str, int]:
    """Return the sizes of the blobs whose record is there too."""
    directory, known = store / "blobs/sha256", store / "known"
    if not directory.is_dir():
        return {}
    with os.scandir(directory) as entries:
        return {entry.name: entry.stat().st_size for entry in entries if (known / entry.name).exists()}


def _texts(directory: Path, pattern: str) -> dict[str, str]:
    return {path.stem: _text(path) for path in sorted(directory.glob(pattern))}


def _texts_of(directory: Path) -> dict[str, str]:
    return {path.name: _text(path) for path in sorted(directory.glob("*"))}


def _text(path: Path) -> str:
    """Return the text of a small file, "" when it is not there or not for this user to read."""
    try:
        with path.open("rb") as stream:
            return stream.read(_TEXT_LIMIT).decode("utf-8", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ""


def _credentials(directory: Path) -> dict[str, tuple[str, ...]]:
    """Return the names of the credential files of each service."""
    try:
        return {
            place.name: tuple(sorted(path.name for path in place.iterdir() if path.is_file()))
            for place in sorted(directory.iterdir())
            if place.is_dir()
        }
    except (FileNotFoundError, PermissionError):
        return {}


def _data(layout: Layout) -> frozenset[str]:
    """Return the services of which data is there."""
    places = {path.parent for path in layout.data("x")}
    return frozenset(path.name.removeprefix(PREFIX) for place in places for path in place.glob(f"{PREFIX}*"))
