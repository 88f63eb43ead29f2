"""When the key that seals the records is changed by itself, and how often it was used so far.

Source: the Vault HTTP API documentation, '/sys/rotate/config'; NIST SP 800-38D, clause 8.3, for the number of uses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from keystore import document
from keystore.barrier.keyring import Term
from keystore.barrier.overlay import View
from keystore.barrier.store import Store

CONFIG, USE = "core/rotation", "core/key-use"
OPERATIONS_LEAST, OPERATIONS_MOST = 1_000_000, 3_865_470_566
INTERVAL_LEAST_S = 24 * 3600
_USE_SHAPE = {"term": int, "written": int}


@dataclass(frozen=True, kw_only=True, slots=True)
class Rotation:
    """A new key begins after so many uses of the old one, or, unless that is 0, after so much time."""

    max_operations: int = OPERATIONS_MOST
    interval_s: int = 0
    enabled: bool = True

    def due(self, term: Term, now: datetime) -> bool:
        """Tell whether a key has served long enough."""
        aged = self.interval_s > 0 and now - term.created >= timedelta(seconds=self.interval_s)
        return self.enabled and (aged or term.written >= self.max_operations)


def read(view: View) -> Rotation:
    """Return what was set."""
    data = view.get(CONFIG)
    return Rotation() if data is None else Rotation(**document.parse(data, CONFIG))


def write(view: View, rotation: Rotation) -> None:
    """Keep what was set."""
    view.put(CONFIG, document.canonical(asdict(rotation)))


def use_of(store: Store) -> Mapping[str, bytes]:
    """Return the record that tells how often the active key was used, unless it is kept already."""
    term = store.keyring.active
    found = document.canonical({"term": term.number, "written": term.written})
    return {} if store.get(USE) == found else {USE: found}


def recall(store: Store) -> None:
    """Count on from where the store remembers that its active key was.

    Raises: KeystoreError.
    """
    data = store.get(USE)
    if data is None:
        return
    found = document.fields(document.parse(data, USE), USE, _USE_SHAPE)
    term = store.keyring.active
    if found["term"] == term.number:
        term.written = max(term.written, found["written"])
