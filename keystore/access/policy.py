"""Policies: which capabilities a token has on which paths, written in HCL or JSON.

Source: the policy documentation of Vault. Unknown keys are refused: a mistyped one would grant or deny the wrong thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from keystore import document
from keystore.access import duration, hcl
from keystore.errors import KeystoreError

CAPABILITIES = frozenset(
    ("create", "read", "update", "patch", "delete", "list", "sudo", "deny", "subscribe", "recover")
)
_SHORT = {
    "deny": {"deny"},
    "read": {"read", "list"},
    "write": {"create", "read", "update", "delete", "list"},
    "sudo": {"create", "read", "update", "delete", "list", "sudo"},
}
_KEYS = frozenset(
    (
        "capabilities",
        "policy",
        "comment",
        "allowed_parameters",
        "denied_parameters",
        "required_parameters",
        "min_wrapping_ttl",
        "max_wrapping_ttl",
    )
)
Parameters = Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """What a policy says of one path, which may end with '*' and have segments '+'."""

    path: str
    capabilities: frozenset[str]
    min_wrapping_s: int = 0
    max_wrapping_s: int = 0
    allowed: Parameters | None = None
    denied: Parameters | None = None
    required: tuple[str, ...] = ()


def parse(text: str) -> tuple[Rule, ...]:
    """Return the rules of a policy in JSON, when it begins with '{', or HCL.

    Raises: KeystoreError.
    """
    entries = _of_json(text) if text.lstrip().startswith("{") else _of_hcl(text)
    return tuple(_rule(path, body) for path, body in entries)


def _of_hcl(text: str) -> Iterator[tuple[str, Any]]:
    for block in hcl.parse(text):
        if block.name == "name" and block.label is None:
            continue
        if block.name != "path":
            raise KeystoreError(f"expected 'path', got {block.name!r}", place="policy")
        if block.label is not None:
            yield block.label, block.value
        else:
            yield from _paths(block.value)


def _of_json(text: str) -> Iterator[tuple[str, Any]]:
    for name, value in document.parse(text.encode("utf-8", "replace"), "policy").items():
        if name == "path":
            yield from _paths(value)
        elif name != "name":
            raise KeystoreError(f"expected 'path', got {name!r}", place="policy")


def _paths(value: object) -> Iterator[tuple[str, Any]]:
    for entry in value if isinstance(value, list) else [value]:
        if not isinstance(entry, dict):
            raise KeystoreError("expected an object of paths, got something else", place="policy.path")
        yield from entry.items()


def _rule(path: str, body: object) -> Rule:
    place = f"path {path!r}"
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    if not isinstance(body, dict):
        raise KeystoreError("expected an object, got something else", place=place)
    for key in body:
        if key not in _KEYS:
            raise KeystoreError(f"expected a key such as 'capabilities', got {key!r}", place=place)
    if "+*" in path:
        raise KeystoreError("expected no '+*' in a path, got one", place=place)
    lowest = duration.parse(body.get("min_wrapping_ttl"), f"{place}.min_wrapping_ttl")
    highest = duration.parse(body.get("max_wrapping_ttl"), f"{place}.max_wrapping_ttl")
    if highest and lowest > highest:
        raise KeystoreError(f"expected max_wrapping_ttl of at least {lowest} seconds, got {highest}", place=place)
    return Rule(
        path=path.removeprefix("/"),
        capabilities=_capabilities(body, place),
        min_wrapping_s=lowest,
        max_wrapping_s=highest,
        allowed=_parameters(body, "allowed_parameters", place),
        denied=_parameters(body, "denied_parameters", place),
        required=_required(body, place),
    )


def _capabilities(body: Mapping[str, Any], place: str) -> frozenset[str]:
    found = set(_strings(body.get("capabilities", []), f"{place}.capabilities"))
    if unknown := sorted(found - CAPABILITIES):
        raise KeystoreError(f"expected a capability such as 'read', got {unknown[0]!r}", place=place)
    short = body.get("policy")
    if short is not None:
        if not isinstance(short, str) or short not in _SHORT:
            raise KeystoreError(f"expected 'deny', 'read', 'write' or 'sudo', got {short!r}", place=f"{place}.policy")
        found |= _SHORT[short]
    return frozenset({"deny"} if "deny" in found else found)


def _parameters(body: Mapping[str, Any], name: str, place: str) -> Parameters | None:
    if name not in body:
        return None
    found = body[name]
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if not isinstance(found, dict) or not all(isinstance(values, list) for values in found.values()):
        raise KeystoreError("expected an object of lists, got something else", place=f"{place}.{name}")
    return {key.lower(): tuple(values) for key, values in found.items()}


def _required(body: Mapping[str, Any], place: str) -> tuple[str, ...]:
    found = _strings(body.get("required_parameters", []), f"{place}.required_parameters")
    return tuple(name.lower() for name in found)


def _strings(value: object, place: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise KeystoreError("expected a list of strings, got something else", place=place)
    return value
