"""Handlers that let secrets out: export of keys that may be exported, and backups of those that allow them."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping

from keystore import ed25519
from keystore.engines.body import decode_base64, encode_base64
from keystore.engines.request import Answer, RequestError
from keystore.engines.routes import Call
from keystore.engines.transit import archive, keys, signing
from keystore.engines.transit.key import Key, Version, check_secrets, parse_key
from keystore.errors import KeystoreError

_VERSION = re.compile(r"[0-9]{1,9}")
_BACKUP_LIMIT = 1 << 24


def export(call: Call) -> Answer:
    """Give the versions of a key: its secrets, or its public halves."""
    form, tell = call.parts["form"], _FORMS.get(call.parts["form"])
    if tell is None:
        raise RequestError(f"invalid export type: {form}")
    key = archive.find(call.records, call.parts["name"])
    if key is None:
        raise RequestError("", status=404)
    if not key.exportable and form != "public-key":
        raise RequestError("private key material is not exportable")
    _expect_able(key, form)
    told = {str(number): tell(key, key.versions[number]) for number in _numbers(key, call.parts.get("version"))}
    return Answer(data={"name": key.name, "type": key.kind.name, "keys": told})


def backup(call: Call) -> Answer:
    """Give the whole key in clear, for `restore`."""
    name = call.parts["name"]
    key = archive.find(call.records, name)
    if key is None:
        raise RequestError(f'key "{name}" not found', status=404)
    if not key.exportable:
        raise RequestError("exporting is disallowed on the policy")
    if not key.plaintext_backup:
        raise RequestError("plaintext backup is disallowed on the policy")
    made = dataclasses.replace(key, backup_at=call.now.replace(microsecond=0))
    archive.save(call.records, made)
    return Answer(data={"backup": encode_base64(made.encode())})


def restore(call: Call) -> Answer:
    """Take a key back from its backup, under its own name or another."""
    if not call.body.text("backup"):
        raise RequestError("'backup' must be supplied")
    key = _parse_backup(call.body.text("backup"))
    key = dataclasses.replace(key, name=call.parts.get("name", key.name))
    if archive.find(call.records, key.name) is not None and not call.body.flag("force"):
        raise RequestError(f'key "{key.name}" already exists')
    archive.save(call.records, key)
    return Answer()


def _parse_backup(text: str) -> Key:
    if len(text) > _BACKUP_LIMIT:
        raise RequestError(f"expected a backup of at most {_BACKUP_LIMIT} characters, got {len(text)}")
    try:
        key = parse_key(decode_base64(text), "backup")
        check_secrets(key)
    except RequestError:
        raise
    except KeystoreError as error:
        raise RequestError(str(error)) from None
    if not re.fullmatch(r"\w([\w.-]*\w)?", key.name, re.ASCII):
        raise RequestError("backup.name: expected a name of letters, digits, '.', '-' and '_', got another")
    return key


def _expect_able(key: Key, form: str) -> None:
    if form == "encryption-key" and not key.kind.encrypts:
        raise RequestError("encryption not supported for the key")
    if form == "signing-key" and not key.kind.signs:
        raise RequestError("signing not supported for the key")
    if form == "public-key" and key.kind.public is None:
        raise RequestError(f"unknown key type {key.kind.name} for export type public-key")


def _numbers(key: Key, asked: str | None) -> list[int]:
    lowest = max(key.min_decryption, min(key.versions))
    if asked is None:
        return list(range(lowest, key.latest + 1))
    if asked == "latest":
        return [key.latest]
    if not _VERSION.fullmatch(asked):
        raise RequestError("invalid key version")
    if int(asked) < lowest:
        raise RequestError("version for export is below minimum decryption version")
    if int(asked) > key.latest:
        raise RequestError("version does not exist or cannot be found")
    return [int(asked)]


def _secret(key: Key, version: Version) -> str:
    if key.kind.name == "sm2":
        return keys.restore_sm2(version.secret, version.public).pem()
    if key.kind.name == "ed25519":
        return encode_base64(version.secret + ed25519.PrivateKey(version.secret).public.raw)
    if key.kind.name.startswith("rsa-"):
        return keys.traditional_pem(keys.load_rsa(version.secret, int(key.kind.name.removeprefix("rsa-"))))
    if key.kind.name in signing.CURVES:
        return keys.traditional_pem(keys.load_curve(version.secret, signing.CURVES[key.kind.name]))
    return encode_base64(version.secret)


_FORMS: Mapping[str, Callable[[Key, Version], str]] = {
    "encryption-key": _secret,
    "signing-key": _secret,
    "hmac-key": lambda _, version: encode_base64(version.mac_secret),
    "public-key": lambda _, version: version.public.strip(),
}
