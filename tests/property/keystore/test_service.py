"""Whatever a stranger sends, the parsers of the service answer with their own errors alone."""

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from keystore import certificate, chain, der, encoding, shamir
from keystore.access import duration, hcl, password, policy
from keystore.access.acl import Acl
from keystore.access.batch import BatchSeal
from keystore.barrier.cipher import SUITES
from keystore.engines.request import RequestError
from keystore.errors import KeystoreError
from keystore.server import http
from keystore.service import inbound

_PIECES = st.sampled_from(
    [
        'path "',
        '"',
        "{",
        "}",
        "[",
        "]",
        "=",
        ",",
        "capabilities",
        '"read"',
        "#",
        "/*",
        "*/",
        "\\",
        "\n",
        "+",
        "*",
        "1",
        "true",
    ]
)


@given(st.one_of(st.text(), st.lists(_PIECES).map(" ".join), st.lists(_PIECES).map("".join)))
def test_a_policy_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(KeystoreError):
        Acl(policy.parse(text)).capabilities("secret/data/x")


_RULES = st.sampled_from(
    ["length", "=", "8", "-1", 'rule "charset" {', "}", "charset", '"abc"', "min-chars", "2", "{", "[", '"rule"', ":"]
)


@given(st.one_of(st.text(), st.lists(_RULES).map(" ".join)))
def test_a_password_policy_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(KeystoreError):
        made = password.parse(text)
        assert made.length >= 4
        assert made.charset


@given(st.text(max_size=40))
def test_a_duration_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(KeystoreError):
        assert duration.parse(text, "ttl") >= 0


@given(st.one_of(st.binary(), st.text().map(str.encode), st.builds(lambda a: b'{"a":' + a + b"}", st.binary())))
def test_a_body_is_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(RequestError):
        assert isinstance(inbound.parse(body), dict)


_HEAD = st.lists(
    st.sampled_from([b"GET ", b"/v1/x", b" HTTP/1.1", b"\r\n", b"Content-Length: ", b"3", b":", b" ", b"%ff", b"?a=%"])
)


@given(st.one_of(st.binary(), _HEAD.map(b"".join)))
def test_a_head_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(http.HttpError):
        head = http.parse_head(data)
        assert (head.path, head.query) is not None


@given(st.binary(max_size=200), st.integers(1, 50))
def test_chunks_do_not_depend_on_how_they_arrive(body: bytes, step: int) -> None:
    data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if body else b"0\r\n\r\n"
    chunks, buffer, done = http.Chunks(), bytearray(), False
    for start in range(0, len(data), step):
        buffer += data[start : start + step]
        done = chunks.feed(buffer) or done
    assert (done, bytes(chunks.body), bytes(buffer)) == (True, body, b"")


@given(st.binary(min_size=1, max_size=64), st.integers(2, 12), st.data())
def test_a_secret_comes_back_from_any_of_its_shares(secret: bytes, threshold: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(threshold, 20))
    shares = shamir.split(secret, count, threshold)
    chosen = data.draw(st.permutations(shares))[:threshold]
    assert shamir.combine(chosen) == secret


@given(st.one_of(st.text(), st.lists(_PIECES).map(" ".join)))
def test_hcl_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(KeystoreError):
        assert isinstance(hcl.parse(text), list)


_TAGS = st.sampled_from([b"\x30", b"\x02", b"\x03", b"\x04", b"\x06", b"\xa0", b"\x80", b"\x01\x00", b"\x82\x01\x00"])
_DER = st.one_of(st.binary(), st.lists(st.one_of(_TAGS, st.binary(max_size=3))).map(b"".join))


@given(_DER)
def test_der_is_read_or_refused(data: bytes) -> None:
    for read in (
        lambda: list(der.Reader(data, "x").elements()),
        lambda: encoding.decode_public(data),
        lambda: encoding.decode_private(data),
        lambda: encoding.decode_ed25519_private(data),
        lambda: certificate.parse_certificate(encoding.encode_pem("CERTIFICATE", data).encode()),
    ):
        with contextlib.suppress(KeystoreError):
            read()


@given(
    st.one_of(st.binary(), st.dictionaries(st.text(), st.integers()).map(lambda found: repr(found).encode() + b"\n"))
)
def test_a_line_of_an_audit_is_read_or_refused(data: bytes) -> None:
    with contextlib.suppress(KeystoreError):
        chain.parse_line(data, "x")


_BATCH = BatchSeal(SUITES["gm"], "store", lambda purpose, data: (purpose.encode() + data).ljust(32, b"x")[:32])


@given(st.binary(max_size=500))
def test_a_batch_token_comes_back_as_it_went(content: bytes) -> None:
    assert _BATCH.unseal(_BATCH.seal(content)) == content


@given(st.one_of(st.text(), st.text(alphabet="ABCDabcd0129-_=")))
def test_any_other_text_is_no_batch_token(text: str) -> None:
    assert _BATCH.unseal("hvb." + text) is None
