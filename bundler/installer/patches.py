"""Blobs of a release made again in the host's store, out of blobs that are there and the patches of a differential."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

from bundler.blob import BlobWriter
from bundler.delta.rebuild import rebuild
from bundler.errors import IntegrityError
from bundler.model.descriptor import OCTETS, Descriptor
from bundler.model.differential import Patch
from bundler.model.progress import Progress
from bundler.store import Store


def rebuild_all(patches: Sequence[Patch], store: Store, place: Callable[[str], Path], progress: Progress) -> None:
    """Make the result of every patch a blob; `place` gives where a patch stands, by its digest.

    They go one after the other, so that memory is bounded; what each deflates, which takes longest, goes on all cores.

    Raises:
        IntegrityError: what came of one is not the blob of the release.
    """
    if not patches:
        return
    progress.start("rebuild", sum(patch.result.size for patch in patches))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for patch in patches:
            _rebuild(patch, store, place(patch.patch), pool, progress)


def _rebuild(patch: Patch, store: Store, file: Path, pool: Executor, progress: Progress) -> None:
    result = patch.result
    expected = Descriptor(
        media_type=OCTETS, size=result.size, sha256=result.sha256, sm3=result.sm3, chunks=result.chunks
    )
    try:
        with store.writer() as writer:
            rebuild(file, store.path(patch.base.sha256), _bounded(writer, result.size, progress), pool)
            writer.commit(OCTETS, expected=expected)
    except IntegrityError as error:
        raise IntegrityError(error.message, place=f'patch of "{result.name}"', hint="bring the full bundle") from error


def _bounded(writer: BlobWriter, most: int, progress: Progress) -> Callable[[bytes], None]:
    """Return what writes: a result that grows beyond its size is not what was signed, whatever it goes on to be."""

    def write(data: bytes) -> None:
        if writer.size + len(data) > most:
            raise IntegrityError(f"expected {most} bytes, more came of it")
        writer.write(data)
        progress.advance(len(data))

    return write
