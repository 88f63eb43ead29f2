"""Handlers of sign, verify and hmac, single and in batches."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence

from keystore.engines.body import Body, decode_base64, encode_base64
from keystore.engines.request import Answer, RequestError
from keystore.engines.routes import Call
from keystore.engines.transit import archive, batch, digests, sealing, signing, text
from keystore.engines.transit.key import Key
from keystore.engines.transit.signing import How

_SALT = re.compile(r"[0-9]{1,6}")
_MARSHALING = ("asn1", "jws")
_PADDINGS = ("pss", "pkcs1v15")


def sign(call: Call) -> Answer:
    """Sign."""
    key = archive.require(call, "signing key not found")
    if not key.kind.signs:
        raise RequestError(f"key type {key.kind.name} does not support signing")
    found = batch.items(call)
    how = _how(call, key)
    number = sealing.choose_version(key, call.body.number("key_version"), "signing")
    if found is None:
        return Answer(data=_sign(key, number, call.body, how(call.body), "public_key"))
    blank = {"key_version": 0}

    def act(item: Body) -> Mapping[str, object]:
        return _sign(key, number, item, how(item), "publickey")

    return batch.answer(batch.run_with(call, key, found, act, blank))


def mac(call: Call) -> Answer:
    """Authenticate with the HMAC secret that every key has."""
    key = archive.require(call)
    number = call.body.number("key_version")
    if number < 0 or number > key.latest:
        raise RequestError(f"key version does not exist; latest key version is {key.latest}")
    number = number or key.latest
    if number < max(key.min_encryption, min(key.versions)):
        raise RequestError("cannot generate HMAC: version is too old (disallowed by policy)")
    name = _mac_name(call)
    found = batch.items(call)
    if found is None:
        return Answer(data=_mac(key, number, call.body, name))
    return batch.answer(batch.run(found, lambda item: _mac(key, number, item, name), {}))


def verify(call: Call) -> Answer:
    """Tell whether signatures or MACs are right."""
    found = batch.items(call)
    if found is not None:
        act = _verifier(call, found)
        key = archive.require(call)
        return batch.answer(batch.run_with(call, key, found, act, {"valid": False}))
    for name in ("signature", "hmac"):
        if call.body.text(name):
            return Answer(data=_verifier(call, (call.body,))(call.body))
    raise RequestError("neither a 'signature' nor an 'hmac' were given to verify")


def _verifier(call: Call, found: Sequence[Body]) -> Callable[[Body], Mapping[str, object]]:
    """Return what checks one input; all of a batch are checked in the same way."""
    kinds = {_proof(item) for item in found}
    if len(kinds) > 1 and None not in kinds:
        raise RequestError("elements of batch_input must all provide 'signature' or all provide 'hmac'")
    if None in kinds:
        named = "hmac" if kinds == {None, "hmac"} else "signature"
        raise RequestError(f"some elements of batch_input are missing '{named}'")
    if kinds == {"hmac"}:
        key, name = archive.require(call), _mac_name(call)
        return lambda item: {"valid": _verify_mac(key, item, name)}
    key = archive.require(call, "signature verification key not found")
    if not key.kind.signs:
        raise RequestError(f"key type {key.kind.name} does not support verification")
    how = _how(call, key)
    return lambda item: {"valid": _verify(key, item, how(item))}


def _proof(item: Body) -> str | None:
    return next((name for name in ("signature", "hmac") if item.text(name)), None)


def _how(call: Call, key: Key) -> Callable[[Body], How]:
    """Return what makes of an input's context how to sign it; all else is said once by the request.

    Raises: RequestError.
    """
    body = call.body
    name = call.parts.get("algorithm") or body.text("hash_algorithm") or body.text("algorithm")
    name = name or ("sm3" if key.kind.name == "sm2" else digests.DEFAULT)
    prehashed, padding = body.flag("prehashed"), body.text("signature_algorithm")
    marshaling, salt = body.text("marshaling_algorithm", "asn1"), body.text("salt_length", "auto")
    _expect_hash(name, key)
    if marshaling not in _MARSHALING:
        raise RequestError(f'invalid marshaling type "{marshaling}"')
    if salt not in ("auto", "hash") and not _SALT.fullmatch(salt):
        raise RequestError(f"salt length neither 'auto', 'hash', nor an int: {salt}")
    if key.kind.name.startswith("rsa") and (padding or "pss") not in _PADDINGS:
        raise RequestError(f"unsupported rsa signature algorithm {padding}")
    return lambda item: How(
        hash_name=name,
        prehashed=prehashed,
        padding=padding or "pss",
        marshaling=marshaling,
        salt=salt,
        context=item.octets("context"),
    )


def _expect_hash(name: str, key: Key) -> None:
    if name == "none" and key.kind.name == "ed25519":
        return
    if name == "none":
        raise RequestError("hash_algorithm=none is not supported: send the input, or its digest with prehashed=true")
    digests.named(name, f'invalid hash algorithm "{name}"')


def _input(item: Body, missing: str | None) -> bytes:
    if missing and not item.has("input"):
        raise RequestError(missing)
    try:
        return item.octets("input")
    except RequestError as error:
        raise RequestError(f"unable to decode input as base64: {error.message}") from None


def _sign(key: Key, number: int, item: Body, how: How, public_field: str) -> Mapping[str, object]:
    signature = signing.sign(key, number, _input(item, "missing input"), how)
    told = {"signature": text.write(number, signature), "key_version": number}
    return {**told, public_field: signing.derived_public(key, number, how.context)} if key.derived else told


def _verify(key: Key, item: Body, how: How) -> bool:
    number, encoded = text.split(item.text("signature"), "signature")
    if number > key.latest:
        raise RequestError("invalid signature: version is too new")
    if number < key.min_decryption:
        raise RequestError(sealing.TOO_OLD)
    return signing.verify(key, number, _input(item, "missing input"), encoded, how)


def _mac_name(call: Call) -> str:
    body = call.body
    name = call.parts.get("algorithm") or body.text("hash_algorithm") or body.text("algorithm") or digests.DEFAULT
    digests.named(name, f"unsupported algorithm '{name}'")
    return name


def _mac(key: Key, number: int, item: Body, name: str) -> Mapping[str, object]:
    made = digests.mac(
        digests.named(name, name), key.versions[number].mac_secret, _input(item, "missing input for HMAC")
    )
    return {"hmac": text.write(number, encode_base64(made))}


def _verify_mac(key: Key, item: Body, name: str) -> bool:
    number, encoded = text.split(item.text("hmac"), "HMAC", "invalid HMAC to verify: no prefix")
    message = _input(item, "missing input")
    try:
        expected = decode_base64(encoded)
    except RequestError as error:
        raise RequestError(f"unable to decode verification HMAC as base64: {error.message}") from None
    if number > key.latest:
        raise RequestError("invalid HMAC: version is too new")
    if number < key.min_decryption:
        raise RequestError("cannot verify HMAC: version is too old (disallowed by policy)")
    made = digests.mac(digests.named(name, name), key.versions[number].mac_secret, message)
    return hmac.compare_digest(made, expected)
