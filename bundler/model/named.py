"""Every blob that a document names, whatever kinds of things it holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

_SHA256 = re.compile("[0-9a-f]{64}")


def named_digests(value: object) -> frozenset[str]:
    """Return what stands in a field `sha256` anywhere in a dataclass or below it."""
    return frozenset(_found(value))


def _found(value: object) -> Iterator[str]:
    if isinstance(value, tuple | list):
        for one in value:
            yield from _found(one)
    elif is_dataclass(value):
        for field in fields(value):
            inner = getattr(value, field.name)
            if field.name == "sha256" and isinstance(inner, str) and _SHA256.fullmatch(inner):
                yield inner
            else:
                yield from _found(inner)
