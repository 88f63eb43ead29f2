"""What the key/value engine of version 2 keeps beside the secrets: configuration and versions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from keystore.access import duration
from keystore.access import field as fields
from keystore.engines.request import Answer, Operation, Records, Request, RequestError

CONFIG = "config"
METADATA = "metadata/"
_VERSIONS_KEPT = 10
_CUSTOM_KEYS, _CUSTOM_KEY_CHARACTERS, _CUSTOM_VALUE_CHARACTERS = 64, 128, 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """The configuration of a mount."""

    max_versions: int = 0
    cas_required: bool = False
    delete_version_after_s: int = 0

    @classmethod
    def read(cls, records: Records) -> Config:
        """Return the configuration, that of a new mount where none was written."""
        found = records.get(CONFIG)
        return cls() if found is None else cls(**json.loads(found))

    def described(self) -> dict[str, Any]:
        """Return what a read answers."""
        return {
            "max_versions": self.max_versions,
            "cas_required": self.cas_required,
            "delete_version_after": duration.shown(self.delete_version_after_s),
        }


def configure(request: Request, records: Records) -> Answer:
    """Read or write the configuration.

    Raises: RequestError.
    """
    before = Config.read(records)
    if request.operation is Operation.READ:
        return Answer(data=before.described())
    if request.operation not in (Operation.CREATE, Operation.UPDATE):
        raise RequestError("unsupported operation", status=405)
    changed = Config(
        max_versions=fields.whole(request.data, "max_versions", before.max_versions),
        cas_required=fields.flag(request.data, "cas_required", default=before.cas_required),
        delete_version_after_s=fields.seconds(request.data, "delete_version_after", before.delete_version_after_s),
    )
    records.put(CONFIG, json.dumps(asdict(changed)).encode())
    return Answer()


@dataclass(kw_only=True, slots=True)
class Metadata:
    """The versions of one secret; each has `created_time`, `deletion_time` ('' for none) and `destroyed`."""

    created: str
    updated: str
    current: int = 0
    oldest: int = 0
    max_versions: int = 0
    cas_required: bool = False
    delete_version_after_s: int = 0
    custom: dict[str, str] | None = None
    versions: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def new(cls, now: datetime) -> Metadata:
        """Return the metadata of a secret that has no version yet."""
        return cls(created=_shown(now), updated=_shown(now))

    @classmethod
    def read(cls, records: Records, name: str) -> Metadata | None:
        """Return the metadata of a secret, or None."""
        found = records.get(METADATA + name)
        return None if found is None else cls(**json.loads(found))

    def write(self, records: Records, name: str) -> None:
        """Keep the metadata."""
        records.put(METADATA + name, json.dumps({key: getattr(self, key) for key in self.__slots__}).encode())

    def shown(self, number: int) -> dict[str, Any]:
        """Return what a read or write of a version tells of it."""
        return {**self.versions[str(number)], "version": number, "custom_metadata": self.custom}

    def described(self) -> dict[str, Any]:
        """Return what a read of the metadata answers."""
        return {
            "cas_required": self.cas_required,
            "created_time": self.created,
            "current_version": self.current,
            "custom_metadata": self.custom,
            "delete_version_after": duration.shown(self.delete_version_after_s),
            "max_versions": self.max_versions,
            "oldest_version": self.oldest,
            "updated_time": self.updated,
            "versions": self.versions,
        }

    def gone(self, number: int, now: datetime) -> bool:
        """Tell whether a version is deleted or destroyed by now."""
        version = self.versions[str(number)]
        at = version["deletion_time"]
        return bool(version["destroyed"] or (at and datetime.fromisoformat(at) <= now))

    def add(self, now: datetime, config: Config) -> list[int]:
        """Begin the next version; return the numbers of those that are too many now and forgotten."""
        self.current += 1
        self.updated = _shown(now)
        after_s = _least(self.delete_version_after_s, config.delete_version_after_s)
        ends = _shown(now + timedelta(seconds=after_s)) if after_s else ""
        self.versions[str(self.current)] = {"created_time": self.updated, "deletion_time": ends, "destroyed": False}
        kept = self.max_versions or config.max_versions or _VERSIONS_KEPT
        numbers = sorted(map(int, self.versions))
        gone = numbers[: max(0, len(numbers) - kept)]
        for number in gone:
            del self.versions[str(number)]
        # Vault counts the oldest version from 0 until the first one is forgotten.
        self.oldest = min(map(int, self.versions)) if gone else self.oldest
        return gone

    def delete(self, numbers: Iterable[int], now: datetime) -> None:
        """Mark versions as deleted from now on."""
        for number in numbers:
            version = self.versions.get(str(number))
            if version is not None and not version["destroyed"] and not self.gone(number, now):
                version["deletion_time"] = _shown(now)

    def undelete(self, numbers: Iterable[int]) -> None:
        """Bring versions back that are not destroyed."""
        for number in numbers:
            version = self.versions.get(str(number))
            if version is not None and not version["destroyed"]:
                version["deletion_time"] = ""

    def destroy(self, numbers: Iterable[int]) -> list[int]:
        """Mark versions as destroyed; return those whose content must go."""
        found = [number for number in numbers if str(number) in self.versions]
        for number in found:
            self.versions[str(number)]["destroyed"] = True
        return found

    def change(self, data: Mapping[str, Any], now: datetime) -> None:
        """Take over the settings that a request names.

        Raises: RequestError.
        """
        self.max_versions = fields.whole(data, "max_versions", self.max_versions)
        self.cas_required = fields.flag(data, "cas_required", default=self.cas_required)
        self.delete_version_after_s = fields.seconds(data, "delete_version_after", self.delete_version_after_s)
        if data.get("custom_metadata") is not None:
            self.custom = _checked_custom(fields.texts(data, "custom_metadata"))
        self.updated = _shown(now)


def _checked_custom(found: dict[str, str]) -> dict[str, str]:
    if len(found) > _CUSTOM_KEYS:
        raise RequestError(f"custom_metadata: expected at most {_CUSTOM_KEYS} keys, got {len(found)}")
    for key, value in found.items():
        if not 0 < len(key) <= _CUSTOM_KEY_CHARACTERS or len(value) > _CUSTOM_VALUE_CHARACTERS:
            raise RequestError(
                f"custom_metadata: expected keys of 1 to {_CUSTOM_KEY_CHARACTERS} and values of at most"
                f" {_CUSTOM_VALUE_CHARACTERS} characters, got longer ones"
            )
    return found


def _least(a: int, b: int) -> int:
    """Return the shorter of two times of which 0 is none."""
    return min(a, b) if a and b else a or b


def _shown(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
