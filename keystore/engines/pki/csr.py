"""Certificate requests of others: parsed, and believed only once their own signature holds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from keystore import encoding
from keystore.engines.body import Body
from keystore.engines.pki import encoder, keys
from keystore.engines.pki.encoder import Parts
from keystore.engines.pki.role import Role
from keystore.engines.request import RequestError
from keystore.errors import KeystoreError

_BLOCK = re.compile(r"-----BEGIN ((?:NEW )?CERTIFICATE REQUEST)-----[^-]*-----END \1-----")
_LIMIT = 1 << 18
_LEAST_RSA_BITS = 2048


@dataclass(frozen=True, kw_only=True, slots=True)
class Csr:
    """A request whose signature is right."""

    parts: Parts
    found: x509.CertificateSigningRequest

    @property
    def spki(self) -> bytes:
        """The public key that wants a certificate."""
        return self.parts.spki


def read(body: Body) -> Csr:
    """Return the request in the field `csr`.

    Raises: RequestError.
    """
    text = body.text("csr")
    if not text:
        raise RequestError('"csr" is empty')
    data = _decode(text)
    parts = encoder.take_request_apart(data)
    try:
        found = x509.load_der_x509_csr(data)
        _ = (found.subject, found.extensions)
    except (ValueError, x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        raise RequestError("certificate request could not be parsed: expected PKCS#10, got another form") from None
    if not _signature_holds(parts, found):
        raise RequestError("request signature invalid")
    return Csr(parts=parts, found=found)


def check_key(role: Role, csr: Csr) -> None:
    """Refuse a key that a role does not allow.

    Raises: RequestError.
    """
    kind, bits = keys.describe_public(csr.spki)
    if kind == "rsa" and bits < _LEAST_RSA_BITS:
        raise RequestError(f"RSA keys < {_LEAST_RSA_BITS} bits are unsafe and not supported")
    if role.key_type == "any":
        return
    if kind != role.key_type:
        raise RequestError(f"role requires keys of type {role.key_type}")
    if bits < role.key_bits:
        raise RequestError(f"role requires a minimum of a {role.key_bits}-bit key, but CSR's key is {bits} bits")


def _decode(text: str) -> bytes:
    if len(text) > _LIMIT:
        raise RequestError(f"expected a csr of at most {_LIMIT} characters, got {len(text)}")
    block = _BLOCK.search(text)
    if block is not None:
        try:
            return encoding.decode_pem(block[0] + "\n", block[1])
        except KeystoreError as error:
            raise RequestError(f"certificate request could not be parsed: {error.message}") from None
    raise RequestError("csr contains no data")


def _signature_holds(parts: Parts, found: x509.CertificateSigningRequest) -> bool:
    if keys.is_sm2(parts.spki):
        return keys.verify_sm2(parts.spki, parts.signature, parts.signed)
    try:
        return found.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
