"""The programs of the distribution that the escort runs: from the bundle's packages, or from this host."""

from __future__ import annotations

from collections.abc import Mapping

from bundler.errors import HostError
from bundler.installer.escort import haproxy, nftables, prometheus
from bundler.installer.facts import Facts
from bundler.installer.settings import read_settings
from bundler.installer.suite import fitting
from bundler.installer.wanted import Wanted
from bundler.model.escort import FIREWALL, GATEWAY, MONITORING
from bundler.model.manifest import Item, Manifest

# The service, its program, and the packages that bring it.
_NEEDED = (
    (FIREWALL, nftables.PROGRAM, ("nftables",)),
    (GATEWAY, haproxy.PROGRAM, ("haproxy",)),
    (MONITORING, prometheus.PROGRAM, ("prometheus", "golang-github-prometheus")),
)


def sources(manifest: Manifest, facts: Facts) -> Mapping[str, str]:
    """Return where each program comes from: "bundle", "host", or "" where it is missing."""
    found = {}
    for service, program, packages in _NEEDED:
        if getattr(manifest.escort, service) is None:
            continue
        if any(_package(item) in packages for item in (*fitting(manifest, facts), *manifest.of_kind("rpm"))):
            found[program] = "bundle"
        else:
            found[program] = "host" if program in facts.programs else ""
    return found


def _package(item: Item) -> str:
    if item.kind == "deb":
        return item.name.partition("_")[0]
    return item.name.rsplit("-", 2)[0] if item.kind == "rpm" else ""


def check_programs(manifest: Manifest, facts: Facts) -> None:
    """Refuse a host without a program that the escort needs.

    Raises:
        HostError: neither the bundle nor the host has it, or the gateway's interface is not here.
    """
    for service, program, packages in _NEEDED:
        if sources(manifest, facts).get(program) == "":
            raise HostError(
                f"expected {program} from the bundle or on this host, it is in neither",
                place=service,
                hint=f"add {packages[0]} to the debs or rpms of the recipe, for this host's suite, or install it here",
            )


def check_interface(wanted: Wanted, facts: Facts) -> None:
    """Refuse a gateway on an interface that this host does not have.

    Raises:
        HostError: it names those that are here.
    """
    if wanted.manifest.escort.gateway is None:
        return
    listen = haproxy.listen_of(read_settings(wanted.settings[GATEWAY]))
    if haproxy.is_interface(listen) and listen not in facts.interfaces:
        here = ", ".join(sorted(facts.interfaces))
        raise HostError(f'expected an interface of this host ({here}), got "{listen}"', place=f"{GATEWAY}.env: LISTEN")
