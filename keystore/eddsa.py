"""The Ed25519 signature scheme on octets, by the cryptography library: no keys, no files, no self-test.

Source: RFC 8032, clause 5.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature

from keystore import scheme
from keystore.errors import SignatureError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIZE = 32
SIGNATURE_BYTES = 64
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
# The y of the eight points whose order divides 8, each point but two with both signs of x: under such a key one
# signature fits many messages.
_SMALL_ORDER = frozenset(
    {
        0,
        1,
        P - 1,
        int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
        int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
    }
)


def is_sound(public: bytes) -> bool:
    """Tell whether 32 bytes are the one encoding of a point of the curve whose order is not small."""
    y = int.from_bytes(public, "little") & (2**255 - 1)
    if y >= P or y in _SMALL_ORDER:
        return False
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    return pow(square, (P - 1) // 2, P) == 1


def public_of(seed: bytes) -> bytes:
    """Return the public key of a private seed."""
    return _private(seed).public_key().public_bytes_raw()


def sign(seed: bytes, message: bytes) -> bytes:
    """Return the 64 bytes of the signature; the same seed and message give the same bytes."""
    return _private(seed).sign(message)


def _private(seed: bytes) -> Ed25519PrivateKey:
    # Loaded with the first key: whoever only parses keys, or serves, need not wait for it.
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed)


def verify(public: bytes, signature: bytes, message: bytes) -> None:
    """Check a signature: 64 bytes, S under the order of the group.

    Raises: SignatureError.
    """
    if len(signature) != SIGNATURE_BYTES:
        raise SignatureError(
            f"expected a signature of {SIGNATURE_BYTES} bytes, got {len(signature)}", place="signature"
        )
    if int.from_bytes(signature[SIZE:], "little") >= L:
        raise SignatureError("expected S in 0..L-1, got a number outside", place="signature")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except InvalidSignature:
        raise scheme.mismatch() from None
