"""Small documents that only this host can write: JSON with an HMAC-SM3 under a secret of the host.

It keeps out who may write the file but not read the secret. An older copy of a file, put back whole, is not noticed.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keystore import disk, document, sm3
from keystore.errors import KeystoreError

SECRET_BYTES = 32
_FORMAT = "ferry/sealed/v1"
_SHAPE = {"format": str, "document": dict, "mac": str}


def host_secret(path: Path) -> bytes:
    """Return the secret in a file of mode 0600; make it of the system's random numbers on first use.

    Raises: KeystoreError when others may read it, or it has another size.
    """
    disk.make_directory(path.parent)
    with disk.locked(path.parent):
        if not disk.exists(path):
            disk.write(path, secrets.token_bytes(SECRET_BYTES))
    return read_secret(path)


def read_secret(path: Path) -> bytes:
    """Return the secret in a file that `host_secret` made.

    Raises: KeystoreError when there is none, others may read it, or it has another size.
    """
    disk.check_private_file(path)
    found = disk.read(path)
    if len(found) != SECRET_BYTES:
        raise KeystoreError(f"expected a secret of {SECRET_BYTES} bytes, got {len(found)}", place=str(path))
    return found


def write_sealed(path: Path, contents: Mapping[str, Any], secret: bytes) -> None:
    """Write a JSON object under its MAC, whole or not at all; the MAC holds for this file name alone.

    Raises: KeystoreError.
    """
    mac = _mac(path, contents, secret)
    disk.write(path, document.readable({"format": _FORMAT, "document": dict(contents), "mac": mac}))


def read_sealed(path: Path, secret: bytes) -> dict[str, Any]:
    """Return the JSON object that `write_sealed` wrote under this name with this secret.

    Raises: KeystoreError when it was altered, or another host wrote it.
    """
    place = str(path)
    found = document.fields(document.parse(disk.read(path), place), place, _SHAPE)
    document.expect(found["format"], _FORMAT, f"{place}.format")
    contents: dict[str, Any] = found["document"]
    if not hmac.compare_digest(_mac(path, contents, secret).encode(), found["mac"].encode("utf-8", "replace")):
        raise KeystoreError(
            "expected a document that this host sealed, got another, or it was altered",
            place=place,
            hint="find out who changed it before anything is accepted anew",
        )
    return contents


def _mac(path: Path, contents: Mapping[str, Any], secret: bytes) -> str:
    bound = {"format": _FORMAT, "name": path.name, "document": dict(contents)}
    return sm3.hmac_sm3(secret, document.canonical(bound)).hex()
