"""Whatever comes in, the signing engine answers or refuses, and only what it can read is signed."""

import base64
import contextlib
import json

import pytest
from bundles import small_manifest
from engines import Mounted
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.model.manifest import format_manifest
from bundler.model.provenance import PAYLOAD_TYPE, make_statement
from keystore.engines.request import Operation, RequestError
from keystore.engines.signing import Signing
from keystore.envelope import pae
from keystore.errors import KeystoreError, UseError
from keystore.revocation import REVOCATIONS_TYPE
from keystore.subject import read_document, read_message
from keystore.trust import ROOT_TYPE

unhurried = settings(deadline=None, max_examples=60)
DATA = format_manifest(small_manifest([b"one"])[0])
STATEMENT = make_statement(small_manifest([b"one"])[0], DATA, b"s")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
types = st.sampled_from([PAYLOAD_TYPE, REVOCATIONS_TYPE, ROOT_TYPE, "x"])
FIELDS = ("products", "kinds", "until", "approvals", "operators", "approval_ttl", "algorithm", "document", "input")
PATHS = (
    *("keys", "keys/{}", "keys/{}/use", "keys/{}/use/propose", "keys/{}/certificates", "proposals/{}", "pending/{}"),
    *("proposals/{}/{}", "approvals/{}/{}", "sign/{}/{}", "pending", "x"),
)


@unhurried
@given(st.binary(max_size=200) | st.builds(pae, types, st.binary(max_size=80)))
def test_a_message_is_read_or_refused(message: bytes) -> None:
    with pytest.raises(UseError):
        read_message(message)


@unhurried
@given(st.sampled_from([DATA, STATEMENT]), st.sampled_from(["name", "subject", "_type", "format", "platforms"]), values)
def test_an_altered_document_is_read_or_refused(data: bytes, field: str, value: object) -> None:
    altered = json.dumps({**json.loads(data), field: value}).encode()
    for act in (read_document, read_message, lambda one: read_message(pae(PAYLOAD_TYPE, one))):
        with contextlib.suppress(KeystoreError):
            act(altered)


@unhurried
@given(
    st.sampled_from(Operation),
    st.sampled_from(PATHS),
    st.sampled_from(["k", "zz", "A", "0" * 64]),
    st.dictionaries(
        st.sampled_from(FIELDS),
        values | st.sampled_from(["*", "a/b", "1h", "2027-01-01T00:00:00Z", base64.b64encode(DATA).decode()]),
        max_size=4,
    ),
)
def test_the_engine_answers_or_refuses(operation: Operation, path: str, name: str, data: dict[str, object]) -> None:
    mounted = Mounted(Signing())
    mounted.identity = "a/b"
    mounted.get("keys/k", algorithm="ed25519", products="*")
    with contextlib.suppress(RequestError):
        mounted.ask(operation, path.format(name, "0" * 64), data)
    assert "keys/k" in mounted.records.kept
