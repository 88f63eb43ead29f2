"""An upgrade that failed: the release that ran before runs again, and whether it can do its work is on record."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bundler.errors import FerryError, HostError
from bundler.installer.audit import DONE, FAILED, HostLog
from bundler.installer.escort.services import all_services
from bundler.installer.facts import installed_manifest
from bundler.installer.journal import DONE as ENDED_WELL
from bundler.installer.journal import begun_steps, last_run, outcome
from bundler.installer.layout import Layout
from bundler.installer.pending import where_unfinished
from bundler.installer.release import Release
from bundler.installer.steps.health import wait_until_ready
from bundler.installer.steps.step import Job
from bundler.model.service import Service
from keystore.errors import KeystoreError

KIND = "return"
# Steps behind which services do not run as they did.
_DISTURBING = frozenset({"stop", "switch", "services"})


@contextmanager
def coming_back(job: Job, log: HostLog) -> Iterator[None]:
    """Add to the error of an install that was undone what became of the release before, and put it on record."""
    try:
        yield
    except BaseException as error:
        # What went wrong matters more than that this cannot be told.
        with suppress(FerryError, KeystoreError):
            _come_back(error, job, log)
        raise


def _come_back(error: BaseException, job: Job, log: HostLog) -> None:
    release, layout = job.before.installed, job.layout
    if release is None or not _has_disturbed(layout) or where_unfinished(layout) is not None:
        return
    # Whoever stopped the install does not wait.
    problem = why_not_ready(job) if isinstance(error, Exception) else ""
    told = {"product": f"{release.name} {release.version}", "release": str(release.number)}
    log.end(KIND, FAILED if problem else DONE, **told, from_release=str(job.wanted.number), error=problem)
    if isinstance(error, FerryError):
        error.hint = f"{error.hint}; {_sentence(release, problem)}" if error.hint else _sentence(release, problem)
        error.details = {**error.details, "returned": {**told, "ready": not problem}}


def _has_disturbed(layout: Layout) -> bool:
    """Say whether the run that failed came to where services do not run as they did; one that ended well is older."""
    number = last_run(layout.journal)
    is_ours = outcome(layout.journal, number) != ENDED_WELL
    return is_ours and bool(_DISTURBING & set(begun_steps(layout.journal, number)))


def _sentence(release: Release, problem: str) -> str:
    runs = f"{release.name} {release.version} (release {release.number}) runs again"
    return f"{runs}, but is not healthy: {problem}" if problem else runs


def why_not_ready(job: Job) -> str:
    """Wait for the services that were ready before the install; return why one is not, "" when all are."""
    for service in _ready_before(job):
        try:
            wait_until_ready(job.systemd, service)
        except HostError as error:
            return str(error).splitlines()[0]
    return ""


def _ready_before(job: Job) -> list[Service]:
    manifest = installed_manifest(job.layout, job.before.releases, job.before.current)
    units = job.before.units
    services = all_services(manifest) if manifest else ()
    return [
        service
        for service in services
        if service.name in units
        and units[service.name].state.active == "active"
        and units[service.name].not_ready is None
    ]
