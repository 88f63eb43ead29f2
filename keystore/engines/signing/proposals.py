"""What is proposed to a key: documents that it shall sign, who proposed them, and what became of them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, replace
from typing import Any

from keystore import document, moment
from keystore.engines.request import Answer, Records, RequestError
from keystore.engines.routes import Call
from keystore.engines.signing import approvals, keys, record
from keystore.engines.signing.record import SigningKey
from keystore.errors import KeystoreError
from keystore.subject import USE, Document, read_document
from keystore.use import Use

FORMAT = "ferry/proposal/v1"
FOLDER = "proposals/"
_SHAPE = {"format": str, "document": dict, "by": str, "at": str, "signed": dict, "text": str}
_DOCUMENT = {
    "kind": str,
    "sha256": str,
    "sm3": str,
    "size": int,
    "product": str,
    "version": str,
    "sequence": int,
    "platform": str,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A document and its history; `signed` tells of each form when it was signed last, and by whom.

    `text` is the document itself where it is a use policy, else empty.
    """

    document: Document
    by: str
    at: str
    signed: dict[str, dict[str, str]]
    text: str = ""

    def encode(self) -> bytes:
        """Return the record."""
        facts = {"by": self.by, "at": self.at, "signed": self.signed, "text": self.text}
        return document.canonical({"format": FORMAT, "document": asdict(self.document), **facts})


def propose(call: Call) -> Answer:
    """Keep that a document shall be signed; one that is there already is left as it is."""
    key, digest = record.require(call), approvals.digest_of(call)
    data = call.body.octets("document")
    if hashlib.sha256(data).hexdigest() != digest:
        raise RequestError("expected the document of this SHA-256, got another")
    found = read_document(data)
    if found.kind == USE:
        _expect_next(Use.parse(data), key)
    else:
        key.use.check(found, call.now)
    return Answer(data=told(call, key, _kept(call, key, found, data)))


def propose_use(call: Call) -> Answer:
    """Keep that the use policy of a key shall be this one, and tell its digest."""
    key = record.require(call)
    data = keys.next_use(call, key).encode()
    return Answer(data=told(call, key, _kept(call, key, read_document(data), data)))


def read(call: Call) -> Answer:
    """Tell of a proposal, and who has approved it."""
    key = record.require(call)
    return Answer(data=told(call, key, require(call.records, key, approvals.digest_of(call))))


def delete(call: Call) -> Answer:
    """Forget a proposal and its approvals, unless something was signed for it: that stays on record."""
    key, digest = record.require(call), approvals.digest_of(call)
    if require(call.records, key, digest).signed:
        raise RequestError("expected a proposal that nothing was signed for, got one that is signed")
    approvals.forget(call.records, key, digest)
    call.records.delete(_path(key, digest))
    return Answer()


def list_digests(call: Call) -> Answer:
    """List the digests of all that was proposed to a key."""
    found = call.records.names(f"{FOLDER}{record.require(call).name}/")
    if not found:
        raise RequestError("", status=404)
    return Answer(data={"keys": found})


def pending(call: Call) -> Answer:
    """Tell what waits for approvals: of one key, or of all."""
    names = [call.parts["name"]] if "name" in call.parts else record.names(call.records)
    waiting = [one for name in names for one in _waiting(call, record.of_name(call.records, name))]
    return Answer(data={"pending": waiting})


def _waiting(call: Call, key: SigningKey) -> list[dict[str, Any]]:
    digests = call.records.names(f"{FOLDER}{key.name}/")
    found = (told(call, key, require(call.records, key, digest)) for digest in digests)
    return [one for one in found if one["missing"] and not one["signed"] and not one["void"]]


def require(records: Records, key: SigningKey, digest: str) -> Proposal:
    """Return a proposal.

    Raises: RequestError of status 404.
    """
    data = records.get(_path(key, digest))
    if data is None:
        raise RequestError(f"expected a document that was proposed to {key.name!r}, got {digest}", status=404)
    return _parse(data)


def note(call: Call, key: SigningKey, found: Document | Proposal, form: str) -> None:
    """Keep that a form of a document was signed now."""
    proposal = found if isinstance(found, Proposal) else _kept(call, key, found, b"")
    entry = {"at": moment.stamp(call.now), "by": _caller(call)}
    made = replace(proposal, signed={**proposal.signed, form: entry})
    call.records.put(_path(key, made.document.sha256), made.encode())


def told(call: Call, key: SigningKey, proposal: Proposal) -> dict[str, Any]:
    """Return a proposal for the API; `void` tells that it can never be put to work."""
    use = key.use
    standing = approvals.standing(call, key, proposal.document)
    void = proposal.document.kind == USE and Use.parse(proposal.text.encode()).number != use.number + 1
    return {
        **asdict(proposal.document),
        "key": key.name,
        "keyid": use.keyid,
        "proposed_by": proposal.by,
        "proposed_at": proposal.at,
        "demanded": standing.demanded,
        "missing": 0 if void else standing.missing,
        "approvals": [one.told(use.approval_s) for one in standing.approved],
        "operators": list(standing.others),
        "signed": proposal.signed,
        "text": proposal.text,
        "void": void,
    }


def _expect_next(use: Use, key: SigningKey) -> None:
    """Refuse a use policy of another key, or one that was in force before."""
    document.expect(use.keyid, key.use.keyid, "use.keyid")
    document.expect(use.number, key.use.number + 1, "use.number")


def _kept(call: Call, key: SigningKey, found: Document, data: bytes) -> Proposal:
    before = call.records.get(_path(key, found.sha256))
    if before is not None:
        return _parse(before)
    made = Proposal(
        document=found,
        by=_caller(call),
        at=moment.stamp(call.now),
        signed={},
        text=data.decode("ascii") if found.kind == USE else "",
    )
    call.records.put(_path(key, found.sha256), made.encode())
    return made


def _caller(call: Call) -> str:
    return call.request.identity or call.request.user


def _path(key: SigningKey, digest: str) -> str:
    return f"{FOLDER}{key.name}/{digest}"


def _parse(data: bytes) -> Proposal:
    found = document.fields(document.parse(data, "proposal"), "proposal", _SHAPE)
    if found["format"] != FORMAT:
        raise KeystoreError(f"expected {FORMAT!r}, got {found['format']!r}", place="proposal.format")
    facts = document.fields(found["document"], "proposal.document", _DOCUMENT)
    return Proposal(
        document=Document(**facts), by=found["by"], at=found["at"], signed=found["signed"], text=found["text"]
    )
