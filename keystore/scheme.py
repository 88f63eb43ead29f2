"""The SM2 signature scheme on integers and octets: no keys, no files, no self-test.

Source: GB/T 32918.2-2016 (scheme), GM/T 0009-2012 (signature encoding, default id), RFC 6979 (nonces).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from keystore import curve, der, sm3
from keystore.errors import KeystoreError, SignatureError

DEFAULT_ID = b"1234567812345678"
_PLACE = "signature"


def octets(number: int) -> bytes:
    """Return a field element or scalar as 32 bytes, big-endian."""
    return number.to_bytes(curve.SIZE, "big")


def hasher(public: curve.Point, ident: bytes) -> sm3.Sm3:
    """Return an SM3 state that holds ZA; feed the message, and its digest is e.

    Source: GB/T 32918.2-2016, clause 5.5.
    """
    if len(ident) > 8191:
        raise KeystoreError(f"expected an id of at most 8191 bytes, got {len(ident)}")
    curve_and_base = b"".join(map(octets, (curve.A, curve.B, *curve.G)))
    head = (len(ident) * 8).to_bytes(2, "big") + ident
    return sm3.new(sm3.sm3(head + curve_and_base + b"".join(map(octets, public))))


def nonces(scalar: int, e: int, hedge: bytes) -> Iterator[int]:
    """Yield nonce candidates in 1..n-1 from the private scalar, e, and `hedge` as additional data.

    Source: RFC 6979, clauses 3.2 and 3.6, with HMAC-SM3.
    """
    seed = octets(scalar) + octets(e % curve.N) + hedge
    key, value = bytes(32), b"\x01" * 32
    for mark in (b"\x00", b"\x01"):
        key = sm3.hmac_sm3(key, value + mark + seed)
        value = sm3.hmac_sm3(key, value)
    while True:
        value = sm3.hmac_sm3(key, value)
        candidate = int.from_bytes(value, "big")
        if 0 < candidate < curve.N:
            yield candidate
        key = sm3.hmac_sm3(key, value + b"\x00")
        value = sm3.hmac_sm3(key, value)


def sign(scalar: int, e: int, candidates: Iterable[int]) -> tuple[int, int]:
    """Return r and s with the first fitting nonce.

    Source: GB/T 32918.2-2016, clause 6.1.
    """
    inverse = pow(1 + scalar, -1, curve.N)
    for k in candidates:
        r = (e + curve.multiply(k)[0]) % curve.N
        s = inverse * (k - r * scalar) % curve.N
        if r and s and r + k != curve.N:
            return r, s
    raise KeystoreError("expected a fitting nonce, got none")


def verify(public: curve.Point, e: int, r: int, s: int) -> None:
    """Check r and s against the digest e and a public point that is on the curve.

    Raises: SignatureError. Source: GB/T 32918.2-2016, clause 7.1.
    """
    check_range(r, s, curve.N)
    t = (r + s) % curve.N
    if t == 0:
        raise SignatureError("expected r + s other than a multiple of n, got one", place=_PLACE)
    total = curve.combine(s, t, public)
    if total is None or (e + total[0]) % curve.N != r:
        raise mismatch()


def check_range(r: int, s: int, order: int) -> None:
    """Refuse numbers of a signature that are outside 1..order-1."""
    for name, number in (("r", r), ("s", s)):
        if not 1 <= number < order:
            raise SignatureError(f"expected {name} in 1..n-1, got a number outside", place=_PLACE)


def mismatch() -> SignatureError:
    """Return the error of a well-formed signature that is not one of this message by this key, in any scheme."""
    return SignatureError(
        "expected a signature of this message by this key, got one that does not match",
        place=_PLACE,
        hint="the message was altered, or another key signed it: compare the key's fingerprint on paper",
    )


def encode_signature(r: int, s: int) -> bytes:
    """Return SEQUENCE { r INTEGER, s INTEGER } in DER."""
    return der.encode(der.SEQUENCE, der.encode_integer(r), der.encode_integer(s))


def decode_signature(signature: bytes) -> tuple[int, int]:
    """Return r and s of a DER signature; their range is checked by `verify`.

    Raises: SignatureError for any other encoding than the one of `encode_signature`.
    """
    outer = der.Reader(signature, _PLACE)
    pair = outer.take_reader(der.SEQUENCE)
    outer.end()
    r, s = pair.take_integer(), pair.take_integer()
    pair.end()
    return r, s
