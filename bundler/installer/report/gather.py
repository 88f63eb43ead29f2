"""What a report tells, gathered from the host; nothing is changed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime

from bundler.errors import IntegrityError
from bundler.installer.facts import gather, installed_manifest
from bundler.installer.journal import Run, read_runs
from bundler.installer.layout import Layout
from bundler.installer.preflight.check import Finding, View
from bundler.installer.preflight.readings import read_host
from bundler.installer.preflight.table import examine
from bundler.installer.status import Status, read_status
from bundler.installer.systemd import Systemd
from bundler.model.manifest import Manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """An installation: the host, the release that runs, its manifest, every run, every check."""

    made: datetime
    hostname: str
    system: str
    kernel: str
    machine: str
    ferry_version: str
    status: Status
    manifest: Manifest
    runs: tuple[Run, ...]
    findings: tuple[Finding, ...]

    @property
    def last_run(self) -> Run | None:
        """The last run that ended well."""
        return next((run for run in reversed(self.runs) if run.outcome == "done"), None)


def make_report(layout: Layout, systemd: Systemd, *, now: datetime, ferry_version: str) -> Report:
    """Look at the host.

    Raises:
        HostError: nothing is installed here.
        IntegrityError: what Ferry knows of the release is damaged.
    """
    status = read_status(layout, systemd)
    facts = gather(layout, systemd)
    manifest = installed_manifest(layout, facts.releases, facts.current)
    if manifest is None:
        raise IntegrityError("the manifest of the installed release is gone", hint="install its bundle again")
    view = View(readings=read_host(layout, systemd), facts=facts, now=now)
    return Report(
        made=now,
        hostname=os.uname().nodename,
        system=f"{facts.os_id} {facts.os_version}".strip(),
        kernel=os.uname().release,
        machine=facts.machine,
        ferry_version=ferry_version,
        status=status,
        manifest=manifest,
        runs=read_runs(layout.journal),
        findings=examine(view),
    )
