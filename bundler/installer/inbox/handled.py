"""What became of one bundle in a look into the inbox."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bundler.errors import FerryError, IntegrityError, TrustError


@dataclass(frozen=True, kw_only=True, slots=True)
class Handled:
    """What became of one bundle: where it stands now, and the error by which it was refused, None for done.

    `interrupted` says that its medium failed: it is not refused, but tried again.
    """

    name: str
    place: Path
    error: FerryError | None = None
    interrupted: bool = False

    @property
    def is_last(self) -> bool:
        """Whether bundles behind it wait for the next look, since they may count on it."""
        return self.error is not None and not isinstance(self.error, IntegrityError | TrustError)
