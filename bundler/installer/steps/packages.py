"""Step `packages`: the bundle's Debian packages are installed by apt-get, from a repository of verified bytes."""

from __future__ import annotations

from bundler.errors import HostError, StepError
from bundler.installer.facts import Facts
from bundler.installer.packages import (
    HostApt,
    check_changes,
    own_packages,
    purge_own,
    record_own,
)
from bundler.installer.steps.step import Action, Job, list_reasons
from bundler.installer.wanted import Wanted
from bundler.model.debian import version_key
from bundler.model.manifest import Item

NAME = "packages"


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when a package is not installed, or only in an older version.

    Raises:
        HostError: the bundle brings packages, and this host has no dpkg.
    """
    reasons = {_name(item): reason for item, reason in missing(wanted, facts)}
    return Action(step=NAME, reason=list_reasons(reasons), detail=tuple(reasons)) if reasons else None


def missing(wanted: Wanted, facts: Facts) -> list[tuple[Item, str]]:
    """Return the packages that are due, each with the reason.

    Raises:
        HostError: the bundle brings packages, and this host has no dpkg.
    """
    debs = wanted.manifest.of_kind("deb")
    if debs and facts.packages is None:
        raise HostError(
            "expected a host with dpkg, /var/lib/dpkg/status is not there",
            place="packages",
            hint="this bundle brings Debian packages: use a host of Debian's family, or a recipe without debs",
        )
    found = []
    for item in debs:
        has = (facts.packages or {}).get(_name(item))
        if has is None:
            found.append((item, "is not installed"))
        elif version_key(has) < version_key(item.version):
            found.append((item, f"is {has}, older than {item.version}"))
    return found


def _name(item: Item) -> str:
    return item.name.partition("_")[0]


def apply(job: Job) -> None:
    """Ask apt what it would do, refuse what harms the host, write down what is new, then let apt do it."""
    apt = HostApt(job.layout)
    store = job.layout.store / "blobs/sha256"
    apt.publish({item.name: store / item.descriptor.sha256 for item in job.wanted.manifest.of_kind("deb", "apt")})
    if set(job.facts.own_packages) - set(job.facts.packages or ()):
        apt.settle()
    wishes = [f"{_name(item)}={item.version}" for item, _ in missing(job.wanted, job.facts)]
    try:
        changes = apt.simulate("install", *wishes)
    except StepError as error:
        raise HostError(f"the packages do not fit this host: {error.message}", place="packages") from error
    check_changes(changes)
    new = [change.name for change in changes if not change.old]
    record_own(job.layout, [*job.facts.own_packages, *new])
    apt.install(wishes)


def undo(job: Job) -> None:
    """Purge what this run brought; a package that it replaced by a newer version stays at that."""
    before = job.facts.packages or {}
    purge_own(job.layout, [name for name in own_packages(job.layout) if name not in before])
    record_own(job.layout, job.facts.own_packages)
    HostApt(job.layout).withdraw()
