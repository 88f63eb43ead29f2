"""What a message to be signed is about, read from the message itself, so that no caller can say otherwise.

A use policy names products, so the few fields of a release manifest that tell the product are read here; nothing else
is known of what is signed.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from keystore import document, sm3
from keystore.envelope import unsigned_envelope
from keystore.errors import KeystoreError, UseError
from keystore.revocation import REVOCATIONS_FORMAT, REVOCATIONS_TYPE, parse_revocations
from keystore.trust import ROOT_FORMAT, ROOT_TYPE, parse_root

BUNDLE, REVOCATIONS, ROOT, USE = "bundle", "revocations", "root", "use"
NO_REVOCATIONS = "no-revocations"
STATEMENT_TYPE = "application/vnd.in-toto+json"
USE_FORMAT = "ferry/use/v1"
MANIFEST_NAME, SIGNATURE_NAME = "ferry.json", "ferry.json.sig"
_MANIFEST = re.compile(r"ferry/bundle/v[0-9]{1,4}")
_FIELDS = {"name": str, "version": str, "sequence": int, "platforms": list}
_STATEMENT = {"_type": str, "subject": list, "predicate": dict}
_RECIPE = {"name": str, "version": str, "sequence": int}
_STATEMENT_FORMAT = "https://in-toto.io/Statement/v1"
_TEXT_CHARACTERS = 255
_PAE = re.compile(rb"DSSEv1 (0|[1-9][0-9]{0,8}) ")
_LENGTH = re.compile(rb" (0|[1-9][0-9]{0,8}) ")


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A manifest, a list of revoked keys, a root document or a use policy: what it is of, and its digests."""

    kind: str
    sha256: str
    sm3: str
    size: int
    product: str = ""
    version: str = ""
    sequence: int = 0
    platform: str = ""

    def told(self) -> str:
        """Return it in words."""
        if self.kind == BUNDLE:
            return f"{self.product} {self.version} ({self.platform}), sequence {self.sequence}"
        return f"{self.kind} version {self.version}" if self.version else self.kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A message to be signed: a document itself, or a statement that names one by its digests and its recipe."""

    sha256: str
    sm3: str
    document: Document | None = None
    recipe: tuple[str, str, int] = ("", "", 0)

    def check_about(self, known: Document) -> None:
        """Refuse a statement that says other things of a document than the document itself.

        Raises: UseError.
        """
        if (self.sha256, self.sm3) != (known.sha256, known.sm3):
            raise UseError("expected a statement with both digests of the document that was shown, got another")
        if self.document is None and self.recipe != (known.product, known.version, known.sequence):
            raise UseError(f"expected a statement about {known.told()}, got one that names another recipe")


def read_message(message: bytes) -> Message:
    """Return what a message is about: the pre-authentication encoding of an envelope, or a manifest.

    Raises: UseError for every other message: a key under a use policy signs nothing that it cannot read.
    """
    try:
        if not message.startswith(b"DSSEv1 "):
            return _direct(_manifest(message))
        kind, payload = _split(message)
        if kind == STATEMENT_TYPE:
            return _statement(payload)
        if kind in (REVOCATIONS_TYPE, ROOT_TYPE):
            return _direct(read_document(payload))
    except UseError:
        raise
    except KeystoreError as error:
        raise UseError(error.message, place=error.place, hint=error.hint) from error
    raise UseError("expected a bundle, a list of revoked keys or a root document, got another type", place="message")


def read_document(data: bytes) -> Document:
    """Return what a document is of.

    Raises: KeystoreError for a document that no signing key signs and no operator approves.
    """
    found = document.parse(data, "document").get("format")
    if found == REVOCATIONS_FORMAT:
        return _revocations(data)
    if found == ROOT_FORMAT:
        made = parse_root(unsigned_envelope(ROOT_TYPE, data))
        return _document(ROOT, data, version=str(made.version))
    if found == USE_FORMAT:
        return _document(USE, data)
    return _manifest(data)


def _direct(found: Document) -> Message:
    return Message(sha256=found.sha256, sm3=found.sm3, document=found)


def _manifest(data: bytes) -> Document:
    found = document.parse(data, "manifest")
    if not isinstance(found.get("format"), str) or not _MANIFEST.fullmatch(found["format"]):
        raise UseError("expected the manifest of a bundle, got another document", place="manifest.format")
    document.fields(found, "manifest", _FIELDS, exact=False)
    return _document(
        BUNDLE,
        data,
        product=_shown(found["name"], "manifest.name"),
        version=_shown(found["version"], "manifest.version"),
        sequence=found["sequence"],
        platform=_shown(", ".join(map(str, found["platforms"])), "manifest.platforms"),
    )


def _shown(text: str, place: str) -> str:
    """Refuse what could deceive an operator who reads it."""
    if not 0 < len(text) <= _TEXT_CHARACTERS or not text.isprintable():
        raise UseError(f"expected 1 to {_TEXT_CHARACTERS} printable characters, got another text", place=place)
    return text


def _revocations(data: bytes) -> Document:
    made = parse_revocations(unsigned_envelope(REVOCATIONS_TYPE, data))
    # A list of version 0 without keys says nothing; every bundle without a list of its own carries one.
    kind = REVOCATIONS if made.version or made.revoked else NO_REVOCATIONS
    return _document(kind, data, version=str(made.version))


def _document(kind: str, data: bytes, **facts: Any) -> Document:
    return Document(
        kind=kind, sha256=hashlib.sha256(data).hexdigest(), sm3=sm3.sm3(data).hex(), size=len(data), **facts
    )


def _split(message: bytes) -> tuple[str, bytes]:
    """Return type and payload of a pre-authentication encoding that is exactly one."""
    head = _PAE.match(message)
    if head is not None:
        end = head.end() + int(head[1])
        kind, length = message[head.end() : end], _LENGTH.match(message, end)
        if length is not None and len(message) - length.end() == int(length[1]):
            return kind.decode("utf-8", "replace"), message[length.end() :]
    raise UseError("expected the pre-authentication encoding of an envelope, got something else", place="message")


def _statement(payload: bytes) -> Message:
    """Return the manifest that a statement is about; it must be about one alone."""
    found = document.fields(document.parse(payload, "statement"), "statement", _STATEMENT, exact=False)
    document.expect(found["_type"], _STATEMENT_FORMAT, "statement._type")
    names = [one.get("name") if isinstance(one, dict) else None for one in found["subject"]]
    document.expect(names, [MANIFEST_NAME, SIGNATURE_NAME], "statement.subject: names")
    place = "statement.subject[0].digest"
    digest = document.fields(found["subject"][0].get("digest"), place, {"sha256": str, "sm3": str})
    return Message(sha256=digest["sha256"], sm3=digest["sm3"], recipe=_recipe(found["predicate"]))


def _recipe(predicate: dict[str, Any]) -> tuple[str, str, int]:
    place, found = "statement.predicate", predicate
    for name in ("buildDefinition", "externalParameters", "recipe"):
        found = document.fields(found, place, {name: dict}, exact=False)[name]
        place = f"{place}.{name}"
    told = document.fields(found, place, _RECIPE, exact=False)
    return told["name"], told["version"], told["sequence"]
