"""Root documents, revocations and SM2 certificates, made in memory and the same each time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from keystore import der, encoding
from keystore.envelope import sign_envelope
from keystore.revocation import REVOCATIONS_TYPE, Revocations
from keystore.signer import Signer
from keystore.trust import ROOT_TYPE, Revocation, Role, Root

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2035, 1, 1, tzinfo=UTC)
_SM2_WITH_SM3 = der.encode(
    der.SEQUENCE, der.encode(der.OBJECT_IDENTIFIER, bytes.fromhex("2a811ccf55018375"))
)  # 1.2.156.10197.1.501
_COMMON_NAME = der.encode(der.OBJECT_IDENTIFIER, bytes.fromhex("550403"))
_AUTHORITY = der.encode(
    der.SEQUENCE,
    der.encode(der.OBJECT_IDENTIFIER, bytes.fromhex("551d13")),
    der.encode(0x01, b"\xff"),
    der.encode(der.OCTET_STRING, der.encode(der.SEQUENCE, der.encode(0x01, b"\xff"))),
)


def root_document(
    version: int,
    root: Sequence[Signer],
    release: Sequence[Signer],
    *,
    by: Sequence[Signer] | None = None,
    root_threshold: int = 1,
    threshold: int = 1,
    expires: datetime | None = END,
) -> bytes:
    """Return a root document, signed by its own root keys or by others."""
    made = Root(
        version=version,
        created=BEGIN,
        expires=expires,
        root=Role.of("root", [key.public for key in root], root_threshold),
        release=Role.of("release", [key.public for key in release], threshold),
    )
    return sign_envelope(ROOT_TYPE, made.encode(), list(root if by is None else by))


def revocation_list(version: int, revoked: Sequence[Signer], by: Sequence[Signer]) -> bytes:
    """Return a list of revoked keys."""
    entries = [Revocation(keyid=key.keyid, since=BEGIN, reason="laptop stolen") for key in revoked]
    made = Revocations(version=version, created=BEGIN, revoked=tuple(sorted(entries, key=lambda entry: entry.keyid)))
    return sign_envelope(REVOCATIONS_TYPE, made.encode(), list(by))


def certificate(name: str, key: Signer, issuer: str, by: Signer, *, authority: bool = False) -> bytes:
    """Return an SM2 certificate in PEM: `by` signs it under the name of the `issuer`."""
    signed = der.encode(
        der.SEQUENCE,
        der.encode(0xA0, der.encode(der.INTEGER, b"\x02")),
        der.encode(der.INTEGER, bytes([len(name)])),
        _SM2_WITH_SM3,
        _name(issuer),
        der.encode(der.SEQUENCE, der.encode(0x17, b"260101000000Z"), der.encode(0x17, b"350101000000Z")),
        _name(name),
        key.public.der(),
        *([der.encode(0xA3, der.encode(der.SEQUENCE, _AUTHORITY))] if authority else []),
    )
    signature = der.encode(der.BIT_STRING, b"\x00" + by.sign(signed))
    return encoding.encode_pem("CERTIFICATE", der.encode(der.SEQUENCE, signed, _SM2_WITH_SM3, signature)).encode()


def _name(common: str) -> bytes:
    attribute = der.encode(der.SEQUENCE, _COMMON_NAME, der.encode(0x0C, common.encode()))
    return der.encode(der.SEQUENCE, der.encode(0x31, attribute))
