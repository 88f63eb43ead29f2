"""OCI image layouts: `index.json` names image manifests or indexes, which are taken byte for byte.

Source: OCI Image Format Specification 1.1, image layout.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from bundler.errors import IntegrityError
from bundler.local.archive import several
from bundler.local.parts import put
from bundler.model.described import described_blob, parse_described
from bundler.model.document import Fields, describe
from bundler.model.image import INDEXES, MANIFEST_MAX_BYTES, MANIFESTS, LockedBlob
from bundler.store import Store

_NAMES = ("org.opencontainers.image.ref.name", "io.containerd.image.name")


def chosen_root(index: bytes, select: str, *, place: str) -> LockedBlob:
    """Return what `index.json` lists: the only thing, or the one that is called `select`.

    Raises:
        IntegrityError: it is no index; `place` names the layout.
        RecipeError: it lists several, or none of that name.
    """
    where = f"{place}: index.json"
    try:
        fields = Fields(json.loads(index), place=where, error=IntegrityError)
    except (ValueError, RecursionError) as error:
        raise IntegrityError("expected JSON", place=where) from error
    listed: dict[LockedBlob, list[str]] = {}
    for spot, value in fields.items("manifests"):
        one = Fields(value, place=spot, error=IntegrityError)
        names = dict(one.pairs("annotations", {}))
        blob = described_blob(one)
        if blob.media_type not in (*INDEXES, *MANIFESTS):
            raise one.refuse("mediaType", f"expected an image manifest or an index, got {describe(blob.media_type)}")
        listed.setdefault(blob, []).extend(names[key] for key in _NAMES if key in names)
    chosen = [blob for blob, names in listed.items() if not select or select in names]
    if len(chosen) == 1:
        return chosen[0]
    raise several(
        select, [names[0] if names else f"sha256:{blob.sha256}" for blob, names in listed.items()], place=place
    )


def copy_layout(root: LockedBlob, path: Path, store: Store, *, place: str, advance: Callable[[int], None]) -> None:
    """Copy what stands below `root` in the directory of a layout, but what the store has; what is missing stays so.

    Raises:
        IntegrityError: a blob is not what its name says, or a document is none.
    """
    if not _copy(root, path, store, place=place, advance=advance) or root.size > MANIFEST_MAX_BYTES:
        return
    described = parse_described(
        store.read(root.sha256), root.media_type, place=place, error=IntegrityError, artifacts=True
    )
    for _, manifest in described.manifests:
        copy_layout(manifest, path, store, place=place, advance=advance)
    for blob in described.blobs:
        _copy(blob, path, store, place=place, advance=advance)


def _copy(blob: LockedBlob, path: Path, store: Store, *, place: str, advance: Callable[[int], None]) -> bool:
    name = f"blobs/sha256/{blob.sha256}"
    if store.has(blob.sha256, blob.size):
        return True
    try:
        with (path / name).open("rb") as stream:
            put(stream, name, blob.size, store, place=place, advance=advance)
    except FileNotFoundError:
        return False
    return True
