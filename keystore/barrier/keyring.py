"""The keys that records are sealed under, by term: a new term seals what is written next, old terms still open."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from keystore import document, moment
from keystore.barrier.cipher import KEY_BYTES, Key, wipe
from keystore.errors import KeystoreError

_SHAPE = {"terms": list, "digest": str, "salt": str}
_TERM_SHAPE = {"term": int, "key": str, "created": str, "written": int}


@dataclass(slots=True)
class Term:
    """One key, when it came into use, and how many records it has sealed so far."""

    number: int
    key: Key
    created: datetime
    written: int = 0

    def __repr__(self) -> str:
        return f"Term({self.number})"


class Keyring:
    """The terms, the key of the store's digest, and the salt that tokens are hashed with."""

    def __init__(self, terms: Mapping[int, Term], digest: Key, salt: Key) -> None:
        self.terms = dict(terms)
        self.digest = digest
        self.salt = salt

    def __repr__(self) -> str:
        return f"Keyring(terms={sorted(self.terms)})"

    @classmethod
    def generate(cls, now: datetime) -> Keyring:
        """Make a keyring of one term."""
        first = Term(1, _new_key(), now)
        return cls({1: first}, _new_key(), _new_key())

    @property
    def active(self) -> Term:
        """The term that seals."""
        return self.terms[max(self.terms)]

    def rotated(self, now: datetime) -> Keyring:
        """Return this keyring with one more term."""
        number = self.active.number + 1
        return Keyring({**self.terms, number: Term(number, _new_key(), now)}, self.digest, self.salt)

    def key(self, term: int, place: str) -> Key:
        """Return the key of a term.

        Raises: KeystoreError.
        """
        if term not in self.terms:
            raise KeystoreError(f"expected a term of the keyring, got {term}", place=place)
        return self.terms[term].key

    def encode(self) -> bytes:
        """Return the keyring, keys in clear, as the root key seals it."""
        terms = [
            {
                "term": one.number,
                "key": document.encode_base64(bytes(one.key)),
                "created": moment.stamp(one.created),
                "written": one.written,
            }
            for _, one in sorted(self.terms.items())
        ]
        secret = {"digest": self.digest, "salt": self.salt}
        return document.canonical(
            {"terms": terms} | {name: document.encode_base64(bytes(key)) for name, key in secret.items()}
        )

    @classmethod
    def parse(cls, data: bytes) -> Keyring:
        """Return the keyring of what `encode` wrote.

        Raises: KeystoreError.
        """
        found = document.fields(document.parse(data, "keyring"), "keyring", _SHAPE)
        terms = {}
        for index, entry in enumerate(found["terms"]):
            place = f"keyring.terms[{index}]"
            one = document.fields(entry, place, _TERM_SHAPE)
            created = moment.parse(one["created"], f"{place}.created")
            terms[one["term"]] = Term(one["term"], _key(one["key"], place), created, one["written"])
        if not terms:
            raise KeystoreError("expected at least one term, got none", place="keyring.terms")
        return cls(terms, _key(found["digest"], "keyring.digest"), _key(found["salt"], "keyring.salt"))

    def wipe(self) -> None:
        """Overwrite every key in memory."""
        for one in self.terms.values():
            wipe(one.key)
        wipe(self.digest)
        wipe(self.salt)


def _new_key() -> bytearray:
    return bytearray(secrets.token_bytes(KEY_BYTES))


def _key(text: str, place: str) -> bytearray:
    data = document.decode_base64(text, place)
    if len(data) != KEY_BYTES:
        raise KeystoreError(f"expected a key of {KEY_BYTES} bytes, got {len(data)}", place=place)
    return bytearray(data)
