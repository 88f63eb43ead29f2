"""`python stream.py DIRECTORY`: carry its file `large` from lock to verified bundle; print the peak memory in KiB."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from bundles import SIGNER, small_manifest
from values import lock

from bundler.archive import pack
from bundler.attest import sign
from bundler.cli import ferry
from bundler.fetch import fetch
from bundler.model.descriptor import OCTETS
from bundler.model.files import FileSource
from bundler.model.manifest import HEAD_NAMES, Entry, format_manifest
from bundler.model.platform import PLATFORMS
from bundler.model.progress import Silent
from bundler.resolve.digests import Digests
from bundler.resolve.file import resolve_files
from bundler.store import Store


def peak_kib() -> int:
    """Return the largest resident set of this program; getrusage would begin with that of its parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])


def carry(work: Path) -> None:
    """Lock the file, copy it into the store, pack it and verify the bundle."""
    store = Store(work / "store")
    source = FileSource(path=str(work / "large"), to="srv/large", outside=True)
    files = resolve_files((source,), work, digests=Digests(store.root))
    fetch(lock(*files), PLATFORMS[0], store, directory=work, progress=Silent())
    blob = store.describe(files[0].sha256, OCTETS)
    entry = Entry(name=blob.entry_name, size=blob.size, sha256=blob.sha256, sm3=blob.sm3, chunks=blob.chunks)
    manifest, contents = small_manifest([])
    manifest = replace(manifest, entries=(*manifest.entries, entry))
    document = format_manifest(manifest)
    head = zip(HEAD_NAMES, (document, *sign(document, SIGNER)), strict=True)
    entries = ((one, contents.get(one.name, store.path(one.sha256))) for one in manifest.entries)
    with (work / "bundle.tar").open("xb", buffering=0) as out:
        pack(out, head, entries, lambda count: None)
    (work / "key.pem").write_text(SIGNER.public.pem())
    ferry.main(["verify", str(work / "bundle.tar"), "--trust", str(work / "key.pem")], standalone_mode=False)


if __name__ == "__main__":
    carry(Path(sys.argv[1]))
    print(peak_kib())
