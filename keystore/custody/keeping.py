"""The documents of custody: one file for each custodian beside the store, each with the root key under his means.

A rekey of the shares leaves them as they are; taking one away needs no key. Nothing in them is secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from keystore import disk, document, moment
from keystore.barrier.cipher import KEY_BYTES, Key
from keystore.barrier.sealing import Seal
from keystore.custody.custodian import Custodian
from keystore.errors import KeystoreError, UnsealError

DIRECTORY = "custody"
FORMAT = "ferry-custody"
VERSION = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SHAPE = {"format": str, "version": int, "kind": str, "store": str, "created": str, "form": dict}


@dataclass(frozen=True, kw_only=True, slots=True)
class Custody:
    """One custodian's document."""

    name: str
    kind: str
    store: str
    created: datetime
    form: dict[str, Any]

    def encode(self) -> bytes:
        """Return the document."""
        return document.readable(
            {
                "format": FORMAT,
                "version": VERSION,
                "kind": self.kind,
                "store": self.store,
                "created": moment.stamp(self.created),
                "form": self.form,
            }
        )


def names(directory: Path) -> list[str]:
    """Return the names of all custodians of a store, sorted."""
    return sorted(path.stem for path in (directory / DIRECTORY).glob("[a-z0-9]*.json"))


def read(directory: Path, name: str) -> Custody:
    """Return the document of a custodian.

    Raises: KeystoreError.
    """
    path = _path(directory, name)
    if not disk.exists(path):
        known = ", ".join(map(repr, names(directory))) or "none at all"
        raise KeystoreError(f"expected the custody {name!r}, got {known}", place=str(directory))
    place = f"{DIRECTORY}/{name}.json"
    found = document.fields(document.parse(disk.read(path), place), place, _SHAPE)
    document.expect(found["format"], FORMAT, f"{place}.format")
    document.expect(found["version"], VERSION, f"{place}.version")
    created = moment.parse(found["created"], f"{place}.created")
    return Custody(name=name, kind=found["kind"], store=found["store"], created=created, form=found["form"])


def add(directory: Path, name: str, custodian: Custodian, seal: Seal, root_key: Key, now: datetime) -> Custody:
    """Give the root key of a store to a custodian too, and see that he gives it back.

    Raises: KeystoreError when the name is taken.
    """
    path = _path(directory, name)
    bound = _bound(seal.store, custodian.kind)
    form = custodian.seal(bytes(root_key), bound)
    if custodian.unseal(form, bound, "form") != bytes(root_key):
        raise UnsealError("expected the root key back from the custodian, got another")
    made = Custody(name=name, kind=custodian.kind, store=seal.store, created=now, form=form)
    disk.make_directory(path.parent)
    with disk.locked(path.parent):
        expect_none(directory, name)
        disk.write(path, made.encode())
    return made


def expect_none(directory: Path, name: str) -> None:
    """Refuse a name that is taken.

    Raises: KeystoreError.
    """
    path = _path(directory, name)
    if disk.exists(path):
        raise KeystoreError(f"expected no custody {name!r}, got one", place=str(path), hint="take another name")


def remove(directory: Path, name: str) -> None:
    """Take the root key from a custodian; an older copy of his document still opens it.

    Raises: KeystoreError.
    """
    read(directory, name)
    path = _path(directory, name)
    path.unlink()
    disk.sync_directory(path.parent)


def open_root(found: Custody, custodian: Custodian, seal: Seal) -> bytearray:
    """Return the root key of a store that a custodian gives back.

    Raises: UnsealError, PassphraseError, KeystoreError.
    """
    place = f"{DIRECTORY}/{found.name}.json"
    document.expect(found.store, seal.store, f"{place}.store", "this custody is of another store")
    document.expect(custodian.kind, found.kind, f"{place}.kind")
    root_key = custodian.unseal(found.form, _bound(seal.store, found.kind), f"{place}.form")
    if len(root_key) != KEY_BYTES:
        raise UnsealError(f"expected a root key of {KEY_BYTES} bytes, got {len(root_key)}", place=place)
    return bytearray(root_key)


def _bound(store: str, kind: str) -> bytes:
    return document.canonical({"format": FORMAT, "version": VERSION, "kind": kind, "store": store, "what": "root"})


def _path(directory: Path, name: str) -> Path:
    if not _NAME.fullmatch(name):
        raise KeystoreError(f"expected a name of 1 to 64 of a-z, 0-9, '.', '_' and '-', got {name!r}")
    return directory / DIRECTORY / f"{name}.json"
