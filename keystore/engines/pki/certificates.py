"""The certificates that a mount issued, and which of them were revoked: one record each, by serial number.

A certificate's record is its DER, a revocation's canonical JSON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509

from keystore import document
from keystore.engines.pki import authorities
from keystore.engines.request import Records

_ISSUED, _REVOKED = "certs/", "revoked/"
_SERIAL = re.compile(r"[0-9a-f]{2}(?:[:-][0-9a-f]{2}){0,19}")
_SHAPE: Mapping[str, type] = {"at": int, "ends": int, "issuer": str}


@dataclass(frozen=True, kw_only=True, slots=True)
class Revocation:
    """A certificate that was taken back; `at` and `ends` are seconds since 1970, `issuer` is an issuer's id."""

    serial: str
    at: int
    ends: int
    issuer: str


def told_serial(number: int) -> str:
    """Return a serial number as the API tells it: pairs of hexadecimal digits with colons between."""
    octets = number.to_bytes(number.bit_length() // 8 + 1, "big").lstrip(b"\x00") or b"\x00"
    return octets.hex(":")


def normal_serial(text: str) -> str | None:
    """Return the serial number of a text with colons or hyphens as `told_serial` tells it, None for no serial."""
    folded = text.lower()
    return folded.replace("-", ":") if _SERIAL.fullmatch(folded) else None


def save(records: Records, serial: str, certificate: bytes) -> None:
    """Keep a certificate."""
    records.put(_ISSUED + _name(serial), certificate)


def find(records: Records, serial: str) -> bytes | None:
    """Return the DER of a certificate, or None."""
    return records.get(_ISSUED + _name(serial))


def forget(records: Records, serial: str) -> None:
    """Forget a certificate."""
    records.delete(_ISSUED + _name(serial))


def serials(records: Records) -> list[str]:
    """Return the serial numbers of all that is kept."""
    return [name.replace("-", ":") for name in records.names(_ISSUED)]


def revoke(records: Records, revocation: Revocation) -> None:
    """Keep a revocation."""
    fields = {"at": revocation.at, "ends": revocation.ends, "issuer": revocation.issuer}
    records.put(_REVOKED + _name(revocation.serial), document.canonical(fields))


def find_revocation(records: Records, serial: str) -> Revocation | None:
    """Return the revocation of a certificate, or None.

    Raises: KeystoreError when its record is damaged.
    """
    data = records.get(_REVOKED + _name(serial))
    if data is None:
        return None
    place = f"revocation '{serial}'"
    found = document.fields(document.parse(data, place), place, _SHAPE)
    return Revocation(serial=serial, at=found["at"], ends=found["ends"], issuer=found["issuer"])


def revocations(records: Records) -> Iterator[Revocation]:
    """Yield all revocations, ordered by serial number."""
    for name in records.names(_REVOKED):
        found = find_revocation(records, name.replace("-", ":"))
        if found is not None:
            yield found


def forget_revocation(records: Records, serial: str) -> None:
    """Forget a revocation."""
    records.delete(_REVOKED + _name(serial))


def ends(certificate: bytes) -> datetime:
    """Return when a certificate ends."""
    return authorities.load(certificate).not_valid_after_utc


def read_serial(certificate: x509.Certificate) -> str:
    """Return the serial number of a certificate as the API tells it."""
    return told_serial(certificate.serial_number)


def seconds(moment: datetime) -> int:
    """Return seconds since 1970."""
    return int(moment.timestamp())


def told_time(at: int) -> str:
    """Return seconds since 1970 as the API tells a time."""
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def _name(serial: str) -> str:
    return serial.replace(":", "-")
