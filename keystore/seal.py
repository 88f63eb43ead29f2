"""Seal a small secret under a passphrase, bound to what it is.

Profile `gm`: PBKDF2-HMAC-SM3 and SM4-GCM. Profile `standard`: Argon2id and AES-256-GCM.
"""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from keystore import document, sm4
from keystore.errors import KeystoreError, PassphraseError

PASSPHRASE_CHARACTERS = 12
SALT_BYTES = 16
NONCE_BYTES = 12
TAG_BYTES = 16

Cipher = Callable[[bytes, bytes, bytes, bytes], bytes]
"""Key, nonce, text, associated data: the other text."""


def _pbkdf2(passphrase: bytes, salt: bytes, costs: Mapping[str, int]) -> bytes:
    kdf = PBKDF2HMAC(algorithm=hashes.SM3(), length=sm4.KEY_BYTES, salt=salt, iterations=costs["rounds"])
    return kdf.derive(passphrase)


def _argon2id(passphrase: bytes, salt: bytes, costs: Mapping[str, int]) -> bytes:
    kdf = Argon2id(
        salt=salt,
        length=32,
        iterations=costs["passes"],
        lanes=costs["lanes"],
        memory_cost=costs["memory_kib"],
    )
    return kdf.derive(passphrase)


def _aes_encrypt(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    return AESGCM(key).encrypt(nonce, plaintext, associated)


def _aes_decrypt(key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    return AESGCM(key).decrypt(nonce, ciphertext, associated)


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """A key derivation and a cipher; a cost is written at its lowest value and read between both."""

    kdf: str
    cipher: str
    costs: Mapping[str, tuple[int, int]]
    derive: Callable[[bytes, bytes, Mapping[str, int]], bytes]
    encrypt: Cipher
    decrypt: Cipher


PROFILES: Mapping[str, Profile] = {
    "gm": Profile(
        kdf="pbkdf2-hmac-sm3",
        cipher="sm4-gcm",
        costs={"rounds": (600_000, 20_000_000)},
        derive=_pbkdf2,
        encrypt=sm4.gcm_encrypt,
        decrypt=sm4.gcm_decrypt,
    ),
    # The costs are the second choice of RFC 9106, clause 4; upper ends keep a bad file from eating the host.
    "standard": Profile(
        kdf="argon2id",
        cipher="aes-256-gcm",
        costs={"lanes": (4, 16), "memory_kib": (65_536, 4_194_304), "passes": (3, 64)},
        derive=_argon2id,
        encrypt=_aes_encrypt,
        decrypt=_aes_decrypt,
    ),
}


def profile_of(name: str, place: str) -> Profile:
    """Return the profile of this name."""
    if name not in PROFILES:
        known = " or ".join(f"'{known}'" for known in PROFILES)
        raise KeystoreError(f"expected the profile {known}, got {name!r}", place=place)
    return PROFILES[name]


def check_passphrase(passphrase: str) -> None:
    """Refuse a passphrase that is too short to seal anything new.

    Raises: PassphraseError.
    """
    if len(passphrase) < PASSPHRASE_CHARACTERS:
        raise PassphraseError(
            f"expected a passphrase of at least {PASSPHRASE_CHARACTERS} characters, got {len(passphrase)}",
            hint="take a sentence, or several random words",
        )
    _octets(passphrase)


def seal(secret: bytes, passphrase: str, *, profile: str, associated: bytes) -> dict[str, object]:
    """Return the sealed form of a secret, a JSON object; `associated` must be given again to unseal it."""
    chosen = profile_of(profile, "profile")
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    costs = {name: lowest for name, (lowest, _) in chosen.costs.items()}
    key = chosen.derive(_octets(passphrase), salt, costs)
    return {
        "kdf": chosen.kdf,
        **costs,
        "salt": document.encode_base64(salt),
        "cipher": chosen.cipher,
        "nonce": document.encode_base64(nonce),
        "ciphertext": document.encode_base64(chosen.encrypt(key, nonce, secret, associated)),
    }


def unseal(sealed: object, passphrase: str, *, profile: str, associated: bytes, place: str) -> bytes:
    """Return the secret of a sealed form; algorithms and costs are checked before any work is done.

    Raises: PassphraseError for another passphrase or altered bytes, which cannot be told apart; KeystoreError
    for a form that is not the profile's.
    """
    chosen = profile_of(profile, place)
    form = _check(sealed, chosen, place)
    salt, nonce, ciphertext = (
        document.decode_base64(form[name], f"{place}.{name}") for name in ("salt", "nonce", "ciphertext")
    )
    for name, found, size in (("salt", salt, SALT_BYTES), ("nonce", nonce, NONCE_BYTES)):
        document.expect(len(found), size, f"{place}.{name}: length")
    if len(ciphertext) < TAG_BYTES:
        raise KeystoreError(f"expected at least {TAG_BYTES} bytes, got {len(ciphertext)}", place=f"{place}.ciphertext")
    key = chosen.derive(_octets(passphrase), salt, {name: form[name] for name in chosen.costs})
    try:
        return chosen.decrypt(key, nonce, ciphertext, associated)
    except InvalidTag:
        raise PassphraseError(
            "expected the passphrase that sealed this, got another, or the file was altered",
            place=place,
            hint="try the passphrase again; if it is right, restore the file from a backup",
        ) from None


def _check(sealed: object, chosen: Profile, place: str) -> dict[str, Any]:
    texts = dict.fromkeys(("kdf", "salt", "cipher", "nonce", "ciphertext"), str)
    form = document.fields(sealed, place, {**texts, **dict.fromkeys(chosen.costs, int)})
    document.expect(form["kdf"], chosen.kdf, f"{place}.kdf")
    document.expect(form["cipher"], chosen.cipher, f"{place}.cipher")
    for name, (lowest, highest) in chosen.costs.items():
        if not lowest <= form[name] <= highest:
            raise KeystoreError(
                f"expected {lowest} to {highest}, got {form[name]}",
                place=f"{place}.{name}",
                hint="the file was weakened or damaged: restore it from a backup",
            )
    return form


def _octets(passphrase: str) -> bytes:
    """Return the passphrase in UTF-8 and NFC, so that two input methods give the same bytes."""
    try:
        return unicodedata.normalize("NFC", passphrase).encode("utf-8")
    except UnicodeEncodeError:
        raise PassphraseError("expected a passphrase in UTF-8, got other bytes") from None
