"""Where the keys of a mount are kept: one record each, read strictly, rotated when their time has come."""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta

from keystore.engines.request import Records, RequestError
from keystore.engines.routes import Call
from keystore.engines.transit import key as key_module
from keystore.engines.transit.key import Key, Version, parse_key
from keystore.engines.transit.kinds import Kind

_FOLDER = "keys/"
NOT_FOUND = "encryption key not found"


def names(records: Records) -> list[str]:
    """Return the names of all keys, sorted."""
    return [name for name in records.names(_FOLDER) if not name.endswith("/")]


def find(records: Records, name: str) -> Key | None:
    """Return a key as it is kept, or None.

    Raises: KeystoreError when its record is damaged.
    """
    data = records.get(_FOLDER + name)
    return None if data is None else parse_key(data, f"transit key '{name}'")


def known(records: Records, name: str) -> bool:
    """Tell whether there is a key of this name."""
    return records.get(_FOLDER + name) is not None


def require(call: Call, missing: str = NOT_FOUND) -> Key:
    """Return the key that the path names, after a rotation that is due.

    Raises: RequestError with `missing`.
    """
    found = find(call.records, call.parts["name"])
    if found is None:
        raise RequestError(missing)
    if not _due(found, call.now):
        return found
    return rotate(call, found)


def save(records: Records, key: Key) -> None:
    """Keep a key in place of what was there."""
    records.put(_FOLDER + key.name, key.encode())


def forget(records: Records, key: Key) -> None:
    """Forget a key and all that it protects."""
    records.delete(_FOLDER + key.name)


def make_version(call: Call, kind: Kind, size: int) -> Version:
    """Return a new version from the system's random numbers."""
    if kind.slow:
        return call.request.beside(f"version {kind.name}", lambda: wrap_version(kind, kind.generate(size), call.now))
    return wrap_version(kind, kind.generate(size), call.now)


def wrap_version(kind: Kind, secret: bytes, now: datetime) -> Version:
    """Return a version around a secret; an hmac key authenticates with the secret itself.

    Raises: RequestError when the secret does not fit the type.
    """
    kind.check(secret)
    return Version(
        created=now,
        secret=secret,
        mac_secret=secret if kind.name == "hmac" else secrets.token_bytes(key_module.MAC_BYTES),
        public=kind.public(secret) if kind.public else "",
    )


def rotate(call: Call, key: Key) -> Key:
    """Add a version to a key and keep it."""
    made = key.rotated(make_version(call, key.kind, key.size))
    save(call.records, made)
    return made


def _due(key: Key, now: datetime) -> bool:
    if not key.auto_rotate_s or not key.may_rotate:
        return False
    return now >= key.versions[key.latest].created + timedelta(seconds=key.auto_rotate_s)
