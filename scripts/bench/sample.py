"""Make bundles to measure with, and pack them through Ferry's own code; a child process of the bench runs this.

sample.py make DIRECTORY SIZE     blobs and signed manifests of bundles: `whole`, `part` of an eighth, `empty`
sample.py pack DIRECTORY NAME OUT write one of them to a new file and print the seconds that took
sample.py receive BUNDLE KEY STORE  verify a bundle, or the volumes beside one, into a host's store as an install does
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from bundler.archive import pack
from bundler.attest import sign
from bundler.checks import Reading
from bundler.installer.steps.store import receive
from bundler.medium import Medium
from bundler.model.descriptor import OCTETS, Descriptor
from bundler.model.manifest import FIXED_NAMES, HEAD_NAMES, Entry, Item, Manifest, format_manifest, parse_manifest
from bundler.model.platform import PLATFORMS
from bundler.store import OCI_LAYOUT, Store, describe_bytes
from bundler.verify import Policy, read_trust
from keystore.sm2 import PrivateKey

PIECE = 1024 * 1024
# A bundle carries a few layers that are larger than 64 MiB, and wheels and packages of all sizes.
LARGE = 96 * PIECE
SMALL = (4096, 3 * PIECE, 70_001, 300_000, 12 * PIECE, 1_200_000)
SMALL_ENTRY = b"{}\n"
NO_IMAGES = b'{"manifests":[],"schemaVersion":2}\n'
CREATED = "2026-01-01T00:00:00Z"


class _Signer:
    """A key of this run only."""

    def __init__(self) -> None:
        self._private = PrivateKey.generate()
        self.public = self._private.public
        self.keyid = self.public.keyid

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message)


def blob_sizes(size: int) -> Iterator[int]:
    """Yield sizes of blobs that come to `size` in all: half of it large ones as far as they fit, the rest small."""
    for _ in range(size // 2 // LARGE):
        yield LARGE
    left = size - size // 2 // LARGE * LARGE
    while left:
        for one in SMALL:
            yield min(one, left)
            left -= min(one, left)
            if not left:
                return


def _put(store: Store, number: int, size: int) -> Descriptor:
    """Store a blob of pseudo-random bytes, the same for the same number."""
    stream = Cipher(algorithms.AES(number.to_bytes(16, "big")), modes.CTR(bytes(16))).encryptor()
    zeros = bytes(PIECE)
    with store.writer() as writer:
        for start in range(0, size, PIECE):
            writer.write(stream.update(zeros[: size - start]))
        return writer.commit(OCTETS)


def make(directory: Path, size: int) -> None:
    """Write a store, and for each bundle the head that a build would write."""
    store = Store(directory / "store")
    part, rest = list(blob_sizes(size // 8)), list(blob_sizes(size - size // 8))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        blobs = list(pool.map(lambda one: _put(store, *one), enumerate(part + rest)))
    signer = _Signer()
    (directory / "release.pem").write_text(signer.public.pem())
    for name, carried in (("whole", blobs), ("part", blobs[: len(part)]), ("empty", [])):
        document = format_manifest(_manifest(carried))
        head = (document, *sign(document, signer))
        (directory / name).mkdir()
        for entry, data in zip(HEAD_NAMES, head, strict=True):
            (directory / name / entry).write_bytes(data)
        paths = [str(store.path(blob.sha256)) for blob in carried]
        (directory / f"{name}.blobs").write_text("\n".join(paths))


def _manifest(blobs: list[Descriptor]) -> Manifest:
    small = [(name, describe_bytes(_small(name), OCTETS)) for name in FIXED_NAMES]
    named = [*small, *((blob.entry_name, blob) for blob in blobs)]
    entries = [
        Entry(name=name, size=one.size, sha256=one.sha256, sm3=one.sm3, chunks=one.chunks) for name, one in named
    ]
    return Manifest(
        name="bench",
        version="1",
        description="",
        sequence=1,
        platform=PLATFORMS[0],
        created=CREATED,
        expires="",
        ferry_version="0",
        lock_sha256="0" * 64,
        lock_sm3="0" * 64,
        python_version="3.11",
        items=tuple(_item(number, blob) for number, blob in enumerate(blobs)),
        services=(),
        entries=tuple(entries),
    )


def _item(number: int, blob: Descriptor) -> Item:
    """Return a blob as a file of the bundle."""
    name = f"file-{number}"
    return Item(kind="file", name=name, version="1", purl=f"pkg:generic/{name}@1", descriptor=blob, to=name)


def _small(name: str) -> bytes:
    return {"oci-layout": OCI_LAYOUT, "index.json": NO_IMAGES}.get(name, SMALL_ENTRY)


def write(directory: Path, name: str, out: Path) -> float:
    """Pack one of the bundles as a build does and return the seconds; it is not synced, as the peers' files are not."""
    head = [(entry, (directory / name / entry).read_bytes()) for entry in HEAD_NAMES]
    manifest = parse_manifest(head[0][1])
    store = Store(directory / "store")
    contents = [
        (entry, store.path(entry.sha256) if entry.is_blob else _small(entry.name)) for entry in manifest.entries
    ]
    began = time.perf_counter()
    with out.open("xb", buffering=0) as stream:
        pack(stream, head, contents, lambda count: None)
    return time.perf_counter() - began


def receive_bundle(bundle: Path, key: Path, directory: Path) -> None:
    """Take a bundle into a new store."""
    policy = Policy(trusted=(read_trust(key),))
    receive(Medium(bundle), Store(directory), policy, now=datetime.now(UTC), reading=Reading())


def main(argv: list[str]) -> None:
    """Do what the command line says."""
    match argv:
        case ["make", directory, size]:
            make(Path(directory), int(size))
        case ["pack", directory, name, out]:
            print(json.dumps({"seconds": write(Path(directory), name, Path(out))}))
        case ["receive", bundle, key, store]:
            receive_bundle(Path(bundle), Path(key), Path(store))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
