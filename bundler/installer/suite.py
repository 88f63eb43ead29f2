"""Which of a bundle's Debian packages are for this host: those of its own suite."""

from __future__ import annotations

from bundler.errors import HostError
from bundler.installer.facts import Facts
from bundler.model.manifest import Item, Manifest


def fitting(manifest: Manifest, facts: Facts) -> tuple[Item, ...]:
    """Return the packages for this host and the lists of them; none where it may go without.

    Raises:
        HostError: it may not, and has no dpkg or is of another suite.
    """
    items = manifest.of_kind("deb", "apt")
    fit = tuple(item for item in items if _suite(item) == facts.os_codename)
    if facts.packages is not None and fit:
        return fit
    needed = [item for item in manifest.of_kind("deb") if not item.optional]
    if not needed:
        return ()
    if facts.packages is None:
        raise HostError(
            "expected a host with dpkg, /var/lib/dpkg/status is not there",
            place="packages",
            hint="this bundle brings Debian packages: use a host of Debian's family, or a recipe without debs",
        )
    raise HostError(
        f"expected a host of {' or '.join(_suites(needed))}, "
        f"this is {facts.os_codename or f'{facts.os_id} {facts.os_version}'.strip() or 'unknown'}",
        place="packages",
        hint="bring a bundle with packages for this host: its suite stands under debs in the recipe",
    )


def left_out(manifest: Manifest, facts: Facts) -> tuple[str, ...]:
    """Return the suites that the bundle has packages for, when none of them is this host's."""
    debs = manifest.of_kind("deb")
    return () if fitting(manifest, facts) else _suites(debs)


def _suites(items: list[Item] | tuple[Item, ...]) -> tuple[str, ...]:
    return tuple(sorted({_suite(item) for item in items}))


def _suite(item: Item) -> str:
    return dict(item.source).get("suite", "")
