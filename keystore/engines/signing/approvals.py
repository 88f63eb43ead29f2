"""Four eyes: who has approved that a key signs a document, who is missing, and the refusal that says so."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from keystore import document, moment
from keystore.engines.request import Records, RequestError
from keystore.engines.routes import Call
from keystore.engines.signing.record import SigningKey
from keystore.errors import KeystoreError
from keystore.subject import Document

FOLDER = "approvals/"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHAPE = {"operator": str, "entity": str, "at": int}


@dataclass(frozen=True, kw_only=True, slots=True)
class Approval:
    """One operator's word; `at` is in seconds since 1970."""

    operator: str
    entity: str
    at: int

    def told(self, lives_s: int) -> dict[str, Any]:
        """Return it for the API."""
        return {"operator": self.operator, "at": _stamp(self.at), "until": _stamp(self.at + lives_s)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How a document stands with a key: who counts, how many are asked for, and of whom the others may be."""

    demanded: int
    approved: tuple[Approval, ...]
    others: tuple[str, ...]

    @property
    def missing(self) -> int:
        """How many operators are missing."""
        return max(0, self.demanded - len(self.approved))

    def refusal(self, what: str) -> str:
        """Return in words who is missing."""
        names = ", ".join(one.operator for one in self.approved)
        whose = f"{self.demanded} operator{'s' if self.demanded > 1 else ''}"
        return (
            f"expected approvals of {what} by {whose}, got {len(self.approved)}"
            f"{f' ({names})' if names else ''}: missing {self.missing} of {', '.join(self.others) or 'nobody else'}"
        )


def digest_of(call: Call) -> str:
    """Return the digest that the path names.

    Raises: RequestError.
    """
    found = call.parts["sha256"]
    if not _DIGEST.fullmatch(found):
        raise RequestError(f"expected a SHA-256 of 64 hexadecimal digits in lower case, got {found!r}")
    return found


def expect(call: Call, key: SigningKey, wanted: Document) -> None:
    """Refuse a document that too few operators have approved.

    Raises: RequestError of status 403 that says who is missing.
    """
    found = standing(call, key, wanted, requester=call.request.identity)
    if found.missing:
        raise RequestError(
            found.refusal(f"{wanted.told()}, sha256 {wanted.sha256}"),
            status=403,
            data={
                "sha256": wanted.sha256,
                "missing": found.missing,
                "approved": [one.operator for one in found.approved],
                "operators": list(found.others),
            },
        )


def standing(call: Call, key: SigningKey, wanted: Document, *, requester: str = "") -> Standing:
    """Return how a document stands.

    Who asks for the signature is no second pair of eyes: where one approval is enough, it must be another's.
    """
    now, use, demanded = int(call.now.timestamp()), key.use, key.use.demands(wanted)
    barred = {requester} if demanded == 1 else set()
    able = [name for name in use.operators if name not in barred]
    found = [
        one for one in _all(call.records, key, wanted.sha256) if one.operator in able and now < one.at + use.approval_s
    ]
    counted = {one.operator: one for one in {one.entity: one for one in found}.values()}
    approved = tuple(counted[name] for name in sorted(counted))
    return Standing(demanded=demanded, approved=approved, others=tuple(name for name in able if name not in counted))


def keep(call: Call, key: SigningKey, digest: str, operator: str) -> None:
    """Keep the word of an operator; said again, it counts from now on."""
    made = Approval(operator=operator, entity=call.request.entity, at=int(call.now.timestamp()))
    call.records.put(_path(key, digest) + made.entity, _encode(made))


def take_back(call: Call, key: SigningKey, digest: str) -> None:
    """Forget the word of the caller.

    Raises: RequestError of status 404 where there is none.
    """
    path = _path(key, digest) + call.request.entity
    if not call.request.entity or call.records.get(path) is None:
        raise RequestError("expected an approval of yours, got none", status=404)
    call.records.delete(path)


def forget(records: Records, key: SigningKey, digest: str) -> None:
    """Forget all approvals of a document."""
    for entity in records.names(_path(key, digest)):
        records.delete(_path(key, digest) + entity)


def _path(key: SigningKey, digest: str) -> str:
    return f"{FOLDER}{key.name}/{digest}/"


def _all(records: Records, key: SigningKey, digest: str) -> Sequence[Approval]:
    folder = _path(key, digest)
    return [_parse(records.get(folder + entity) or b"") for entity in records.names(folder)]


def _encode(made: Approval) -> bytes:
    return document.canonical({"operator": made.operator, "entity": made.entity, "at": made.at})


def _parse(data: bytes) -> Approval:
    found = document.fields(document.parse(data, "approval"), "approval", _SHAPE)
    return Approval(**found)


def _stamp(seconds: int) -> str:
    try:
        return moment.stamp(datetime.fromtimestamp(seconds, UTC))
    except (OverflowError, ValueError):
        raise KeystoreError("expected a time that a calendar has, got another", place="approval_ttl") from None
