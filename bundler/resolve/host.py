"""A described host as far as a driver needs to know it."""

from __future__ import annotations

from collections.abc import Sequence

from bundler.accelerators.decide import Machine
from bundler.model.deb import LockedDeb
from bundler.model.driver import VENDORS
from bundler.model.target import Package, Target

# Programs that a build of modules needs: dpkg's and rpm's packages are called as they are.
_TOOLS = frozenset({"dkms", "gcc", "make"})


def machine_of(host: Target, vendor: str, os_debs: Sequence[LockedDeb] = ()) -> Machine:
    """Return a host with the cards of one vendor; packages that the same bundle brings count as installed."""
    pci = VENDORS[vendor][0]
    cards = host.accelerators
    return Machine(
        devices=None if cards is None else tuple(sorted(card.device for card in cards if card.vendor == pci)),
        driver=None if host.drivers is None else host.driver_version(pci) or "",
        kernel=host.kernel,
        system=None if host.os.id is None else (host.os.id, host.os.version or ""),
        headers=_has_headers(host, os_debs),
        tools=_tools(host, os_debs),
        secure_boot=host.security.secure_boot,
    )


def _has_headers(host: Target, os_debs: Sequence[LockedDeb]) -> bool | None:
    if host.kernel is None or host.packages is None:
        return None
    names = {package.name for package in host.packages} | {deb.name for deb in os_debs if deb.platform == host.platform}
    return f"linux-headers-{host.kernel}" in names or any(_is_devel(package, host.kernel) for package in host.packages)


def _is_devel(package: Package, kernel: str) -> bool:
    """Say whether a package of rpm is the kernel's headers: its version is that of uname without the architecture."""
    is_named = package.name.startswith("kernel") and package.name.endswith("-devel")
    version = package.version.rpartition(":")[2]
    return is_named and kernel in (version, f"{version}.{package.architecture}")


def _tools(host: Target, os_debs: Sequence[LockedDeb]) -> frozenset[str] | None:
    if host.packages is None:
        return None
    names = {package.name for package in host.packages} | {deb.name for deb in os_debs if deb.platform == host.platform}
    return frozenset(_TOOLS & names)
