"""A transit key: its versions and what it may do, and the one record that it is kept in.

Record: canonical JSON of exactly the fields below; the service seals it. Secrets appear in no repr.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from keystore import document, moment
from keystore.engines.transit import kinds
from keystore.engines.transit.kinds import Kind
from keystore.errors import KeystoreError

FORMAT = "ferry/transit-key/v1"
MAC_BYTES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One version's secrets; `public` is the public half as the API tells it, empty where there is none."""

    created: datetime
    secret: bytes = field(repr=False)
    mac_secret: bytes = field(repr=False)
    public: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """A named key; `versions` run without gap from the lowest that was not trimmed to the latest."""

    name: str
    kind: Kind
    versions: Mapping[int, Version]
    min_decryption: int = 1
    min_encryption: int = 0
    min_available: int = 0
    derived: bool = False
    convergent: bool = False
    exportable: bool = False
    plaintext_backup: bool = False
    deletion_allowed: bool = False
    imported: bool = False
    may_rotate: bool = True
    auto_rotate_s: int = 0
    size: int = 0
    backup_at: datetime | None = None

    @property
    def latest(self) -> int:
        """The highest version."""
        return max(self.versions)

    def rotated(self, version: Version) -> Key:
        """Return the key with one more version."""
        return dataclasses.replace(self, versions={**self.versions, self.latest + 1: version})

    def trimmed(self, lowest: int) -> Key:
        """Return the key without the versions below."""
        kept = {number: version for number, version in self.versions.items() if number >= lowest}
        return dataclasses.replace(self, versions=kept, min_available=lowest)

    def encode(self) -> bytes:
        """Return the record."""
        return document.canonical(
            {
                "format": FORMAT,
                "name": self.name,
                "type": self.kind.name,
                "versions": {str(number): _encode_version(version) for number, version in self.versions.items()},
                "backup_at": moment.stamp(self.backup_at) if self.backup_at else "",
                **{name: getattr(self, name) for name in _PLAIN},
            }
        )


_PLAIN: Mapping[str, type] = {
    "min_decryption": int,
    "min_encryption": int,
    "min_available": int,
    "derived": bool,
    "convergent": bool,
    "exportable": bool,
    "plaintext_backup": bool,
    "deletion_allowed": bool,
    "imported": bool,
    "may_rotate": bool,
    "auto_rotate_s": int,
    "size": int,
}
_SHAPE: Mapping[str, type] = {
    "format": str,
    "name": str,
    "type": str,
    "versions": dict,
    "backup_at": str,
    **_PLAIN,
}
_VERSION: Mapping[str, type] = {"created": str, "secret": str, "mac_secret": str, "public": str}


def parse_key(data: bytes, place: str) -> Key:
    """Return the key of a record or a backup.

    Raises: KeystoreError for every form that `encode` could not have written.
    """
    found = document.parse(data, place)
    document.expect(found.get("format"), FORMAT, f"{place}.format")
    document.fields(found, place, _SHAPE)
    if found["type"] not in kinds.KINDS:
        raise KeystoreError(f"expected a known type of key, got {found['type']!r}", place=f"{place}.type")
    versions = {_number(number, place): version for number, version in found["versions"].items()}
    made = Key(
        name=found["name"],
        kind=kinds.named(found["type"]),
        versions={number: _parse_version(versions[number], place) for number in sorted(versions)},
        backup_at=moment.parse(found["backup_at"], f"{place}.backup_at") if found["backup_at"] else None,
        **{name: found[name] for name in _PLAIN},
    )
    _check(made, place)
    if made.encode() != data:
        raise KeystoreError("expected canonical JSON, got another form", place=place)
    return made


def _encode_version(version: Version) -> dict[str, str]:
    return {
        "created": version.created.astimezone(UTC).isoformat(),
        "secret": document.encode_base64(version.secret),
        "mac_secret": document.encode_base64(version.mac_secret),
        "public": version.public,
    }


def _parse_version(value: object, place: str) -> Version:
    at = f"{place}.versions"
    found: dict[str, Any] = document.fields(value, at, _VERSION)
    try:
        created = datetime.fromisoformat(found["created"])
    except ValueError:
        raise KeystoreError("expected a time with its offset, got something else", place=f"{at}.created") from None
    if created.utcoffset() is None:
        raise KeystoreError("expected a time with its offset, got one without", place=f"{at}.created")
    return Version(
        created=created,
        secret=document.decode_base64(found["secret"], f"{at}.secret"),
        mac_secret=document.decode_base64(found["mac_secret"], f"{at}.mac_secret"),
        public=found["public"],
    )


def _number(text: str, place: str) -> int:
    if not text.isascii() or not text.isdigit() or text != str(int(text[:9])) or text == "0":
        raise KeystoreError("expected a version of 1 or more, got something else", place=f"{place}.versions")
    return int(text)


def _check(key: Key, place: str) -> None:
    numbers = list(key.versions)
    if not numbers or numbers != list(range(numbers[0], numbers[-1] + 1)):
        raise KeystoreError("expected versions without a gap, got others", place=f"{place}.versions")
    lowest = max(key.min_available, 1)
    if numbers[0] != lowest or not lowest <= key.min_decryption <= key.latest:
        raise KeystoreError("expected a lowest version that is there, got another", place=place)
    if key.min_encryption and not key.min_decryption <= key.min_encryption <= key.latest:
        raise KeystoreError("expected min_encryption from min_decryption to the latest, got another", place=place)
    for version in key.versions.values():
        if len(version.mac_secret) < MAC_BYTES:
            raise KeystoreError(f"expected {MAC_BYTES} bytes or more, got fewer", place=f"{place}.versions")


def check_secrets(key: Key) -> None:
    """Check what `parse_key` takes on trust of a sealed record: every secret fits the type and its public half.

    Raises: KeystoreError.
    """
    for number, version in key.versions.items():
        key.kind.check(version.secret)
        if version.public != (key.kind.public(version.secret) if key.kind.public else ""):
            raise KeystoreError("expected the public half of the secret, got another", place=f"versions.{number}")
