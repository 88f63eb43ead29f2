"""Sign and verify under one version of a key of any type that signs.

Source: RFC 8017 (RSA), FIPS 186-5 (ECDSA), RFC 8032 (Ed25519), GB/T 32918.2-2016 (SM2), RFC 7515 (form `jws`).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from keystore import ed25519, scheme, sm2
from keystore.engines.body import decode_base64, encode_base64
from keystore.engines.request import RequestError
from keystore.engines.transit import aead, digests, keys
from keystore.engines.transit.key import Key, Version
from keystore.errors import SignatureError

_SIZES: Mapping[str, int] = {"ecdsa-p256": 32, "ecdsa-p384": 48, "ecdsa-p521": 66, "sm2": 32}
CURVES: Mapping[str, type[ec.EllipticCurve]] = {
    "ecdsa-p256": ec.SECP256R1,
    "ecdsa-p384": ec.SECP384R1,
    "ecdsa-p521": ec.SECP521R1,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class How:
    """What a request says of a signature, checked; `salt` is 'auto', 'hash' or a number, for RSA-PSS."""

    hash_name: str
    prehashed: bool
    padding: str
    marshaling: str
    salt: str
    context: bytes = b""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Algorithm:
    """How one type of key signs and verifies; a wrong signature raises InvalidSignature or SignatureError."""

    sign: Callable[[Key, Version, bytes, How], bytes]
    verify: Callable[[Key, Version, bytes, bytes, How], None]


def sign(key: Key, number: int, message: bytes, how: How) -> str:
    """Return the encoded signature, without version.

    Raises: RequestError.
    """
    signature = _algorithm(key).sign(key, key.versions[number], message, how)
    if how.marshaling == "asn1":
        return encode_base64(signature)
    return base64.urlsafe_b64encode(_flat(key, signature)).rstrip(b"=").decode("ascii")


def verify(key: Key, number: int, message: bytes, encoded: str, how: How) -> bool:
    """Tell whether an encoded signature is right.

    Raises: RequestError when it is no signature at all.
    """
    signature = _decode(key, encoded, how)
    try:
        _algorithm(key).verify(key, key.versions[number], signature, message, how)
    except (InvalidSignature, SignatureError):
        return False
    return True


def derived_public(key: Key, number: int, context: bytes) -> str:
    """Return the public half that a derived Ed25519 key has in a context.

    Raises: RequestError.
    """
    seed = aead.working_secret(key, key.versions[number].secret, context)
    return encode_base64(ed25519.PrivateKey(seed).public.raw)


def _algorithm(key: Key) -> _Algorithm:
    if key.kind.name in CURVES:
        return _ECDSA
    return {"sm2": _SM2, "ed25519": _ED25519}.get(key.kind.name, _RSA)


def _flat(key: Key, signature: bytes) -> bytes:
    """Return r and s side by side for the types whose signature is a pair."""
    size = _SIZES.get(key.kind.name)
    if size is None:
        return signature
    r, s = utils.decode_dss_signature(signature)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def _decode(key: Key, encoded: str, how: How) -> bytes:
    if how.marshaling == "asn1":
        try:
            return decode_base64(encoded)
        except RequestError:
            raise RequestError("invalid base64 signature value") from None
    flat = _decode_url(encoded)
    size = _SIZES.get(key.kind.name)
    if size is None:
        return flat
    if len(flat) != 2 * size:
        raise RequestError("supplied signature is invalid")
    return utils.encode_dss_signature(int.from_bytes(flat[:size], "big"), int.from_bytes(flat[size:], "big"))


def _decode_url(encoded: str) -> bytes:
    try:
        found = base64.b64decode(encoded.encode() + b"=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        found = None
    if found is None or base64.urlsafe_b64encode(found).rstrip(b"=").decode("ascii") != encoded:
        raise RequestError("invalid base64 signature value")
    return found


def _hash(how: How) -> hashes.HashAlgorithm:
    return digests.named(how.hash_name, f'invalid hash algorithm "{how.hash_name}"')


def _wrong_digest() -> NoReturn:
    raise RequestError("prehashed input must be as long as the hash algorithm's digest")


def _digest_or_hash(how: How, message: bytes) -> hashes.HashAlgorithm | utils.Prehashed:
    algorithm = _hash(how)
    if not how.prehashed:
        return algorithm
    if len(message) != algorithm.digest_size:
        _wrong_digest()
    return utils.Prehashed(algorithm)


def _sign_ecdsa(key: Key, version: Version, message: bytes, how: How) -> bytes:
    found = keys.load_curve(version.secret, CURVES[key.kind.name])
    return found.sign(message, ec.ECDSA(_digest_or_hash(how, message)))


def _verify_ecdsa(key: Key, version: Version, signature: bytes, message: bytes, how: How) -> None:
    found = serialization.load_pem_public_key(version.public.encode())
    if not isinstance(found, ec.EllipticCurvePublicKey):
        raise RequestError(f"expected the public half of {key.kind.name}, got another")
    try:
        utils.decode_dss_signature(signature)
    except ValueError:
        raise RequestError("supplied signature is invalid") from None
    found.verify(signature, message, ec.ECDSA(_digest_or_hash(how, message)))


def _sign_rsa(key: Key, version: Version, message: bytes, how: How) -> bytes:
    found = keys.load_rsa(version.secret, int(key.kind.name.removeprefix("rsa-")))
    try:
        return found.sign(message, _padding(how, signs=True), _digest_or_hash(how, message))
    except (ValueError, UnsupportedAlgorithm):
        _unfit(how)


def _verify_rsa(key: Key, version: Version, signature: bytes, message: bytes, how: How) -> None:
    found = serialization.load_pem_public_key(version.public.encode())
    if not isinstance(found, rsa.RSAPublicKey):
        raise RequestError(f"expected the public half of {key.kind.name}, got another")
    try:
        found.verify(signature, message, _padding(how, signs=False), _digest_or_hash(how, message))
    except (ValueError, UnsupportedAlgorithm):
        _unfit(how)


def _unfit(how: How) -> NoReturn:
    if how.padding == "pss" and how.salt not in ("auto", "hash"):
        raise RequestError(f"requested salt length {how.salt} is invalid") from None
    raise RequestError(f"hash algorithm {how.hash_name} does not fit this RSA signature") from None


def _padding(how: How, *, signs: bool) -> padding.AsymmetricPadding:
    if how.padding == "pkcs1v15":
        return padding.PKCS1v15()
    algorithm = _hash(how)
    if how.salt == "hash":
        length: int | object = algorithm.digest_size
    elif how.salt == "auto":
        length = padding.PSS.MAX_LENGTH if signs else padding.PSS.AUTO
    else:
        length = int(how.salt)
    return padding.PSS(mgf=padding.MGF1(algorithm), salt_length=length)  # type: ignore[arg-type]


def _ed25519_key(key: Key, version: Version, how: How) -> ed25519.PrivateKey:
    return ed25519.PrivateKey(aead.working_secret(key, version.secret, how.context))


def _sign_ed25519(key: Key, version: Version, message: bytes, how: How) -> bytes:
    return _ed25519_key(key, version, how).sign(message)


def _verify_ed25519(key: Key, version: Version, signature: bytes, message: bytes, how: How) -> None:
    public = _ed25519_key(key, version, how).public if key.derived else None
    (public or ed25519.PublicKey(raw=decode_base64(version.public))).verify(signature, message)


def _expect_sm3(how: How, message: bytes) -> None:
    if how.hash_name != "sm3":
        raise RequestError(f"hash algorithm {how.hash_name} does not fit SM2, which signs with sm3 alone")
    if how.prehashed and len(message) != hashes.SM3.digest_size:
        _wrong_digest()


def _sign_sm2(_: Key, version: Version, message: bytes, how: How) -> bytes:
    _expect_sm3(how, message)
    found = keys.restore_sm2(version.secret, version.public)
    return found.sign_digest(message) if how.prehashed else found.sign(message)


def _verify_sm2(_: Key, version: Version, signature: bytes, message: bytes, how: How) -> None:
    _expect_sm3(how, message)
    found = sm2.PublicKey.from_pem(version.public)
    if how.prehashed:
        found.verify_digest(signature, message)
    else:
        found.verify(signature, message, ident=scheme.DEFAULT_ID)


_ECDSA = _Algorithm(sign=_sign_ecdsa, verify=_verify_ecdsa)
_RSA = _Algorithm(sign=_sign_rsa, verify=_verify_rsa)
_ED25519 = _Algorithm(sign=_sign_ed25519, verify=_verify_ed25519)
_SM2 = _Algorithm(sign=_sign_sm2, verify=_verify_sm2)
