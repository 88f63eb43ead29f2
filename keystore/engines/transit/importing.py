"""Handlers that take keys of others, wrapped for this mount: RSA-OAEP around AES-KWP around the key.

Source: RFC 8017, clause 7.1 (RSA-OAEP), RFC 5649 (AES key wrap with padding); the Vault HTTP API documentation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from keystore import ed25519, encoding, sm2
from keystore.engines.request import Answer, RequestError
from keystore.engines.routes import Call
from keystore.engines.transit import archive, keys, kinds, lifecycle
from keystore.engines.transit.kinds import Kind
from keystore.errors import KeystoreError

_RECORD = "wrapping-key"
_BITS = 4096
_HASHES: Mapping[str, Callable[[], hashes.HashAlgorithm]] = {
    "SHA1": hashes.SHA1,
    "SHA224": hashes.SHA224,
    "SHA256": hashes.SHA256,
    "SHA384": hashes.SHA384,
    "SHA512": hashes.SHA512,
}


def wrapping_key(call: Call) -> Answer:
    """Tell the public key that wraps keys for this mount; it is made on first use."""
    return Answer(data={"public_key": keys.public_pem(_wrapping_key(call))})


def take(call: Call) -> Answer:
    """Take a key of another's making as version 1 of a new key."""
    if archive.find(call.records, call.parts["name"]) is not None:
        raise RequestError("the import path cannot be used with an existing key; use import-version to rotate")
    kind = kinds.named(call.body.text("type", "aes256-gcm96"))
    wanted = lifecycle.settings(call, kind)
    may_rotate = call.body.flag("allow_rotation")
    if wanted.auto_rotate_s and not may_rotate:
        raise RequestError("allow_rotation must be set to true if auto-rotation is enabled")
    secret = _unwrap(call, kind)
    made = dataclasses.replace(
        wanted,
        versions={1: archive.wrap_version(kind, secret, call.now)},
        imported=True,
        may_rotate=may_rotate,
        size=len(secret) if kind.name == "hmac" else 0,
    )
    archive.save(call.records, made)
    return Answer()


def take_version(call: Call) -> Answer:
    """Take a key of another's making as the next version of an imported key."""
    key = archive.find(call.records, call.parts["name"])
    if key is None:
        raise RequestError(
            f"no key found with name {call.parts['name']}; to import a new key, use the import/ endpoint"
        )
    if not key.imported:
        raise RequestError("the import_version endpoint can only be used with an imported key")
    version = archive.wrap_version(key.kind, _unwrap(call, key.kind), call.now)
    archive.save(call.records, key.rotated(version))
    return Answer()


def _wrapping_key(call: Call) -> rsa.RSAPrivateKey:
    kept = call.records.get(_RECORD)
    if kept is not None:
        return keys.load_rsa(kept, _BITS)
    made = call.request.beside("wrapping key", lambda: rsa.generate_private_key(public_exponent=65537, key_size=_BITS))
    call.records.put(_RECORD, keys.private_der(made))
    return made


def _unwrap(call: Call, kind: Kind) -> bytes:
    name = call.body.text("hash_function", "SHA256").upper().replace("-", "")
    if name not in _HASHES:
        raise RequestError(f"unsupported hash function: {name}")
    wrapped = call.body.octets("ciphertext")
    if len(wrapped) <= _BITS // 8:
        raise RequestError("provided ciphertext is too short")
    hashed = _HASHES[name]()
    oaep = padding.OAEP(mgf=padding.MGF1(hashed), algorithm=hashed, label=None)
    try:
        wrapping = _wrapping_key(call).decrypt(wrapped[: _BITS // 8], oaep)
        plain = keywrap.aes_key_unwrap_with_padding(wrapping, wrapped[_BITS // 8 :])
    except (ValueError, keywrap.InvalidUnwrap):
        raise RequestError("failed to unwrap the provided ciphertext") from None
    return _secret(kind, plain)


def _secret(kind: Kind, plain: bytes) -> bytes:
    """Return the form that an archive keeps: asymmetric keys come in PKCS#8."""
    try:
        if kind.name == "sm2":
            return sm2.PrivateKey.from_pem(encoding.encode_pem(encoding.PRIVATE_LABEL, plain)).octets()
        if kind.name == "ed25519":
            return ed25519.PrivateKey.from_pem(encoding.encode_pem(encoding.PRIVATE_LABEL, plain)).octets()
    except KeystoreError as error:
        raise RequestError(f"error importing key: {error}") from None
    return plain
