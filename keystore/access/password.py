"""Password policies: how long a password is, which characters it is made of, and how many of which it has at least.

Source: the documentation of Vault, 'Password policies'. Unknown keys are refused, as in the policies of access.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from keystore import document
from keystore.access import hcl
from keystore.errors import KeystoreError

LENGTH_LEAST, LENGTH_MOST = 4, 100
_RULES_MOST = 16
_PLACE = "password policy"
_TRIED, _FITTING = 500, 10
"""A policy is taken where ten of so many passwords fit it; so one is found quickly, and chance is left to it."""
_TRIES_MOST = 2000
_RANDOM = random.SystemRandom()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """So many of these characters at least."""

    charset: frozenset[str]
    least: int

    def fits(self, password: str) -> bool:
        """Tell whether a password has enough of them."""
        return not self.least or sum(letter in self.charset for letter in password) >= self.least


@dataclass(frozen=True, kw_only=True, slots=True)
class PasswordPolicy:
    """How passwords are made: `charset` has each character of any rule once."""

    length: int
    rules: tuple[Rule, ...]
    charset: str

    def generate(self) -> str:
        """Return a password; every one that fits is as likely as any other.

        Raises: KeystoreError when none was found in time.
        """
        found = next(self._fitting(_TRIES_MOST), None)
        if found is None:
            raise KeystoreError("failed to generate password from policy: no password fits its rules", place=_PLACE)
        return found

    def check(self) -> None:
        """Refuse a policy that hardly a password fits.

        Raises: KeystoreError.
        """
        if sum(1 for _ in self._fitting(_TRIED)) < _FITTING:
            raise KeystoreError(
                f"expected rules that at least {_FITTING} of {_TRIED} random passwords fit, got others", place=_PLACE
            )

    def _fitting(self, tries: int) -> Iterator[str]:
        for _ in range(tries):
            candidate = "".join(_RANDOM.choice(self.charset) for _ in range(self.length))
            if all(rule.fits(candidate) for rule in self.rules):
                yield candidate


def parse(text: str) -> PasswordPolicy:
    """Return the policy of a text in JSON, when it begins with '{', or HCL.

    Raises: KeystoreError.
    """
    entries = list(_of_json(text) if text.lstrip().startswith("{") else _of_hcl(text))
    lengths = [value for name, value in entries if name == "length"]
    length = _whole(lengths[-1] if lengths else 0, "length")
    if not length:
        raise KeystoreError("length must be > 0", place=_PLACE)
    if not LENGTH_LEAST <= length <= LENGTH_MOST:
        raise KeystoreError(f"passwords must be between {LENGTH_LEAST} and {LENGTH_MOST} characters", place=_PLACE)
    rules = tuple(_rule(value) for name, value in entries if name == "rule")
    return _checked(length, rules)


def _checked(length: int, rules: tuple[Rule, ...]) -> PasswordPolicy:
    charset = "".join(sorted({letter for rule in rules for letter in rule.charset}))
    if not charset:
        raise KeystoreError("no charset specified", place=_PLACE)
    if len(rules) > _RULES_MOST:
        raise KeystoreError(f"expected at most {_RULES_MOST} rules, got {len(rules)}", place=_PLACE)
    needed = sum(rule.least for rule in rules)
    if needed > length:
        raise KeystoreError(
            f"specified rules require at least {needed} characters but {length} is specified", place=_PLACE
        )
    return PasswordPolicy(length=length, rules=rules, charset=charset)


def _of_hcl(text: str) -> Iterator[tuple[str, object]]:
    for block in hcl.parse(text):
        value = block.value if block.label is None else {block.label: block.value}
        yield from _entry(block.name, value)


def _of_json(text: str) -> Iterator[tuple[str, object]]:
    for name, value in document.parse(text.encode("utf-8", "replace"), _PLACE).items():
        yield from _entry(name, value)


def _entry(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the length, or each rule by itself: JSON may have lists of objects where HCL has blocks."""
    if name == "length":
        yield name, value
        return
    if name != "rule":
        raise KeystoreError(f"expected 'length' or 'rule', got {name!r}", place=_PLACE)
    for block in value if isinstance(value, list) else [value]:
        if not isinstance(block, dict):
            raise KeystoreError("expected a rule such as 'charset', got something else", place=f"{_PLACE}.rule")
        for kind, bodies in block.items():
            if kind != "charset":
                raise KeystoreError(f"unrecognized rule type {kind}", place=f"{_PLACE}.rule")
            for body in bodies if isinstance(bodies, list) else [bodies]:
                yield name, body


def _rule(body: object) -> Rule:
    place = f"{_PLACE}.rule 'charset'"
    if not isinstance(body, dict):
        raise KeystoreError("expected an object, got something else", place=place)
    for key in body:
        if key not in ("charset", "min-chars"):
            raise KeystoreError(f"expected 'charset' or 'min-chars', got {key!r}", place=place)
    charset = body.get("charset", "")
    if not isinstance(charset, str) or not charset:
        raise KeystoreError("no charset specified", place=place)
    if not charset.isprintable():
        raise KeystoreError("expected printable characters, got others", place=f"{place}.charset")
    return Rule(charset=frozenset(charset), least=_whole(body.get("min-chars", 0), f"{place}.min-chars"))


def _whole(value: object, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise KeystoreError(f"expected a whole number from 0 on, got {value!r}", place=place)
    return value
