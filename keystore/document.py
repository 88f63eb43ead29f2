"""Strict JSON: one object, no duplicate keys, exact fields and types, errors that name the place."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from keystore.errors import KeystoreError


def parse(data: bytes, place: str) -> dict[str, Any]:
    """Return the JSON object in `data`.

    Raises: KeystoreError for anything but one UTF-8 object without duplicate keys.
    """
    try:
        found = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, _RefusedError) else "something else"
        raise KeystoreError(f"expected a JSON object, got {reason}", place=place) from None
    return as_object(found, place)


def as_object(value: object, place: str) -> dict[str, Any]:
    """Return a value that is a JSON object."""
    if not isinstance(value, dict):
        raise KeystoreError(f"expected an object, got {_kind(value)}", place=place)
    return value


def fields(value: object, place: str, shape: Mapping[str, type], *, exact: bool = True) -> dict[str, Any]:
    """Return an object that has every field of `shape` with its type and, when `exact`, no other."""
    found = as_object(value, place)
    for name, kind in shape.items():
        if name not in found:
            raise KeystoreError("expected this field, got none", place=f"{place}.{name}")
        if type(found[name]) is not kind:
            raise KeystoreError(f"expected {_NAMES[kind]}, got {_kind(found[name])}", place=f"{place}.{name}")
    unknown = sorted(found.keys() - shape.keys())
    if exact and unknown:
        raise KeystoreError(f"expected no other field, got {unknown[0]!r}", place=place)
    return found


def expect(found: object, expected: object, place: str, hint: str | None = None) -> None:
    """Refuse a value that is not the expected one."""
    if found != expected:
        raise KeystoreError(f"expected {expected!r}, got {found!r}", place=place, hint=hint)


def decode_base64(text: str, place: str) -> bytes:
    """Return the bytes of standard base64 in its one canonical form."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = None
    if data is None or encode_base64(data) != text:
        raise KeystoreError("expected canonical base64, got something else", place=place)
    return data


def encode_base64(data: bytes) -> str:
    """Return standard base64 with padding."""
    return base64.b64encode(data).decode("ascii")


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def canonical(value: object) -> bytes:
    """Return JSON with sorted keys, no blanks and ASCII only: one value, one encoding."""
    return _CANONICAL.encode(value).encode("ascii")


def readable(value: object) -> bytes:
    """Return JSON with sorted keys and two blanks of indent, ended by a newline."""
    return (json.dumps(value, sort_keys=True, indent=2) + "\n").encode("ascii")


class _RefusedError(ValueError):
    """A reason to refuse that is ours, not the JSON library's."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RefusedError("a duplicate key")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise _RefusedError(f"'{name}'")


_NAMES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "a whole number",
    float: "a fraction",
    bool: "true or false",
    type(None): "null",
}


def _kind(value: object) -> str:
    return _NAMES.get(type(value), "something else")
