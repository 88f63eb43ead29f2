"""Policies: how they are read, and what they allow."""

import pytest

from keystore.access import duration, policy
from keystore.access.acl import Acl, Demand, fill
from keystore.engines.request import Operation
from keystore.errors import KeystoreError


def _acl(*texts: str) -> Acl:
    return Acl(rule for text in texts for rule in policy.parse(text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('path "a" {', "line 1, column 11: expected '}', got the end"),
        ('path "a" { capabilities = ["reed"] }', "path 'a': expected a capability such as 'read', got 'reed'"),
        ('path "a" { capability = [] }', "path 'a': expected a key such as 'capabilities', got 'capability'"),
        ('path "a/+*" { capabilities = [] }', "path 'a/+*': expected no '+*' in a path, got one"),
        ('road "a" { }', "policy: expected 'path', got 'road'"),
        ('path "a" { capabilities = ["read"', "line 1, column 34: expected ']', got the end"),
        ('path "a" { comment = "${x}" }', "line 1, column 22: expected a string without '${', got one"),
        ('path "a" { comment = "x" comment = "y" }', "line 1, column 40: expected 'comment' once, got it twice"),
        (
            'path "a" { min_wrapping_ttl = "2m" max_wrapping_ttl = "1m" }',
            "path 'a': expected max_wrapping_ttl of at least 120 seconds, got 60",
        ),
        (
            '{"path": {"a": {"capabilities": "read"}}}',
            "path 'a'.capabilities: expected a list of strings, got something else",
        ),
        ('{"path": {"a": {}}, "path": {}}', "policy: expected a JSON object, got a duplicate key"),
        (
            'path "a" { capabilities = ' + "[" * 40,
            "line 1, column 42: expected at most 16 brackets inside each other, got more",
        ),
    ],
)
def test_what_is_no_policy_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(KeystoreError) as refused:
        policy.parse(text)
    assert str(refused.value) == told


def test_hcl_and_json_say_the_same() -> None:
    hcl = """
    # A comment, // another, /* and a third */
    path "a/*" {
      capabilities = ["read", "list"] /* why */
      allowed_parameters { "Key" = ["x", 1, true] "*" = [] }
      max_wrapping_ttl = "1h30m"
    }
    """
    json = """{"path": {"a/*": {"capabilities": ["read", "list"], "max_wrapping_ttl": 5400,
      "allowed_parameters": {"Key": ["x", 1, true], "*": []}}}}"""
    assert policy.parse(hcl) == policy.parse(json)


@pytest.mark.parametrize(
    ("better", "worse", "path"),
    [
        ("a/b", "a/*", "a/b"),
        ("a/b*", "a/*", "a/bc"),
        ("a/+/c", "+/b/c", "a/b/c"),
        ("a/+", "a/+/*", "a/b"),
        ("a/b/+", "a/+/+", "a/b/c"),
        ("a/+/c/d", "a/+/*", "a/b/c/d"),
    ],
)
def test_the_most_exact_path_counts(better: str, worse: str, path: str) -> None:
    acl = _acl(
        f'path "{worse}" {{ capabilities = ["deny"] }}',
        f'path "{better}" {{ capabilities = ["read"] }}',
    )
    assert acl.capabilities(path) == ["read"]


def test_policies_add_up_and_deny_wins() -> None:
    read, write, deny = ('path "a" { capabilities = ["%s"] }'.replace("%s", one) for one in ("read", "update", "deny"))
    assert _acl(read, write).capabilities("a") == ["read", "update"]
    assert _acl(read, deny, write).capabilities("a") == ["deny"]
    assert _acl(read).capabilities("b") == ["deny"]


def test_a_path_that_demands_sudo_needs_it() -> None:
    demand = Demand(operation=Operation.UPDATE, path="sys/seal", data={})
    assert not _acl('path "sys/*" { capabilities = ["update"] }').allows(demand, sudo=True)
    assert _acl('path "sys/*" { capabilities = ["update", "sudo"] }').allows(demand, sudo=True)


def test_a_template_is_filled_and_never_widens() -> None:
    (rule,) = policy.parse('path "s/{{identity.entity.name}}/*" { capabilities = ["read"] }')
    filled = fill(rule, {"identity.entity.name": "li"})
    assert filled is not None
    assert filled.path == "s/li/*"
    assert [fill(rule, {"identity.entity.name": name}) for name in ("", "*", "a/b", "+", "{{x}}")] == [None] * 5
    assert fill(rule, {}) is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("1h30m", 5400), (60, 60), ("60", 60), ("2d", 172_800), ("", 0), (None, 0)]
)
def test_durations_are_read(text: object, seconds: int) -> None:
    assert duration.parse(text, "ttl") == seconds


@pytest.mark.parametrize("text", ["1x", "h", "1h 2m", "-1", -1, True, [], "9" * 40, float("nan"), float("inf")])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(KeystoreError, match="ttl: expected a duration"):
        duration.parse(text, "ttl")
