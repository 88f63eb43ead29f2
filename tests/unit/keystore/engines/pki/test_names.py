"""Which names a role lets in."""

import dataclasses

import pytest

from keystore.engines.body import Body
from keystore.engines.pki import names, role
from keystore.engines.pki.role import Role
from keystore.engines.request import RequestError
from keystore.errors import KeystoreError

DOMAIN = ("example.com",)


@pytest.mark.parametrize(
    ("fields", "name", "fits"),
    [
        ({}, "a.example.com", False),
        ({"allow_subdomains": True}, "a.example.com", True),
        ({"allow_subdomains": True}, "A.Example.COM", True),
        ({"allow_subdomains": True}, "b.a.example.com", True),
        ({"allow_subdomains": True}, "example.com", False),
        ({"allow_subdomains": True}, "badexample.com", False),
        ({"allow_subdomains": True}, "a.example.com.evil.org", False),
        ({"allow_subdomains": True}, "*.example.com", True),
        ({"allow_subdomains": True}, "f*.example.com", True),
        ({"allow_subdomains": True}, "*.*.example.com", False),
        ({"allow_subdomains": True}, "a.*.example.com", False),
        ({"allow_subdomains": True, "allow_wildcard_certificates": False}, "*.example.com", False),
        ({"allow_subdomains": True}, "a b.example.com", False),
        ({"allow_subdomains": True}, "a_b.example.com", False),
        ({"allow_subdomains": True, "enforce_hostnames": False}, "a_b.example.com", True),
        ({"allow_subdomains": True}, "-a.example.com", False),
        ({"allow_subdomains": True}, f"{'a' * 64}.example.com", False),
        ({"allow_subdomains": True}, "a..example.com", False),
        ({"allow_subdomains": True}, ".example.com", False),
        ({"allow_subdomains": True}, "a\0.example.com", False),
        ({"allow_subdomains": True}, "a.example.com\n", False),
        ({"allow_bare_domains": True}, "example.com", True),
        ({"allow_bare_domains": True}, "a.example.com", False),
        ({"allow_bare_domains": True}, "user@example.com", True),
        ({"allow_subdomains": True}, "user@example.com", False),
        ({"allow_subdomains": True}, "user@a.example.com", True),
        ({"allow_subdomains": True}, "\x80@a.example.com", False),
        ({"allow_subdomains": True}, "\u212a.example.com", False),
        ({"allow_subdomains": True, "enforce_hostnames": False}, "\u212a.example.com", False),
        ({"allow_any_name": True, "enforce_hostnames": False}, "张三", True),
        ({"allow_subdomains": True}, "u@evil.org@a.example.com", False),
        ({"allow_subdomains": True}, "u v@a.example.com", False),
        ({"allow_subdomains": True}, "@a.example.com", False),
        ({}, "localhost", True),
        ({"allow_localhost": False}, "localhost", False),
        ({"allow_any_name": True}, "anything.at.all", True),
        ({"allow_any_name": True}, "not a host", False),
        ({"allow_any_name": True, "enforce_hostnames": False}, "not a host", True),
        ({"allowed_domains": ("*.ex*.com",)}, "a.example.com", False),
        ({"allowed_domains": ("*.ex*.com",), "allow_glob_domains": True}, "a.example.com", True),
        ({"allowed_domains": ("*.ex*.com",), "allow_glob_domains": True}, "a.other.com", False),
        ({"allowed_domains": ("user@example.com",)}, "user@example.com", True),
        ({"allowed_domains": ("user@example.com",)}, "other@example.com", False),
        ({"allow_token_displayname": True, "allow_bare_domains": True}, "token-host", True),
        ({"allow_bare_domains": True}, "token-host", False),
    ],
)
def test_a_role_lets_in_what_it_says(fields, name, fits):
    found = dataclasses.replace(Role(), **{"allowed_domains": DOMAIN, **fields})
    assert names.allowed(found, name, "token-host") is fits


@pytest.mark.parametrize(
    ("validations", "name", "fits"),
    [
        (("email", "hostname"), "a.example.com", True),
        (("email",), "a.example.com", False),
        (("hostname",), "u@a.example.com", False),
        (("disabled",), "Anyone at all", True),
    ],
)
def test_common_names_are_of_the_kinds_that_a_role_says(validations, name, fits):
    found = Role(allowed_domains=DOMAIN, allow_subdomains=True, cn_validations=validations)
    assert names.common_name_allowed(found, name) is fits


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("", "", True),
        ("a", "b", False),
        ("*", "", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*b*", "abc", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*bc*bc", "abc", False),
        ("spiffe://x/*", "spiffe://x/y/z", True),
        ("*" * 40 + "x", "a" * 5000, False),
    ],
)
def test_patterns_fit_as_stars_say(pattern, text, fits):
    assert names.matches(pattern, text) is fits


def test_roles_are_read_with_the_apis_defaults():
    found = role.read_role(Body(fields={"allowed_domains": "a.com,b.com", "ttl": "1h", "max_ttl": 7200, "ou": ["x"]}))
    assert found == Role(allowed_domains=("a.com", "b.com"), ttl=3600, max_ttl=7200, ou=("x",), key_bits=2048)
    told = role.tell(found)
    assert (told["key_type"], told["allow_ip_sans"], told["use_pss"], told["allowed_user_ids"]) == (
        "rsa",
        True,
        False,
        [],
    )
    assert role.read_role(Body(fields=told)) == found
    assert role.parse_role(found.encode(), "r") == found


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"key_type": "zz"}, "unknown key type zz"),
        ({"key_type": "ec", "key_bits": 5}, "unsupported bit length for EC key: 5"),
        ({"ttl": "3h", "max_ttl": "1h"}, '"ttl" value must be less than "max_ttl" value'),
        ({"ttl": -1}, "expected ttl of 0 or more, got -1"),
        ({"key_usage": "Fly"}, "unknown key usage 'Fly'"),
        ({"key_usage": "EncipherOnly"}, "key usages EncipherOnly and DecipherOnly need KeyAgreement"),
        ({"ext_key_usage": "Fly"}, "unknown extended key usage 'Fly'"),
        ({"ext_key_usage_oids": "x"}, "'x' could not be parsed as a valid oid for ext_key_usage_oids"),
        ({"policy_identifiers": "x"}, "'x' could not be parsed as a valid oid for policy_identifiers"),
        ({"cn_validations": "x"}, "invalid cn_validations value: x"),
        ({"signature_bits": 1}, "invalid value for signature_bits: 1"),
        ({"use_pss": True}, "use_pss is not supported: expected False"),
        ({"allowed_domains_template": True}, "allowed_domains_template is not supported: expected False"),
    ],
)
def test_roles_that_cannot_be_are_refused(fields, message):
    with pytest.raises(RequestError) as refused:
        role.read_role(Body(fields=fields))
    assert str(refused.value) == message


def test_role_records_are_read_in_their_one_form():
    data = Role().encode()
    for change, message in (
        (data + b" ", "r: expected canonical JSON, got another form"),
        (data.replace(b'"ttl":0', b'"ttl":"0"'), "r.ttl: expected a whole number, got a string"),
        (data.replace(b'"ou":[]', b'"ou":[1]'), "r.ou: expected an array of strings, got something else"),
        (data.replace(b"role/v1", b"role/v2"), "r.format: expected 'ferry/pki-role/v1', got 'ferry/pki-role/v2'"),
    ):
        with pytest.raises(KeystoreError) as refused:
            role.parse_role(change, "r")
        assert str(refused.value) == message
