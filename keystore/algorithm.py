"""The kinds of signing keys that a keystore holds: how each is made, taken over, sealed and put to work."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from keystore import ed25519, encoding, p256, sm2
from keystore.errors import KeystoreError, SignatureError
from keystore.hedged import FileSigner
from keystore.signer import Signer

_SCALAR_BYTES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Algorithm:
    """One kind of key; its secret is the `secret_bytes` that a record seals."""

    name: str
    scheme: str
    kind: str
    identifier: bytes
    secret_bytes: int
    generate: Callable[[], bytes]
    take: Callable[[str | bytes], bytes]
    signer: Callable[[bytes], Signer]


def _hedged(key: sm2.PrivateKey) -> bytes:
    return key.octets() + secrets.token_bytes(sm2.HEDGE_BYTES)


def _sm2_signer(secret: bytes) -> Signer:
    key = sm2.PrivateKey(int.from_bytes(secret[:_SCALAR_BYTES], "big"))
    return FileSigner(key, secret[_SCALAR_BYTES:])


SM2 = Algorithm(
    name="sm2",
    scheme=sm2.SCHEME,
    kind="sm2-signing-key",
    identifier=encoding.SM2.algorithm(),
    secret_bytes=_SCALAR_BYTES + sm2.HEDGE_BYTES,
    generate=lambda: _hedged(sm2.PrivateKey.generate()),
    take=lambda pem: _hedged(sm2.PrivateKey.from_pem(pem)),
    signer=_sm2_signer,
)
ED25519 = Algorithm(
    name="ed25519",
    scheme=ed25519.SCHEME,
    kind="ed25519-signing-key",
    identifier=encoding.ED25519_ALGORITHM,
    secret_bytes=_SCALAR_BYTES,
    generate=lambda: ed25519.PrivateKey.generate().octets(),
    take=lambda pem: ed25519.PrivateKey.from_pem(pem).octets(),
    signer=ed25519.PrivateKey,
)
P256 = Algorithm(
    name="ecdsa-p256",
    scheme=p256.SCHEME,
    kind="ecdsa-p256-signing-key",
    identifier=encoding.P256.algorithm(),
    secret_bytes=_SCALAR_BYTES,
    generate=lambda: p256.PrivateKey.generate().octets(),
    take=lambda pem: p256.PrivateKey.from_pem(pem).octets(),
    signer=lambda secret: p256.PrivateKey(int.from_bytes(secret, "big")),
)
ALGORITHMS: Mapping[str, Algorithm] = {found.name: found for found in (SM2, ED25519, P256)}
BY_SCHEME: Mapping[str, Algorithm] = {found.scheme: found for found in ALGORITHMS.values()}


def named(name: str) -> Algorithm:
    """Return the algorithm of this name.

    Raises: KeystoreError.
    """
    if name not in ALGORITHMS:
        raise KeystoreError(f"expected the algorithm {', '.join(map(repr, ALGORITHMS))}, got {name!r}")
    return ALGORITHMS[name]


def of_private_pem(pem: str | bytes) -> Algorithm:
    """Return the algorithm of an unencrypted PKCS#8 key.

    Raises: SignatureError for a key of no kind that a keystore holds.
    """
    identifier = encoding.private_algorithm(encoding.decode_pem(pem, encoding.PRIVATE_LABEL))
    for found in ALGORITHMS.values():
        if found.identifier == identifier:
            return found
    raise SignatureError(
        "expected an SM2, Ed25519 or ECDSA P-256 key, got another algorithm, curve or explicit parameters",
        place="private key",
    )
