"""Known-answer tests of each scheme that run once per process, before its first signature is made or checked."""

from __future__ import annotations

import functools
from collections.abc import Callable

from keystore import ecdsa, eddsa, scheme, sm3
from keystore.curve import Point
from keystore.errors import KeystoreError, SignatureError

# GB/T 32905-2016, annex A.1.
SM3_INPUT = b"abc"
SM3_DIGEST = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"

# GM/T 0003.5-2012, annex A: the example signature over the recommended curve.
SIGN_SCALAR = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
SIGN_POINT: Point = (
    0x09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020,
    0xCCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13,
)
SIGN_MESSAGE = b"message digest"
SIGN_NONCE = 0x59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21
SIGN_E = 0xF0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640
SIGN_R = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
SIGN_S = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA

# Our own: the first nonce for SIGN_SCALAR, SIGN_E and this additional data.
NONCE_HEDGE = bytes(range(32))
NONCE_EXPECTED = 0xEAEFE2AFB7B7794A1C8DC65C7263C5D0040ABBD6F736AA6840619B08387D8927

# Our own: made from the public key alone, s has 511 bits; gmssl 3.2.2 accepts it, OpenSSL does not.
FORGED_POINT: Point = (
    0xF32130A5A6E038372B3295F92B0ED5D12FB29AC66EC69026EDDB6DB9A66179BC,
    0x016FFA21FDF9589645EC7E02AC623EF0C5482E228058B5585E283053C66D238F,
)
FORGED_MESSAGE = b"any message 19"
FORGED_SIGNATURE = bytes.fromhex(
    "3064022063548c0eb7ff9a9f24cbec80a4427197d87899e67af78e39db8fd9b1"
    "2299104002407a70706afa29a02fb05447a343b3e115a2229604393f773deb8d"
    "e15d721cb130166b72f0708d622e2d9080954b95277a17c78823c611e6277628"
    "2f615ce7f0cf"
)

# RFC 8032, clause 7.1, TEST 2.
ED25519_SEED = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
ED25519_PUBLIC = bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
ED25519_MESSAGE = b"\x72"
ED25519_SIGNATURE = bytes.fromhex(
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)

# RFC 6979, annex A.2.5, SHA-256, message "sample".
P256_SCALAR = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
P256_POINT: Point = (
    0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6,
    0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299,
)
P256_MESSAGE = b"sample"
P256_SIGNATURE = scheme.encode_signature(
    0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
    0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
)


def digest(point: Point, message: bytes) -> int:
    """Return e of a message under the default id."""
    state = scheme.hasher(point, scheme.DEFAULT_ID)
    state.update(message)
    return int.from_bytes(state.digest(), "big")


def _expect(name: str, passed: bool) -> None:
    if not passed:
        raise KeystoreError(
            f"expected the known answer of the self-test '{name}', got another",
            hint="sign nothing here: gmssl or cryptography is damaged, reinstall both",
        )


def _refuses(point: Point, e: int, signature: bytes) -> bool:
    return _fails(lambda: scheme.verify(point, e, *scheme.decode_signature(signature)))


def _fails(check: Callable[[], None]) -> bool:
    try:
        check()
    except SignatureError:
        return True
    return False


def run() -> None:
    """Run every known-answer test of SM2 and SM3.

    Raises: KeystoreError when one fails.
    """
    good = scheme.encode_signature(SIGN_R, SIGN_S)
    _expect("sm3", sm3.sm3(SM3_INPUT).hex() == SM3_DIGEST)
    _expect("sm2 digest", digest(SIGN_POINT, SIGN_MESSAGE) == SIGN_E)
    _expect("sm2 sign", scheme.sign(SIGN_SCALAR, SIGN_E, [SIGN_NONCE]) == (SIGN_R, SIGN_S))
    _expect("sm2 verify", not _refuses(SIGN_POINT, SIGN_E, good))
    _expect("sm2 other message", _refuses(SIGN_POINT, SIGN_E ^ 1, good))
    _expect("sm2 forgery", _refuses(FORGED_POINT, digest(FORGED_POINT, FORGED_MESSAGE), FORGED_SIGNATURE))
    _expect("sm2 nonce", next(scheme.nonces(SIGN_SCALAR, SIGN_E, NONCE_HEDGE)) == NONCE_EXPECTED)


def run_ed25519() -> None:
    """Run the known-answer tests of Ed25519.

    Raises: KeystoreError when one fails.
    """
    good, other = ED25519_SIGNATURE, ED25519_MESSAGE + b"\x00"
    _expect("ed25519 public key", eddsa.public_of(ED25519_SEED) == ED25519_PUBLIC)
    _expect("ed25519 sign", eddsa.sign(ED25519_SEED, ED25519_MESSAGE) == good)
    _expect("ed25519 verify", not _fails(lambda: eddsa.verify(ED25519_PUBLIC, good, ED25519_MESSAGE)))
    _expect("ed25519 other message", _fails(lambda: eddsa.verify(ED25519_PUBLIC, good, other)))


def run_p256() -> None:
    """Run the known-answer tests of ECDSA P-256 that verifying needs; each signature made is verified besides.

    Raises: KeystoreError when one fails.
    """
    good, other = P256_SIGNATURE, P256_MESSAGE + b"\x00"
    _expect("ecdsa-p256 public key", ecdsa.point_of(P256_SCALAR) == P256_POINT)
    _expect("ecdsa-p256 verify", not _fails(lambda: ecdsa.verify(P256_POINT, good, P256_MESSAGE)))
    _expect("ecdsa-p256 other message", _fails(lambda: ecdsa.verify(P256_POINT, good, other)))


def run_p256_signing() -> None:
    """Run the known-answer test of signing with ECDSA P-256.

    Raises: KeystoreError when it fails, or where the cryptography library has no nonces by RFC 6979.
    """
    _expect("ecdsa-p256 sign", ecdsa.sign(P256_SCALAR, P256_MESSAGE) == P256_SIGNATURE)


@functools.cache
def ensure() -> None:
    """Run the tests of SM2 once per process; a failure is raised again at every call."""
    run()


@functools.cache
def ensure_ed25519() -> None:
    """Run the tests of Ed25519 once per process; a failure is raised again at every call."""
    run_ed25519()


@functools.cache
def ensure_p256() -> None:
    """Run the verifier's tests of ECDSA P-256 once per process; a failure is raised again at every call."""
    run_p256()


@functools.cache
def ensure_p256_signing() -> None:
    """Run the signer's tests of ECDSA P-256 once per process; a failure is raised again at every call."""
    ensure_p256()
    run_p256_signing()
