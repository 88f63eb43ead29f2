"""What a PKI mount keeps of its authorities: keys and issuers, each one record, read strictly.

Records: canonical JSON of exactly the fields below; the service seals them. Secrets appear in no repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from keystore import document
from keystore.errors import KeystoreError

KEY_FORMAT = "ferry/pki-key/v1"
ISSUER_FORMAT = "ferry/pki-issuer/v1"
DEFAULT_USAGE = "crl-signing,issuing-certificates,ocsp-signing,read-only"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRecord:
    """An authority's private key, as PKCS#8 in DER, and its SubjectPublicKeyInfo."""

    ident: str
    name: str = ""
    kind: str
    bits: int
    secret: bytes = field(repr=False)
    spki: bytes

    def encode(self) -> bytes:
        """Return the record."""
        return document.canonical(
            {
                "format": KEY_FORMAT,
                "ident": self.ident,
                "name": self.name,
                "kind": self.kind,
                "bits": self.bits,
                "secret": document.encode_base64(self.secret),
                "spki": document.encode_base64(self.spki),
            }
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Issuer:
    """An authority's certificate; `key` is the id of its private key, empty where the mount has none."""

    ident: str
    name: str = ""
    key: str = ""
    certificate: bytes
    late_leaf: str = "err"
    usage: str = DEFAULT_USAGE
    issuing_certificates: tuple[str, ...] = ()
    crl_distribution_points: tuple[str, ...] = ()
    ocsp_servers: tuple[str, ...] = ()
    revoked_at: int = 0

    def encode(self) -> bytes:
        """Return the record."""
        found = {name: getattr(self, name) for name in _PLAIN}
        lists = {name: list(getattr(self, name)) for name in _LISTS}
        certificate = document.encode_base64(self.certificate)
        return document.canonical({"format": ISSUER_FORMAT, "certificate": certificate, **found, **lists})


_LISTS = ("issuing_certificates", "crl_distribution_points", "ocsp_servers")
_PLAIN: Mapping[str, type] = {
    "ident": str,
    "name": str,
    "key": str,
    "late_leaf": str,
    "usage": str,
    "revoked_at": int,
}
_ISSUER: Mapping[str, type] = {"format": str, "certificate": str, **_PLAIN, **dict.fromkeys(_LISTS, list)}
_KEY: Mapping[str, type] = {
    "format": str,
    "ident": str,
    "name": str,
    "kind": str,
    "bits": int,
    "secret": str,
    "spki": str,
}


def parse_key(data: bytes, place: str) -> KeyRecord:
    """Return a key's record.

    Raises: KeystoreError for every form that `encode` could not have written.
    """
    found = document.fields(document.parse(data, place), place, _KEY)
    document.expect(found["format"], KEY_FORMAT, f"{place}.format")
    made = KeyRecord(
        ident=found["ident"],
        name=found["name"],
        kind=found["kind"],
        bits=found["bits"],
        secret=document.decode_base64(found["secret"], f"{place}.secret"),
        spki=document.decode_base64(found["spki"], f"{place}.spki"),
    )
    _expect_canonical(made.encode(), data, place)
    return made


def parse_issuer(data: bytes, place: str) -> Issuer:
    """Return an issuer's record.

    Raises: KeystoreError for every form that `encode` could not have written.
    """
    found = document.fields(document.parse(data, place), place, _ISSUER)
    document.expect(found["format"], ISSUER_FORMAT, f"{place}.format")
    made = Issuer(
        certificate=document.decode_base64(found["certificate"], f"{place}.certificate"),
        **{name: found[name] for name in _PLAIN},
        issuing_certificates=read_texts(found["issuing_certificates"], place),
        crl_distribution_points=read_texts(found["crl_distribution_points"], place),
        ocsp_servers=read_texts(found["ocsp_servers"], place),
    )
    _expect_canonical(made.encode(), data, place)
    return made


def read_texts(value: object, place: str) -> tuple[str, ...]:
    """Return an array of strings.

    Raises: KeystoreError.
    """
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise KeystoreError("expected an array of strings, got something else", place=place)
    return tuple(value)


def _expect_canonical(made: bytes, data: bytes, place: str) -> None:
    if made != data:
        raise KeystoreError("expected canonical JSON, got another form", place=place)
