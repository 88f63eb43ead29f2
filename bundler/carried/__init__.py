"""What a bundle carries for the isolated host itself: one module for each kind, one line here."""

from __future__ import annotations

from bundler.carried.chart import carry_charts
from bundler.carried.deb import carry_debs
from bundler.carried.driver import carry_drivers
from bundler.carried.rpm import carry_rpms
from bundler.carried.upstream import carry_upstream
from bundler.model.lock import Lock
from bundler.model.manifest import Item
from bundler.model.platform import Platform
from bundler.store import Store

# Each returns the items of its kind, and puts into the store what is made and not fetched.
_CARRIERS = (carry_debs, carry_upstream, carry_rpms, carry_drivers, carry_charts)
# Kinds of packages; `source` of such an item says its `package`.
HOST_KINDS = ("deb", "rpm", "driver")


def carry(lock: Lock, platform: Platform, store: Store) -> tuple[Item, ...]:
    """Return the items for the host on `platform`, kind by kind.

    Raises:
        IntegrityError, StepError: as the module of each kind says.
    """
    return tuple(item for carrier in _CARRIERS for item in carrier(lock, platform, store))
