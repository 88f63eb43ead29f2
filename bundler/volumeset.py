"""The volumes of one cut, wherever they are found."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from bundler.checks import Reading
from bundler.cut import cut_of
from bundler.errors import IntegrityError
from bundler.model.volume import Label
from bundler.parity import Shards, read_index
from bundler.source import FileSource, Source
from bundler.verify import Policy, read_manifest
from bundler.volumes import check_label, check_volume, read_start, volume_name

# Asked for volumes by number, it answers where to look next, None when there are no more.
Ask = Callable[[tuple[int, ...], int, Path], Path | None]
_VOLUME = re.compile(r"(?P<stem>.+)\.(vol[0-9]+of[0-9]+|parity[0-9]+of[0-9]+)\.tar")


class VolumeSet:
    """The volumes of the cut that `first` is of; `paths` has those that were found, by number.

    Raises:
        TrustError, IntegrityError: the head of `first`, which speaks for all, is refused.
    """

    def __init__(self, first: Path, policy: Policy, *, now: datetime) -> None:
        with FileSource(first) as source:
            self.head, label = read_start(source)
        manifest, _ = read_manifest(self.head, policy, now=now)
        check_label(self.head, label)
        self.first = first
        self.cut = cut_of(manifest, self.head, label)
        self.count = label.count
        self.paths: dict[int, Path] = {label.number: first}
        self._label = label
        self._policy, self._now = policy, now
        match = _VOLUME.fullmatch(first.name)
        self._stem = match["stem"] if match else ""

    @property
    def data(self) -> range:
        """The numbers of the volumes that hold the bundle."""
        return range(1, self.count + 1)

    @property
    def parity(self) -> range:
        """The numbers of the volumes of parity."""
        return range(self.count + 1, self.cut.shape.total + 1)

    def name(self, number: int) -> str:
        """Return the file name that a volume has."""
        return volume_name(self._stem, number, self.count, self.cut.shape.parity)

    def look(self, place: Path) -> None:
        """Take note of the volumes in a directory, but for those that were found already."""
        for number in (*self.data, *self.parity):
            path = place / self.name(number)
            if number not in self.paths and path.is_file():
                self.paths[number] = path

    def check(self, number: int, reading: Reading, right: set[str]) -> None:
        """Check a volume that was found; parts named in `right` are passed over, those that are right added.

        Raises:
            IntegrityError: it is refused.
        """
        with FileSource(self.paths[number]) as source:
            self._check_start(source, number)
            self.check_source(source, reading, right)

    def check_source(self, source: Source, reading: Reading, right: set[str]) -> None:
        """Check a volume of this cut wherever its bytes are.

        Raises:
            IntegrityError: it is refused.
        """
        check_volume(source, self._policy, now=self._now, reading=reading, right=right)

    def _check_start(self, source: Source, number: int) -> Label:
        head, label = read_start(source)
        check_label(head, label)
        if label.number != number or label.cut != self._label.cut:
            raise IntegrityError(
                f"expected volume {number} of the same cut, got volume {label.number} of another", place=source.name
            )
        if head != self.head:
            raise IntegrityError(
                f'expected the signatures of "{self.first.name}", got others',
                place=source.name,
                hint="the medium or the copy is damaged, or someone changed it: carry this volume again",
            )
        return label

    @contextmanager
    def shards(self) -> Iterator[Shards]:
        """Open all volumes that are there, to heal the others from them.

        Raises:
            IntegrityError: no volume of parity with a right index is there.
        """
        with ExitStack() as stack:
            opened: dict[int, Source] = {}
            for number, path in sorted(self.paths.items()):
                with suppress(IntegrityError):
                    opened[number] = stack.enter_context(FileSource(path))
            indexes = dict(self._indexes(opened))
            if not indexes:
                raise IntegrityError("no volume of parity whose index is right is here")
            # Volumes of another parity would heal nothing: the index that most of them have counts.
            index = Counter(indexes[number] for number in sorted(indexes)).most_common(1)[0][0]
            used = {n: one for n, one in opened.items() if n in self.data or indexes.get(n) == index}
            yield Shards(self.cut, index, used)

    def _indexes(self, opened: dict[int, Source]) -> Iterator[tuple[int, bytes]]:
        for number in self.parity:
            if number in opened:
                with suppress(IntegrityError):
                    label = self._check_start(opened[number], number)
                    yield number, read_index(opened[number], self.cut, label)
