import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystore import curve, der, document, encoding, scheme
from keystore.envelope import open_envelope, pae, sign_envelope
from keystore.errors import KeystoreError, SignatureError
from keystore.file import FileSigner
from keystore.sm2 import PrivateKey, PublicKey

KEY = PrivateKey(0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8)
SIGNER = FileSigner(KEY, b"h" * 32)
few = settings(max_examples=10, deadline=None)
scalars = st.integers(min_value=1, max_value=curve.N - 2)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@few
@given(st.binary(max_size=300))
def test_what_is_signed_verifies_and_repeats(message):
    signature = SIGNER.sign(message)
    KEY.public.verify(signature, message)
    assert SIGNER.sign(message) == signature


@few
@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_a_flipped_bit_is_refused(position, bit):
    signature = bytearray(SIGNER.sign(b"message"))
    signature[position % len(signature)] ^= 1 << bit
    with pytest.raises(SignatureError):
        KEY.public.verify(bytes(signature), b"message")


@given(st.binary(max_size=100))
def test_junk_leaks_no_other_error(data):
    for act in (
        lambda: KEY.public.verify(data, b"message"),
        lambda: PublicKey.from_der(data),
        lambda: PublicKey.from_pem(data),
        lambda: encoding.decode_private(data),
        lambda: open_envelope(data, [KEY.public], 1, payload_type="text"),
    ):
        with pytest.raises(SignatureError):
            act()


@few
@given(scalars)
def test_keys_round_trip(scalar):
    key = PrivateKey(scalar)
    assert PrivateKey.from_pem(key.pem()).octets() == key.octets()
    assert PublicKey.from_pem(key.public.pem()) == key.public


@few
@given(scalars, scalars)
def test_all_engines_compute_the_same(scalar, other):
    always, found = curve.Gmssl(), curve.engine()
    point = always.multiply(other, None)
    assert found.multiply(scalar, None) == always.multiply(scalar, None) == always.multiply(scalar, curve.G)
    assert found.multiply(scalar, point) == always.multiply(scalar, point)
    assert found.combine(scalar, other, point) == always.combine(scalar, other, point)


@given(st.integers(min_value=0, max_value=2**520), st.integers(min_value=0, max_value=2**520))
def test_der_pairs_round_trip(r, s):
    assert scheme.decode_signature(scheme.encode_signature(r, s)) == (r, s)


@given(st.binary(max_size=80))
def test_der_has_one_encoding_per_pair(data):
    wrapped = der.encode(der.SEQUENCE, data)
    try:
        pair = scheme.decode_signature(wrapped)
    except SignatureError:
        return
    assert scheme.encode_signature(*pair) == wrapped


@given(st.binary(max_size=70_000 // 64))
def test_der_lengths_round_trip(data):
    reader = der.Reader(der.encode(der.OCTET_STRING, data), "value")
    assert reader.take(der.OCTET_STRING) == data
    reader.end()


@few
@given(scalars, st.integers(min_value=0, max_value=2**256 - 1), st.binary(max_size=40))
def test_nonces_are_in_range_and_depend_on_all(scalar, e, hedge):
    nonce = next(scheme.nonces(scalar, e, hedge))
    assert 0 < nonce < curve.N
    assert nonce != next(scheme.nonces(scalar, e, hedge + b"x"))
    assert nonce != next(scheme.nonces(scalar, e + 1, hedge))


@few
@given(st.text(max_size=40), st.binary(max_size=200))
def test_envelopes_round_trip(kind, payload):
    data = sign_envelope(kind, payload, [SIGNER])
    assert open_envelope(data, [KEY.public], 1, payload_type=kind) == payload


@given(st.tuples(st.text(), st.binary()), st.tuples(st.text(), st.binary()))
def test_pae_is_injective(one, two):
    assert (pae(*one) == pae(*two)) is (one == two)


@given(st.dictionaries(st.text(), values))
def test_documents_round_trip(value):
    assert document.parse(document.canonical(value), "d") == value
    assert document.parse(document.readable(value), "d") == value


@given(values.filter(lambda value: not isinstance(value, dict)))
def test_only_objects_are_documents(value):
    with pytest.raises(KeystoreError, match="expected an object"):
        document.parse(json.dumps(value).encode(), "d")


@given(st.text(max_size=12))
def test_base64_has_one_form(text):
    try:
        data = document.decode_base64(text, "d")
    except KeystoreError:
        return
    assert document.encode_base64(data) == text
