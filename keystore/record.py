"""The two JSON documents of a file keystore, as values: `keystore.json` and a key record.

The formats are told byte for byte in `FORMAT.md`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keystore import document, moment, seal
from keystore.algorithm import BY_SCHEME, Algorithm
from keystore.bound import BoundSigner
from keystore.errors import KeystoreError
from keystore.public import VerifyingKey, read_public
from keystore.signer import Signer
from keystore.use import Use

STORE_FORMAT = "ferry-keystore"
KEY_FORMAT = "ferry-key"
VERSION, WITH_USE = 1, 2
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
_KEY_WITH_USE = {**_KEY, "use": str}


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
    """The contents of `keys/NAME.json`: a public key in clear, the secret of its algorithm sealed.

    A use policy, where there is one, is bound to the seal: who changes or removes it needs the passphrase.
    """

    name: str
    profile: str
    public: VerifyingKey
    sealed: dict[str, object]
    use: Use | None = None

    @classmethod
    def make(
        cls, name: str, algorithm: Algorithm, secret: bytes, passphrase: str, profile: str, use: Use | None = None
    ) -> KeyRecord:
        """Seal the secret of a key."""
        check_name(name)
        public = algorithm.signer(secret).public
        associated = _key_associated(name, profile, public, use)
        sealed = seal.seal(secret, passphrase, profile=profile, associated=associated)
        return cls(name=name, profile=profile, public=public, sealed=sealed, use=use)

    @classmethod
    def parse(cls, data: bytes, place: str, *, name: str, profile: str) -> KeyRecord:
        """Parse a key record; its name and profile must be those of its file and its keystore.

        Raises: KeystoreError, for an unknown format or version too.
        """
        found = _parse(data, place, _KEY, KEY_FORMAT, {WITH_USE: _KEY_WITH_USE})
        for field, expected in (("name", name), ("profile", profile)):
            document.expect(found[field], expected, f"{place}.{field}")
        try:
            public = read_public(found["public"])
        except KeystoreError as error:
            raise KeystoreError(error.message, place=f"{place}.public", hint=error.hint) from error
        document.expect(found["kind"], BY_SCHEME[public.scheme].kind, f"{place}.kind")
        document.expect(found["keyid"], public.keyid, f"{place}.keyid")
        use = Use.parse(found["use"].encode("ascii", "replace"), f"{place}.use") if "use" in found else None
        return cls(name=name, profile=profile, public=public, sealed=found["sealed"], use=use)

    def encode(self) -> bytes:
        """Return the bytes of the record."""
        kind = BY_SCHEME[self.public.scheme].kind
        head = {"format": KEY_FORMAT, "version": _version(self.use), "kind": kind, "name": self.name}
        public = {"keyid": self.public.keyid, "public": self.public.pem()}
        bound = {} if self.use is None else {"use": self.use.encode().decode("ascii")}
        return document.readable({**head, **public, **bound, "profile": self.profile, "sealed": self.sealed})

    def unseal(self, passphrase: str, place: str) -> Signer:
        """Return what signs with the key, for what its use policy allows.

        Raises: PassphraseError, KeystoreError.
        """
        signer = BY_SCHEME[self.public.scheme].signer(self._secret(passphrase, place))
        return signer if self.use is None else BoundSigner(signer, self.use)

    def with_use(self, use: Use, passphrase: str, place: str) -> KeyRecord:
        """Return the record of the same key under another use policy.

        Raises: PassphraseError, KeystoreError.
        """
        algorithm, secret = BY_SCHEME[self.public.scheme], self._secret(passphrase, place)
        return KeyRecord.make(self.name, algorithm, secret, passphrase, self.profile, use)

    def _secret(self, passphrase: str, place: str) -> bytes:
        """Return the secret; the public key in clear must be its own."""
        place = f"{place}.sealed"
        algorithm = BY_SCHEME[self.public.scheme]
        associated = _key_associated(self.name, self.profile, self.public, self.use)
        secret = seal.unseal(self.sealed, passphrase, profile=self.profile, associated=associated, place=place)
        document.expect(len(secret), algorithm.secret_bytes, f"{place}: length")
        if algorithm.signer(secret).public != self.public:
            raise KeystoreError("expected the private key of the public key in clear, got another", place=place)
        return secret


def _parse(
    data: bytes,
    place: str,
    shape: dict[str, type],
    format_name: str,
    later: Mapping[int, dict[str, type]] | None = None,
) -> dict[str, Any]:
    """Parse a document of version 1, or of one of the `later` versions with their shapes."""
    found = document.fields(document.parse(data, place), place, {"format": str, "version": int}, exact=False)
    document.expect(found["format"], format_name, f"{place}.format")
    if later and found["version"] in later:
        return document.fields(found, place, later[found["version"]])
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


def _version(use: Use | None) -> int:
    return VERSION if use is None else WITH_USE


def _key_associated(name: str, profile: str, public: VerifyingKey, use: Use | None) -> bytes:
    kind = BY_SCHEME[public.scheme].kind
    head = {"format": KEY_FORMAT, "version": _version(use), "kind": kind, "name": name}
    bound = {} if use is None else {"use": use.encode().decode("ascii")}
    return document.canonical({**head, **bound, "profile": profile, "keyid": public.keyid})
