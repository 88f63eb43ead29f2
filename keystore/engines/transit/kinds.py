"""The types of transit keys: what each can do, how its secret is made, and what of it is public."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from keystore import ed25519, sm2
from keystore.engines.body import encode_base64
from keystore.engines.request import RequestError
from keystore.engines.transit import keys

HMAC_SIZES = (32, 512)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One type of key; `label` names its versions where they have a public half, told by `public`.

    A `slow` one takes seconds to make.
    """

    name: str
    size: int = 0
    encrypts: bool = False
    signs: bool = False
    derives: bool = False
    authenticates_more: bool = False
    slow: bool = False
    generate: Callable[[int], bytes]
    public: Callable[[bytes], str] | None = None
    label: str = ""
    check: Callable[[bytes], None]


def _octets(size: int) -> bytes:
    return secrets.token_bytes(size)


def _expect_size(size: int) -> Callable[[bytes], None]:
    def check(secret: bytes) -> None:
        if len(secret) != size:
            raise RequestError(f"invalid key size {len(secret)} bytes for key type: expected {size}")

    return check


def _symmetric(name: str, size: int) -> Kind:
    return Kind(
        name=name,
        size=size,
        encrypts=True,
        derives=True,
        authenticates_more=True,
        generate=lambda _: _octets(size),
        check=_expect_size(size),
    )


def _curve(name: str, curve: type[ec.EllipticCurve], label: str) -> Kind:
    return Kind(
        name=name,
        signs=True,
        generate=lambda _: keys.private_der(ec.generate_private_key(curve())),
        public=lambda secret: keys.public_pem(keys.load_curve(secret, curve)),
        label=label,
        check=lambda secret: _ignore(keys.load_curve(secret, curve)),
    )


def _rsa(bits: int) -> Kind:
    name = f"rsa-{bits}"
    return Kind(
        name=name,
        encrypts=True,
        signs=True,
        generate=lambda _: keys.private_der(rsa.generate_private_key(public_exponent=65537, key_size=bits)),
        public=lambda secret: keys.public_pem(keys.load_rsa(secret, bits)),
        label=name,
        slow=True,
        check=lambda secret: _ignore(keys.load_rsa(secret, bits, checked=True)),
    )


def _ignore(_: object) -> None:
    return None


def _check_hmac(secret: bytes) -> None:
    if not HMAC_SIZES[0] <= len(secret) <= HMAC_SIZES[1]:
        raise RequestError("invalid key size for HMAC key, must be between 32 and 512 bytes")


def ed25519_public(seed: bytes) -> str:
    """Return the public half of an Ed25519 seed as the API tells it: base64 of 32 bytes."""
    return encode_base64(ed25519.PrivateKey(seed).public.raw)


KINDS: Mapping[str, Kind] = {
    found.name: found
    for found in (
        _symmetric("sm4-gcm", 16),
        _symmetric("aes128-gcm96", 16),
        _symmetric("aes256-gcm96", 32),
        _symmetric("chacha20-poly1305", 32),
        Kind(
            name="sm2",
            size=32,
            encrypts=True,
            signs=True,
            generate=lambda _: sm2.PrivateKey.generate().octets(),
            public=lambda secret: keys.load_sm2(secret).public.pem(),
            label="sm2",
            check=lambda secret: _ignore(keys.load_sm2(secret)),
        ),
        Kind(
            name="ed25519",
            size=32,
            signs=True,
            derives=True,
            generate=lambda _: ed25519.PrivateKey.generate().octets(),
            public=ed25519_public,
            label="ed25519",
            check=_expect_size(32),
        ),
        _curve("ecdsa-p256", ec.SECP256R1, "P-256"),
        _curve("ecdsa-p384", ec.SECP384R1, "P-384"),
        _curve("ecdsa-p521", ec.SECP521R1, "P-521"),
        _rsa(2048),
        _rsa(3072),
        _rsa(4096),
        Kind(name="hmac", generate=_octets, check=_check_hmac),
    )
}


def named(name: str) -> Kind:
    """Return the type of this name.

    Raises: RequestError.
    """
    if name not in KINDS:
        raise RequestError(f"unknown key type {name}")
    return KINDS[name]
