"""Handlers of an operator's word: given for a document that was proposed, and taken back."""

from __future__ import annotations

from keystore.engines.request import Answer, RequestError
from keystore.engines.routes import Call
from keystore.engines.signing import approvals, proposals, record
from keystore.engines.signing.record import SigningKey


def approve(call: Call) -> Answer:
    """Take the word of the operator who calls."""
    key, digest = record.require(call), approvals.digest_of(call)
    proposal = proposals.require(call.records, key, digest)
    approvals.keep(call, key, digest, _operator(call, key))
    return Answer(data=proposals.told(call, key, proposal))


def withdraw(call: Call) -> Answer:
    """Take the caller's word back; what is signed already stays signed."""
    approvals.take_back(call, record.require(call), approvals.digest_of(call))
    return Answer()


def _operator(call: Call, key: SigningKey) -> str:
    """Return the operator who calls.

    Raises: RequestError of status 403 for a token that names nobody, or another.
    """
    found = call.request.identity
    if not found:
        raise RequestError(
            "expected the token of a login, got one that names nobody: log in as an operator, with a token of your own",
            status=403,
        )
    if found not in key.use.operators:
        known = ", ".join(key.use.operators) or "none at all"
        raise RequestError(f"expected one of the operators of this key, {known}, got {found}", status=403)
    return found
