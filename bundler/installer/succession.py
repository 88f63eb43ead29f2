"""Which bundle may follow what a host has had; no effects."""

from __future__ import annotations

from bundler.errors import HostError, TrustError
from bundler.installer.facts import Facts
from bundler.installer.wanted import Wanted


def check_product(wanted: Wanted, facts: Facts) -> None:
    """Refuse another product.

    Raises:
        HostError: another one is installed.
    """
    new = wanted.manifest
    for release in facts.releases:
        if release.name != new.name:
            raise HostError(
                f'expected a bundle of "{release.name}", which is installed here, got "{new.name}"',
                hint="a host holds one product: run ferry host uninstall first, or use another host",
            )


def why_older(wanted: Wanted, facts: Facts) -> TrustError | None:
    """Return the refusal of an older bundle, or of another one under the same sequence; None when it may come."""
    new = wanted.manifest
    installed = facts.installed
    is_here = installed is not None and installed.manifest_sha256 == wanted.manifest_sha256
    mark = facts.memory.marks.products.get(new.name)
    if is_here or mark is None:
        return None
    was = f"{mark.version} with sequence {mark.sequence}"
    if new.sequence < mark.sequence:
        return TrustError(
            f"expected sequence {mark.sequence} or higher, got {new.sequence}: this host has had {was}",
            place="ferry.json: sequence",
            hint="an old bundle may bring old holes back; to go back all the same: --allow-older-sequence",
        )
    if new.sequence == mark.sequence and wanted.manifest_sha256 != mark.manifest_sha256:
        return TrustError(
            f"expected a sequence above {new.sequence}: this host has had another bundle, {was}",
            place="ferry.json: sequence",
            hint="raise `sequence` in the recipe for every release; to take it all the same: --allow-older-sequence",
        )
    return None
