"""How the installed release is doing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bundler.errors import HostError, IntegrityError, TrustError
from bundler.installer.escort.firing import Alert, firing_alerts
from bundler.installer.escort.services import all_services
from bundler.installer.facts import Facts, gather, installed_manifest
from bundler.installer.layout import Layout, unit_name
from bundler.installer.marks import NO_LINE, Marks
from bundler.installer.memory import recall
from bundler.installer.pending import where_unfinished
from bundler.installer.release import Release
from bundler.installer.steps.images import missing_names
from bundler.installer.systemd import Systemd
from bundler.model.manifest import Manifest
from keystore import audit
from keystore.chain import Head
from keystore.errors import KeystoreError


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceStatus:
    """One service: systemd's word for it, since when, and why it is not ready (None when it is)."""

    name: str
    unit: str
    active: str
    since: str
    port: int
    not_ready: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Remembered:
    """What the host has had, and where its audit log ends; `problem` says why that is not to be believed."""

    marks: Marks
    audit: Head
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """The release that runs and its services; `unfinished` is the step at which the last run was cut off.

    `images` counts those of the release; `runtime` is that of containers, "" for none, which lacks `missing_names`.
    `remembered` is for root alone to see. `alerts` are those that fire; they make a host no less healthy.
    """

    release: Release
    services: tuple[ServiceStatus, ...]
    unfinished: str | None
    images: int = 0
    runtime: str = ""
    missing_names: tuple[str, ...] = ()
    remembered: Remembered | None = None
    alerts: tuple[Alert, ...] = ()

    @property
    def is_healthy(self) -> bool:
        """Whether everything that should run can do its work."""
        return self.unfinished is None and all(service.not_ready is None for service in self.services)


def read_status(layout: Layout, systemd: Systemd) -> Status:
    """Look at the host and ask every service.

    Raises:
        HostError: nothing is installed here.
        IntegrityError: what Ferry knows of the release is damaged.
    """
    facts = gather(layout, systemd)
    release = facts.installed
    if release is None:
        raise HostError(
            "expected an installed release, there is none", hint="install one: sh install.sh BUNDLE.tar ..."
        )
    manifest = installed_manifest(layout, facts.releases, facts.current)
    if manifest is None:
        raise IntegrityError("the manifest of the installed release is gone", hint="install its bundle again")
    services = []
    for service in all_services(manifest):
        unit = facts.units.get(service.name)
        # A service that another setting replaces has no unit, and that is right.
        if unit is None and service.unless:
            continue
        active = unit.state.active if unit else "not installed"
        services.append(
            ServiceStatus(
                name=service.name,
                unit=unit_name(service.name),
                active=active,
                since=unit.state.since if unit else "",
                port=service.port,
                not_ready=unit.not_ready if unit and active == "active" else f"it is {active}",
            )
        )
    return Status(
        release=release,
        services=tuple(services),
        unfinished=where_unfinished(layout),
        images=len(manifest.of_kind("image")),
        runtime=facts.runtime.name if facts.runtime else "",
        missing_names=_missing_names(manifest, facts),
        remembered=_remembered(layout, facts.releases),
        alerts=firing_alerts(manifest.escort.monitoring.port) if manifest.escort.monitoring else (),
    )


def _remembered(layout: Layout, releases: Sequence[Release]) -> Remembered | None:
    try:
        return Remembered(marks=recall(layout, releases).marks, audit=audit.last(layout.audit))
    except (TrustError, KeystoreError) as error:
        return Remembered(marks=Marks(), audit=NO_LINE, problem=str(error))
    except HostError:
        return None


def _missing_names(manifest: Manifest, facts: Facts) -> tuple[str, ...]:
    """Return the names that the runtime lacks; one that does not answer has none."""
    if facts.runtime is None:
        return ()
    return missing_names(manifest, replace(facts, runtime=replace(facts.runtime, problem="")))
