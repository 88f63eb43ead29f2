"""The two JSON documents of a file keystore, as values: `keystore.json` and a key record.

The formats are told byte for byte in `FORMAT.md`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from keystore import document, seal
from keystore.errors import KeystoreError
from keystore.sm2 import HEDGE_BYTES, PrivateKey, PublicKey

STORE_FORMAT = "ferry-keystore"
KEY_FORMAT = "ferry-key"
VERSION = 1
KEY_KIND = "sm2-signing-key"
CHECK_KIND = "passphrase-check"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_STORE = {"format": str, "version": int, "profile": str, "created": str, "check": dict}
_KEY = {
    "format": str,
    "version": int,
    "kind": str,
    "name": str,
    "profile": str,
    "keyid": str,
    "public": str,
    "sealed": dict,
}
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def check_name(name: str) -> None:
    """Refuse a name that is not fit for a file."""
    if not _NAME.fullmatch(name):
        raise KeystoreError(
            f"expected a key name of 1 to 64 of a-z, 0-9, '.', '_' and '-', got {name!r}",
            hint="take a name such as 'release'",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreRecord:
    """The contents of `keystore.json`; `check` is an empty secret, sealed, that tells a wrong passphrase."""

    profile: str
    created: str
    check: dict[str, object]

    @classmethod
    def make(cls, passphrase: str, profile: str, created: datetime) -> StoreRecord:
        """Make the record of a new keystore."""
        seal.check_passphrase(passphrase)
        stamp = created.astimezone(UTC).strftime(_TIME)
        associated = _store_associated(profile, stamp)
        check = seal.seal(b"", passphrase, profile=profile, associated=associated)
        return cls(profile=profile, created=stamp, check=check)

    @classmethod
    def parse(cls, data: bytes, place: str) -> StoreRecord:
        """Parse `keystore.json`.

        Raises: KeystoreError, for an unknown format or version too.
        """
        found = _parse(data, place, _STORE, STORE_FORMAT)
        seal.profile_of(found["profile"], f"{place}.profile")
        try:
            datetime.strptime(found["created"], _TIME).replace(tzinfo=UTC)
        except ValueError:
            raise KeystoreError(
                f"expected a time such as '2026-01-31T12:00:00Z', got {found['created']!r}",
                place=f"{place}.created",
            ) from None
        return cls(profile=found["profile"], created=found["created"], check=found["check"])

    def encode(self) -> bytes:
        """Return the bytes of `keystore.json`."""
        head = {"format": STORE_FORMAT, "version": VERSION}
        return document.readable({**head, "profile": self.profile, "created": self.created, "check": self.check})

    def check_passphrase(self, passphrase: str, place: str) -> None:
        """Refuse another passphrase than the keystore's.

        Raises: PassphraseError.
        """
        associated = _store_associated(self.profile, self.created)
        seal.unseal(self.check, passphrase, profile=self.profile, associated=associated, place=f"{place}.check")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyRecord:
    """The contents of `keys/NAME.json`: a public key in clear, its scalar and hedge secret sealed."""

    name: str
    profile: str
    public: PublicKey
    sealed: dict[str, object]

    @classmethod
    def make(cls, name: str, key: PrivateKey, hedge_secret: bytes, passphrase: str, profile: str) -> KeyRecord:
        """Seal a private key and its hedge secret."""
        check_name(name)
        associated = _key_associated(name, profile, key.public)
        sealed = seal.seal(key.octets() + hedge_secret, passphrase, profile=profile, associated=associated)
        return cls(name=name, profile=profile, public=key.public, sealed=sealed)

    @classmethod
    def parse(cls, data: bytes, place: str, *, name: str, profile: str) -> KeyRecord:
        """Parse a key record; its name and profile must be those of its file and its keystore.

        Raises: KeystoreError, for an unknown format or version too.
        """
        found = _parse(data, place, _KEY, KEY_FORMAT)
        for field, expected in (("kind", KEY_KIND), ("name", name), ("profile", profile)):
            document.expect(found[field], expected, f"{place}.{field}")
        try:
            public = PublicKey.from_pem(found["public"])
        except KeystoreError as error:
            raise KeystoreError(error.message, place=f"{place}.public", hint=error.hint) from error
        document.expect(found["keyid"], public.keyid, f"{place}.keyid")
        return cls(name=name, profile=profile, public=public, sealed=found["sealed"])

    def encode(self) -> bytes:
        """Return the bytes of the record."""
        head = {"format": KEY_FORMAT, "version": VERSION, "kind": KEY_KIND, "name": self.name}
        public = {"keyid": self.public.keyid, "public": self.public.pem()}
        return document.readable({**head, **public, "profile": self.profile, "sealed": self.sealed})

    def unseal(self, passphrase: str, place: str) -> tuple[PrivateKey, bytes]:
        """Return the private key and the hedge secret; the public key in clear must be the scalar's.

        Raises: PassphraseError, KeystoreError.
        """
        place = f"{place}.sealed"
        associated = _key_associated(self.name, self.profile, self.public)
        secret = seal.unseal(self.sealed, passphrase, profile=self.profile, associated=associated, place=place)
        document.expect(len(secret), 32 + HEDGE_BYTES, f"{place}: length")
        key = PrivateKey(int.from_bytes(secret[:32], "big"))
        if key.public != self.public:
            raise KeystoreError("expected the private key of the public key in clear, got another", place=place)
        return key, secret[32:]


def _parse(data: bytes, place: str, shape: dict[str, type], format_name: str) -> dict[str, Any]:
    found = document.fields(document.parse(data, place), place, {"format": str, "version": int}, exact=False)
    document.expect(found["format"], format_name, f"{place}.format")
    document.expect(
        found["version"],
        VERSION,
        f"{place}.version",
        "a newer Ferry wrote this file: use that version or a later one",
    )
    return document.fields(found, place, shape)


def _store_associated(profile: str, created: str) -> bytes:
    return document.canonical(
        {
            "format": STORE_FORMAT,
            "version": VERSION,
            "kind": CHECK_KIND,
            "profile": profile,
            "created": created,
        }
    )


def _key_associated(name: str, profile: str, public: PublicKey) -> bytes:
    head = {"format": KEY_FORMAT, "version": VERSION, "kind": KEY_KIND, "name": name}
    return document.canonical({**head, "profile": profile, "keyid": public.keyid})
