"""Parity of volumes: made stripe by stripe, and what is bad or lost computed from it, in constant memory.

Nobody signs parity. Its index has the SHA-256 of each stripe of every volume, so damage is found, named and left out;
but what is healed is believed only after the check against the signed manifest that every volume passes.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from bundler.archive import BLOCK, END, header, padding
from bundler.cut import PARITY_DATA, PARITY_INDEX, Cut
from bundler.erasure import Code
from bundler.errors import IntegrityError
from bundler.model.volume import STRIPE_BYTES, STRIPE_DIGEST_BYTES, Label, Shape
from bundler.source import Source, read_at, readable

# Called with the number of a volume of parity, an offset in its body, and the bytes that belong there.
Write = Callable[[int, int, bytes], None]
_SHOWN = 5


def encode(bodies: Sequence[Source], shape: Shape, write: Write, advance: Callable[[int], None]) -> bytes:
    """Compute the parity of bodies on all cores, hand it to `write`, and return the index of all stripes.

    Raises:
        IntegrityError: a body cannot be read, or ends early.
    """
    code = Code(len(bodies), shape.parity)
    index = bytearray(shape.index_bytes)

    def encode_stripe(stripe: int) -> None:
        own = [_own(body, shape, number, stripe) for number, body in enumerate(bodies, 1)]
        made = code.encode([_filled(block, shape, stripe) for block in own])
        for number, block in enumerate(made, len(bodies) + 1):
            write(number, stripe * STRIPE_BYTES, block)
        for number, block in enumerate((*own, *made), 1):
            at = _index_at(shape, number, stripe)
            index[at : at + STRIPE_DIGEST_BYTES] = hashlib.sha256(block).digest()
        advance(sum(map(len, made)))

    each_stripe(shape, encode_stripe)
    return bytes(index)


def each_stripe(shape: Shape, work: Callable[[int], None]) -> None:
    """Do some work for every stripe, a few of them at a time; after an error no further one is begun."""
    threads = os.cpu_count() or 1
    is_over = threading.Event()

    def share(first: int) -> None:
        for stripe in range(first, shape.stripes, threads):
            if is_over.is_set():
                return
            try:
                work(stripe)
            except BaseException:
                is_over.set()
                raise

    with ThreadPoolExecutor(threads) as pool:
        try:
            for future in [pool.submit(share, first) for first in range(threads)]:
                future.result()
        finally:
            is_over.set()


def _own(body: Source, shape: Shape, number: int, stripe: int) -> bytes:
    count = shape.stripe_bytes(number, stripe)
    data = read_at(body, count, stripe * STRIPE_BYTES) if count else b""
    if len(data) != count:
        raise IntegrityError("the bundle changed while parity was computed", place=body.name)
    return data


def _filled(block: bytes, shape: Shape, stripe: int) -> bytes:
    return block.ljust(shape.stripe_bytes(shape.total, stripe), b"\0")


def _index_at(shape: Shape, number: int, stripe: int) -> int:
    return (stripe * shape.total + number - 1) * STRIPE_DIGEST_BYTES


class Window:
    """A part of a source."""

    def __init__(self, source: Source, start: int, size: int) -> None:
        self.name, self.size = source.name, size
        self._source, self._start = source, start

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill a view from an offset of the part on.

        Raises:
            OSError, IntegrityError: as the source does.
        """
        count = max(0, min(len(view), self.size - offset))
        return self._source.read_into(view[:count], self._start + offset)


def read_index(source: Source, cut: Cut, label: Label) -> bytes:
    """Return the index at the end of a volume of parity, checked against the digest in its label.

    Raises:
        IntegrityError: it is damaged.
    """
    size = cut.shape.index_bytes
    at = cut.body_at(label.number) + cut.shape.shard_bytes
    with readable(source.name):
        data = read_at(source, BLOCK + size + padding(size) + len(END), at)
    index = data[BLOCK : BLOCK + size]
    got = hashlib.sha256(index).hexdigest()
    if got != label.index_sha256:
        raise IntegrityError(
            f"expected sha256 {label.index_sha256}, got {got}",
            place=f'"{PARITY_INDEX}"',
            hint="the medium or the copy is damaged: carry this volume again",
        )
    if data != cut.behind(label.number, index):
        raise IntegrityError(
            f'expected "{PARITY_INDEX}" and the end of the archive, got other bytes around it',
            place=f"offset {at}",
        )
    return index


def check_parity(source: Source, cut: Cut, label: Label, advance: Callable[[int], None]) -> None:
    """Check a volume of parity in itself: its headers, its index, and each stripe against the index.

    Raises:
        IntegrityError: all that is damaged.
    """
    with readable(source.name):
        block = read_at(source, BLOCK, cut.body_at(label.number) - BLOCK)
    if block != header(PARITY_DATA, cut.shape.shard_bytes):
        raise IntegrityError(
            f'expected the header of "{PARITY_DATA}" ({cut.shape.shard_bytes} bytes), got another',
            place=f"offset {cut.body_at(label.number) - BLOCK}",
        )
    index = read_index(source, cut, label)
    shards = Shards(cut, index, {label.number: source})
    bad: list[int] = []

    def check(stripe: int) -> None:
        if shards.read_right(label.number, stripe) is None:
            bad.append(stripe)
        advance(cut.shape.stripe_bytes(label.number, stripe))

    each_stripe(cut.shape, check)
    if bad:
        raise _damaged(cut, label.number, sorted(bad))


def _damaged(cut: Cut, number: int, bad: Sequence[int]) -> IntegrityError:
    start = cut.body_at(number)
    listed = ", ".join(str(start + stripe * STRIPE_BYTES) for stripe in bad[:_SHOWN])
    more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
    return IntegrityError(
        f"{len(bad)} of {cut.shape.stripes} stripes have other bytes than its index says, at offsets {listed}{more}",
        place=f'"{PARITY_DATA}"',
        hint="the medium or the copy is damaged: carry this volume again",
    )


class Shards:
    """The bodies of a cut's volumes by number, as far as they are there; the rest is computed from them."""

    def __init__(self, cut: Cut, index: bytes, volumes: Mapping[int, Source]) -> None:
        self.cut = cut
        self.index = index
        shape = cut.shape
        self._shape = shape
        self._bodies = {
            number: Window(source, cut.body_at(number), shape.body(number)) for number, source in volumes.items()
        }
        self._code = Code(len(shape.bodies), shape.parity)
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def read_right(self, number: int, stripe: int) -> bytes | None:
        """Return a volume's own bytes of a stripe, None where they are not there or not what the index says."""
        count = self._shape.stripe_bytes(number, stripe)
        if count == 0:
            return b""
        if number not in self._bodies:
            return None
        try:
            data = read_at(self._bodies[number], count, stripe * STRIPE_BYTES)
        except (IntegrityError, OSError):
            return None
        return data if hashlib.sha256(data).digest() == self._expected(number, stripe) else None

    def _expected(self, number: int, stripe: int) -> bytes:
        at = _index_at(self._shape, number, stripe)
        return self.index[at : at + STRIPE_DIGEST_BYTES]

    def stripe(self, number: int, stripe: int) -> bytes:
        """Return the bytes of a volume in a stripe, its own where they are right, healed otherwise.

        Raises:
            IntegrityError: too many volumes are lost or bad there.
        """
        with self._lock:
            kept = self._kept.get((number, stripe))
        if kept is None:
            kept = self.read_right(number, stripe)
            kept = self._heal(number, stripe) if kept is None else kept
            self._keep(number, stripe, kept)
        return kept

    def _keep(self, number: int, stripe: int, data: bytes) -> None:
        """Keep a few stripes: readers come twice where their pieces and stripes overlap."""
        with self._lock:
            self._kept[number, stripe] = data
            while len(self._kept) > 2 * (os.cpu_count() or 1):
                self._kept.popitem(last=False)

    def _heal(self, number: int, stripe: int) -> bytes:
        have: dict[int, bytes] = {}
        bad = []
        for other in (one for one in range(1, self._shape.total + 1) if one != number):
            data = self.read_right(other, stripe)
            if data is None:
                bad.append(other)
                continue
            have[other - 1] = _filled(data, self._shape, stripe)
            if len(have) == len(self._shape.bodies):
                healed = self._code.heal(have, number - 1)[: self._shape.stripe_bytes(number, stripe)]
                return self._checked(healed, number, stripe)
        raise self._beyond_healing(sorted([number, *bad]), stripe)

    def _checked(self, healed: bytes, number: int, stripe: int) -> bytes:
        if hashlib.sha256(healed).digest() != self._expected(number, stripe):
            raise IntegrityError(
                "the healed bytes are not what the index of parity says: parity was not made of these volumes",
                place=f"{volume_words(number, len(self._shape.bodies))}, offset {stripe * STRIPE_BYTES} of its body",
                hint="carry the bad volumes again, and the parity volumes",
            )
        return healed

    def _beyond_healing(self, bad: Sequence[int], stripe: int) -> IntegrityError:
        count = len(self._shape.bodies)
        return IntegrityError(
            f"expected {count} right volumes of {self._shape.total} there, {len(bad)} are lost or bad: "
            f"{listed(bad, count)}",
            place=f"offset {stripe * STRIPE_BYTES} of the bodies",
            hint="carry one of them again, without damage at this place",
        )


class Healed:
    """A volume as it must be: what stands around its body follows from the cut, the body comes from shards."""

    def __init__(self, shards: Shards, number: int) -> None:
        cut = shards.cut
        self.name = f"healed {volume_words(number, len(cut.volumes))}"
        self.size = cut.size(number)
        self._shards, self._number = shards, number
        self._before = cut.before(number, shards.index)
        self._behind = cut.behind(number, shards.index)
        self._body_bytes = cut.shape.body(number)

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill a view from an offset on, up to the end of a stripe.

        Raises:
            IntegrityError: too many volumes are lost or bad there.
        """
        data = self._piece(offset)[: len(view)]
        view[: len(data)] = data
        return len(data)

    def _piece(self, offset: int) -> memoryview:
        if offset < len(self._before):
            return memoryview(self._before)[offset:]
        offset -= len(self._before)
        if offset < self._body_bytes:
            data = self._shards.stripe(self._number, offset // STRIPE_BYTES)
            return memoryview(data)[offset % STRIPE_BYTES :]
        return memoryview(self._behind)[offset - self._body_bytes :]


def volume_words(number: int, count: int) -> str:
    """Return how a volume is called in messages."""
    return f"volume {number}" if number <= count else f"parity volume {number - count}"


def listed(numbers: Sequence[int], count: int) -> str:
    """Return volumes in a list: `2, 3, parity 1`."""
    return ", ".join(str(number) if number <= count else f"parity {number - count}" for number in numbers)


def remedy(wanting: int, have: int, parity: int) -> str:
    """Return what parity can do where so many volumes are bad or lost and so many of parity here, to end a hint."""
    if parity == 0:
        return ""
    if wanting > parity:
        return f"; parity heals {parity} of them once {wanting - parity} more came"
    if wanting > have:
        return f", or {wanting - have} more of the {parity} volumes of parity, which heal them"
    return "; parity cannot heal them: at one place more volumes are bad than volumes of parity are right"
