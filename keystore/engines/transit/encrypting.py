"""Handlers of encrypt, decrypt, rewrap and datakey, single and in batches."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping

from keystore.engines.body import Body, encode_base64
from keystore.engines.request import Answer, Operation, RequestError
from keystore.engines.routes import Call
from keystore.engines.transit import archive, batch, kinds, lifecycle, sealing
from keystore.engines.transit.key import Key
from keystore.engines.transit.sealing import Bound

_DATAKEY_BITS = (128, 256, 512)
_NO_PLAINTEXT = "missing plaintext to encrypt"
_NO_CIPHERTEXT = "missing ciphertext to decrypt"


def encrypt(call: Call, default_type: str) -> Answer:
    """Encrypt; a key that does not exist is made by who may create it."""
    found = batch.items(call)
    if found is None:
        if not call.body.has("plaintext"):
            raise RequestError(_NO_PLAINTEXT)
        return Answer(data=_encrypt(_key(call, (call.body,), default_type), call.body))
    batch.expect_texts(found, "plaintext", _NO_PLAINTEXT)
    batch.expect_contexts(found)
    key = _key(call, found, default_type)
    return batch.answer_strictly(call, batch.run_with(call, key, found, lambda item: _encrypt(key, item), {}))


def decrypt(call: Call) -> Answer:
    """Decrypt."""
    found = batch.items(call)
    if found is None:
        _expect_ciphertext(call)
        return Answer(data=_decrypt(archive.require(call), call.body))
    batch.expect_texts(found, "ciphertext", _NO_CIPHERTEXT)
    batch.expect_contexts(found)
    key = archive.require(call)
    return batch.answer_strictly(
        call, batch.run_with(call, key, found, lambda item: _decrypt(key, item), {"plaintext": ""})
    )


def rewrap(call: Call) -> Answer:
    """Decrypt and encrypt anew, under the latest version unless another is asked for."""
    found = batch.items(call)
    if found is None:
        _expect_ciphertext(call)
        return Answer(data=_rewrap(archive.require(call), call.body))
    batch.expect_texts(found, "ciphertext", _NO_CIPHERTEXT)
    batch.expect_contexts(found)
    key = archive.require(call)
    return batch.answer(batch.run_with(call, key, found, lambda item: _rewrap(key, item), {}))


def datakey(call: Call) -> Answer:
    """Make random bytes and give them out encrypted, and in clear where the path says so."""
    form, bits = call.parts["form"], call.body.number("bits", 256)
    if form not in ("plaintext", "wrapped"):
        raise RequestError("Invalid path, must be 'plaintext' or 'wrapped'")
    if bits not in _DATAKEY_BITS:
        raise RequestError("invalid bit length")
    made = secrets.token_bytes(bits // 8)
    told = _seal(archive.require(call), call.body, made)
    return Answer(data={**told, "plaintext": encode_base64(made)} if form == "plaintext" else told)


def _key(call: Call, found: tuple[Body, ...], default_type: str) -> Key:
    """Return the key of the path; a create makes one, derived where the first input has a context."""
    if call.request.operation is not Operation.CREATE or archive.known(call.records, call.parts["name"]):
        return archive.require(call)
    name = call.body.text("type") or default_type
    if not kinds.KINDS.get(name, kinds.KINDS["hmac"]).authenticates_more:
        raise RequestError(f"unknown key type {name}")
    implied = {"derived": bool(found[0].text("context")), "exportable": False, "allow_plaintext_backup": False}
    fields = {**call.body.fields, **implied, "key_size": 0}
    return lifecycle.make(dataclasses.replace(call, body=Body(fields=fields)), name)


def _expect_ciphertext(call: Call) -> None:
    if not call.body.text("ciphertext"):
        raise RequestError(_NO_CIPHERTEXT)


def _bound(item: Body) -> Bound:
    return Bound(context=item.octets("context"), associated=item.octets("associated_data"))


def _seal(key: Key, item: Body, plaintext: bytes) -> dict[str, object]:
    version = sealing.choose_version(key, item.number("key_version"), "encryption")
    return {"ciphertext": sealing.seal(key, version, plaintext, _bound(item)), "key_version": version}


def _encrypt(key: Key, item: Body) -> Mapping[str, object]:
    return _seal(key, item, item.octets("plaintext"))


def _decrypt(key: Key, item: Body) -> Mapping[str, object]:
    return {"plaintext": encode_base64(sealing.unseal(key, item.text("ciphertext"), _bound(item)))}


def _rewrap(key: Key, item: Body) -> Mapping[str, object]:
    return _seal(key, item, sealing.unseal(key, item.text("ciphertext"), _bound(item)))
