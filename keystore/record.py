"""The two JSON documents of a file keystore, as values: `keystore.json` and a key record.

The formats are told byte for byte in `FORMAT.md`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keystore import document, moment, seal
from keystore.algorithm import BY_SCHEME, Algorithm
from keystore.errors import KeystoreError
from keystore.public import VerifyingKey, read_public
from keystore.signer import Signer

STORE_FORMAT = "ferry-keystore"
KEY_FORMAT = "ferry-key"
VERSION = 1
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
        stamp = moment.stamp(created)
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
        moment.parse(found["created"], f"{place}.created")
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
    """The contents of `keys/NAME.json`: a public key in clear, the secret of its algorithm sealed."""

    name: str
    profile: str
    public: VerifyingKey
    sealed: dict[str, object]

    @classmethod
    def make(cls, name: str, algorithm: Algorithm, secret: bytes, passphrase: str, profile: str) -> KeyRecord:
        """Seal the secret of a key."""
        check_name(name)
        public = algorithm.signer(secret).public
        associated = _key_associated(name, profile, public)
        sealed = seal.seal(secret, passphrase, profile=profile, associated=associated)
        return cls(name=name, profile=profile, public=public, sealed=sealed)

    @classmethod
    def parse(cls, data: bytes, place: str, *, name: str, profile: str) -> KeyRecord:
        """Parse a key record; its name and profile must be those of its file and its keystore.

        Raises: KeystoreError, for an unknown format or version too.
        """
        found = _parse(data, place, _KEY, KEY_FORMAT)
        for field, expected in (("name", name), ("profile", profile)):
            document.expect(found[field], expected, f"{place}.{field}")
        try:
            public = read_public(found["public"])
        except KeystoreError as error:
            raise KeystoreError(error.message, place=f"{place}.public", hint=error.hint) from error
        document.expect(found["kind"], BY_SCHEME[public.scheme].kind, f"{place}.kind")
        document.expect(found["keyid"], public.keyid, f"{place}.keyid")
        return cls(name=name, profile=profile, public=public, sealed=found["sealed"])

    def encode(self) -> bytes:
        """Return the bytes of the record."""
        kind = BY_SCHEME[self.public.scheme].kind
        head = {"format": KEY_FORMAT, "version": VERSION, "kind": kind, "name": self.name}
        public = {"keyid": self.public.keyid, "public": self.public.pem()}
        return document.readable({**head, **public, "profile": self.profile, "sealed": self.sealed})

    def unseal(self, passphrase: str, place: str) -> Signer:
        """Return what signs with the key; the public key in clear must be the secret's.

        Raises: PassphraseError, KeystoreError.
        """
        place = f"{place}.sealed"
        algorithm = BY_SCHEME[self.public.scheme]
        associated = _key_associated(self.name, self.profile, self.public)
        secret = seal.unseal(self.sealed, passphrase, profile=self.profile, associated=associated, place=place)
        document.expect(len(secret), algorithm.secret_bytes, f"{place}: length")
        signer = algorithm.signer(secret)
        if signer.public != self.public:
            raise KeystoreError("expected the private key of the public key in clear, got another", place=place)
        return signer


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


def _key_associated(name: str, profile: str, public: VerifyingKey) -> bytes:
    kind = BY_SCHEME[public.scheme].kind
    head = {"format": KEY_FORMAT, "version": VERSION, "kind": kind, "name": name}
    return document.canonical({**head, "profile": profile, "keyid": public.keyid})
