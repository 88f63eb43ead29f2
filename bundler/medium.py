"""What the operator brings: one bundle, or its volumes on any number of discs."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from bundler.checks import Reading
from bundler.errors import FerryError, HostError, IntegrityError
from bundler.model.volume import Label
from bundler.verify import Policy, verify
from bundler.volumes import is_volume, read_label, verify_volume, volume_name

# Asked for volumes by number, it answers where to look next, None when there are no more.
Ask = Callable[[tuple[int, ...], int, Path], Path | None]
_VOLUME = re.compile(r"(?P<stem>.+)\.vol[0-9]+of[0-9]+\.tar")


class Medium:
    """The whole of a bundle, wherever its bytes are; `path` is the bundle, or any volume of it."""

    def __init__(self, path: Path, ask: Ask | None = None) -> None:
        self.path = path
        self._ask = ask
        self.is_volume = is_volume(path)

    def verify(
        self,
        policy: Policy,
        *,
        now: datetime,
        reading: Reading | None = None,
    ) -> None:
        """Check all of the bundle; `reading` takes part on the way.

        Raises:
            TrustError, IntegrityError: bytes are refused; volumes to be carried again are listed.
            HostError: volumes are missing.
        """
        if not self.is_volume:
            verify(self.path, policy, now=now, reading=reading)
            return

        def check(path: Path) -> Label:
            return verify_volume(path, policy, now=now, reading=reading).label

        self._check_all(check)

    def _check_all(self, check: Callable[[Path], Label]) -> None:
        """Check each volume once, where it is found, and ask for those that are not there."""
        label = read_label(self.path)
        left = set(range(1, label.count + 1))
        bad: dict[int, FerryError] = {}
        place: Path | None = self.path.parent
        while place is not None:
            for number in sorted(left):
                path = self._at(place, number, label.count)
                if not path.is_file():
                    continue
                left.discard(number)
                try:
                    self._check_one(path, number, label, check)
                except IntegrityError as error:
                    bad[number] = error
            place = self._ask(tuple(sorted(left)), label.count, place) if left and self._ask else None
        self._refuse(label.count, left, bad)

    def _check_one(self, path: Path, number: int, first: Label, check: Callable[[Path], Label]) -> None:
        found = check(path)
        if found.number != number or (found.manifest_sha256, found.volume_bytes) != (
            first.manifest_sha256,
            first.volume_bytes,
        ):
            raise IntegrityError(
                f"expected volume {number} of the same cut, got volume {found.number} of another", place=str(path)
            )

    def _at(self, place: Path, number: int, count: int) -> Path:
        """Return where a volume should be: beside the first one, or in another directory under the same name."""
        match = _VOLUME.fullmatch(self.path.name)
        if match is None:
            return self.path if number == read_label(self.path).number else place / volume_name("", number, count)
        return place / volume_name(match["stem"], number, count)

    def _refuse(self, count: int, left: set[int], bad: dict[int, FerryError]) -> None:
        if bad:
            again = _listed(sorted({*bad, *left}))
            reasons = "".join(f"\n  volume {number}: {error}" for number, error in sorted(bad.items()))
            raise IntegrityError(
                f"{len(bad)} of {count} volumes are damaged:{reasons}", hint=f"carry again: volumes {again} of {count}"
            )
        if left:
            raise HostError(
                f"expected {count} volumes, {len(left)} are missing",
                place=str(self.path.parent),
                hint=f"bring volumes {_listed(sorted(left))} of {count} into one directory with the others",
            )


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
