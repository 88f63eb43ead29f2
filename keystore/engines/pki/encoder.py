"""Certificates, requests and revocation lists in DER, signed by a key of any algorithm.

The cryptography library encodes names and extensions; it knows no SM2 keys, so it signs with a throwaway key, and
the algorithm, the public key and the issuer's name are put in their places before the real key signs. All
algorithms go this one way.
Source: RFC 5280 (certificates, revocation lists), RFC 2986 (requests), GB/T 20518-2018 (SM2 certificates).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519

from keystore import der
from keystore.engines.pki.keys import PrivateKey
from keystore.engines.request import RequestError
from keystore.errors import KeystoreError

_VERSION = 0xA0


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """A certificate or request taken apart: what is signed, the signature, and elements as they stand in the DER."""

    signed: bytes
    algorithm: bytes
    signature: bytes
    issuer: bytes
    subject: bytes
    spki: bytes


def certificate(
    builder: x509.CertificateBuilder, spki: bytes, issuer: bytes | None, key: PrivateKey, signature_bits: int = 0
) -> bytes:
    """Return a certificate for a public key; `issuer` is the DER of the issuer's name, None the subject itself."""
    made = builder.public_key(_throwaway().public_key()).sign(_throwaway(), None)
    return replace_and_sign(made.tbs_certificate_bytes, spki, issuer, key, signature_bits)


def replace_and_sign(
    signed: bytes, spki: bytes | None, issuer: bytes | None, key: PrivateKey, signature_bits: int = 0
) -> bytes:
    """Return a certificate from one's signed part, with another algorithm, issuer and, if given, public key."""
    parts = _elements(signed, "certificate")
    subject = parts[5]
    parts[2], parts[3] = key.algorithm(signature_bits), subject if issuer is None else issuer
    parts[6] = parts[6] if spki is None else spki
    return _seal(der.encode(der.SEQUENCE, *parts), key, signature_bits)


def request(builder: x509.CertificateSigningRequestBuilder, key: PrivateKey, signature_bits: int = 0) -> bytes:
    """Return a request for the key's certificate, signed by the key itself."""
    made = builder.sign(_throwaway(), None)
    parts = _elements(made.tbs_certrequest_bytes, "certificate request")
    parts[2] = key.spki
    return _seal(der.encode(der.SEQUENCE, *parts), key, signature_bits)


def revocation_list(
    builder: x509.CertificateRevocationListBuilder, issuer: bytes, key: PrivateKey, signature_bits: int = 0
) -> bytes:
    """Return a revocation list; `issuer` is the DER of the issuer's name."""
    made = builder.sign(_throwaway(), None)
    parts = _elements(made.tbs_certlist_bytes, "revocation list")
    parts[1], parts[2] = key.algorithm(signature_bits), issuer
    return _seal(der.encode(der.SEQUENCE, *parts), key, signature_bits)


def take_apart(data: bytes) -> Parts:
    """Return the parts of a certificate in DER.

    Raises: RequestError.
    """
    signed, algorithm, signature = _open(data, "certificate")
    found = _elements(signed, "certificate")
    if len(found) < 7 or found[0][0] != _VERSION:
        raise RequestError("unable to parse certificate: expected one of version 3, got another form")
    return Parts(
        signed=signed, algorithm=algorithm, signature=signature, issuer=found[3], subject=found[5], spki=found[6]
    )


def take_request_apart(data: bytes) -> Parts:
    """Return the parts of a request in DER; its issuer is its subject.

    Raises: RequestError.
    """
    signed, algorithm, signature = _open(data, "certificate request")
    found = _elements(signed, "certificate request")
    if len(found) < 3:
        raise RequestError("unable to parse certificate request: expected a PKCS#10 request, got another form")
    return Parts(
        signed=signed, algorithm=algorithm, signature=signature, issuer=found[1], subject=found[1], spki=found[2]
    )


def _open(data: bytes, place: str) -> tuple[bytes, bytes, bytes]:
    try:
        outer = der.Reader(data, place)
        body = outer.take_reader(der.SEQUENCE)
        outer.end()
        signed, algorithm = body.take_element(der.SEQUENCE), body.take_element(der.SEQUENCE)
        signature = body.take(der.BIT_STRING)
        body.end()
    except KeystoreError as error:
        raise RequestError(f"unable to parse {place}: {error.message}") from None
    return signed, algorithm, signature.removeprefix(b"\x00")


def _elements(signed: bytes, place: str) -> list[bytes]:
    """Return the elements of a SEQUENCE, each whole."""
    try:
        reader = der.Reader(signed, place).take_reader(der.SEQUENCE)
        return list(reader.elements())
    except KeystoreError as error:
        raise RequestError(f"unable to parse {place}: {error.message}") from None


def _seal(signed: bytes, key: PrivateKey, signature_bits: int) -> bytes:
    signature = key.sign(signed, signature_bits)
    return der.encode(der.SEQUENCE, signed, signature.algorithm, der.encode(der.BIT_STRING, b"\x00", signature.octets))


@functools.cache
def _throwaway() -> ed25519.Ed25519PrivateKey:
    """Return the key that signs what is signed anew; nothing that it signs leaves this module."""
    return ed25519.Ed25519PrivateKey.generate()
