"""Make and apply every patch between two bundles, for the bench: `make OLD NEW DIRECTORY`, `apply DIRECTORY`."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bundler.archive import read_head, spans
from bundler.delta.make import make_patch, mapped
from bundler.delta.rebuild import rebuild
from bundler.differential import find_bases
from bundler.model.manifest import parse_manifest
from bundler.since import Ground, read_since


def make(old: Path, new: Path, directory: Path) -> list[dict[str, object]]:
    """Write the patches and their bases, and say what they make of what."""
    directory.mkdir()
    ground = Ground(documents=(read_since(old),))
    with new.open("rb") as stream:
        head = read_head(stream)
    manifest = parse_manifest(head.manifest)
    bases = find_bases(manifest, ground)
    kinds = {item.descriptor.sha256: item.kind for item in manifest.items}
    listed = []
    for span in spans(manifest, head.end):
        entry = span.entry
        if not entry.is_blob or ground.has(entry.sha256):
            continue
        patch = directory / f"{entry.sha256}.patch"
        base = bases.get(entry.sha256)
        if base is not None:
            with ground.blob(base.sha256) as before, mapped(new) as file, patch.open("wb") as out:
                if make_patch(before, file[span.data : span.data + entry.size], directory, out.write):
                    (directory / base.sha256).write_bytes(before)
                else:
                    base = None
        listed.append(
            {
                "result": entry.sha256,
                "kind": kinds[entry.sha256],
                "size": entry.size,
                "base": base.sha256 if base else "",
                "patch": patch.stat().st_size if base else entry.size,
            }
        )
    return listed


def apply(listed: list[dict[str, object]], directory: Path) -> None:
    """Apply the patches, the largest result first, and check what comes of them."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for one in listed:
            if one["base"]:
                digest = hashlib.sha256()
                rebuild(directory / f"{one['result']}.patch", directory / str(one["base"]), digest.update, pool)
                if digest.hexdigest() != one["result"]:
                    raise SystemExit(f"expected {one['result']}, got {digest.hexdigest()}")


def main(argv: list[str]) -> None:
    """Run one of the two."""
    began = time.perf_counter()
    directory = Path(argv[-1])
    if argv[0] == "make":
        listed = make(Path(argv[1]), Path(argv[2]), directory)
        (directory / "listed.json").write_text(json.dumps(listed))
    else:
        listed = json.loads((directory / "listed.json").read_text())
        apply(listed, directory)
    print(json.dumps({"listed": listed, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main(sys.argv[1:])
