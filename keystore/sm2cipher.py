"""Encrypt with SM2: to a public key, opened by its private scalar, in the DER form that other programs read.

Source: GB/T 32918.4-2016 (scheme, order C1 C3 C2), GM/T 0009-2012 (SM2Cipher in DER).
"""

from __future__ import annotations

import hmac
import secrets

from keystore import curve, der, selftest, sm3
from keystore.curve import Point
from keystore.errors import KeystoreError, SignatureError
from keystore.scheme import octets
from keystore.sm2 import PublicKey

LIMIT = 1 << 20
_PLACE = "ciphertext"


def encrypt(key: PublicKey, plaintext: bytes, *, nonce: int | None = None) -> bytes:
    """Return the ciphertext of 1 byte to 1 MiB; `nonce` is a fresh random number unless a known answer needs one.

    Raises: KeystoreError.
    """
    if not 1 <= len(plaintext) <= LIMIT:
        raise KeystoreError(f"expected 1 to {LIMIT} bytes to encrypt with SM2, got {len(plaintext)}", place="plaintext")
    selftest.ensure()
    while True:
        k = secrets.randbelow(curve.N - 1) + 1 if nonce is None else nonce
        shared = curve.multiply(k, key.point)
        stream = _stream(shared, len(plaintext))
        if any(stream):
            break
    return _encode(curve.multiply(k), _check(shared, plaintext), _mix(stream, plaintext))


def decrypt(scalar: int, ciphertext: bytes) -> bytes:
    """Return the plaintext; nothing is released before its check holds.

    Raises: SignatureError when the form is another, or the ciphertext is not for this key, or was altered.
    """
    selftest.ensure()
    point, check, body = _decode(ciphertext)
    shared = curve.multiply(scalar, point)
    plaintext = _mix(_stream(shared, len(body)), body)
    if not hmac.compare_digest(_check(shared, plaintext), check):
        raise SignatureError("expected a ciphertext for this key, got another, or it was altered", place=_PLACE)
    return plaintext


def _stream(shared: Point, size: int) -> bytes:
    """Return the bytes of the key derivation of clause 5.4.3."""
    state = sm3.new(octets(shared[0]) + octets(shared[1]))
    blocks = []
    for counter in range(1, -(-size // sm3.DIGEST_BYTES) + 1):
        block = state.copy()
        block.update(counter.to_bytes(4, "big"))
        blocks.append(block.digest())
    return b"".join(blocks)[:size]


def _mix(stream: bytes, data: bytes) -> bytes:
    mixed = int.from_bytes(stream, "big") ^ int.from_bytes(data, "big")
    return mixed.to_bytes(len(data), "big")


def _check(shared: Point, plaintext: bytes) -> bytes:
    return sm3.sm3(octets(shared[0]) + plaintext + octets(shared[1]))


def _encode(point: Point, check: bytes, body: bytes) -> bytes:
    return der.encode(
        der.SEQUENCE,
        der.encode_integer(point[0]),
        der.encode_integer(point[1]),
        der.encode(der.OCTET_STRING, check),
        der.encode(der.OCTET_STRING, body),
    )


def _decode(ciphertext: bytes) -> tuple[Point, bytes, bytes]:
    outer = der.Reader(ciphertext, _PLACE)
    fields = outer.take_reader(der.SEQUENCE)
    outer.end()
    point = fields.take_integer(), fields.take_integer()
    check, body = fields.take(der.OCTET_STRING), fields.take(der.OCTET_STRING)
    fields.end()
    if not curve.is_on_curve(point):
        raise SignatureError("expected a point on the SM2 curve, got one that is not", place=_PLACE)
    if len(check) != sm3.DIGEST_BYTES or not 1 <= len(body) <= LIMIT:
        raise SignatureError(f"expected a check of 32 bytes and 1 to {LIMIT} bytes, got other sizes", place=_PLACE)
    return point, check, body
