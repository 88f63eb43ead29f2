"""Private keys of authorities and of those they issue for, whatever the algorithm.

RSA, ECDSA and Ed25519 are the cryptography library's; SM2 is the keystore's own.
Source: RFC 4055 and RFC 8017 (RSA), RFC 5758 (ECDSA), RFC 8410 (Ed25519), GM/T 0015-2012 (SM2 with SM3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from keystore import der, encoding, sm2
from keystore.engines import rsakey
from keystore.engines.request import Beside, RequestError
from keystore.errors import KeystoreError

_NULL = b"\x05\x00"
_CURVES: Mapping[int, type[ec.EllipticCurve]] = {256: ec.SECP256R1, 384: ec.SECP384R1, 521: ec.SECP521R1}
_RSA_BITS = (2048, 3072, 4096, 8192)
_HASHES: Mapping[int, Callable[[], hashes.HashAlgorithm]] = {
    256: hashes.SHA256,
    384: hashes.SHA384,
    512: hashes.SHA512,
}
_RSA_OIDS = {256: "2a864886f70d01010b", 384: "2a864886f70d01010c", 512: "2a864886f70d01010d"}
_ECDSA_OIDS = {256: "2a8648ce3d040302", 384: "2a8648ce3d040303", 512: "2a8648ce3d040304"}
SM2_WITH_SM3 = bytes.fromhex("2a811ccf55018375")  # 1.2.156.10197.1.501
DEFAULT_BITS: Mapping[str, int] = {"rsa": 2048, "ec": 256, "ed25519": 0, "sm2": 256}
_Library = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_OTHER_KIND = "expected an RSA, EC (P-256, P-384, P-521), Ed25519 or SM2 public key, got another kind"
_PLAIN = serialization.NoEncryption()


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """A signature over DER and the AlgorithmIdentifier that names how it was made."""

    algorithm: bytes
    octets: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class PrivateKey:
    """A private key: `kind` is 'rsa', 'ec', 'ed25519' or 'sm2', `secret` its unencrypted PKCS#8 in DER."""

    kind: str
    bits: int
    secret: bytes = field(repr=False)
    spki: bytes

    def algorithm(self, signature_bits: int = 0) -> bytes:
        """Return the AlgorithmIdentifier of this key's signatures."""
        return _algorithm(self, signature_bits)

    def sign(self, data: bytes, signature_bits: int = 0) -> Signature:
        """Return a signature over data."""
        return Signature(algorithm=self.algorithm(signature_bits), octets=_sign(self, data, signature_bits))

    def pem(self, form: str) -> str:
        """Return the key in PEM: PKCS#8 where `form` says so, else the older form of its type."""
        if self.kind in ("ed25519", "sm2") or form == "pkcs8":
            return encoding.encode_pem(encoding.PRIVATE_LABEL, self.secret).strip()
        traditional = serialization.PrivateFormat.TraditionalOpenSSL
        return _load(self.secret).private_bytes(serialization.Encoding.PEM, traditional, _PLAIN).decode().strip()

    def der(self, form: str) -> bytes:
        """Return the key in DER, in the form that `pem` has."""
        if self.kind in ("ed25519", "sm2") or form == "pkcs8":
            return self.secret
        traditional = serialization.PrivateFormat.TraditionalOpenSSL
        return _load(self.secret).private_bytes(serialization.Encoding.DER, traditional, _PLAIN)


def check_size(kind: str, bits: int) -> int:
    """Return the size of a key of this kind, its default for 0.

    Raises: RequestError.
    """
    if kind not in DEFAULT_BITS:
        raise RequestError(f"unknown key type {kind}")
    bits = bits or DEFAULT_BITS[kind]
    fits = {"rsa": bits in _RSA_BITS, "ec": bits in _CURVES, "ed25519": True, "sm2": bits == DEFAULT_BITS["sm2"]}
    if not fits[kind]:
        raise RequestError(f"unsupported bit length for {kind.upper()} key: {bits}")
    return DEFAULT_BITS[kind] if kind == "ed25519" else bits


def check_signature_bits(bits: int) -> int:
    """Return the size of the hash in signatures; 0 leaves it to the key.

    Raises: RequestError.
    """
    if bits and bits not in _HASHES:
        raise RequestError(f"invalid value for signature_bits: {bits}")
    return bits


def generate(kind: str, bits: int) -> PrivateKey:
    """Make a key.

    Raises: RequestError.
    """
    bits = check_size(kind, bits)
    if kind == "sm2":
        return _of_sm2(sm2.PrivateKey.generate())
    if kind == "rsa":
        return _of_library(rsa.generate_private_key(public_exponent=65537, key_size=bits))
    if kind == "ec":
        return _of_library(ec.generate_private_key(_CURVES[bits]()))
    return _of_library(ed25519.Ed25519PrivateKey.generate())


def choose(asked: str, default: str, bits: int) -> str:
    """Return the kind that is asked for; a size that only RSA has asks for RSA where no kind is named."""
    return asked or ("rsa" if bits in _RSA_BITS else default)


def make(beside: Beside, kind: str, bits: int) -> PrivateKey:
    """Make a key, one that takes long where it keeps nobody waiting.

    Raises: RequestError.
    """
    if kind == "rsa":
        return beside(f"rsa-{check_size(kind, bits)}", lambda: generate(kind, bits))
    return generate(kind, bits)


def read_private(pem: str) -> PrivateKey:
    """Return the key of one PEM block, PKCS#8 or the older form of its type.

    Raises: RequestError.
    """
    if encoding.PRIVATE_LABEL in pem.partition("\n")[0]:
        try:
            return _of_sm2(sm2.PrivateKey.from_pem(pem))
        except KeystoreError:
            pass  # The library tells of every other kind.
    try:
        found = serialization.load_pem_private_key(pem.encode("utf-8"), None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RequestError("unable to parse private key: expected an unencrypted RSA, EC, Ed25519 or SM2 key") from None
    if not isinstance(found, _Library):
        raise RequestError("unable to parse private key: expected an RSA, EC, Ed25519 or SM2 key, got another kind")
    if isinstance(found, rsa.RSAPrivateKey):
        rsakey.check(found)
    return _of_library(found)


def describe_public(spki: bytes) -> tuple[str, int]:
    """Return kind and size of a public key.

    Raises: RequestError for a kind that no role can name.
    """
    if is_sm2(spki):
        return "sm2", DEFAULT_BITS["sm2"]
    found = _load_public(spki)
    if isinstance(found, rsa.RSAPublicKey):
        return "rsa", found.key_size
    if isinstance(found, ec.EllipticCurvePublicKey) and isinstance(found.curve, tuple(_CURVES.values())):
        return "ec", found.curve.key_size
    if isinstance(found, ed25519.Ed25519PublicKey):
        return "ed25519", 0
    raise RequestError(_OTHER_KIND)


def verify_sm2(spki: bytes, signature: bytes, signed: bytes) -> bool:
    """Tell whether an SM2 signature is right; what SM2 did not sign is checked by the library that parsed it."""
    try:
        sm2.PublicKey.from_der(spki).verify(signature, signed)
    except KeystoreError:
        return False
    return True


def is_sm2(spki: bytes) -> bool:
    """Tell whether a public key is SM2's."""
    try:
        return encoding.public_algorithm(spki) == encoding.ALGORITHM
    except KeystoreError:
        return False


def key_identifier(spki: bytes) -> bytes:
    """Return the SHA-1 of the public key's bits, a name and no protection.

    Source: RFC 5280, clause 4.2.1.2, method 1.
    """
    body = der.Reader(spki, "public key").take_reader(der.SEQUENCE)
    body.take(der.SEQUENCE)
    return hashlib.sha1(body.take(der.BIT_STRING)[1:], usedforsecurity=False).digest()


def _of_sm2(key: sm2.PrivateKey) -> PrivateKey:
    secret = encoding.decode_pem(key.pem(), encoding.PRIVATE_LABEL)
    return PrivateKey(kind="sm2", bits=DEFAULT_BITS["sm2"], secret=secret, spki=key.public.der())


def _of_library(key: _Library) -> PrivateKey:
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    kind, bits = describe_public(spki)
    if kind != "ed25519":
        check_size(kind, bits)
    secret = key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, _PLAIN)
    return PrivateKey(kind=kind, bits=bits, secret=secret, spki=spki)


def _load(secret: bytes) -> _Library:
    found = serialization.load_der_private_key(secret, None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(found, _Library):
        raise RequestError("expected an RSA, EC or Ed25519 key, got another kind")
    return found


def _load_public(spki: bytes) -> object:
    try:
        return serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm):
        raise RequestError(_OTHER_KIND) from None


def _hash_bits(key: PrivateKey, asked: int) -> int:
    return asked or {384: 384, 521: 512}.get(key.bits if key.kind == "ec" else 0, 256)


def _algorithm(key: PrivateKey, asked: int) -> bytes:
    if key.kind == "ed25519":
        return encoding.ED25519_ALGORITHM
    if key.kind == "sm2":
        return der.encode(der.SEQUENCE, der.encode(der.OBJECT_IDENTIFIER, SM2_WITH_SM3))
    oids, parameters = (_RSA_OIDS, _NULL) if key.kind == "rsa" else (_ECDSA_OIDS, b"")
    oid = bytes.fromhex(oids[_hash_bits(key, asked)])
    return der.encode(der.SEQUENCE, der.encode(der.OBJECT_IDENTIFIER, oid), parameters)


def _sign(key: PrivateKey, data: bytes, asked: int) -> bytes:
    if key.kind == "sm2":
        scalar, _ = encoding.decode_private(key.secret)
        return sm2.PrivateKey.restore(scalar, sm2.PublicKey.from_der(key.spki)).sign(data)
    found = _load(key.secret)
    if isinstance(found, ed25519.Ed25519PrivateKey):
        return found.sign(data)
    algorithm = _HASHES[_hash_bits(key, asked)]()
    if isinstance(found, rsa.RSAPrivateKey):
        return found.sign(data, padding.PKCS1v15(), algorithm)
    return found.sign(data, ec.ECDSA(algorithm))
