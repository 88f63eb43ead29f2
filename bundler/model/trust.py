"""What a bundle carries for its verifier, `ferry.trust.json`: each part is signed in itself, the whole is not.

The entry and the envelope beside it end in spaces, so that a signature can be added without moving what follows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bundler.errors import HostError, IntegrityError
from keystore import document
from keystore.errors import KeystoreError

FORMAT = "ferry/trust/v1"
NAME = "ferry.trust.json"
PAGE_BYTES = 16 * 1024
# Room that a build leaves for signatures of others: about twenty.
_SPARE_BYTES = 4 * 1024
_FIELDS = {"format": str, "roots": list, "revocations": dict, "certificates": list}


@dataclass(frozen=True, kw_only=True, slots=True)
class TrustDocument:
    """Root documents, the oldest first, and revocations, each an envelope; certificates in PEM, the signer's first.

    Before it is signed, `revocations` may be empty.
    """

    roots: tuple[bytes, ...]
    revocations: bytes
    certificates: tuple[bytes, ...]


def format_trust(carried: TrustDocument) -> bytes:
    """Write the document in its one form, without the spaces behind it."""
    return document.canonical(
        {
            "format": FORMAT,
            "roots": [document.parse(envelope, f"roots[{index}]") for index, envelope in enumerate(carried.roots)],
            "revocations": document.parse(carried.revocations, "revocations"),
            "certificates": [pem.decode("ascii") for pem in carried.certificates],
        }
    )


def parse_trust(data: bytes) -> TrustDocument:
    """Parse the entry; of what its parts say nothing is checked.

    Raises:
        IntegrityError: it is not in the one form that it can have.
    """
    text = data.rstrip(b" ")
    try:
        found = document.parse(text, NAME)
        document.expect(found.get("format"), FORMAT, f"{NAME}.format", "use a Ferry that knows this format")
        fields = document.fields(found, NAME, _FIELDS, exact=False)
        if document.canonical(found) != text:
            raise KeystoreError("expected canonical JSON, got another form", place=NAME)
        return _document(fields)
    except RecursionError as error:
        raise IntegrityError("expected canonical JSON, got another form", place=NAME) from error
    except KeystoreError as error:
        hint = error.hint or "the medium or the copy is damaged: carry the bundle again"
        raise IntegrityError(error.message, place=error.place, hint=hint) from error


def _document(fields: Mapping[str, Any]) -> TrustDocument:
    roots = (document.as_object(one, f"{NAME}.roots[{index}]") for index, one in enumerate(fields["roots"]))
    return TrustDocument(
        roots=tuple(map(document.canonical, roots)),
        revocations=document.canonical(fields["revocations"]),
        certificates=tuple(_pem(one, index) for index, one in enumerate(fields["certificates"])),
    )


def _pem(value: object, index: int) -> bytes:
    if not isinstance(value, str) or not value.isascii():
        raise KeystoreError("expected a certificate in PEM, got something else", place=f"{NAME}.certificates[{index}]")
    return value.encode("ascii")


def padded(text: bytes) -> bytes:
    """Return a document with the spaces that a build puts behind it: whole pages, with room for signatures."""
    return text.ljust(-(-(len(text) + _SPARE_BYTES) // PAGE_BYTES) * PAGE_BYTES)


def fill(text: bytes, size: int, place: str) -> bytes:
    """Return a document with as many spaces as its place in a bundle has.

    Raises:
        HostError: the place is too small for it.
    """
    if len(text) > size:
        raise HostError(
            f"expected at most {size} bytes, got {len(text)}: no room is left for a further signature",
            place=place,
            hint="build the bundle again with all keys at once: ferry build --key NAME --key NAME",
        )
    return text.ljust(size)
