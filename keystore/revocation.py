"""The list of revoked keys: a document that a role signs, each version with all keys of the one before it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from keystore import document, moment
from keystore.envelope import parse_envelope, signed_by
from keystore.errors import KeystoreError, SignatureError
from keystore.trust import Revocation, Role, satisfied

REVOCATIONS_FORMAT = "ferry/revocations/v1"
REVOCATIONS_TYPE = "application/vnd.ferry.revocations+json"
_PLACE = "revocations"
_LIST = {"format": str, "version": int, "created": str, "revoked": list}
_ENTRY = {"keyid": str, "since": str, "reason": str}
_KEYID = re.compile(r"[0-9a-f]{64}")
_REASON_CHARACTERS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Revocations:
    """Keys that are believed no more, ordered by keyid."""

    version: int
    created: datetime
    revoked: tuple[Revocation, ...]

    def encode(self) -> bytes:
        """Return the payload of the envelope in canonical JSON."""
        return document.canonical(
            {
                "format": REVOCATIONS_FORMAT,
                "version": self.version,
                "created": moment.stamp(self.created),
                "revoked": [
                    {"keyid": entry.keyid, "since": moment.stamp(entry.since), "reason": entry.reason}
                    for entry in self.revoked
                ],
            }
        )


def parse_revocations(envelope: bytes) -> Revocations:
    """Return the list in an envelope; its shape is checked, no signature is.

    Raises: SignatureError.
    """
    try:
        return _parse(parse_envelope(envelope, payload_type=REVOCATIONS_TYPE).payload)
    except SignatureError:
        raise
    except KeystoreError as error:
        raise SignatureError(error.message, place=error.place, hint=error.hint) from error


def open_revocations(envelope: bytes, role: Role) -> Revocations:
    """Return a list that the threshold of a role has signed; who keeps versions compares them.

    Raises: SignatureError.
    """
    found = parse_revocations(envelope)
    _, signers = signed_by(envelope, role.keys, payload_type=REVOCATIONS_TYPE)
    satisfied(role, signers, place=f"{_PLACE} version {found.version}")
    return found


def _parse(payload: bytes) -> Revocations:
    found = document.parse(payload, _PLACE)
    document.expect(found.get("format"), REVOCATIONS_FORMAT, f"{_PLACE}.format", "a newer Ferry may have written it")
    document.fields(found, _PLACE, _LIST)
    if found["version"] < 0:
        raise SignatureError(f"expected 0 or more, got {found['version']}", place=f"{_PLACE}.version")
    revoked = tuple(_entry(value, f"{_PLACE}.revoked[{index}]") for index, value in enumerate(found["revoked"]))
    keyids = [entry.keyid for entry in revoked]
    if keyids != sorted(set(keyids)):
        raise SignatureError("expected different keys, ordered by keyid, got others", place=f"{_PLACE}.revoked")
    created = moment.parse(found["created"], f"{_PLACE}.created")
    made = Revocations(version=found["version"], created=created, revoked=revoked)
    if made.encode() != payload:
        raise SignatureError("expected canonical JSON, got another form", place=_PLACE)
    return made


def _entry(value: object, place: str) -> Revocation:
    entry = document.fields(value, place, _ENTRY)
    if not _KEYID.fullmatch(entry["keyid"]):
        raise SignatureError(
            f"expected a keyid of 64 hexadecimal digits, got {entry['keyid']!r}", place=f"{place}.keyid"
        )
    if not 0 < len(entry["reason"]) <= _REASON_CHARACTERS or not entry["reason"].isprintable():
        raise SignatureError(
            f"expected a reason of 1 to {_REASON_CHARACTERS} printable characters, got another",
            place=f"{place}.reason",
        )
    return Revocation(
        keyid=entry["keyid"], since=moment.parse(entry["since"], f"{place}.since"), reason=entry["reason"]
    )
