"""What the operator brings: one bundle, or its volumes on any number of discs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path

from bundler.archive import Head, read_head
from bundler.checks import Reading
from bundler.errors import FerryError, HostError, IntegrityError
from bundler.parity import Healed, listed, remedy
from bundler.sevenzip.archive import SevenZip, is_sevenzip
from bundler.source import FileSource, Source, as_stream, of_system
from bundler.verify import Policy, verify_source
from bundler.volumes import is_volume
from bundler.volumeset import Ask as Ask
from bundler.volumeset import VolumeSet


class Medium:
    """The whole of a bundle, wherever its bytes are; `path` is the bundle, any volume of it, or a 7z archive of it.

    `healed` says in words which volumes were not read but computed from parity.
    """

    def __init__(self, path: Path, ask: Ask | None = None, password: Callable[[], str] | None = None) -> None:
        self.path = path
        self.healed = ""
        self._ask = ask
        self._archive = SevenZip(path, password or _no_password) if is_sevenzip(path) else None
        self.is_volume = self._archive is None and is_volume(path)

    def open(self) -> AbstractContextManager[Source]:
        """Open the bundle, or the volume that was named.

        Raises:
            IntegrityError: it cannot be read.
        """
        return self._archive.open() if self._archive is not None else FileSource(self.path)

    def read_head(self) -> Head:
        """Read the head of the bundle, unchecked.

        Raises:
            IntegrityError: this is no bundle.
        """
        with self.open() as source:
            return read_head(as_stream(source))

    def verify(
        self,
        policy: Policy,
        *,
        now: datetime,
        reading: Reading | None = None,
    ) -> None:
        """Check all of the bundle; `reading` takes part on the way. What parity heals is not missed.

        Raises:
            TrustError, IntegrityError: bytes are refused; volumes to be carried again are listed.
            HostError: volumes are missing.
        """
        if self.is_volume:
            gathering = _Gathering(VolumeSet(self.path, policy, now=now), reading or Reading(), self._ask)
            gathering.run()
            self.healed = listed(gathering.healed, gathering.count)
        else:
            with self.open() as source:
                verify_source(source, policy, now=now, reading=reading)


def _no_password() -> str:
    raise HostError("expected a password for the archive, got none", hint="name a file: --password-file FILE")


class _Gathering:
    """One pass over the volumes: each is checked once, where it is found; what is bad or lost is healed at the end."""

    def __init__(self, volumes: VolumeSet, reading: Reading, ask: Ask | None) -> None:
        self._volumes = volumes
        self._reading = reading
        self._ask = ask
        self._right: dict[int, set[str]] = {number: set() for number in volumes.data}
        self._left = set(volumes.data)
        self._bad: dict[int, FerryError] = {}
        self.count = volumes.count
        self.healed: list[int] = []

    def run(self) -> None:
        place: Path | None = self._volumes.first.parent
        while place is not None:
            self._volumes.look(place)
            for number in sorted(self._left & self._volumes.paths.keys()):
                self._check(number)
            place = self._ask_for(sorted(self._left), place)
        if self._wanting and self._volumes.parity:
            self._gather_parity()
            self._heal()
        self._refuse()

    @property
    def _wanting(self) -> list[int]:
        return sorted({*self._left, *self._bad})

    def _ask_for(self, numbers: list[int], place: Path) -> Path | None:
        if not numbers or self._ask is None:
            return None
        return self._ask(tuple(numbers), self.count, place)

    def _check(self, number: int) -> None:
        self._left.discard(number)
        try:
            self._volumes.check(number, self._reading, self._right[number])
        except IntegrityError as error:
            self._bad[number] = error

    def _gather_parity(self) -> None:
        """Ask for volumes of parity as long as there are fewer than volumes to be healed."""
        place: Path | None = self._volumes.first.parent
        while place is not None:
            found = [number for number in self._volumes.parity if number in self._volumes.paths]
            absent = [number for number in self._volumes.parity if number not in found]
            place = self._ask_for(absent, place) if len(found) < len(self._wanting) else None
            if place is not None:
                self._volumes.look(place)

    def _heal(self) -> None:
        for number in self._wanting:
            try:
                with self._volumes.shards() as shards:
                    self._volumes.check_source(Healed(shards, number), self._reading, self._right[number])
            except IntegrityError as error:
                self._bad.setdefault(number, error)
                continue
            self.healed.append(number)
            self._bad.pop(number, None)
            self._left.discard(number)

    def _refuse(self) -> None:
        if not self._wanting:
            return
        again = f"volumes {listed(self._wanting, self.count)} of {self.count}"
        self._refuse_discs(again)
        absent = sorted(self._left)
        damaged = {number: error for number, error in self._bad.items() if number not in self._left}
        if damaged:
            reasons = "".join(f"\n  volume {number}: {error}" for number, error in sorted(damaged.items()))
            raise IntegrityError(
                f"{len(damaged)} of {self.count} volumes are damaged:{reasons}",
                hint=f"carry again: {again}{self._remedy()}",
            ) from next(filter(of_system, damaged.values()), None)
        raise HostError(
            f"expected {self.count} volumes, {len(absent)} are missing",
            place=str(self._volumes.first.parent),
            hint=f"bring {again} into one directory with the others{self._remedy()}",
        )

    def _refuse_discs(self, again: str) -> None:
        """Say what healing needs where volumes were read that are no longer there."""
        volumes = self._volumes
        gone = [number for number, path in sorted(volumes.paths.items()) if not path.is_file()]
        if not gone or len(self._wanting) > len(volumes.parity):
            return
        size = sum(map(volumes.cut.size, (*volumes.data, *volumes.parity)))
        raise HostError(
            f"{again} are bad or missing: to heal them all volumes must be there at once, "
            f"{listed(gone, self.count)} are no longer",
            hint=f"ferry heal {volumes.first} --collect -o DIR asks for the media and copies them "
            f"into DIR, which needs up to {size} bytes; or carry {again} again",
        )

    def _remedy(self) -> str:
        have = [number for number in self._volumes.parity if number in self._volumes.paths]
        return remedy(len(self._wanting), len(have), len(self._volumes.parity))
