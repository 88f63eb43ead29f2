"""Step `packages`: the bundle's Debian packages are installed by apt-get, from a repository of verified bytes."""

from __future__ import annotations

from bundler.errors import HostError, StepError
from bundler.installer.facts import Facts
from bundler.installer.masks import mask
from bundler.installer.packages import (
    HostApt,
    check_changes,
    own_packages,
    purge_own,
    record_own,
)
from bundler.installer.runtimes import DAEMONS
from bundler.installer.steps.step import Action, Job, list_reasons
from bundler.installer.suite import fitting
from bundler.installer.wanted import Wanted
from bundler.model.debian import version_key
from bundler.model.manifest import Item

NAME = "packages"
_MOST_NAMED = 5


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when a package is not installed, or only in an older version.

    Raises:
        HostError: the bundle brings packages that it needs, and this host does not take them.
    """
    reasons = {_name(item): reason for item, reason in missing(wanted, facts)}
    if len(reasons) > _MOST_NAMED:
        told = f"{', '.join(list(reasons)[:_MOST_NAMED])} and {len(reasons) - _MOST_NAMED} more are missing or older"
    else:
        told = list_reasons(reasons)
    return Action(step=NAME, reason=told, detail=tuple(reasons)) if reasons else None


def missing(wanted: Wanted, facts: Facts) -> list[tuple[Item, str]]:
    """Return the packages that are due, each with the reason.

    Raises:
        HostError: the bundle brings packages that it needs, and this host does not take them.
    """
    found = []
    for item in fitting(wanted.manifest, facts):
        if item.kind != "deb":
            continue
        has = (facts.packages or {}).get(_name(item))
        if has is None:
            found.append((item, "is not installed"))
        elif version_key(has) < version_key(item.version):
            found.append((item, f"is {has}, older than {item.version}"))
    return found


def _name(item: Item) -> str:
    return item.name.partition("_")[0]


def apply(job: Job) -> None:
    """Ask apt what it would do, refuse what harms the host, write down what is new, then let apt do it.

    The daemons of what is new are masked, so that they wait for whoever configures them, but for container runtimes,
    which listen on a socket of root's alone and are to take the images.
    """
    apt = HostApt(job.layout)
    store = job.layout.store / "blobs/sha256"
    items = fitting(job.wanted.manifest, job.facts)
    apt.publish({item.name: store / item.descriptor.sha256 for item in items})
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
    debs = {_name(item): store / item.descriptor.sha256 for item in items if item.kind == "deb"}
    mask(job.layout, {name: debs[name] for name in new if name in debs and name not in DAEMONS})
    apt.install(wishes)


def undo(job: Job) -> None:
    """Purge what this run brought; a package that it replaced by a newer version stays at that."""
    before = job.facts.packages or {}
    purge_own(job.layout, [name for name in own_packages(job.layout) if name not in before])
    record_own(job.layout, job.facts.own_packages)
    HostApt(job.layout).withdraw()
