"""Decide whether the policies of a token allow a request: the most exact path counts, and deny wins.

Source: "Policies" in the Vault documentation, its rules for priority matching and for fine-grained control.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from keystore.access.policy import Parameters, Rule
from keystore.engines.request import Operation

ROOT = "root"
_NEEDED = {
    Operation.CREATE: "create",
    Operation.READ: "read",
    Operation.UPDATE: "update",
    Operation.PATCH: "patch",
    Operation.DELETE: "delete",
    Operation.LIST: "list",
}
_WRITES = frozenset((Operation.CREATE, Operation.UPDATE, Operation.PATCH))
_TEMPLATE = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What a request asks for."""

    operation: Operation
    path: str
    data: Mapping[str, Any]
    wrap_s: int = 0


@dataclass(frozen=True, slots=True)
class _Pattern:
    rule: Rule
    expression: re.Pattern[str]
    rank: tuple[object, ...]


class Acl:
    """The rules of some policies together."""

    def __init__(self, rules: Iterable[Rule], *, root: bool = False) -> None:
        self.root = root
        self._exact: dict[str, Rule] = {}
        wild: dict[str, Rule] = {}
        for rule in rules:
            found = wild if "+" in rule.path.split("/") or rule.path.endswith("*") else self._exact
            found[rule.path] = _merged(found[rule.path], rule) if rule.path in found else rule
        patterns = [_Pattern(rule, _expression(path), _rank(path)) for path, rule in wild.items()]
        self._patterns = sorted(patterns, key=lambda pattern: pattern.rank, reverse=True)

    def rule(self, path: str, *, listing: bool = False) -> Rule | None:
        """Return the rule of highest priority that fits a path; a listing also takes one without the last slash."""
        if path in self._exact:
            return self._exact[path]
        if listing and path.endswith("/") and path[:-1] in self._exact:
            return self._exact[path[:-1]]
        for pattern in self._patterns:
            if pattern.expression.fullmatch(path) or (listing and pattern.expression.fullmatch(path.rstrip("/"))):
                return pattern.rule
        return None

    def capabilities(self, path: str) -> list[str]:
        """Return the capabilities on a path, in one order; none is ['deny']."""
        if self.root:
            return ["root"]
        rule = self.rule(path, listing=True)
        if rule is None or not rule.capabilities or "deny" in rule.capabilities:
            return ["deny"]
        return sorted(rule.capabilities)

    def reaches(self, prefix: str) -> bool:
        """Tell whether there may be a path below a prefix on which something is allowed."""
        rules = [*self._exact.values(), *(pattern.rule for pattern in self._patterns)]
        return any("deny" not in rule.capabilities and _meets(rule.path, prefix) for rule in rules)

    def described(self) -> dict[str, Any]:
        """Return all rules, as user interfaces ask for them."""
        return {
            "root": self.root,
            "exact_paths": {path: {"capabilities": sorted(rule.capabilities)} for path, rule in self._exact.items()},
            "glob_paths": {
                pattern.rule.path.removesuffix("*"): {"capabilities": sorted(pattern.rule.capabilities)}
                for pattern in self._patterns
            },
        }

    def allows(self, demand: Demand, *, sudo: bool = False) -> bool:
        """Tell whether a request is allowed; `sudo` says that its path demands that capability too."""
        if self.root:
            return True
        rule = self.rule(demand.path, listing=demand.operation is Operation.LIST)
        if rule is None or "deny" in rule.capabilities or _NEEDED[demand.operation] not in rule.capabilities:
            return False
        if sudo and "sudo" not in rule.capabilities:
            return False
        return _wrapping_fits(rule, demand.wrap_s) and _parameters_fit(rule, demand)


def fill(rule: Rule, identity: Mapping[str, str]) -> Rule | None:
    """Return a rule with the templates of its path filled, or None where the caller has no such property.

    A value with a slash, '*' or '+' would change what the path means; such a rule is left out too.
    """
    if "{{" not in rule.path:
        return rule
    values = [identity.get(name) for name in _TEMPLATE.findall(rule.path)]
    if any(not value or set(value) & set("/*+{}") for value in values):
        return None
    filled = _TEMPLATE.sub(lambda match: identity[match.group(1)], rule.path)
    return None if "{{" in filled else replace(rule, path=filled)


def _meets(path: str, prefix: str) -> bool:
    """Tell whether a rule's path and a prefix can name the same place."""
    mine, theirs = path.removesuffix("*").split("/"), prefix.strip("/").split("/")
    glob = path.endswith("*")
    for index, (one, other) in enumerate(zip(mine, theirs, strict=False)):
        last = glob and index == len(mine) - 1
        if one not in (other, "+") and not (last and other.startswith(one)):
            return False
    return glob or len(mine) >= len(theirs)


def _expression(path: str) -> re.Pattern[str]:
    glob = path.endswith("*")
    segments = (path[:-1] if glob else path).split("/")
    text = "/".join("[^/]+" if segment == "+" else re.escape(segment) for segment in segments)
    return re.compile(text + (".*" if glob else ""), re.DOTALL)


def _rank(path: str) -> tuple[object, ...]:
    """Return what sorts patterns by priority, the highest last."""
    wildcards = [index for index, segment in _starts(path) if segment == "+"]
    glob = path.endswith("*")
    first = min([*wildcards, len(path) - 1] if glob else wildcards, default=len(path))
    return first, not glob, -len(wildcards), len(path), path


def _starts(path: str) -> Iterable[tuple[int, str]]:
    at = 0
    for segment in path.split("/"):
        yield at, segment
        at += len(segment) + 1


def _merged(a: Rule, b: Rule) -> Rule:
    """Return what two policies say together of one path."""
    if "deny" in a.capabilities or "deny" in b.capabilities:
        return Rule(path=a.path, capabilities=frozenset({"deny"}))
    lowest = [seconds for seconds in (a.min_wrapping_s, b.min_wrapping_s) if seconds]
    return Rule(
        path=a.path,
        capabilities=a.capabilities | b.capabilities,
        min_wrapping_s=min(lowest, default=0),
        max_wrapping_s=max(a.max_wrapping_s, b.max_wrapping_s),
        allowed=_merged_parameters(a.allowed, b.allowed),
        denied=_merged_parameters(a.denied, b.denied),
        required=tuple(dict.fromkeys(a.required + b.required)),
    )


def _merged_parameters(a: Parameters | None, b: Parameters | None) -> Parameters | None:
    """Return the values of both; an empty list, which stands for every value, wins."""
    if not a or not b:
        return a or b
    found = {**a, **b}
    for name in a.keys() & b.keys():
        found[name] = a[name] + b[name] if a[name] and b[name] else ()
    return found


def _wrapping_fits(rule: Rule, wrap_s: int) -> bool:
    if rule.max_wrapping_s and not 0 < wrap_s <= rule.max_wrapping_s:
        return False
    return not rule.min_wrapping_s or wrap_s >= rule.min_wrapping_s


def _parameters_fit(rule: Rule, demand: Demand) -> bool:
    if demand.operation not in _WRITES:
        return True
    data = {name.lower(): value for name, value in demand.data.items()}
    if any(name not in data for name in rule.required):
        return False
    if not data:
        return True
    return not _denied(rule.denied, data) and _allowed(rule.allowed, data)


def _denied(denied: Parameters | None, data: Mapping[str, Any]) -> bool:
    if not denied:
        return False
    if "*" in denied:
        return True
    return any(name in denied and _among(value, denied[name]) for name, value in data.items())


def _allowed(allowed: Parameters | None, data: Mapping[str, Any]) -> bool:
    if not allowed:
        return True
    for name, value in data.items():
        if name in allowed:
            if not _among(value, allowed[name]):
                return False
        elif "*" not in allowed:
            return False
    return True


def _among(value: object, values: tuple[Any, ...]) -> bool:
    """Tell whether a value is one of a list; an empty list has every value, a text may begin or end with '*'."""
    return not values or any(_same(value, one) for one in values)


def _same(value: object, one: object) -> bool:
    if isinstance(value, str) and isinstance(one, str) and "*" in one:
        if one.startswith("*") and one.endswith("*") and len(one) > 1:
            return one[1:-1] in value
        if one.startswith("*"):
            return value.endswith(one[1:])
        if one.endswith("*"):
            return value.startswith(one[:-1])
    return type(value) is type(one) and value == one
