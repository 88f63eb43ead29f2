import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from keystore import ed25519, p256
from keystore.envelope import add_signature, sign_envelope, signed_by, unsigned_envelope
from keystore.errors import SignatureError
from keystore.revocation import REVOCATIONS_TYPE, Revocations, open_revocations
from keystore.trust import ROOT_TYPE, Revocation, Role, Root, check_root, parse_root, satisfied, walk

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEYS = sorted(
    [*(ed25519.PrivateKey(bytes([n]) * 32) for n in range(1, 4)), p256.PrivateKey(7)], key=lambda key: key.keyid
)
A, B, C, D = KEYS
SHORT = [key.keyid[:16] for key in KEYS]


def _root(version=1, root=(A, B), threshold=2, release=(C,), expires=datetime(2027, 1, 1, tzinfo=UTC)):
    return Root(
        version=version,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        expires=expires,
        root=Role.of("root", [key.public for key in root], threshold),
        release=Role.of("release", [key.public for key in release], 1),
    )


def _signed(root, *signers):
    return sign_envelope(ROOT_TYPE, root.encode(), signers)


def _refused(act):
    with pytest.raises(SignatureError) as refused:
        act()
    assert refused.value.exit_code == 7
    return str(refused.value)


def test_a_root_document_signs_itself():
    envelope = _signed(_root(), A, B)
    assert check_root(envelope) == parse_root(envelope) == _root()
    assert _refused(lambda: check_root(_signed(_root(), A, C))) == (
        f"root version 1: expected signatures by 2 of the root role's keys, got 1 ({SHORT[0]})"
    )


def test_signatures_are_added_one_by_one():
    envelope = unsigned_envelope(ROOT_TYPE, _root().encode())
    for signer in (B, A):
        envelope = add_signature(envelope, signer)
    assert envelope == _signed(_root(), A, B)
    assert _refused(lambda: add_signature(envelope, A)) == (
        f"envelope.signatures: expected no signature by the key {A.keyid}, got one"
    )
    assert signed_by(envelope, [D.public, B.public], payload_type=ROOT_TYPE) == (_root().encode(), (B.public,))


def test_rotation_needs_the_old_and_the_new_keys():
    second = _root(2, root=(B, C, D))
    assert walk(_root(), [_signed(_root(), A, B), _signed(second, A, B, C)], now=NOW) == second
    third = _root(3, root=(C, D))
    chain = [_signed(second, A, B, C), _signed(third, C, D)]
    assert walk(_root(), chain, now=NOW) == third
    assert walk(second, chain, now=NOW) == third
    assert _refused(lambda: walk(_root(), [_signed(second, B, C, D)], now=NOW)) == (
        f"root version 2, by the role before it: expected signatures by 2 of the root role's keys, got 1 ({SHORT[1]})"
    )
    assert _refused(lambda: walk(_root(), [_signed(second, A, B)], now=NOW)) == (
        f"root version 2: expected signatures by 2 of the root role's keys, got 1 ({SHORT[1]})"
    )


def test_versions_are_neither_skipped_nor_replaced():
    assert _refused(lambda: walk(_root(), [_signed(_root(3), A, B)], now=NOW)) == (
        "root.version: expected version 2, got 3"
    )
    assert _refused(lambda: walk(_root(), [_signed(_root(release=(D,)), A, B)], now=NOW)) == (
        "root.version: expected the same root document of version 1 that is trusted here, got another"
    )
    newer = _root(5)
    assert walk(newer, [_signed(_root(4), A, B), _signed(newer, A, B)], now=NOW) == newer


def test_the_last_document_must_not_be_over():
    late = datetime(2027, 1, 1, tzinfo=UTC)
    assert _refused(lambda: walk(_root(), [], now=late)) == (
        "root version 1: expected a root document that is not over, got one that ended at 2027-01-01T00:00:00Z"
    )
    assert walk(_root(), [], now=None) == _root()
    assert walk(_root(), [_signed(_root(2, expires=None), A, B)], now=late).version == 2


def test_a_wrong_signature_of_a_known_key_is_refused():
    other = json.loads(_signed(_root(2), A, B))
    first = json.loads(_signed(_root(), A, B))
    mixed = json.dumps({**first, "signatures": other["signatures"]}).encode()
    assert _refused(lambda: check_root(mixed)) == (
        "envelope.signatures[0].sig: expected a signature of this message by this key, got one that does not match"
    )


def _change(**changes):
    return lambda found: {**found, **changes}


def _role(name, **changes):
    return lambda found: {**found, "roles": {**found["roles"], name: {**found["roles"][name], **changes}}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_change(format="ferry/root/v2"), "root.format: expected 'ferry/root/v1', got 'ferry/root/v2'"),
        (_change(version=0), "root.version: expected 1 or more, got 0"),
        (_change(version=True), "root.version: expected a whole number, got true or false"),
        (_change(more=1), "root: expected no other field, got 'more'"),
        (_change(created="now"), "root.created: expected a time such as '2026-01-31T12:00:00Z', got 'now'"),
        (
            _change(expires="2027-1-01T00:00:00Z"),
            "root.expires: expected a time such as '2026-01-31T12:00:00Z', got '2027-1-01T00:00:00Z'",
        ),
        (_role("root", threshold=0), "roles.root.threshold: expected a threshold of 1 to 2, the number of keys, got 0"),
        (_role("root", threshold=3), "roles.root.threshold: expected a threshold of 1 to 2, the number of keys, got 3"),
        (_role("root", keyids=[A.keyid] * 2), "root.roles.root.keyids: expected every key once, got one twice"),
        (
            _role("release", keyids=["0" * 64]),
            "root.roles.release.keyids[0]: expected a keyid that `keys` has, got another",
        ),
        (_role("release", keyids=[A.keyid]), f"root.keys: expected keys of a role alone, got {C.keyid}"),
        (
            lambda found: {**found, "keys": {**found["keys"], A.keyid: B.public.pem()}},
            f"root.keys.{A.keyid}: expected '{B.keyid}', got '{A.keyid}'",
        ),
        (
            lambda found: {**found, "keys": {**found["keys"], A.keyid: "x"}},
            f"root.keys.{A.keyid}: expected one PEM block 'PUBLIC KEY', got something else",
        ),
        (_role("root", keyids=[B.keyid, A.keyid]), "root: expected canonical JSON, got another form"),
    ],
)
def test_other_root_documents_are_refused(change, message):
    payload = json.dumps(change(json.loads(_root().encode())), sort_keys=True, separators=(",", ":")).encode()
    assert _refused(lambda: parse_root(sign_envelope(ROOT_TYPE, payload, [A, B]))) == message


def test_a_role_is_satisfied_by_its_own_unrevoked_keys():
    role = Role.of("release", [A.public, B.public, C.public], 2)
    lost = Revocation(keyid=B.keyid, since=NOW, reason="laptop stolen")
    assert satisfied(role, [C.public, A.public, D.public, A.public]) == (A.public, C.public)
    assert _refused(lambda: satisfied(role, [A.public, B.public, D.public], [lost])) == (
        f"expected signatures by 2 of the release role's keys, got 1 ({SHORT[0]}); revoked: {SHORT[1]} (laptop stolen)"
    )
    assert _refused(lambda: satisfied(role, [], place="bundle")) == (
        "bundle: expected signatures by 2 of the release role's keys, got 0"
    )


def test_demanded_schemes_each_reach_the_threshold():
    edwards = [key.public for key in KEYS if key.public.scheme == "ed25519"]
    (other,) = (key.public for key in KEYS if key.public.scheme != "ed25519")
    role = Role.of("release", [*edwards, other], 1)
    both = ("ed25519", "ecdsa-p256-sha256")
    assert set(satisfied(role, [edwards[0], other], demands=both)) == {edwards[0], other}
    assert _refused(lambda: satisfied(role, edwards, demands=both)) == (
        "expected ecdsa-p256-sha256 signatures by 1 of the release role's keys, got 0"
    )


def _list(*revoked, version=1):
    return Revocations(version=version, created=NOW, revoked=revoked)


def test_revocations_are_signed_by_the_role():
    role = _root().root
    found = _list(Revocation(keyid=C.keyid, since=NOW, reason="丢失"))
    envelope = sign_envelope(REVOCATIONS_TYPE, found.encode(), [A, B])
    assert open_revocations(envelope, role) == found
    few = sign_envelope(REVOCATIONS_TYPE, found.encode(), [A])
    assert _refused(lambda: open_revocations(few, role)) == (
        f"revocations version 1: expected signatures by 2 of the root role's keys, got 1 ({SHORT[0]})"
    )
    assert _refused(lambda: open_revocations(_signed(_root(), A, B), role)) == (
        f"envelope.payloadType: expected '{REVOCATIONS_TYPE}', got '{ROOT_TYPE}'"
    )


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (_list(version=-1), "revocations.version: expected 0 or more, got -1"),
        (
            _list(Revocation(keyid="A", since=NOW, reason="x")),
            "revocations.revoked[0].keyid: expected a keyid of 64 hexadecimal digits, got 'A'",
        ),
        (
            _list(Revocation(keyid=A.keyid, since=NOW, reason="a\nb")),
            "revocations.revoked[0].reason: expected a reason of 1 to 200 printable characters, got another",
        ),
        (
            _list(*[Revocation(keyid=A.keyid, since=NOW, reason="x")] * 2),
            "revocations.revoked: expected different keys, ordered by keyid, got others",
        ),
    ],
)
def test_other_revocations_are_refused(found, message):
    envelope = sign_envelope(REVOCATIONS_TYPE, found.encode(), [A, B])
    assert _refused(lambda: open_revocations(envelope, _root().root)) == message


def test_a_role_made_in_the_wrong_order_is_refused():
    with pytest.raises(SignatureError, match=r"^roles\.root: expected different keys, ordered by keyid"):
        replace(_root().root, keys=(B.public, A.public))
