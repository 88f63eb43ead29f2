"""What the API tells of a key: everything but its secrets."""

from __future__ import annotations

from datetime import UTC, datetime

from keystore.engines.transit import signing
from keystore.engines.transit.key import Key


def describe(key: Key, context: bytes = b"") -> dict[str, object]:
    """Return the fields of a key; a derived Ed25519 key tells its public half only for a context.

    Raises: RequestError.
    """
    told: dict[str, object] = {
        "name": key.name,
        "type": key.kind.name,
        "allow_plaintext_backup": key.plaintext_backup,
        "auto_rotate_period": key.auto_rotate_s,
        "deletion_allowed": key.deletion_allowed,
        "derived": key.derived,
        "exportable": key.exportable,
        "imported_key": key.imported,
        "latest_version": key.latest,
        "min_available_version": key.min_available,
        "min_decryption_version": key.min_decryption,
        "min_encryption_version": key.min_encryption,
        "supports_decryption": key.kind.encrypts,
        "supports_derivation": key.kind.derives,
        "supports_encryption": key.kind.encrypts,
        "supports_signing": key.kind.signs,
    }
    return told | _derivation(key) | _import(key) | _backup(key) | _versions(key, context)


def _derivation(key: Key) -> dict[str, object]:
    if not key.derived:
        return {}
    told: dict[str, object] = {"kdf": "hkdf_sm3" if key.kind.name == "sm4-gcm" else "hkdf_sha256"}
    told["convergent_encryption"] = key.convergent
    if key.convergent:
        told["convergent_encryption_version"] = -1
    return told


def _import(key: Key) -> dict[str, object]:
    return {"imported_key_allow_rotation": key.may_rotate} if key.imported else {}


def _backup(key: Key) -> dict[str, object]:
    return {"backup_info": {"time": _time(key.backup_at), "version": key.latest}} if key.backup_at else {}


def _versions(key: Key, context: bytes) -> dict[str, object]:
    if key.kind.name == "hmac":
        return {"key_size": key.size}
    shown = range(max(key.min_decryption, min(key.versions)), key.latest + 1)
    if key.kind.public is None:
        return {"keys": {str(number): int(key.versions[number].created.timestamp()) for number in shown}}
    return {"keys": {str(number): _public(key, number, context) for number in shown}}


def _public(key: Key, number: int, context: bytes) -> dict[str, str]:
    public = key.versions[number].public
    if key.derived:
        public = signing.derived_public(key, number, context) if context else ""
    return {
        "name": key.kind.label,
        "public_key": public,
        "creation_time": _time(key.versions[number].created),
        "certificate_chain": "",
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
