"""sys/policies/password: policies of passwords, and passwords made by them."""

import base64
from collections import Counter

import pytest
from keystoreservice import Service

from keystore.access import password
from keystore.errors import KeystoreError

PLACE = "sys/policies/password/"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
POLICY = f"""
length = 20
rule "charset" {{ charset = "{LETTERS}" min-chars = 1 }}
rule "charset" {{
  charset = "{LETTERS.upper()}"
  min-chars = 1
}}
rule "charset" {{ charset = "0123456789" min-chars = 3 }} # digits
rule "charset" {{ charset = "-_" }}
"""


def _policy(length: int, *rules: str) -> str:
    return f"length = {length}\n" + "\n".join(f'rule "charset" {{ {rule} }}' for rule in rules)


def test_a_policy_is_kept_listed_used_and_forgotten(service: Service) -> None:
    assert service.ask("LIST", PLACE) == (404, {"errors": []})
    assert service.ask("PUT", PLACE + "Strong", {"policy": POLICY})[0] == 204
    assert service.ask("LIST", PLACE)[1]["data"] == {"keys": ["Strong"]}
    assert service.ask("GET", PLACE + "Strong")[1]["data"] == {"policy": POLICY}
    made = service.ask("GET", PLACE + "Strong/generate")[1]["data"]["password"]
    assert made != service.ask("GET", PLACE + "Strong/generate")[1]["data"]["password"]
    assert len(made) == 20
    assert set(made) <= set(LETTERS + LETTERS.upper() + "0123456789-_")
    assert sum(one.isdigit() for one in made) >= 3
    assert any(one.islower() for one in made)
    assert any(one.isupper() for one in made)
    assert service.ask("DELETE", PLACE + "Strong")[0] == 204
    assert service.ask("DELETE", PLACE + "Strong")[0] == 204
    for path in ("Strong", "Strong/generate"):
        assert service.ask("GET", PLACE + path) == (404, {"errors": ["policy does not exist"]})


def test_base64_and_json_are_policies_too(service: Service) -> None:
    encoded = base64.b64encode(POLICY.encode()).decode()
    assert service.ask("POST", PLACE + "a", {"policy": encoded})[0] == 204
    assert service.ask("GET", PLACE + "a")[1]["data"] == {"policy": POLICY}
    for rule in ('[{"charset": [{"charset": "abc", "min-chars": 1}]}]', '{"charset": {"charset": "abc"}}'):
        assert service.ask("POST", PLACE + "b", {"policy": f'{{"length": 8, "rule": {rule}}}'})[0] == 204
        assert set(service.ask("GET", PLACE + "b/generate")[1]["data"]["password"]) <= set("abc")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "missing policy"),
        (_policy(3, 'charset = "abc"'), "password policy: passwords must be between 4 and 100 characters"),
        (_policy(101, 'charset = "abc"'), "password policy: passwords must be between 4 and 100 characters"),
        ('rule "charset" { charset = "abc" }', "password policy: length must be > 0"),
        ("length = 20", "password policy: no charset specified"),
        ('length = "20"', "length: expected a whole number from 0 on, got '20'"),
        (_policy(20, 'charset = ""'), "password policy.rule 'charset': no charset specified"),
        (
            _policy(20, 'charset = "ab" min-chars = 15', 'charset = "c" min-chars = 6'),
            "password policy: specified rules require at least 21 characters but 20 is specified",
        ),
        (
            _policy(20, 'charset = "ab" min-chars = -1'),
            "password policy.rule 'charset'.min-chars: expected a whole number from 0 on, got -1",
        ),
        (
            _policy(20, 'charset = "ab" most = 1'),
            "password policy.rule 'charset': expected 'charset' or 'min-chars', got 'most'",
        ),
        (
            _policy(20, 'charset = "a\\tb"'),
            "password policy.rule 'charset'.charset: expected printable characters, got others",
        ),
        ('length = 20 rule "other" { }', "password policy.rule: unrecognized rule type other"),
        ("length = 20 rule = 1", "password policy.rule: expected a rule such as 'charset', got something else"),
        ("width = 20", "password policy: expected 'length' or 'rule', got 'width'"),
        ("length = 20 rule", "line 1, column 17: expected '{', got the end"),
        ('{"length": 20, "length": 4}', "password policy: expected a JSON object, got a duplicate key"),
        (
            '{"length": 20, "rule": {"charset": "abc"}}',
            "password policy.rule 'charset': expected an object, got something else",
        ),
        (_policy(20, *['charset = "abc"'] * 17), "password policy: expected at most 16 rules, got 17"),
        (
            _policy(10, f'charset = "{LETTERS}"', 'charset = "0" min-chars = 10'),
            "password policy: expected rules that at least 10 of 500 random passwords fit, got others",
        ),
    ],
)
def test_what_is_no_policy_is_told(service: Service, text: str, told: str) -> None:
    told = told if told == "missing policy" else f"invalid password policy: {told}"
    assert service.ask("PUT", PLACE + "x", {"policy": text}) == (400, {"errors": [told]})
    assert service.ask("GET", PLACE + "x")[0] == 404


def test_names_and_sources_are_checked(service: Service) -> None:
    told = "expected the name of a password policy, got 'a/b'"
    assert service.ask("PUT", PLACE + "a/b", {"policy": POLICY}) == (400, {"errors": [told]})
    told = "entropy_source: expected 'platform', got another"
    assert service.ask("PUT", PLACE + "a", {"policy": POLICY, "entropy_source": "seal"}) == (400, {"errors": [told]})
    assert service.ask("GET", PLACE)[0] == 405
    assert service.ask("GET", PLACE + "x/generate", token="")[0] == 403


def test_every_character_is_as_likely() -> None:
    made = password.parse(_policy(100, 'charset = "abcdefghij"', 'charset = "aab"'))
    found = Counter("".join(made.generate() for _ in range(200)))
    assert set(found) == set("abcdefghij")
    # 20000 draws: six standard deviations around 2000 are 255.
    assert all(abs(count - 2000) < 255 for count in found.values())


def test_a_policy_that_no_password_fits_ends() -> None:
    never = password.parse(_policy(100, 'charset = "ab" min-chars = 1', 'charset = "0123456789" min-chars = 99'))
    with pytest.raises(KeystoreError) as refused:
        never.generate()
    assert str(refused.value) == (
        "password policy: failed to generate password from policy: no password fits its rules"
    )
