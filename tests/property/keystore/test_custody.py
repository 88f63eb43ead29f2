"""Whatever lies in a custody's document, it is refused by a keystore's error and nothing else."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystore.custody import keeping
from keystore.custody.keyfile import KeyFileCustodian, parse_key
from keystore.custody.passphrase import PassphraseCustodian
from keystore.errors import KeystoreError

unhurried = settings(deadline=None, max_examples=80)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.just("AAAA") | st.just("sm4-gcm"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(("cipher", "sealed", "kdf", "x")), inner)
    ),
    max_leaves=6,
)
KEY = KeyFileCustodian(profile="gm", key=bytes(32))
PHRASE = PassphraseCustodian(profile="gm", passphrase="a sentence of one operator")
FIELDS = ("format", "version", "kind", "store", "created", "form")


@unhurried
@given(values)
def test_a_form_is_refused(form: object) -> None:
    for custodian in (KEY, PHRASE):
        with pytest.raises(KeystoreError):
            custodian.unseal(form, b"bound", "form")


@unhurried
@given(st.binary(max_size=90))
def test_a_key_is_a_line_or_refused(line: bytes) -> None:
    with contextlib.suppress(KeystoreError):
        assert len(parse_key(line, "key")) == 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("store")
    (found / "custody").mkdir()
    return found


@unhurried
@given(st.sampled_from(FIELDS), values)
def test_a_document_is_read_or_refused(folder: Path, field: str, value: object) -> None:
    good = {"format": "ferry-custody", "version": 1, "kind": "keyfile", "store": "s", "created": "", "form": {}}
    path = folder / "custody/one.json"
    path.write_text(json.dumps({**good, "created": "2026-01-01T00:00:00Z", field: value}))
    with contextlib.suppress(KeystoreError):
        assert keeping.read(folder, "one").name == "one"
