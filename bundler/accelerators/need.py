"""What a payload was built for, as the oldest driver that it works with: by the catalogue's tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bundler.accelerators.catalogue import Row, Vendor, vendor
from bundler.errors import ResolveError
from bundler.model.driver import DriverNeed, version_key

# The local version of a wheel that was built for a CUDA: cu118, cu124, cu130.
_LOCAL = re.compile(r"[^+]*\+(?:.*[.])?cu([0-9]{2})([0-9])(?:[.].*)?")
_CUDA_RUNTIME = re.compile("nvidia-cuda-runtime(-cu[0-9]+)?")
_MINOR = re.compile(r"[0-9]+\.[0-9]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirement:
    """What a payload was built for: `what` of a vendor in a version; `origin` says who says so.

    With `minor`, an older driver is taken that runs it with a loss, where the vendor knows one.
    """

    vendor: str
    what: str
    version: str
    origin: str = "the recipe"
    minor: bool = False


def requirements_of(packages: Iterable[tuple[str, str]]) -> tuple[Requirement, ...]:
    """Return what the names and versions of wheels tell of the accelerators that they were built for."""
    found = []
    for name, version in packages:
        local, minor = _LOCAL.fullmatch(version), _MINOR.match(version)
        origin = f"{name} {version}"
        if local:
            cuda = f"{local[1]}.{local[2]}"
            found.append(Requirement(vendor="nvidia", what="cuda", version=cuda, origin=origin))
        elif _CUDA_RUNTIME.fullmatch(name) and minor:
            found.append(Requirement(vendor="nvidia", what="cuda", version=minor[0], origin=origin))
        elif name == "torch-npu":
            found.append(Requirement(vendor="ascend", what="torch_npu", version=version, origin=origin))
    return tuple(found)


def needs_of(stated: Sequence[Requirement], derived: Sequence[Requirement]) -> tuple[DriverNeed, ...]:
    """Return one need for each vendor that something requires: the one with the newest driver.

    What a recipe states with `minor` holds for its wheels too; where it states anything of a vendor, wheels that the
    tables do not know are passed over.

    Raises:
        ResolveError: the tables do not know a version.
    """
    minor = {one.vendor for one in stated if one.minor}
    known = {one.vendor for one in stated}
    found: dict[str, DriverNeed] = {}
    for one in (*stated, *derived):
        try:
            need = _need(one, minor=one.vendor in minor)
        except ResolveError:
            if one in stated or one.vendor not in known:
                raise
            continue
        before = found.get(one.vendor)
        if before is None or version_key(before.minimum) < version_key(need.minimum):
            found[one.vendor] = need
    return tuple(found[name] for name in sorted(found))


def _need(one: Requirement, *, minor: bool) -> DriverNeed:
    if one.what == "driver":
        return DriverNeed(vendor=one.vendor, minimum=one.version, because=f"{one.origin} asks for it")
    facts = vendor(one.vendor)
    what, version, words, verified = one.what, one.version, f"{one.what} {one.version} ({one.origin})", True
    for implied in facts.implied:
        if (implied.what, implied.version) == (what, version):
            what, version, verified = implied.needs, implied.of, implied.fact.verified
            words += f" needs {what} {version}"
            break
    row = _row(facts, what, version)
    if row is None:
        raise _unknown(one, facts)
    lesser = row.compatible if minor else ""
    by = f"{row.fact.source}{', with minor version compatibility' if lesser else ''}"
    return DriverNeed(
        vendor=one.vendor,
        minimum=lesser or row.driver,
        because=f"{words}, by {by}",
        verified=verified and row.fact.verified,
    )


def _row(facts: Vendor, what: str, version: str) -> Row | None:
    """Return the row whose version starts a version, part by part; the longest one of several."""
    parts = re.split("[._-]", version.lower())
    rows = [row for row in facts.rows if row.what == what and _starts(row.version.lower().split("."), parts)]
    return max(rows, key=lambda row: len(row.version), default=None)


def _starts(prefix: list[str], parts: list[str]) -> bool:
    return parts[: len(prefix)] == prefix


def _unknown(one: Requirement, facts: Vendor) -> ResolveError:
    known = [row.version for row in facts.rows if row.what == one.what]
    known += [implied.version for implied in facts.implied if implied.what == one.what]
    listed = ", ".join(sorted(known, key=version_key)) or "none"
    return ResolveError(
        f'no driver is known for {one.what} "{one.version}" ({one.origin}); the catalogue has {listed}',
        place=f"accelerators.{one.vendor}",
        hint=f'say the oldest driver that it works with: accelerators: {{{one.vendor}: {{driver: "VERSION"}}}}',
    )
