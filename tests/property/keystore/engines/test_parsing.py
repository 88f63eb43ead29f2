"""Whatever comes in, an engine answers or refuses; nothing else leaks."""

import contextlib
import string

import pytest
from engines import Mounted
from hypothesis import given, settings
from hypothesis import strategies as st

from keystore.engines.body import Body, decode_base64, encode_base64, parse_seconds
from keystore.engines.pki import Pki, certificates, names, role
from keystore.engines.pki.record import parse_issuer, parse_key
from keystore.engines.pki.role import Role, parse_role
from keystore.engines.request import Operation, RequestError
from keystore.engines.transit import Transit, key, text
from keystore.errors import KeystoreError

unhurried = settings(deadline=None)
few = settings(max_examples=60, deadline=None)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
LEAVES = ("", "a", "k", "latest", "internal", "pem", "zz", "../x", "plaintext")
FIELDS = (
    *("plaintext", "ciphertext", "context", "associated_data", "key_version", "batch_input", "input", "signature"),
    *("hmac", "type", "derived", "bits", "exportable", "min_decryption_version", "auto_rotate_period", "backup"),
    *("hash_algorithm", "salt_length", "prehashed", "name", "bytes", "marshaling_algorithm", "format", "usage"),
    *("common_name", "alt_names", "ip_sans", "uri_sans", "other_sans", "ttl", "not_after", "csr", "certificate"),
    *("serial_number", "pem_bundle", "key_usage", "key_type", "key_bits", "max_path_length", "allowed_domains"),
    *("issuer_name", "expiry", "safety_buffer", "permitted_dns_domains", "organization", "use_csr_values"),
)
LIKELY = (
    *(
        "",
        "AAAA",
        "aGk=",
        "vault:v1:AAAA",
        "vault:v1:" + "A" * 80,
        "1h",
        "-1h",
        "a.example",
        "*.a.example",
        "u@a",
        "::1",
    ),
    *("1.2.3;UTF8:x", "urn:x", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+00:00", "aa:bb", "default", "any", "sm3"),
    *(0, 1, -1, 2**31, 2**62, True, [{"plaintext": ""}], [{"input": "aGk=", "signature": "vault:v1:AAAA"}]),
    *("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n" * 2, "x" * 300, "\0", "\ud800", "密"),
    "-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n",
)
KINDS = ("ed25519", "any", "zz", 5, None)
bodies = st.dictionaries(st.sampled_from(FIELDS), values | st.sampled_from(LIKELY), max_size=5)
operations = st.sampled_from(Operation)
TRANSIT = (
    *("keys", "keys/{}", "keys/{}/config", "keys/{}/rotate", "keys/{}/trim", "encrypt/{}", "decrypt/{}", "rewrap/{}"),
    *("datakey/plaintext/{}", "sign/{}", "verify/{}", "hmac/{}", "random/{}", "hash/{}", "export/signing-key/{}"),
    *("backup/{}", "restore/{}"),
)
PKI = (
    *("intermediate/generate/{}", "intermediate/set-signed", "config/ca", "config/urls", "config/crl", "roles"),
    *("roles/{}", "issue/{}", "sign/{}", "sign-verbatim", "root/generate/{}", "root/sign-intermediate"),
    *("root/sign-self-issued", "revoke", "cert/{}", "cert/{}/raw", "lease/{}", "crl", "tidy", "issuer/{}"),
    *("issuer/{}/revoke", "key/{}", "config/issuers"),
)


@pytest.fixture(scope="module")
def transit():
    mounted = Mounted(Transit())
    for name, kind in (("a", "aes256-gcm96"), ("k", "ed25519")):
        mounted.get(f"keys/{name}", type=kind, exportable=True, allow_plaintext_backup=True)
    return mounted


@pytest.fixture(scope="module")
def pki():
    mounted = Mounted(Pki(default_kind="ed25519"))
    mounted.get("root/generate/internal", common_name="Root", issuer_name="a")
    mounted.get("roles/k", key_type="ed25519", allow_any_name=True)
    return mounted


def _answers_or_refuses(mounted, operation, path, data):
    before = dict(mounted.records.kept)
    try:
        mounted.ask(operation, path, data)
    except RequestError as error:
        status = error.status
    else:
        status = 200
    mounted.records.kept = before
    assert status in (200, 400, 404, 405)


@few
@given(operations, st.sampled_from(TRANSIT), st.sampled_from(LEAVES), bodies)
def test_transit_answers_or_refuses(transit, operation, path, leaf, data):
    if data.get("type") not in ("rsa-3072", "rsa-4096"):
        _answers_or_refuses(transit, operation, path.format(leaf), data)


@few
@given(operations, st.sampled_from(PKI), st.sampled_from(LEAVES), bodies)
def test_pki_answers_or_refuses(pki, operation, path, leaf, data):
    _answers_or_refuses(
        pki, operation, path.format(leaf), data if data.get("key_type") in KINDS else {**data, "key_type": "ed25519"}
    )


@unhurried
@given(values)
def test_fields_are_read_or_refused(value):
    body = Body(fields={"x": value})
    for read in (body.text, body.flag, body.number, body.seconds, body.names, body.octets):
        with contextlib.suppress(RequestError):
            read("x")


@unhurried
@given(st.binary(max_size=100))
def test_base64_round_trips(data):
    assert decode_base64(encode_base64(data)) == data


@unhurried
@given(st.integers(0, 9999), st.integers(0, 59), st.integers(0, 59))
def test_durations_add_up(hours, minutes, seconds):
    assert parse_seconds(f"{hours}h{minutes}m{seconds}s", "t") == hours * 3600 + minutes * 60 + seconds


@unhurried
@given(st.integers(0, 10**8), st.text(alphabet=string.ascii_letters + "+/=", max_size=30))
def test_texts_of_versions_round_trip(version, encoded):
    assert text.split(text.write(version, encoded), "x") == (version, encoded)


@unhurried
@given(st.text(max_size=30))
def test_other_texts_of_versions_are_refused_or_read(found):
    try:
        version, encoded = text.split(found, "x")
    except RequestError:
        return
    assert text.split(text.write(version, encoded), "x") == (version, encoded)


@unhurried
@given(st.binary(max_size=200))
def test_junk_is_no_record(data):
    for parse in (key.parse_key, parse_key, parse_issuer, parse_role):
        with pytest.raises(KeystoreError):
            parse(data, "r")


@unhurried
@given(st.lists(st.text(alphabet=string.ascii_letters + ".*-@密", min_size=1, max_size=10), max_size=4))
def test_roles_round_trip(domains):
    found = role.read_role(Body(fields={"allowed_domains": domains}))
    assert parse_role(found.encode(), "r") == found
    assert role.read_role(Body(fields=role.tell(found))) == found


@unhurried
@given(st.integers(1, 2**159))
def test_serials_round_trip(number):
    told = certificates.told_serial(number)
    assert int(told.replace(":", ""), 16) == number
    assert certificates.normal_serial(told.replace(":", "-").upper()) == told


@unhurried
@given(st.text(alphabet="ab*", max_size=8), st.text(alphabet="ab", max_size=12))
def test_patterns_fit_as_a_plain_search_says(pattern, found):
    assert names.matches(pattern, found) is _slow(pattern, found)


def _slow(pattern, found):
    if not pattern:
        return not found
    if pattern[0] == "*":
        return any(_slow(pattern[1:], found[skip:]) for skip in range(len(found) + 1))
    return found[:1] == pattern[0] and _slow(pattern[1:], found[1:])


@unhurried
@given(st.text(max_size=40))
def test_a_role_with_no_domains_lets_nobody_in(name):
    assert names.allowed(Role(allow_localhost=False), name) is False


@unhurried
@given(st.text(max_size=40))
def test_whatever_a_role_lets_in_lies_below_its_domain(name):
    found = Role(allowed_domains=("example.com",), allow_subdomains=True, allow_localhost=False)
    for candidate in (name, f"{name}.example.com"):
        if names.allowed(found, candidate):
            assert candidate.lower().endswith(".example.com")
            assert candidate.isascii()
