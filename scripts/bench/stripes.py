"""Make bodies of volumes, encode and heal them through Ferry's own code; a child process of the bench runs this.

stripes.py make DIRECTORY DATA PARITY SIZE     bodies of SIZE bytes in all, in one file, and their parity
stripes.py encode DIRECTORY DATA PARITY CODE   compute the parity; CODE is `zfec`, or `own` as on isolated hosts
stripes.py heal DIRECTORY DATA PARITY CODE     compute the first body from the others
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bundler.model.volume import STRIPE_BYTES, Shape
from bundler.parity import Shards, Window, each_stripe, encode
from bundler.source import FileSource


def main() -> None:
    what, directory, data, parity, last = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]
    if last == "own":
        sys.modules["zfec"] = None  # type: ignore[assignment]
    if what == "make":
        _make(directory, int(data), int(last))
    with FileSource(directory / "whole") as whole, FileSource(directory / "parity") as made:
        shape = Shape(bodies=(whole.size // int(data),) * int(data), parity=int(parity))
        if what == "heal":
            _heal(shape, whole, made, (directory / "index").read_bytes())
        else:
            _encode(shape, whole, directory)


def _make(directory: Path, data: int, size: int) -> None:
    directory.mkdir()
    piece = os.urandom(STRIPE_BYTES)
    with (directory / "whole").open("wb") as out:
        for number in range(size // data // STRIPE_BYTES * data):
            out.write(piece[number % 4096 :] + piece[: number % 4096])
    (directory / "parity").touch()


def _encode(shape: Shape, whole: FileSource, directory: Path) -> None:
    length = shape.shard_bytes
    bodies = [Window(whole, number * length, length) for number in range(len(shape.bodies))]
    with (directory / "parity").open("r+b", buffering=0) as out:

        def write(number: int, offset: int, block: bytes) -> None:
            os.pwrite(out.fileno(), block, (number - 1 - len(bodies)) * length + offset)

        index = encode(bodies, shape, write, lambda count: None)
    (directory / "index").write_bytes(index)


def _heal(shape: Shape, whole: FileSource, made: FileSource, index: bytes) -> None:
    count, length = len(shape.bodies), shape.shard_bytes
    volumes = {number: Window(whole, (number - 1) * length, length) for number in range(2, count + 1)}
    volumes |= {count + 1 + number: Window(made, number * length, length) for number in range(shape.parity)}
    cut: Any = SimpleNamespace(shape=shape, body_at=lambda number: 0)
    shards = Shards(cut, index, volumes)
    each_stripe(shape, lambda stripe: sys.stdout.buffer.write(shards.stripe(1, stripe)) and None)


if __name__ == "__main__":
    main()
