"""The rules of the egress lint: data in rules.json, compiled once."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

# How text is written: commands, source code and structured configuration, settings (NAME=value), or a bare name.
SHELL, CODE, SETTING, NAME = "shell", "code", "setting", "name"
# Who runs it decides how grave a finding is.
RUN, SCRIPT, OWN, SYSTEM, LIBRARY = "run", "script", "own", "system", "library"
ERROR, WARNING, INFO = "error", "warning", "info"
SEVERITIES = {RUN: ERROR, SCRIPT: WARNING, OWN: WARNING, SETTING: WARNING, SYSTEM: INFO, LIBRARY: INFO}
CONNECTION, UNSCANNED = "connection", "unscanned"

_START = r"(?<![\w.-])"
# Where source code or configuration starts a program: the first word of a text or of a list of texts.
_LAUNCH = (
    r"(?:(?:\b(?:command|cmd|args|entrypoint)[\"']?\s*[:=]"
    r"|\b(?:run|call|check_call|check_output|Popen|popen|system|spawn\w*|exec\w*)\()\s*\[?\s*f?[\"']?(?:[^\"'\s]*/)?"
    r"|\[\s*[\"'](?:[^\"'\s]*/)?|sys\.executable,\s*[\"']-m\s+)"
)
_AS_LITERAL = r"[\"'](?:https?://|wss?://)?{host}(?:[/:][^\"'\s]*)?[\"']"
_AS_URL = r"//(?:[^/\s@\"']*@)?{host}(?![\w.-])"


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One thing to find: a line that holds one of `hints` and that a pattern of its form matches.

    `unless` takes back what a launch says; `severities` differ from the usual ones by surface; `what` and `remedy` are
    texts by language.
    """

    id: str
    what: Mapping[str, str]
    remedy: Mapping[str, str]
    hints: tuple[bytes, ...] = ()
    patterns: Mapping[str, re.Pattern[str]]
    unless: re.Pattern[str] | None = None
    severities: Mapping[str, str]

    def matches(self, form: str, line: str) -> bool:
        """Say whether a line of this form is a finding."""
        pattern = self.patterns.get(form)
        if pattern is None or not pattern.search(line):
            return False
        return self.unless is None or not self.unless.search(line)


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """A package that fetches on demand unless one of `variables` is set."""

    id: str
    what: Mapping[str, str]
    remedy: Mapping[str, str]
    packages: frozenset[str]
    variables: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """All rules; `digest` changes with any of them."""

    lines: tuple[Rule, ...]
    carried: tuple[Carried, ...]
    texts: Mapping[str, tuple[Mapping[str, str], Mapping[str, str]]]
    digest: str

    def severity(self, rule: str, surface: str) -> str:
        """Return how grave it is that a rule is met where `surface` says who runs it."""
        return next(one for one in self.lines if one.id == rule).severities[surface]

    @property
    def packages(self) -> frozenset[str]:
        """Every package that some rule asks for."""
        return frozenset(name for one in self.carried for name in one.packages)

    @property
    def variables(self) -> frozenset[str]:
        """Every variable that holds such a package back."""
        return frozenset(name for one in self.carried for name in one.variables)


@cache
def read_rules() -> Rules:
    """Return the rules of this Ferry."""
    raw = (files(__package__) / "rules.json").read_bytes()
    document = json.loads(raw)
    lines = tuple(map(_rule, document["rules"]))
    carried = tuple(
        Carried(
            id=one["id"],
            what=one["what"],
            remedy=one["remedy"],
            packages=frozenset(one["packages"]),
            variables=tuple(one["variables"]),
        )
        for one in document["carried"]
    )
    texts = {one["id"]: (one["what"], one["remedy"]) for part in document.values() for one in part}
    return Rules(lines=lines, carried=carried, texts=texts, digest=hashlib.sha256(raw).hexdigest())


def _rule(document: Mapping[str, Any]) -> Rule:
    return Rule(
        id=document["id"],
        what=document["what"],
        remedy=document["remedy"],
        hints=tuple(hint.encode() for hint in document["hints"]),
        patterns={form: re.compile(pattern) for form, pattern in _patterns(document).items()},
        unless=re.compile(document["unless"]) if "unless" in document else None,
        severities={**SEVERITIES, **document.get("severities", {})},
    )


def _patterns(document: Mapping[str, Any]) -> dict[str, str]:
    """Return one pattern per form, from the parts that a rule is written in."""
    parts: dict[str, list[str]] = {SHELL: [], CODE: [], SETTING: [], NAME: []}
    if launch := document.get("launch"):
        parts[SHELL].append(_START + launch)
        parts[CODE].append(_LAUNCH + launch)
    if code := document.get("code"):
        parts[CODE].append(code)
    if setting := document.get("setting"):
        parts[SETTING].append(setting)
        parts[SHELL].append(setting)
    if host := document.get("host"):
        parts[CODE].append(_AS_LITERAL.format(host=f"(?:{host})"))
        for form in (SHELL, SETTING):
            parts[form].append(_AS_URL.format(host=f"(?:{host})"))
    if name := document.get("name"):
        for form in (SHELL, CODE, NAME):
            parts[form].append(name)
    return {form: "|".join(f"(?:{one})" for one in some) for form, some in parts.items() if some}
