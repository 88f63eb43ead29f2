"""What the signatures of a bundle say: an in-toto Statement about the manifest, with SLSA provenance.

Everything in it follows from the manifest, so the same lock gives the same bytes.
Source: in-toto Attestation Framework v1, Statement; SLSA v1.0, provenance.
"""

from __future__ import annotations

import hashlib
from typing import Any

from bundler.errors import TrustError
from bundler.model.manifest import HEAD_NAMES, Item, Manifest
from keystore import document, sm3
from keystore.errors import KeystoreError

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PROVENANCE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:ferry:bundle:v2"
BUILDER = "urn:ferry:builder"
_PLACE = "ferry.json.dsse"


def make_statement(manifest: Manifest, data: bytes, signature: bytes) -> bytes:
    """Return the Statement about the bytes of a manifest and of the detached signature over them."""
    return document.canonical(
        {
            "_type": STATEMENT,
            "subject": [
                {"name": name, "digest": _digests(content)}
                for name, content in zip(HEAD_NAMES, (data, signature), strict=False)
            ],
            "predicateType": PROVENANCE,
            "predicate": {"buildDefinition": _definition(manifest), "runDetails": _run(manifest)},
        }
    )


def check_statement(payload: bytes, data: bytes, signature: bytes) -> None:
    """Check that a Statement is about this manifest and this detached signature; its predicate may be any.

    Raises:
        TrustError: it is about something else.
    """
    try:
        parsed = document.parse(payload, "statement")
        found = document.fields(parsed, "statement", {"_type": str, "subject": list}, exact=False)
    except KeystoreError as error:
        raise TrustError(error.message, place=f"{_PLACE}: {error.place}") from error
    if found["_type"] != STATEMENT:
        raise TrustError(f'expected a statement of type "{STATEMENT}", got another', place=_PLACE)
    for name, content, told in (
        (HEAD_NAMES[0], data, "the envelope is of another manifest"),
        (HEAD_NAMES[1], signature, "the detached signature is not the one that was made with the envelope"),
    ):
        if _digests(content) not in [_stated(one) for one in found["subject"] if _is_named(one, name)]:
            raise TrustError(
                told,
                place=_PLACE,
                hint="someone changed the head of the bundle, or the copy is damaged: carry the bundle again",
            )


def _is_named(subject: object, name: str) -> bool:
    return isinstance(subject, dict) and subject.get("name") == name


def _stated(subject: dict[str, Any]) -> dict[str, Any]:
    """Return the digests that a bundle needs; a subject may have others too."""
    found = subject.get("digest")
    return {name: found.get(name) for name in ("sha256", "sm3")} if isinstance(found, dict) else {}


def _digests(data: bytes) -> dict[str, str]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "sm3": sm3.sm3(data).hex()}


def _definition(manifest: Manifest) -> dict[str, Any]:
    return {
        "buildType": BUILD_TYPE,
        "externalParameters": {
            "recipe": {"name": manifest.name, "version": manifest.version, "sequence": manifest.sequence},
            "lock": {"digest": {"sha256": manifest.lock_sha256, "sm3": manifest.lock_sm3}},
            "platform": str(manifest.platform),
        },
        "internalParameters": {"python": manifest.python_version},
        "resolvedDependencies": [_dependency(item) for item in manifest.items],
    }


def _dependency(item: Item) -> dict[str, Any]:
    descriptor = item.descriptor
    return {
        "name": item.name,
        "uri": item.purl,
        "digest": {"sha256": descriptor.sha256, "sm3": descriptor.sm3},
        "mediaType": descriptor.media_type,
        "annotations": {"kind": item.kind, "source": dict(item.source), "lineage": list(item.lineage)},
    }


def _run(manifest: Manifest) -> dict[str, Any]:
    return {
        "builder": {"id": BUILDER, "version": {"ferry": manifest.ferry_version}},
        # The lock's time: what is built follows from it, whenever that is.
        "metadata": {"startedOn": manifest.created, "finishedOn": manifest.created},
    }
