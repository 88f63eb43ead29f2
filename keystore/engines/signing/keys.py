"""Handlers of a key's life: make, list, read, certify, change its use policy. A key is never deleted nor exported."""

from __future__ import annotations

import dataclasses
from datetime import datetime

from keystore import algorithm, certificate, moment
from keystore.engines.body import Body
from keystore.engines.request import Answer, RequestError
from keystore.engines.routes import Call
from keystore.engines.signing import approvals, record
from keystore.engines.signing.record import SigningKey
from keystore.record import check_name
from keystore.subject import read_document
from keystore.use import APPROVAL_S, DEFAULT_KINDS, KINDS, Use


def create(call: Call) -> Answer:
    """Make a key, or take one over, with its use policy."""
    name = call.parts["name"]
    check_name(name)
    private = call.body.text("private_key")
    chosen = algorithm.of_private_pem(private) if private else algorithm.named(call.body.text("algorithm", "sm2"))
    secret = chosen.take(private) if private else chosen.generate()
    made = SigningKey(
        name=name,
        algorithm=chosen,
        created=call.now,
        secret=secret,
        use=use_of(call.body, chosen.signer(secret).public.keyid, 1),
    )
    record.save(call.records, made)
    return Answer(data=described(made))


def refuse_second(call: Call) -> Answer:
    """Refuse to make a key again.

    Raises: RequestError.
    """
    raise RequestError(f"expected no key {call.parts['name']!r}, got one: its policy is changed at keys/NAME/use")


def list_names(call: Call) -> Answer:
    """List the keys by name."""
    found = record.names(call.records)
    if not found:
        raise RequestError("", status=404)
    return Answer(data={"keys": found})


def read(call: Call) -> Answer:
    """Tell what a key is, and what it may be used for."""
    return Answer(data=described(record.require(call)))


def certify(call: Call) -> Answer:
    """Keep a certificate chain of the key: PEM, the signer's first."""
    key = record.require(call)
    chain = certificate.split(call.body.text("chain").encode("ascii", "replace"))
    certificate.check_held(chain, key.signer.public)
    made = dataclasses.replace(key, certificates=tuple(one.decode("ascii") for one in chain))
    record.save(call.records, made)
    return Answer(data=described(made))


def change_use(call: Call) -> Answer:
    """Change the use policy; where the one before it asks for approvals, they must approve the new one."""
    key = record.require(call)
    use = next_use(call, key)
    approvals.expect(call, key, read_document(use.encode()))
    made = dataclasses.replace(key, use=use)
    record.save(call.records, made)
    return Answer(data=described(made))


def next_use(call: Call, key: SigningKey) -> Use:
    """Return the policy that a request asks for, whole: what it does not name has its default, not what was before.

    Raises: KeystoreError.
    """
    return use_of(call.body, key.use.keyid, key.use.number + 1)


def use_of(body: Body, keyid: str, number: int) -> Use:
    """Return the policy of a request.

    Raises: KeystoreError.
    """
    kinds = body.names("kinds", DEFAULT_KINDS)
    return Use(
        keyid=keyid,
        number=number,
        products=tuple(sorted(set(body.names("products")))),
        kinds=tuple(kind for kind in KINDS if kind in kinds) if set(kinds) <= set(KINDS) else kinds,
        until=_until(body),
        approvals=body.number("approvals"),
        operators=tuple(sorted(set(body.names("operators")))),
        approval_s=body.seconds("approval_ttl", APPROVAL_S),
    )


def _until(body: Body) -> datetime | None:
    text = body.text("until")
    return moment.parse(text, "until") if text else None


def described(key: SigningKey) -> dict[str, object]:
    """Return what everyone who may read the key is told."""
    public = key.signer.public
    return {
        "name": key.name,
        "algorithm": key.algorithm.name,
        "scheme": public.scheme,
        "keyid": public.keyid,
        "fingerprint": public.fingerprint(),
        "public_key": public.pem(),
        "created": moment.stamp(key.created),
        "certificates": list(key.certificates),
        "use": key.use.told(),
    }
