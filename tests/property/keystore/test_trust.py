"""Trust documents: any bytes are refused as they should be, any chain is followed only where every link is signed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trusted import BEGIN

from bundler.errors import IntegrityError
from bundler.model.trust import TrustDocument, fill, format_trust, padded, parse_trust
from keystore import ed25519
from keystore.envelope import sign_envelope, unsigned_envelope
from keystore.errors import SignatureError
from keystore.revocation import REVOCATIONS_TYPE, Revocations, parse_revocations
from keystore.trust import ROOT_TYPE, Revocation, Role, Root, parse_root, satisfied, walk

KEYS = tuple(ed25519.PrivateKey(bytes([number]) * 32) for number in range(1, 6))
NOW = datetime(2026, 6, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 10**9).map(lambda seconds: BEGIN + timedelta(seconds=seconds))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text('ab"é\ud800', max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=5,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        name: JSON | st.sampled_from(["ferry/root/v1", "ferry/revocations/v1", "ferry/trust/v1", 1, 0, {}, []])
        for name in ("format", "version", "created", "expires", "keys", "roles", "revoked", "roots", "certificates")
    },
)


@st.composite
def roles(draw: st.DrawFn, name: str) -> Role:
    keys = draw(st.sets(st.sampled_from(KEYS), min_size=1))
    return Role.of(name, [key.public for key in keys], draw(st.integers(1, len(keys))))


@st.composite
def roots(draw: st.DrawFn, version: int | None = None) -> Root:
    return Root(
        version=draw(st.integers(1, 10**9)) if version is None else version,
        created=draw(MOMENTS),
        expires=draw(st.none() | MOMENTS),
        root=draw(roles("root")),
        release=draw(roles("release")),
    )


@given(roots())
def test_a_root_document_comes_back_as_it_went(root: Root) -> None:
    assert parse_root(unsigned_envelope(ROOT_TYPE, root.encode())) == root


@given(st.integers(0, 10**9), MOMENTS, st.sets(st.sampled_from("0123456789abcdef")), st.text("abc é§", min_size=1))
def test_a_list_of_revoked_keys_comes_back_as_it_went(
    version: int, created: datetime, keys: set[str], reason: str
) -> None:
    revoked = tuple(Revocation(keyid=one * 64, since=created, reason=reason) for one in sorted(keys))
    made = Revocations(version=version, created=created, revoked=revoked)
    assert parse_revocations(unsigned_envelope(REVOCATIONS_TYPE, made.encode())) == made


@given(st.binary(max_size=200) | FIELDS.map(lambda value: json.dumps(value).encode()))
def test_any_other_payload_is_refused_as_what_it_is(payload: bytes) -> None:
    for parse, kind in ((parse_root, ROOT_TYPE), (parse_revocations, REVOCATIONS_TYPE)):
        with pytest.raises(SignatureError):
            parse(unsigned_envelope(kind, payload))
        with pytest.raises(SignatureError):
            parse(payload)


@given(st.binary(max_size=200) | FIELDS.map(lambda value: json.dumps(value, sort_keys=True).encode()))
def test_any_other_trust_entry_is_refused_as_damaged(data: bytes) -> None:
    with pytest.raises(IntegrityError):
        parse_trust(data)


@given(st.lists(roots(), max_size=3), st.lists(st.text("ABC-\n", max_size=20), max_size=3))
def test_a_trust_entry_comes_back_as_it_went_whatever_its_padding(
    documents: list[Root], certificates: list[str]
) -> None:
    carried = TrustDocument(
        roots=tuple(unsigned_envelope(ROOT_TYPE, one.encode()) for one in documents),
        revocations=unsigned_envelope(REVOCATIONS_TYPE, b"x"),
        certificates=tuple(pem.encode() for pem in certificates),
    )
    text = format_trust(carried)
    room = padded(text)
    assert parse_trust(text) == parse_trust(room) == parse_trust(fill(text, len(room), "here")) == carried


@st.composite
def links(draw: st.DrawFn) -> tuple[list[Root], list[list[ed25519.PrivateKey]]]:
    """Return root documents of versions 1, 2 ..., mostly, and who signed each of them."""
    versions = draw(st.lists(st.integers(0, 3), max_size=3))
    documents = [draw(roots(version=1))]
    for step in versions:
        # Mostly one more; nothing (another document of the same version) and a gap are refused.
        documents.append(draw(roots(version=documents[-1].version + (1 if step else 0) + (step == 3))))
    signers = [draw(st.lists(st.sampled_from(KEYS), unique=True, min_size=1)) for _ in documents]
    return documents, signers


def _follows(documents: list[Root], signers: list[list[ed25519.PrivateKey]]) -> bool:
    """Say by the rules alone whether each document follows the one before it."""

    def enough(role: Role, keys: list[ed25519.PrivateKey]) -> bool:
        return len({key.keyid for key in keys} & {key.keyid for key in role.keys}) >= role.threshold

    before = documents[0]
    for found, keys in zip(documents[1:], signers[1:], strict=True):
        if found.version == before.version:
            if found != before:
                return False
            continue
        if found.version != before.version + 1 or not (enough(before.root, keys) and enough(found.root, keys)):
            return False
        before = found
    return True


@given(links())
@settings(max_examples=60)
def test_a_chain_is_followed_only_where_every_link_is_signed_by_both(
    chain: tuple[list[Root], list[list[ed25519.PrivateKey]]],
) -> None:
    documents, signers = chain
    envelopes = [sign_envelope(ROOT_TYPE, one.encode(), keys) for one, keys in zip(documents, signers, strict=True)]
    if _follows(documents, signers):
        assert walk(documents[0], envelopes, now=None) == documents[-1]
    else:
        with pytest.raises(SignatureError):
            walk(documents[0], envelopes, now=None)


@given(roles("release"), st.lists(st.sampled_from(KEYS)), st.sets(st.sampled_from(KEYS)))
def test_a_role_counts_each_of_its_keys_once_and_no_revoked_one(
    role: Role, signed: list[ed25519.PrivateKey], lost: set[ed25519.PrivateKey]
) -> None:
    revoked = [Revocation(keyid=key.keyid, since=NOW, reason="lost") for key in lost]
    counted = {key.keyid for key in signed} & {key.keyid for key in role.keys} - {key.keyid for key in lost}
    if len(counted) >= role.threshold:
        assert {key.keyid for key in satisfied(role, [key.public for key in signed], revoked)} == counted
    else:
        with pytest.raises(SignatureError):
            satisfied(role, [key.public for key in signed], revoked)
