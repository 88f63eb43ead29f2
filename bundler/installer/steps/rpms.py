"""Step `rpms`: the bundle's RPM packages are installed by dnf, from a repository of verified bytes."""

from __future__ import annotations

from bundler.errors import HostError, StepError
from bundler.installer.facts import Facts
from bundler.installer.rpms import (
    KEY,
    HostDnf,
    check_changes,
    own_rpms,
    record_own,
    remove_rpms,
)
from bundler.installer.steps.step import Action, Job, list_reasons
from bundler.installer.wanted import Wanted
from bundler.model.manifest import SIGNED, UNSIGNED, Item
from bundler.model.rpmversion import version_key

NAME = "rpms"


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when a package is not installed, or only in an older version.

    Raises:
        HostError: the bundle brings packages, and this host has no rpm or no dnf.
    """
    reasons = {_name(item): reason for item, reason in _missing(wanted, facts)}
    return Action(step=NAME, reason=list_reasons(reasons), detail=tuple(reasons)) if reasons else None


def _missing(wanted: Wanted, facts: Facts) -> list[tuple[Item, str]]:
    rpms = wanted.manifest.of_kind("rpm")
    if rpms and (facts.rpms is None or not facts.has_dnf):
        lacks = "the database of rpm is not there" if facts.rpms is None else "dnf is not there"
        raise HostError(
            f"expected a host with rpm and dnf, {lacks}",
            place="rpms",
            hint="this bundle brings RPM packages: use a host of the distribution that it was locked for, "
            "or a recipe without rpms",
        )
    found = []
    for item in rpms:
        mark = " (nobody signed it)" if _is_unsigned(item) else ""
        has = (facts.rpms or {}).get(_name(item))
        if has is None:
            found.append((item, f"is not installed{mark}"))
        elif version_key(has) < version_key(item.version):
            found.append((item, f"is {has}, older than {item.version}{mark}"))
    return found


def _name(item: Item) -> str:
    """Return NAME.ARCHITECTURE of NAME-VERSION-RELEASE.ARCHITECTURE.rpm."""
    rest, _, architecture = item.name.removesuffix(".rpm").rpartition(".")
    return f"{rest.rsplit('-', 2)[0]}.{architecture}"


def _is_unsigned(item: Item) -> bool:
    return dict(item.source).get(SIGNED) == "no"


def _place(item: Item) -> str:
    return f"{UNSIGNED}{item.name}" if _is_unsigned(item) else item.name


def _wish(item: Item) -> str:
    name, _, architecture = _name(item).rpartition(".")
    return f"{name}-{item.version}.{architecture}"


def apply(job: Job) -> None:
    """Ask dnf what it would do, refuse what harms the host, write down what is new, then let dnf do it."""
    dnf = HostDnf(job.layout)
    store = job.layout.store / "blobs/sha256"
    dnf.publish({_place(item): store / item.descriptor.sha256 for item in job.wanted.manifest.of_kind("rpm", "dnf")})
    wishes = [_wish(item) for item, _ in _missing(job.wanted, job.facts)]
    try:
        changes = dnf.simulate("install", *wishes)
    except StepError as error:
        raise HostError(f"the packages do not fit this host: {error.message}", place="rpms") from error
    check_changes(changes)
    new = [change.name for change in changes if change.verb == "install"]
    record_own(job.layout, [*job.facts.own_rpms, *new, *dnf.new_keys()])
    dnf.install(wishes)


def undo(job: Job) -> None:
    """Remove what this run brought; a package that it replaced by a newer version stays at that."""
    keys = [name for name in job.facts.own_rpms if name.startswith(f"{KEY}-")]
    before = {*(job.facts.rpms or ()), *keys}
    remove_rpms(job.layout, [name for name in own_rpms(job.layout) if name not in before])
    record_own(job.layout, job.facts.own_rpms)
    HostDnf(job.layout).withdraw()
