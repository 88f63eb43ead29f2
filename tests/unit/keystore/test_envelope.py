import base64
import json

import pytest

from keystore.envelope import open_envelope, pae, sign_envelope
from keystore.errors import KeystoreError, SignatureError

TYPE = "application/vnd.in-toto+json"


def _open(data, signers, threshold=1):
    return open_envelope(data, [signer.public for signer in signers], threshold, payload_type=TYPE)


def test_pae_of_the_specifications_example():
    # DSSE v1.0.2, protocol.md, test vectors.
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_an_envelope_is_canonical_and_repeats(signers):
    data = sign_envelope(TYPE, b"{}", signers)
    assert data == sign_envelope(TYPE, b"{}", signers[::-1])
    found = json.loads(data)
    assert data == json.dumps(found, sort_keys=True, separators=(",", ":")).encode()
    assert found["payload"] == "e30="
    assert [entry["keyid"] for entry in found["signatures"]] == sorted(signer.keyid for signer in signers)
    public = {signer.keyid: signer.public for signer in signers}
    for entry in found["signatures"]:
        public[entry["keyid"]].verify(base64.b64decode(entry["sig"]), pae(TYPE, b"{}"))


@pytest.mark.parametrize("threshold", [1, 2, 3])
def test_a_threshold_that_is_met(signers, threshold):
    assert _open(sign_envelope(TYPE, b"payload", signers), signers, threshold) == b"payload"


def test_a_threshold_that_is_missed(signers):
    with pytest.raises(SignatureError) as refused:
        _open(sign_envelope(TYPE, b"payload", signers[:2]), signers, 3)
    assert str(refused.value) == "envelope.signatures: expected signatures by 3 trusted keys, got 2"


def test_a_key_counts_once(signers):
    found = json.loads(sign_envelope(TYPE, b"payload", signers[:1]))
    found["signatures"] *= 2
    with pytest.raises(SignatureError, match="expected signatures by 2 trusted keys, got 1"):
        _open(json.dumps(found).encode(), [*signers, signers[0]], 2)


def test_unknown_keys_and_fields_are_passed_over(signers):
    found = json.loads(sign_envelope(TYPE, b"payload", signers))
    found["note"] = 1
    found["signatures"][0]["keyid"] = "another algorithm"
    known = [signer for signer in signers if signer.keyid == found["signatures"][1]["keyid"]]
    assert _open(json.dumps(found).encode(), known) == b"payload"
    with pytest.raises(SignatureError, match="got 0"):
        _open(sign_envelope(TYPE, b"payload", signers[:1]), signers[1:])


def test_no_signer_and_one_signer_twice_are_refused(signers):
    for given in ([], [signers[0], signers[0]]):
        with pytest.raises(KeystoreError, match="expected one or more signers with different keys"):
            sign_envelope(TYPE, b"payload", given)


def _set(**changes):
    return lambda envelope: {**envelope, **changes}


def _entry(**changes):
    return lambda envelope: {**envelope, "signatures": [{**envelope["signatures"][0], **changes}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda envelope: [envelope], "envelope: expected an object, got an array"),
        (_set(payload=5), "envelope.payload: expected a string, got a whole number"),
        (_set(payload="e30"), "envelope.payload: expected canonical base64, got something else"),
        (_set(payload="e3 0="), "envelope.payload: expected canonical base64, got something else"),
        (_set(payload="e31="), "envelope.payload: expected canonical base64, got something else"),
        (_set(payload="钥"), "envelope.payload: expected canonical base64, got something else"),
        (_set(payloadType="text"), f"envelope.payloadType: expected '{TYPE}', got 'text'"),
        (_set(payloadType=None), "envelope.payloadType: expected a string, got null"),
        (_set(signatures={}), "envelope.signatures: expected an array, got an object"),
        (_set(signatures=[]), "envelope.signatures: expected signatures by 1 trusted keys, got 0"),
        (_set(signatures=[1]), "envelope.signatures[0]: expected an object, got a whole number"),
        (_set(signatures=[{"sig": ""}]), "envelope.signatures[0].keyid: expected this field, got none"),
        (_entry(sig=True), "envelope.signatures[0].sig: expected a string, got true or false"),
        (_entry(sig="e3"), "envelope.signatures[0].sig: expected canonical base64, got something else"),
        (_entry(sig="e30="), "envelope.signatures[0].sig: expected the DER tag 0x30, got 0x7b"),
        (
            _set(payload="W10="),
            "envelope.signatures[0].sig: expected a signature of this message by this key, got one that does not match",
        ),
    ],
)
def test_altered_envelopes_are_refused(signers, change, message):
    altered = change(json.loads(sign_envelope(TYPE, b"{}", signers[:1])))
    with pytest.raises(SignatureError) as refused:
        _open(json.dumps(altered).encode(), signers)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected a JSON object, got something else"),
        (b"\xff", "expected a JSON object, got something else"),
        (b"{} {}", "expected a JSON object, got something else"),
        (b"[" * 100_000, "expected a JSON object, got something else"),
        (b'{"payload":' + b"9" * 5000 + b"}", "expected a JSON object, got something else"),
        (b'{"payload":1,"payload":2}', "expected a JSON object, got a duplicate key"),
        (b'{"payload":NaN}', "expected a JSON object, got 'NaN'"),
        (b'{"payloadType":"\\ud800"}', "expected this field, got none"),
    ],
)
def test_what_is_no_envelope_is_refused(signers, data, message):
    with pytest.raises(SignatureError) as refused:
        _open(data, signers)
    assert refused.value.message == message


@pytest.mark.parametrize("threshold", [0, -1])
def test_a_threshold_is_positive(signers, threshold):
    with pytest.raises(SignatureError, match=f"expected a threshold of 1 or more, got {threshold}"):
        _open(sign_envelope(TYPE, b"payload", signers), signers, threshold)
