"""Keys in files under a use policy: what it allows, that it is bound to the seal, and what files cannot do."""

import json
from datetime import UTC, datetime

import pytest
from bundles import OFFICER, small_manifest
from trusted import revocation_list, root_document

from bundler.attest import sign
from bundler.model.manifest import format_manifest
from bundler.model.trust import TrustDocument, parse_trust
from keystore.bound import BoundSigner
from keystore.envelope import parse_envelope, signed_by
from keystore.errors import KeystoreError, PassphraseError, UseError
from keystore.file import FileKeystore
from keystore.subject import STATEMENT_TYPE, read_message
from keystore.use import Use

DATA = format_manifest(small_manifest([b"one"])[0])
OTHER = format_manifest(small_manifest([b"one"], name="other")[0])
KEYID = "0" * 64
END = datetime(2027, 1, 1, tzinfo=UTC)


def bound(signers, now=datetime(2026, 6, 1, tzinfo=UTC), **policy):
    return BoundSigner(signers[0], Use(keyid=signers[0].keyid, **policy), lambda: now)


def test_a_whole_bundle_is_signed_as_without_a_policy(signers):
    signer = bound(signers, products=("sample",), until=END)
    detached, envelope, _ = sign(DATA, signer)
    assert detached == signers[0].sign(DATA)
    assert signed_by(envelope.rstrip(), [signer.public], payload_type=STATEMENT_TYPE)[1] == (signer.public,)
    assert repr(signer) == f"BoundSigner(keyid={signer.keyid!r})"


def test_what_the_policy_does_not_allow_is_refused(signers):
    with pytest.raises(UseError, match=r"^expected a product of this key, 'sample', got 'other'$"):
        sign(OTHER, bound(signers, products=("sample",)))
    with pytest.raises(
        UseError, match=r"^expected a use before 2027-01-01T00:00:00Z, got one at 2027-01-01T00:00:00Z$"
    ):
        sign(DATA, bound(signers, now=END, products=("*",), until=END))
    statement = parse_envelope(sign(DATA, signers[0])[1].rstrip()).message()
    with pytest.raises(UseError) as caught:
        bound(signers, products=("*",)).sign(statement)
    assert caught.value.message == (
        "expected a statement about a manifest that was shown before, got one about another"
    )
    root = parse_envelope(root_document(1, [OFFICER], [signers[0]])).message()
    assert bound(signers, kinds=("root",)).sign(root) == signers[0].sign(root)


def test_all_that_a_bundle_carries_is_shown_before_the_first_signature(signers):
    root = root_document(1, [OFFICER], [signers[0]])
    carried = TrustDocument(roots=(root,), revocations=revocation_list(2, [], [OFFICER]), certificates=())
    told = "^expected a document of the kinds 'bundle', got 'revocations'$"
    with pytest.raises(UseError, match=told):
        sign(DATA, bound(signers, products=("*",), kinds=("bundle",)), carried=carried)
    _, _, trust = sign(DATA, bound(signers, products=("*",)), carried=carried)
    signed = {keyid for keyid, _ in parse_envelope(parse_trust(trust).revocations).signatures}
    assert signed == {OFFICER.keyid, signers[0].keyid}


def test_the_policy_is_bound_to_the_seal(store_path, passphrase):
    store = FileKeystore.open(store_path)
    path = store_path / "keys/release.json"
    public, before = store.public("release"), store.signer("release", passphrase).sign(DATA)
    assert (store.use("release"), json.loads(path.read_bytes())["version"]) == (None, 1)
    use = Use(keyid=public.keyid, products=("sample",), until=END)
    with pytest.raises(PassphraseError):
        store.limit("release", "another passphrase", use)
    store.limit("release", passphrase, use)
    assert (store.use("release"), store.public("release")) == (use, public)
    document = json.loads(path.read_bytes())
    assert document["version"] == 2
    assert isinstance(store.signer("release", passphrase), BoundSigner)
    assert store.signer("release", passphrase).sign(DATA) == before
    for changes in ({"use": Use(keyid=public.keyid, products=("*",)).encode().decode()}, None):
        if changes is None:
            altered = {name: value for name, value in document.items() if name != "use"} | {"version": 1}
        else:
            altered = document | changes
        path.write_text(json.dumps(altered))
        with pytest.raises(PassphraseError) as caught:
            store.signer("release", passphrase)
        assert str(caught.value) == (
            "keys/release.json.sealed: expected the passphrase that sealed this, got another, or the file was altered"
        )


def test_a_key_in_files_knows_no_operators(store_path, passphrase):
    store = FileKeystore.open(store_path)
    use = Use(keyid=store.public("release").keyid, approvals=1, operators=("userpass/alice",))
    with pytest.raises(UseError) as caught:
        store.limit("release", passphrase, use)
    assert str(caught.value) == (
        "approvals: expected a policy without approvals, as a key in files knows no operators, got one"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"products": [1]}, "use.products: expected an array of strings, got another"),
        ({"format": "x"}, "use.format: expected 'ferry/use/v1', got 'x'"),
        ({"number": 0}, "number: expected 1 or more, got less"),
        ({"approval_s": 0}, "approval_ttl: expected 1 or more, got less"),
        ({"more": 1}, "use: expected no other field, got 'more'"),
        ({"until": "x"}, "use.until: expected a time such as '2026-01-31T12:00:00Z', got 'x'"),
    ],
)
def test_other_policies_are_refused(change, message):
    use = Use(keyid=KEYID, products=("a",), until=END)
    assert Use.parse(use.encode()) == use
    with pytest.raises(KeystoreError) as caught:
        Use.parse(json.dumps({**json.loads(use.encode()), **change}).encode())
    assert str(caught.value) == message
    with pytest.raises(KeystoreError, match=r"^use: expected canonical JSON, got another form$"):
        Use.parse(json.dumps(json.loads(use.encode())).encode())


def test_a_list_of_revoked_keys_is_read(signers):
    envelope = parse_envelope(revocation_list(2, [OFFICER], [signers[0]]))
    found = read_message(envelope.message()).document
    assert (found.kind, found.version, found.told()) == ("revocations", "2", "revocations version 2")
    assert read_message(parse_envelope(revocation_list(0, [OFFICER], [signers[0]])).message()).document.kind == (
        "revocations"
    )
