"""The manifest of the full bundle, worked out from that of a differential: the release is the same one."""

from __future__ import annotations

import hashlib
import json

from bundler.errors import HostError, IntegrityError
from bundler.model.manifest import FIXED_NAMES, Manifest, parse_manifest, write_document
from keystore import sm3


def whole_manifest(data: bytes, manifest: Manifest) -> tuple[bytes, Manifest]:
    """Return bytes and value of the full bundle's manifest; `data` are the bytes of `manifest`, which are believed.

    The document is taken as JSON, so that fields of a later Ferry stay in it.

    Raises:
        IntegrityError: what comes out is not the manifest that the differential names.
    """
    if manifest.differential is None:
        return data, manifest
    document = json.loads(data)
    left = document.pop("differential")
    listed = {entry["name"]: entry for entry in document["entries"]}
    listed |= {entry["name"]: entry for entry in (*left["absent"], *(patch["result"] for patch in left["patches"]))}
    names = [*FIXED_NAMES, *(f"blobs/sha256/{item.descriptor.sha256}" for item in manifest.items)]
    if missing := [name for name in names if name not in listed]:
        raise IntegrityError(f'expected "{missing[0]}" among entries, absent or patches', place="differential")
    document["entries"] = [listed[name] for name in dict.fromkeys(names)]
    whole = write_document(document)
    for algorithm, got, expected in (
        ("sha256", hashlib.sha256(whole).hexdigest(), manifest.differential.release_sha256),
        ("sm3", sm3.sm3(whole).hex(), manifest.differential.release_sm3),
    ):
        if got != expected:
            raise IntegrityError(
                f"expected the manifest of the full bundle to have {algorithm} {expected}, got {got}",
                place="differential.release",
                hint="bring the full bundle",
            )
    return whole, parse_manifest(whole)


def refuse_differential(manifest: Manifest, *, because: str) -> None:
    """Refuse a bundle that lacks what a command reads; `because` says what that is.

    Raises:
        HostError: it is a differential.
    """
    if (left := manifest.differential) is not None:
        missing = len(left.absent) + len(left.patches)
        raise HostError(
            f"expected a full bundle, this is a differential without {missing} of its blobs: {because}",
            place=f"{manifest.name} {manifest.version}",
            hint="use the full bundle of this release, or install the differential on a host that has its base",
        )
