"""SM2 certificates as anchor: a chain from a trusted root down to the key that signs.

Only SM2 with SM3 under the default id is accepted, all the way: a chain with any other algorithm is refused.
Revocation lists and OCSP are not read: `ferry/revocations/v1` names keys that are lost.
Source: RFC 5280, clause 6.1; GB/T 20518-2018.
"""

from __future__ import annotations

import contextlib
import itertools
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from keystore import der, encoding, moment
from keystore.errors import KeystoreError, SignatureError
from keystore.public import VerifyingKey
from keystore.sm2 import PublicKey

LABEL = "CERTIFICATE"
LIMIT = 8
_SM2_WITH_SM3 = bytes.fromhex("2a811ccf55018375")  # 1.2.156.10197.1.501
_NULL = 0x05
_VERSION = 0xA0
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----\s*")
_KNOWN = {x509.BasicConstraints.oid, x509.KeyUsage.oid, x509.ExtendedKeyUsage.oid}
_PURPOSES = {ExtendedKeyUsageOID.CODE_SIGNING, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claims:
    """What a certificate says of its subject; `told` is its name, for people."""

    told: str
    begins: datetime
    ends: datetime
    authority: bool
    path_length: int | None
    may_sign_certificates: bool
    may_sign_releases: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Certificate:
    """A certificate whose form is right and whose key is SM2's; `signature` over `signed` is not checked."""

    data: bytes
    signed: bytes
    signature: bytes
    issuer: bytes
    subject: bytes
    key: PublicKey
    claims: Claims

    @property
    def place(self) -> str:
        """How errors name it."""
        return f"certificate '{self.claims.told}'"


def split(pem: bytes) -> tuple[bytes, ...]:
    """Return each certificate's PEM out of a file that has one or more and nothing else.

    Raises: SignatureError.
    """
    found = tuple(match.group() for match in _PEM.finditer(pem))
    if not found or b"".join(found) != pem.lstrip():
        raise SignatureError("expected PEM blocks 'CERTIFICATE' and nothing else, got something else", place="chain")
    return found


def parse_certificate(pem: bytes, place: str = "certificate") -> Certificate:
    """Parse one certificate in PEM.

    Raises: SignatureError for any other algorithm than SM2 with SM3, an unknown critical extension, or a wrong form.
    """
    data = encoding.decode_pem(pem, LABEL)
    outer = der.Reader(data, place)
    body = outer.take_reader(der.SEQUENCE)
    outer.end()
    signed = body.take_element(der.SEQUENCE)
    algorithm = body.take_element(der.SEQUENCE)
    signature = body.take(der.BIT_STRING)
    body.end()
    _expect_sm2(algorithm, place)
    issuer, subject, spki = _walk_signed(signed, algorithm, place)
    with _told(place):
        claims = _read_claims(data)
    return Certificate(
        data=data,
        signed=signed,
        signature=signature.removeprefix(b"\x00"),
        issuer=issuer,
        subject=subject,
        key=PublicKey.from_der(spki),
        claims=claims,
    )


def check_chain(certificates: Sequence[bytes], anchor: bytes, *, now: datetime) -> VerifyingKey:
    """Return the key of the first certificate once each is signed by the next, and the last by the anchor.

    The anchor is the one root that the verifier trusts; it may stand at the end of the chain too. Everyone who holds
    a fitting certificate under it may sign releases, so take a root that issues for nothing else.
    Raises: SignatureError.
    """
    root = parse_certificate(anchor, "anchor")
    chain = [parse_certificate(pem, f"chain[{index}]") for index, pem in enumerate(certificates)]
    if chain and chain[-1].data == root.data:
        chain.pop()
    if not 1 <= len(chain) <= LIMIT:
        raise SignatureError(f"expected 1 to {LIMIT} certificates below the anchor, got {len(chain)}", place="chain")
    _check_link(root, root)
    for below, (child, issuer) in enumerate(zip(chain, [*chain[1:], root], strict=True)):
        _check_issuer(issuer, below)
        _check_link(child, issuer)
    for certificate in (*chain, root):
        _check_time(certificate, now)
    _check_leaf(chain[0])
    return chain[0].key


def check_held(certificates: Sequence[bytes], key: VerifyingKey) -> None:
    """Check a chain that is kept beside its key: the first certificate is the key's, each is signed by the next.

    Whether its last is trusted, and all in time, is for the verifier to say.
    Raises: SignatureError.
    """
    chain = [parse_certificate(pem, f"chain[{index}]") for index, pem in enumerate(certificates)]
    if not 1 <= len(chain) <= LIMIT + 1:
        raise SignatureError(f"expected 1 to {LIMIT + 1} certificates, got {len(chain)}", place="chain")
    if chain[0].key != key:
        raise SignatureError(
            f"expected a certificate of the key {key.keyid}, got one of {chain[0].key.keyid}",
            place=chain[0].place,
            hint="put the signer's own certificate first",
        )
    _check_leaf(chain[0])
    for below, (child, issuer) in enumerate(itertools.pairwise(chain)):
        _check_issuer(issuer, below)
        _check_link(child, issuer)


def _expect_sm2(algorithm: bytes, place: str) -> None:
    reader = der.Reader(algorithm, place).take_reader(der.SEQUENCE)
    if reader.take(der.OBJECT_IDENTIFIER) != _SM2_WITH_SM3:
        raise SignatureError(
            "expected a signature by SM2 with SM3 (1.2.156.10197.1.501), got another algorithm",
            place=place,
            hint="only SM2 chains are accepted as anchor; trust an Ed25519 or P-256 key by its public key",
        )
    if reader.next_is(_NULL):
        reader.take_reader(_NULL).end()
    reader.end()


def _walk_signed(signed: bytes, algorithm: bytes, place: str) -> tuple[bytes, bytes, bytes]:
    """Return issuer, subject and SPKI, each as its whole DER element."""
    body = der.Reader(signed, place).take_reader(der.SEQUENCE)
    version = body.take_reader(_VERSION)
    if version.take_integer() != 2:
        raise SignatureError("expected a certificate of version 3, got another", place=place)
    version.end()
    body.take_integer()
    if body.take_element(der.SEQUENCE) != algorithm:
        raise SignatureError("expected one signature algorithm inside and outside, got two", place=place)
    issuer = body.take_element(der.SEQUENCE)
    body.take(der.SEQUENCE)
    return issuer, body.take_element(der.SEQUENCE), body.take_element(der.SEQUENCE)


def _read_claims(data: bytes) -> Claims:
    """Return what the cryptography library reads: names for people, validity, and the extensions."""
    found = x509.load_der_x509_certificate(data)
    for extension in found.extensions:
        if extension.critical and extension.oid not in _KNOWN:
            raise SignatureError(
                f"expected no critical extension but known ones, got {extension.oid.dotted_string}",
                hint="issue the certificate without it, or not critical",
            )
    basic = _extension(found, x509.BasicConstraints)
    usage = _extension(found, x509.KeyUsage)
    purposes = _extension(found, x509.ExtendedKeyUsage)
    return Claims(
        told=found.subject.rfc4514_string(),
        begins=found.not_valid_before_utc,
        ends=found.not_valid_after_utc,
        authority=basic is not None and basic.ca,
        path_length=basic.path_length if basic else None,
        may_sign_certificates=usage is None or usage.key_cert_sign,
        may_sign_releases=(usage is None or usage.digital_signature)
        and (purposes is None or not _PURPOSES.isdisjoint(purposes)),
    )


def _extension(found: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return found.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


@contextlib.contextmanager
def _told(place: str) -> Iterator[None]:
    """Turn what the cryptography library raises on a certificate of a wrong form into our error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except SignatureError as error:
        raise SignatureError(error.message, place=place, hint=error.hint) from error
    except (ValueError, TypeError, x509.InvalidVersion, x509.DuplicateExtension, KeystoreError) as error:
        raise SignatureError("expected a certificate as RFC 5280 says, got another form", place=place) from error


def _check_issuer(issuer: Certificate, below: int) -> None:
    if not issuer.claims.authority:
        raise SignatureError("expected an issuer with basicConstraints CA:TRUE, got one without", place=issuer.place)
    if not issuer.claims.may_sign_certificates:
        raise SignatureError("expected an issuer with keyUsage keyCertSign, got one without", place=issuer.place)
    if issuer.claims.path_length is not None and below > issuer.claims.path_length:
        raise SignatureError(
            f"expected at most {issuer.claims.path_length} authorities below (pathlen), got {below}", place=issuer.place
        )


def _check_link(child: Certificate, issuer: Certificate) -> None:
    if child.issuer != issuer.subject:
        raise SignatureError(
            f"expected to be issued by '{issuer.claims.told}', got another issuer",
            place=child.place,
            hint="order the chain from the signer up to the root, and check that it belongs to this root",
        )
    try:
        issuer.key.verify(child.signature, child.signed)
    except SignatureError as error:
        raise SignatureError(
            f"expected a signature by '{issuer.claims.told}', got a wrong one: {error.message}", place=child.place
        ) from error


def _check_time(certificate: Certificate, now: datetime) -> None:
    begins, ends = certificate.claims.begins, certificate.claims.ends
    if now < begins:
        raise SignatureError(
            f"expected a certificate that is valid now, got one that begins at {moment.stamp(begins)}",
            place=certificate.place,
            hint="check this host's clock",
        )
    if now > ends:
        raise SignatureError(
            f"expected a certificate that is valid now, got one that ended at {moment.stamp(ends)}",
            place=certificate.place,
            hint="ask its authority for a new one",
        )


def _check_leaf(leaf: Certificate) -> None:
    if leaf.claims.authority:
        raise SignatureError("expected the signer's certificate first, got an authority's", place=leaf.place)
    if not leaf.claims.may_sign_releases:
        raise SignatureError(
            "expected keyUsage digitalSignature, and extendedKeyUsage codeSigning where there is one, got others",
            place=leaf.place,
        )
