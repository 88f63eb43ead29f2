"""The handler that signs: it reads what the message is about, then asks the policy and the operators' approvals."""

from __future__ import annotations

from keystore import document
from keystore.engines.body import encode_base64
from keystore.engines.request import Answer
from keystore.engines.routes import Call
from keystore.engines.signing import approvals, proposals, record
from keystore.engines.signing.proposals import Proposal
from keystore.subject import NO_REVOCATIONS, read_message


def sign(call: Call) -> Answer:
    """Sign a message: a document that the path names by its digest, or a statement about it."""
    key = record.require(call)
    octets = call.body.octets("input")
    message = read_message(octets)
    document.expect(message.sha256, approvals.digest_of(call), "the digest of what is to be signed")
    # Of a statement, product and version are read in the document that was proposed.
    known = message.document or proposals.require(call.records, key, message.sha256)
    wanted = known.document if isinstance(known, Proposal) else known
    message.check_about(wanted)
    key.use.check(wanted, call.now)
    approvals.expect(call, key, wanted)
    signer = key.signer
    signature = signer.sign(octets)
    if wanted.kind != NO_REVOCATIONS:
        proposals.note(call, key, known, "document" if message.document else "statement")
    return Answer(data={"signature": encode_base64(signature), "keyid": signer.keyid, "scheme": signer.public.scheme})
