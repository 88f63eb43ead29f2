"""Handlers of a key's life: make, read, list, configure, rotate, trim, delete."""

from __future__ import annotations

import dataclasses
import re

from keystore.engines.request import Answer, RequestError
from keystore.engines.routes import Call
from keystore.engines.transit import archive, kinds
from keystore.engines.transit.describe import describe
from keystore.engines.transit.key import Key
from keystore.engines.transit.kinds import Kind

_NAME = re.compile(r"\w([\w.-]*\w)?", re.ASCII)
_SHORTEST_ROTATION_S = 3600


def create(call: Call, default_type: str) -> Answer:
    """Make a key; one that exists already is left as it is and told."""
    found = archive.find(call.records, call.parts["name"])
    return Answer(data=describe(found or make(call, call.body.text("type") or default_type)))


def make(call: Call, type_name: str) -> Key:
    """Make a key as the request says, and keep it.

    Raises: RequestError.
    """
    kind = kinds.named(type_name)
    size = _size(kind, call.body.number("key_size"))
    wanted = settings(call, kind)
    version = archive.make_version(call, kind, size)
    made = dataclasses.replace(wanted, versions={1: version}, size=size)
    archive.save(call.records, made)
    return made


def settings(call: Call, kind: Kind) -> Key:
    """Return a key without versions that is set as the request says.

    Raises: RequestError.
    """
    body = call.body
    derived, convergent = body.flag("derived"), body.flag("convergent_encryption")
    if not _NAME.fullmatch(call.parts["name"]):
        raise RequestError("unsupported path", status=404)
    if convergent and not derived:
        raise RequestError("convergent encryption requires derivation to be enabled")
    if (derived and not kind.derives) or (convergent and not kind.encrypts):
        raise RequestError(f"key derivation and convergent encryption not supported for keys of type {kind.name}")
    return Key(
        name=call.parts["name"],
        kind=kind,
        versions={},
        derived=derived,
        convergent=convergent,
        exportable=body.flag("exportable"),
        plaintext_backup=body.flag("allow_plaintext_backup"),
        auto_rotate_s=_rotation(call, 0),
    )


def read(call: Call) -> Answer:
    """Tell what a key is."""
    found = archive.find(call.records, call.parts["name"])
    if found is None:
        raise RequestError("", status=404)
    return Answer(data=describe(found, call.body.octets("context")))


def list_names(call: Call) -> Answer:
    """List the keys by name."""
    found = archive.names(call.records)
    if not found:
        raise RequestError("", status=404)
    return Answer(data={"keys": found})


def delete(call: Call) -> Answer:
    """Forget a key that may be deleted."""
    name = call.parts["name"]
    found = archive.find(call.records, name)
    if found is None:
        raise RequestError(f"error deleting policy {name}: could not delete key; not found")
    if not found.deletion_allowed:
        raise RequestError(f"error deleting policy {name}: deletion is not allowed for this key")
    archive.forget(call.records, found)
    return Answer()


def rotate(call: Call) -> Answer:
    """Add a version, with which is encrypted and signed from now on."""
    found = archive.find(call.records, call.parts["name"])
    if found is None:
        raise RequestError("key not found")
    if not found.may_rotate:
        raise RequestError("imported key rotation is not allowed")
    return Answer(data=describe(archive.rotate(call, found)))


def trim(call: Call) -> Answer:
    """Forget the versions below one that nobody may use any more."""
    found = archive.find(call.records, call.parts["name"])
    if found is None:
        raise RequestError("invalid key name")
    if not call.body.has("min_available_version"):
        raise RequestError("missing min_available_version")
    lowest = call.body.number("min_available_version")
    _expect_trimmable(found, lowest)
    made = found.trimmed(lowest)
    archive.save(call.records, made)
    return Answer(data=describe(made))


def configure(call: Call) -> Answer:
    """Change what a key may do, and which versions may be used."""
    name = call.parts["name"]
    found = archive.find(call.records, name)
    if found is None:
        raise RequestError(f"no existing key named {name} could be found")
    made = dataclasses.replace(_with_versions(call, found), auto_rotate_s=_rotation(call, found.auto_rotate_s))
    made = dataclasses.replace(
        made,
        deletion_allowed=call.body.flag("deletion_allowed", found.deletion_allowed),
        exportable=found.exportable or call.body.flag("exportable"),
        plaintext_backup=found.plaintext_backup or call.body.flag("allow_plaintext_backup"),
    )
    if made != found:
        archive.save(call.records, made)
    return Answer(data=describe(made))


def _with_versions(call: Call, key: Key) -> Key:
    decryption = call.body.number("min_decryption_version", key.min_decryption)
    encryption = call.body.number("min_encryption_version", key.min_encryption)
    for word, asked in (("decryption", decryption), ("encryption", encryption)):
        if asked < 0:
            raise RequestError(f"min {word} version cannot be negative")
        if asked > key.latest:
            raise RequestError(f"cannot set min {word} version of {asked}, latest key version is {key.latest}")
    decryption = decryption or 1
    if decryption < key.min_available:
        raise RequestError("min decryption version should not be less then min available version")
    if 0 < encryption < decryption:
        raise RequestError(
            f"cannot set min encryption/decryption values; min encryption version of {encryption} must be greater "
            f"than or equal to min decryption version of {decryption}"
        )
    return dataclasses.replace(key, min_decryption=decryption, min_encryption=encryption)


def _expect_trimmable(key: Key, lowest: int) -> None:
    if lowest < max(key.min_available, 1):
        raise RequestError("minimum available version cannot be decremented")
    if lowest > (key.min_encryption or key.latest):
        raise RequestError("minimum available version cannot be greater than minmum encryption version")
    if lowest > key.min_decryption:
        raise RequestError("minimum available version cannot be greater than minimum decryption version")


def _rotation(call: Call, before: int) -> int:
    found = call.body.seconds("auto_rotate_period", before)
    if found and found < _SHORTEST_ROTATION_S:
        raise RequestError("auto rotate period must be 0 to disable or at least an hour")
    return found


def _size(kind: Kind, asked: int) -> int:
    low, high = kinds.HMAC_SIZES
    if kind.name != "hmac":
        if asked:
            raise RequestError(f"invalid key_size {asked}")
        return 0
    if asked and not low <= asked <= high:
        raise RequestError(f"invalid key_size {asked}")
    return asked or low
